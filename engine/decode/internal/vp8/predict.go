package vp8

import (
	"encoding/binary"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
)

// workspace is a macroblock's samples with those around it, in rows of 32: luma, below it the two chroma planes side by side.
//
//	         7          8 to 15   16 to 23   24 to 27
//	 0       corner     above     above      above, to the right
//	 1 to 16 left       luma      luma       the same in rows 4, 8 and 12
//
//	         7          8 to 15   23         24 to 31
//	17       corner     above     corner     above
//	18 to 25 left       U         left       V
type workspace [26 * stride]byte

const (
	stride  = kernel.Stride
	lumaAt  = 1*stride + 8
	uAt     = 18*stride + 8
	vAt     = 18*stride + 24
	aboveY  = lumaAt - stride
	aboveU  = uAt - stride
	aboveV  = vAt - stride
	outside = 127 // a sample above the picture, those left of it are greater by 2
)

// fill writes size rows of size samples, eight at a time.
func (w *workspace) fill(at, size int, sample func(y int) uint64) {
	for y := range size {
		v := sample(y)
		for x := 0; x < size; x += 8 {
			binary.LittleEndian.PutUint64(w[at+y*stride+x:], v)
		}
	}
}

// repeated is eight times the same sample.
func repeated(sample uint64) uint64 { return sample * 0x0101010101010101 }

// predict predicts luma, of size 16, or a chroma plane, of size 8 (section 12.2 and 12.3).
func (w *workspace) predict(mode uint8, at, size int, hasLeft, hasAbove bool) {
	switch mode {
	case predictV:
		for y := range size {
			copy(w[at+y*stride:][:size], w[at-stride:][:size])
		}
	case predictH:
		w.fill(at, size, func(y int) uint64 { return repeated(uint64(w[at+y*stride-1])) })
	case predictTM:
		kernel.TrueMotion(w[at-stride-1:], size)
	default:
		mean := w.mean(at, size, hasLeft, hasAbove)
		w.fill(at, size, func(int) uint64 { return mean })
	}
}

// mean is that of the samples to the left and above, as far as there are any.
func (w *workspace) mean(at, size int, hasLeft, hasAbove bool) uint64 {
	sum, n := 0, 0
	if hasAbove {
		n += size
		for _, v := range w[at-stride:][:size] {
			sum += int(v)
		}
	}
	if hasLeft {
		n += size
		for y := range size {
			sum += int(w[at+y*stride-1])
		}
	}
	if n == 0 {
		return repeated(128)
	}
	return repeated(uint64(sum+n/2) / uint64(n))
}

// Eight samples at a time: means of two, rounded up, and weighted 1:2:1, rounded. The lowest bits of what is halved are masked, as
// they would get into the next sample.
const not1 = 0xFEFEFEFEFEFEFEFE

func mean2(a, b uint64) uint64 { return a | b - (a^b)&not1>>1 }

func mean3(a, b, c uint64) uint64 { return mean2(a&c+(a^c)&not1>>1, b) }

// interleave makes a word of the lower four samples of two, in turn.
func interleave(a, b uint64) uint64 { return spread(a) | spread(b)<<8 }

func spread(a uint64) uint64 {
	a &= 0xFFFFFFFF
	a = (a | a<<16) & 0x0000FFFF0000FFFF
	return (a | a<<8) & 0x00FF00FF00FF00FF
}

// put writes four rows of four samples.
func (w *workspace) put(at int, r0, r1, r2, r3 uint64) {
	p := (*[3*stride + 4]byte)(w[at:])
	binary.LittleEndian.PutUint32(p[0:], uint32(r0))
	binary.LittleEndian.PutUint32(p[stride:], uint32(r1))
	binary.LittleEndian.PutUint32(p[2*stride:], uint32(r2))
	binary.LittleEndian.PutUint32(p[3*stride:], uint32(r3))
}

// predictSubblock predicts 4x4 samples of luma (section 12.3). The edge is nine samples, from the left one of the last row to the corner
// and on to the one above the last column; means of it and those next to it make the diagonal modes.
func (w *workspace) predictSubblock(mode uint8, at int) {
	p := (*[4*stride + 5]byte)(w[at-stride-1:]) // begins at the corner
	left := func(y int) uint64 { return uint64(p[(y+1)*stride]) }
	above := binary.LittleEndian.Uint64(p[1:]) // four, and four to the right
	edge := left(3) | left(2)<<8 | left(1)<<16 | left(0)<<24 | uint64(p[0])<<32 | above<<40
	next := edge>>8 | above<<32&(0xFF<<56)
	switch mode {
	case predictDC:
		sum := left(0) + left(1) + left(2) + left(3) + 4
		for x := range 4 {
			sum += above >> (8 * x) & 0xFF
		}
		v := repeated(sum >> 3)
		w.put(at, v, v, v, v)
	case predictTM:
		kernel.TrueMotion(w[at-stride-1:], 4)
	case predictV:
		v := mean3(above<<8|uint64(p[0]), above, above>>8)
		w.put(at, v, v, v, v)
	case predictH:
		e := mean3(edge<<8|edge&0xFF, edge, next) // from the last row up
		w.put(at, repeated(e>>24&0xFF), repeated(e>>16&0xFF), repeated(e>>8&0xFF), repeated(e&0xFF))
	case predictRD:
		e := mean3(edge, next, next>>8)
		w.put(at, e>>24, e>>16, e>>8, e)
	case predictVR:
		two, three := mean2(edge, next), mean3(edge, next, next>>8)
		w.put(at, two>>32, three>>24, two>>32<<8|three>>16&0xFF, three>>24<<8|three>>8&0xFF)
	case predictHD:
		two, three := mean2(edge, next), mean3(edge, next, next>>8)
		both := interleave(two, three)
		w.put(at, both>>48|three>>32<<16, both>>32, both>>16, both)
	case predictLD:
		e := above>>8 | above&(0xFF<<56)
		e = mean3(above, e, e>>8|e&(0xFF<<56))
		w.put(at, e, e>>8, e>>16, e>>24)
	case predictVL:
		two, three := mean2(above, above>>8), mean3(above, above>>8, above>>16)
		w.put(at, two, three, two>>8&0xFFFFFF|three>>32<<24, three>>8&0xFFFFFF|three>>40<<24)
	case predictHU:
		e := left(0) | left(1)<<8 | left(2)<<16 | repeated(left(3))<<24
		both := interleave(mean2(e, e>>8), mean3(e, e>>8, e>>16))
		w.put(at, both, both>>16, both>>32, repeated(left(3)))
	}
}
