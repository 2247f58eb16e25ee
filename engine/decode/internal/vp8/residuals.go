package vp8

import "github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"

// coefProbs are probabilities of coefficients: by kind of block, band, context, and decision (section 13.3).
type coefProbs [4][8][3][11]uint8

// Kinds of blocks.
const (
	lumaAfterSecond = iota // luma whose DC coefficient is in the block of second order
	secondOrder            // the DC coefficients of luma, transformed once more
	chromaBlock
	lumaBlock
)

// bands is the band of each position of a coefficient.
var bands = [17]uint8{0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0}

// Blocks of a macroblock: 16 of luma, four of each chroma, one of second order.
const (
	uBlocks = 16
	vBlocks = 20
	second  = 24
	blocks  = 25
)

// readResiduals reads the coefficients of a macroblock. It returns false if there are none that change a sample.
func (d *Decoder) readResiduals(b *bools, m *macroblock, left, above *neighbors) bool {
	d.coefs = [blocks]kernel.Block{}
	q := &d.quantizers[m.segment]
	read := func(i, kind, first int, f *kernel.Factors, l, a *uint8) bool {
		n := b.Block(&d.coefs[i], &d.probs[kind], int(*l+*a), first, f)
		*l = 0
		if n > first {
			*l = 1
		}
		*a = *l
		d.counts[i] = uint8(n)
		return n > 1 || d.coefs[i][0] != 0
	}
	kind, first, changes := lumaBlock, 0, false
	if !m.subblocks {
		read(second, secondOrder, 0, &q.second, &left.coded[8], &above.coded[8])
		d.invertSecond()
		kind, first = lumaAfterSecond, 1
	}
	for i := range uBlocks {
		changes = read(i, kind, first, &q.luma, &left.coded[i>>2], &above.coded[i&3]) || changes
	}
	for i := uBlocks; i < second; i++ {
		plane := i >> 2 & 1 * 2
		changes = read(i, chromaBlock, 0, &q.chroma, &left.coded[4+plane+i>>1&1], &above.coded[4+plane+i&1]) || changes
	}
	return changes
}

// noResiduals notes that a macroblock has no coefficients.
func noResiduals(m *macroblock, left, above *neighbors) {
	keep := [2]uint8{left.coded[8], above.coded[8]}
	left.coded, above.coded = [9]uint8{}, [9]uint8{}
	if m.subblocks { // has no block of second order, which leaves what is known of others
		left.coded[8], above.coded[8] = keep[0], keep[1]
	}
}

// invertSecond makes the DC coefficients of luma of the block of second order by a Walsh-Hadamard transform (section 14.3).
func (d *Decoder) invertSecond() {
	in := &d.coefs[second]
	var m [16]int32
	for i := range 4 {
		a, b := int32(in[i])+int32(in[12+i]), int32(in[4+i])+int32(in[8+i])
		c, e := int32(in[4+i])-int32(in[8+i]), int32(in[i])-int32(in[12+i])
		m[i], m[4+i], m[8+i], m[12+i] = a+b, e+c, a-b, e-c
	}
	for i := range 4 {
		r := m[4*i : 4*i+4]
		a, b := r[0]+r[3]+3, r[1]+r[2]
		c, e := r[1]-r[2], r[0]-r[3]+3
		d.coefs[4*i][0] = int16((a + b) >> 3)
		d.coefs[4*i+1][0] = int16((e + c) >> 3)
		d.coefs[4*i+2][0] = int16((a - b) >> 3)
		d.coefs[4*i+3][0] = int16((e - c) >> 3)
	}
}
