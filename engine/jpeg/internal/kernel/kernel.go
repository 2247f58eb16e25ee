// Package kernel holds the inner loops of JPEG decoding: the inverse DCT, upsampling and colour conversion. Each has
// a plain Go form, which says what it does, and vector forms with the very same results; Use chooses between them.
//
// Rows are slices of samples, one byte each. Functions panic if slices do not fit together, and never read or write
// outside of them.
package kernel

import "encoding/binary"

//go:generate sh -c "cd _asm && go run . -out ../kernel_amd64.s -stubs ../stubs_amd64.go -pkg kernel"

// Block holds the 64 coefficients of a block row by row.
type Block = [64]int16

// Levels lists the levels this machine can run, from plain Go ("generic") to the fastest, which is in use from the
// start.
func Levels() []string { return levels() }

// Use switches to a level of Levels, and reports whether there is such a level. It is not for concurrent use with
// kernels.
func Use(level string) bool {
	for _, l := range levels() {
		if l == level {
			use(level)
			return true
		}
	}
	return false
}

// Coefficients decodes AC coefficients into block, from the bit pos of data on, where k is the index of the last
// coefficient decoded. It returns both as they are then: with k at 63 or above, the block is complete, or ended by an
// EndOfBlock, or damaged if k is neither 63 nor at least EndOfBlock; with k below 63, the next symbol is one that
// table does not resolve, or that it holds only together with one of the next block.
//
// The block must be zero behind k. data must reach 4*(63-k)+8 bytes beyond pos.
func Coefficients(block *[BlockRoom]int16, table *PairTable, data []byte, pos, k int) (int, int) {
	// Each step takes less than 4 bytes, and bits are loaded by 8 bytes.
	if pos < 0 || uint(k) > 63 || pos>>3+4*(63-k)+8 > len(data) {
		panic("kernel: position outside of the data or the block")
	}
	return coefficients(block, table, data, pos, k)
}

// InverseDCT dequantises a block and writes its 8x8 samples to dst, whose rows are stride bytes apart.
func InverseDCT(dst []byte, stride int, block *Block, quant *[64]uint16) {
	if stride < 8 {
		panic("kernel: stride below 8")
	}
	_ = dst[7*stride+7]
	inverseDCT(dst, stride, block, quant)
}

// Flat writes the 8x8 samples of a block that has only a DC coefficient. It is InverseDCT for such blocks.
func Flat(dst []byte, stride int, dc int16, quant uint16) {
	ws := dc * int16(quant) << passBits
	v := uint64(clamp8((int32(ws)<<constBits+1<<17)>>18+128)) * 0x0101010101010101
	for range 8 {
		binary.LittleEndian.PutUint64(dst, v)
		if len(dst) < stride {
			break
		}
		dst = dst[stride:]
	}
}

// YCbCrToRGB converts a row of len(y) pixels.
func YCbCrToRGB(dst, y, cb, cr []byte) {
	n := len(y)
	ycbcrToRGB(dst[:3*n], y, cb[:n], cr[:n])
}

// Interleave joins three rows of len(r) samples to pixels. The rows may be the same.
func Interleave(dst, r, g, b []byte) {
	n := len(r)
	interleave(dst[:3*n], r, g[:n], b[:n])
}

// UpsampleH2 doubles the width of a row of at least two samples.
func UpsampleH2(dst, src []byte) {
	if len(src) < 2 {
		panic("kernel: row too short")
	}
	upsampleH2(dst[:2*len(src)], src)
}

// UpsampleV2 makes a row between two rows: near is weighted 3, far 1. bias is 1 for the upper of the two rows that
// come from near, 2 for the lower.
func UpsampleV2(dst, near, far []byte, bias int) {
	n := len(near)
	upsampleV2(dst[:n], near, far[:n], bias)
}

// UpsampleH2V2 makes a row of double width between two rows of at least two samples: near is weighted 3, far 1.
func UpsampleH2V2(dst, near, far []byte) {
	n := len(near)
	if n < 2 {
		panic("kernel: row too short")
	}
	upsampleH2V2(dst[:2*n], near, far[:n])
}
