// Package kernel holds the inner loops of JPEG decoding: reading coefficients, the inverse DCT, upsampling and color
// conversion. Each has a form in plain Go, which is the reference, and vector forms with identical results, chosen by
// the level of the CPU.
//
// Rows are slices of samples, one byte each. Functions panic if slices do not fit together, and never read or write
// outside of them.
package kernel

import (
	"encoding/binary"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

//go:generate sh -c "cd _asm && go run . -out ../vector_amd64.s -stubs ../vector_amd64.go -pkg kernel"
//go:generate sh -c "go run ./_neon > vector_arm64.s"

// Block holds the 64 coefficients of a block row by row.
type Block = [64]int16

// simd turns the vector forms on.
var simd = func() bool {
	level, err := cpu.Best()
	return hasSIMD && err == nil && level != cpu.Generic
}()

// Levels lists the levels this machine can run: plain Go and, where there are vector forms, theirs. The last one is in
// use from the start, unless the environment variable RESNET18_CPU asks for generic or an unknown level.
func Levels() []cpu.Level {
	if hasSIMD {
		return []cpu.Level{cpu.Generic, simdLevel}
	}
	return []cpu.Level{cpu.Generic}
}

// Use switches to one of Levels. It is for tests, and not for concurrent use with kernels.
func Use(level cpu.Level) { simd = hasSIMD && level == simdLevel }

// InverseDCT dequantizes a block and writes its 8x8 samples to dst, whose rows are stride bytes apart.
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
