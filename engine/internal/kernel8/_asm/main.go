// Command asm writes the amd64 assembly of package kernel8:
//
//	go run . -out ../tile_amd64.s -stubs ../tile_amd64.go -pkg kernel8
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8/_asm/vex"
)

const pixels = 7 // of a tile

func main() {
	ConstraintExpr("!purego")
	vnni()
	avxVNNI()
	avx2()
	widen()
	winograd()
	maxPool()
	Generate()
}

const signature = "func(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int, " +
	"mul, bias *float32, biasStride int, residual *uint8, residualMul float32)"

// number is an immediate operand of the width that additions take: avo's own Imm picks 16 bits too.
func number(n int) Op {
	if n < 128 {
		return I8(n)
	}
	return U32(n)
}

func pointer(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// source is where a tile reads its pixels: seven addresses from three registers and their scaled indices.
type source struct{ base, stride, three, five reg.GPVirtual }

func newSource() source {
	s := source{pointer("src"), pointer("pixelStride"), GP64(), GP64()}
	LEAQ(Mem{Base: s.stride, Index: s.stride, Scale: 2}, s.three)
	LEAQ(Mem{Base: s.stride, Index: s.stride, Scale: 4}, s.five)
	return s
}

func (s source) at(p, disp int) Mem {
	m := Mem{Base: s.base, Disp: disp}
	switch p {
	case 1, 2, 4:
		m.Index, m.Scale = s.stride, uint8(p)
	case 3:
		m.Index, m.Scale = s.three, 1
	case 5:
		m.Index, m.Scale = s.five, 1
	case 6:
		m.Index, m.Scale = s.three, 2
	}
	return m
}

// walk writes the loops over rows and steps around one step, which uses so many bytes of weights.
func walk(s source, w reg.Register, bytes int, step func()) {
	steps, rows, skip := pointer("steps"), pointer("rows"), pointer("rowStride")
	span := GP64()
	MOVQ(steps, span)
	SHLQ(Imm(2), span)
	SUBQ(span, skip)
	left := GP64()
	Label("row")
	MOVQ(steps, left)
	Label("step")
	step()
	ADDQ(number(bytes), w)
	ADDQ(Imm(4), s.base)
	DECQ(left)
	JNZ(LabelRef("step"))
	ADDQ(skip, s.base)
	DECQ(rows)
	JNZ(LabelRef("row"))
}

// vnni writes the tile of seven pixels by 64 channels: 28 accumulators leave four registers, three for weights and one
// for the activations of a pixel; the fourth vector of weights is read from memory for each pixel.
func vnni() {
	TEXT("tileVNNI", NOSPLIT, signature)
	Pragma("noescape")
	Doc("tileVNNI is tileGeneric for 64 channels, with AVX-512 and its VNNI extension.")
	const vectors = 4
	s, w := newSource(), pointer("w")
	var acc [pixels][vectors]reg.VecVirtual
	for p := range acc {
		for v := range acc[p] {
			acc[p][v] = ZMM()
			VPXORD(acc[p][v], acc[p][v], acc[p][v])
		}
	}
	weight := [vectors - 1]reg.VecVirtual{ZMM(), ZMM(), ZMM()}
	x := ZMM()
	walk(s, w, 64*vectors, func() {
		for v := range weight {
			VMOVDQU64(Mem{Base: w, Disp: 64 * v}, weight[v])
		}
		for p := range acc {
			VPBROADCASTD(s.at(p, 0), x)
			for v := range weight {
				VPDPBUSD(weight[v], x, acc[p][v])
			}
			VPDPBUSD(Mem{Base: w, Disp: 64 * (vectors - 1)}, x, acc[p][vectors-1])
		}
	})

	mul, bias, biasStride := pointer("mul"), pointer("bias"), pointer("biasStride")
	SHLQ(Imm(2), biasStride)
	for p := range acc {
		for v := range acc[p] {
			VCVTDQ2PS(acc[p][v], acc[p][v])
			VMULPS(Mem{Base: mul, Disp: 64 * v}, acc[p][v], acc[p][v])
			VADDPS(Mem{Base: bias, Disp: 64 * v}, acc[p][v], acc[p][v])
		}
		if p < pixels-1 {
			ADDQ(biasStride, bias)
		}
	}
	residual, dstStride := pointer("residual"), pointer("dstStride")
	TESTQ(residual, residual)
	JZ(LabelRef("store"))
	factor := ZMM()
	VBROADCASTSS(param("residualMul"), factor)
	for p := range acc {
		for v := range acc[p] {
			y := ZMM()
			VPMOVZXBD(Mem{Base: residual, Disp: 16 * v}, y)
			VCVTDQ2PS(y, y)
			VMULPS(factor, y, y)
			VADDPS(y, acc[p][v], acc[p][v])
		}
		if p < pixels-1 {
			ADDQ(dstStride, residual)
		}
	}
	Label("store")
	dst := pointer("dst")
	zero := weight[0] // a register of its own would be one too many
	VPXORD(zero, zero, zero)
	for p := range acc {
		for v := range acc[p] {
			VMAXPS(zero, acc[p][v], acc[p][v])
			VCVTPS2DQ(acc[p][v], acc[p][v])
			VPMOVUSDB(acc[p][v], Mem{Base: dst, Disp: 16 * v})
		}
		if p < pixels-1 {
			ADDQ(dstStride, dst)
		}
	}
	VZEROUPPER()
	RET()
}

// avxVNNI writes the tile of seven pixels by 16 channels. 14 accumulators leave one of 16 registers for weights and one
// for activations; the second vector of weights is read from memory for each pixel: 15 loads for 14 multiplications.
// Registers are named, as the encoder must know them.
func avxVNNI() {
	TEXT("tileAVXVNNI", NOSPLIT, signature)
	Pragma("noescape")
	Doc("tileAVXVNNI is tileGeneric for 16 channels, with AVX2 and AVX-VNNI.")
	w := reg.RDI
	Load(Param("w"), w)
	s := newSource()
	all := []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10,
		reg.Y11, reg.Y12, reg.Y13}
	var acc [pixels][]reg.VecPhysical
	var sums [pixels][]vector
	for p := range acc {
		acc[p] = all[2*p : 2*p+2]
		for _, a := range acc[p] {
			VPXOR(a, a, a)
			sums[p] = append(sums[p], a)
		}
	}
	weight, x := reg.Y14, reg.Y15
	walk(s, w, 64, func() {
		VMOVDQU(Mem{Base: w}, weight)
		for p := range acc {
			VPBROADCASTD(s.at(p, 0), x)
			vex.Vpdpbusd(weight, x, acc[p][0])
			vex.Vpdpbusd(Mem{Base: w, Disp: 32}, x, acc[p][1])
		}
	})
	finish(sums)
}

