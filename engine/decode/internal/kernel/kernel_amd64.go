//go:build !purego

package kernel

import (
	"slices"
	"unsafe"

	xcpu "golang.org/x/sys/cpu"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

const simdLevel = cpu.AVX2

var hasSIMD = slices.Contains(cpu.Levels(), simdLevel) && xcpu.X86.HasBMI2 && countsLeadingZeros()

// Rows too short for vectors go to plain Go. The rest of a row after whole vectors is covered by a last vector that overlaps
// the previous one.

func yuvToRGB(dst, y, u, v []byte) {
	n := len(y)
	if !simd || n < 32 {
		yuvToRGBGeneric(dst, y, u, v)
		return
	}
	yuvToRGBVector(&dst[0], &y[0], &u[0], &v[0], n&^31)
	if n&31 != 0 {
		i := n - 32
		yuvToRGBVector(&dst[3*i], &y[i], &u[i], &v[i], 32)
	}
}

func upsample(dst, near, far []byte) {
	n := len(near) - 1
	if !simd || n < 16 {
		upsampleGeneric(dst, near, far)
		return
	}
	upsampleVector(&dst[0], &near[0], &far[0], n&^15)
	if n&15 != 0 {
		i := n - 16
		upsampleVector(&dst[2*i], &near[i], &far[i], 16)
	}
}

// The assembly has these offsets and sizes as numbers. Each index is 0, or the program does not compile.
var (
	equal [1]struct{}
	_     = equal[unsafe.Offsetof(Bools{}.data)]
	_     = equal[unsafe.Offsetof(Bools{}.pos)-24]
	_     = equal[unsafe.Offsetof(Bools{}.value)-32]
	_     = equal[unsafe.Offsetof(Bools{}.valid)-40]
	_     = equal[unsafe.Offsetof(Bools{}.width)-48]
	_     = equal[unsafe.Offsetof(Strength{}.Limit)]
	_     = equal[unsafe.Offsetof(Strength{}.Interior)-1]
	_     = equal[unsafe.Offsetof(Strength{}.Threshold)-2]
	_     = equal[Stride-32]
)

// blockBytes is more than a block can take: 16 coefficients of 18 decisions with 7 bits each, and eight bytes that are loaded ahead.
const blockBytes = 16*18*7/8 + 1 + 8

func readBlock(b *Bools, dst *Block, probs *PositionProbs, context, first int, f *Factors) int {
	if !simd || len(b.data)-b.pos < blockBytes {
		return readBlockGeneric(b, dst, probs, context, first, f)
	}
	return readBlockVector(&b.data, &dst[0], &probs[0][0][0], context, first, &f[0])
}

// Vertical edges are filtered as rows of the transposed macroblock, with the four columns before it.

func filterLuma(pix []byte, at, stride int, s *Strength, left, top bool) {
	if !simd {
		filterLumaGeneric(pix, at, stride, s, left, top)
		return
	}
	inner := 0
	if s.Inner {
		inner = 3
	}
	var columns [20 * 16]byte
	turn(&columns, pix, at, stride, left, s.Inner)
	filterRowsVector(&columns[4*16], 16, &s.Limit, left, inner)
	turnBack(&columns, pix, at, stride, left, s.Inner)
	filterRowsVector(&pix[at], stride, &s.Limit, top, inner)
}

func filterSimple(pix []byte, at, stride int, s *Strength, left, top bool) {
	if !simd {
		filterSimpleBlockGeneric(pix, at, stride, s, left, top)
		return
	}
	inner := 0
	if s.Inner {
		inner = 3
	}
	var columns [20 * 16]byte
	turn(&columns, pix, at, stride, left, s.Inner)
	filterSimpleVector(&columns[4*16], 16, &s.Limit, left, inner)
	turnBack(&columns, pix, at, stride, left, s.Inner)
	filterSimpleVector(&pix[at], stride, &s.Limit, top, inner)
}

// turn transposes 16 columns, and 16 of which the first four are before the macroblock.
func turn(columns *[20 * 16]byte, pix []byte, at, stride int, left, inner bool) {
	if inner {
		transposeVector(&columns[4*16], &columns[12*16], 16, &pix[at], &pix[at+8*stride], stride)
	}
	if left {
		at -= 4
		transposeVector(&columns[0], &columns[8*16], 16, &pix[at], &pix[at+8*stride], stride)
	}
}

func turnBack(columns *[20 * 16]byte, pix []byte, at, stride int, left, inner bool) {
	if inner {
		transposeVector(&pix[at], &pix[at+8*stride], stride, &columns[4*16], &columns[12*16], 16)
	}
	if left {
		at -= 4
		transposeVector(&pix[at], &pix[at+8*stride], stride, &columns[0], &columns[8*16], 16)
	}
}

func filterChroma(u, v []byte, at, stride int, s *Strength, left, top bool) {
	from := at - 4
	if !simd || from < 0 || stride < 16 || from+7*stride+16 > min(len(u), len(v)) {
		filterChromaGeneric(u, v, at, stride, s, left, top)
		return
	}
	inner := 0
	if s.Inner {
		inner = 1
	}
	if left || s.Inner { // with four columns behind the macroblock, which stay as they are
		var columns [16 * 16]byte
		transposeVector(&columns[0], &columns[8*16], 16, &u[from], &v[from], stride)
		filterRowsVector(&columns[4*16], 16, &s.Limit, left, inner)
		transposeVector(&u[from], &v[from], stride, &columns[0], &columns[8*16], 16)
	}
	filterPairsVector(&u[at], &v[at], stride, &s.Limit, top, inner)
}

func transform(samples *[3*Stride + 4]byte, coefs *Block) {
	if !simd {
		transformGeneric(samples, coefs)
		return
	}
	transformVector(&samples[0], &coefs[0])
}

func trueMotion(samples []byte, size int) {
	switch {
	case simd && size == 16:
		trueMotion16Vector(&samples[0])
	case simd && size == 8:
		trueMotion8Vector(&samples[0])
	default:
		trueMotionGeneric(samples, size)
	}
}

func addGreen(dst, src []uint32, n int) {
	if !simd || n == 0 {
		addGreenGeneric(dst, src, n)
		return
	}
	addGreenVector(&dst[0], &src[0], n)
}

func addColors(dst, src, factors []uint32, bits uint, n int) {
	if !simd || n == 0 || bits < 3 {
		addColorsGeneric(dst, src, factors, bits, n)
		return
	}
	addColorsVector(&dst[0], &src[0], &factors[0], n, 1<<bits)
}

func predict(mode int, dst, src, above []uint32, from, end int) {
	if !simd {
		predictGeneric(mode, dst, src, above, from, end)
		return
	}
	p, s, a, n := &dst[from], &src[from], &above[from], end-from
	switch mode {
	case Left:
		predict1Vector(p, s, a, n)
	case 2:
		predict2Vector(p, s, a, n)
	case 3:
		predict3Vector(p, s, a, n)
	case 4:
		predict4Vector(p, s, a, n)
	case 5:
		predict5Vector(p, s, a, n)
	case 6:
		predict6Vector(p, s, a, n)
	case 7:
		predict7Vector(p, s, a, n)
	case 8:
		predict8Vector(p, s, a, n)
	case 9:
		predict9Vector(p, s, a, n)
	case 10:
		predict10Vector(p, s, a, n)
	case 11:
		predict11Vector(p, s, a, n)
	case 12:
		predict12Vector(p, s, a, n)
	case 13:
		predict13Vector(p, s, a, n)
	default:
		predict0Vector(p, s, a, n)
	}
}