// avx2 writes the tile of seven pixels by 8 channels. VPMADDUBSW, the obvious instruction, saturates its sums of two
// products at 16 bits; so both are widened to 16 bits, weights before, as every row of pixels reads them again, and VPMADDWD sums to 32.
func avx2() {
	TEXT("tileAVX2", NOSPLIT, signature)
	Pragma("noescape")
	Doc("tileAVX2 is tileGeneric for 8 channels whose weights were widened, with AVX2.")
	s, w := newSource(), pointer("w")
	var acc [pixels][2]reg.VecVirtual
	for p := range acc {
		for v := range acc[p] {
			acc[p][v] = YMM()
			VPXOR(acc[p][v], acc[p][v], acc[p][v])
		}
	}
	x, product := YMM(), YMM()
	walk(s, w, 64, func() {
		for p := range acc {
			VPBROADCASTD(s.at(p, 0), x.AsX())
			VPMOVZXBW(x.AsX(), x)
			for v := range acc[p] {
				VPMADDWD(Mem{Base: w, Disp: 32 * v}, x, product)
				VPADDD(product, acc[p][v], acc[p][v])
			}
		}
	})

	var sums [pixels][]vector
	for p := range acc {
		// Two sums for each of four channels in either vector become eight, in order.
		VPHADDD(acc[p][1], acc[p][0], acc[p][0])
		VPERMQ(Imm(0xd8), acc[p][0], acc[p][0])
		sums[p] = []vector{acc[p][0]}
	}
	finish(sums)
}

// widen writes what brings bytes to the 16 bits that avx2 reads.
func widen() {
	TEXT("widenAVX2", NOSPLIT, "func(dst, src *int8, n int)")
	Pragma("noescape")
	Doc("widenAVX2 brings n numbers, a multiple of 32, to 16 bits each.")
	dst, src, n := pointer("dst"), pointer("src"), pointer("n")
	x, y := YMM(), YMM()
	Label("numbers")
	VPMOVSXBW(Mem{Base: src}, x)
	VPMOVSXBW(Mem{Base: src, Disp: 16}, y)
	VMOVDQU(x, Mem{Base: dst})
	VMOVDQU(y, Mem{Base: dst, Disp: 32})
	ADDQ(number(32), src)
	ADDQ(number(64), dst)
	SUBQ(number(32), n)
	JNZ(LabelRef("numbers"))
	VZEROUPPER()
	RET()
}

// vector is a register of AVX, chosen by avo or by name.
type vector interface {
	Op
	AsX() reg.Register
}

// finish writes what follows the sums of 256-bit tiles: scale, bias, residual, rounding and the store of eight channels
// of each vector.
func finish(sums [pixels][]vector) {
	mul, bias, biasStride := pointer("mul"), pointer("bias"), pointer("biasStride")
	SHLQ(Imm(2), biasStride)
	for p := range sums {
		for v, sum := range sums[p] {
			VCVTDQ2PS(sum, sum)
			VMULPS(Mem{Base: mul, Disp: 32 * v}, sum, sum)
			VADDPS(Mem{Base: bias, Disp: 32 * v}, sum, sum)
		}
		if p < pixels-1 {
			ADDQ(biasStride, bias)
		}
	}
	residual, dstStride := pointer("residual"), pointer("dstStride")
	TESTQ(residual, residual)
	JZ(LabelRef("store"))
	factor, y := YMM(), YMM()
	VBROADCASTSS(param("residualMul"), factor)
	for p := range sums {
		for v, sum := range sums[p] {
			VPMOVZXBD(Mem{Base: residual, Disp: 8 * v}, y)
			VCVTDQ2PS(y, y)
			VMULPS(factor, y, y)
			VADDPS(y, sum, sum)
		}
		if p < pixels-1 {
			ADDQ(dstStride, residual)
		}
	}
	Label("store")
	dst := pointer("dst")
	for p := range sums {
		for v, sum := range sums[p] {
			storeBytes(sum, Mem{Base: dst, Disp: 8 * v})
		}
		if p < pixels-1 {
			ADDQ(dstStride, dst)
		}
	}
	VZEROUPPER()
	RET()
}

// storeBytes rounds eight floats, cuts them to 0..255, and stores them.
func storeBytes(x vector, to Mem) {
	high := XMM()
	VCVTPS2DQ(x, x)
	VEXTRACTI128(Imm(1), x, high)
	VPACKSSDW(high, x.AsX(), high)
	VPACKUSWB(high, high, high)
	VMOVQ(high, to)
}

// maxPool writes one output row of the 3x3 stride-2 maximum of 64 channels.
func maxPool() {
	TEXT("maxPoolAVX2", NOSPLIT, "func(y, r0, r1, r2 *uint8, columns int)")
	Pragma("noescape")
	Doc("maxPoolAVX2 is maxPoolGeneric.")
	y, columns := pointer("y"), pointer("columns")
	rows := []reg.GPVirtual{pointer("r0"), pointer("r1"), pointer("r2")}
	Label("column")
	for v := range 2 {
		best := YMM()
		for i, r := range rows {
			for q := range 3 {
				at := Mem{Base: r, Disp: 64*q + 32*v}
				if i+q == 0 {
					VMOVDQU(at, best)
				} else {
					VPMAXUB(at, best, best)
				}
			}
		}
		VMOVDQU(best, Mem{Base: y, Disp: 32 * v})
	}
	ADDQ(number(64), y)
	for _, r := range rows {
		ADDQ(number(128), r)
	}
	DECQ(columns)
	JNZ(LabelRef("column"))
	VZEROUPPER()
	RET()
}
