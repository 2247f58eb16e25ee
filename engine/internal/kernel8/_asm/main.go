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
	round()
	Generate()
}

const signature = "func(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int, " +
	"mul, bias *float32, biasStride int, residual *uint8, residualMul float32, lines, tiles, srcLine, dstLine int)"

// place is where the next tile is: in memory, as registers are for the innermost loop.
type place struct{ dst, src, bias, residual Mem }

// grid writes the loops over lines of tiles, and over the tiles of each, around a tile, which moves all of the place but
// src.
func grid(tile func(at place)) {
	local := AllocLocal(5 * 8)
	at := place{local, local.Offset(8), local.Offset(16), local.Offset(24)}
	left := local.Offset(32)
	SHLQ(Imm(2), param("biasStride"))
	Label("line")
	move(at.dst, param("dst"))
	move(at.src, param("src"))
	move(at.bias, param("bias"))
	move(at.residual, param("residual"))
	move(left, param("tiles"))
	Label("tile")
	tile(at)
	width := pointer("pixelStride")
	IMUL3Q(Imm(pixels), width, width)
	ADDQ(width, at.src)
	DECQ(left)
	JNZ(LabelRef("tile"))
	line := GP64()
	MOVQ(param("srcLine"), line)
	ADDQ(line, param("src"))
	MOVQ(param("dstLine"), line)
	ADDQ(line, param("dst"))
	CMPQ(param("residual"), Imm(0))
	JEQ(LabelRef("without"))
	ADDQ(line, param("residual"))
	Label("without")
	DECQ(param("lines"))
	JNZ(LabelRef("line"))
	VZEROUPPER()
	RET()
}

// move copies between places in memory.
func move(to, from Mem) {
	r := GP64()
	MOVQ(from, r)
	MOVQ(r, to)
}

// load reads a place in memory.
func load(from Mem) reg.GPVirtual {
	r := GP64()
	MOVQ(from, r)
	return r
}

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

func newSource(at place) source {
	s := source{load(at.src), pointer("pixelStride"), GP64(), GP64()}
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
	TEXT("tilesVNNI", NOSPLIT, signature)
	Pragma("noescape")
	Doc("tilesVNNI is Convolve for 64 channels, with AVX-512 and its VNNI extension.")
	grid(vnniTile)
}

func vnniTile(at place) {
	const vectors = 4
	s, w := newSource(at), pointer("w")
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

	mul, bias, biasStride := pointer("mul"), load(at.bias), pointer("biasStride")
	for p := range acc {
		for v := range acc[p] {
			VCVTDQ2PS(acc[p][v], acc[p][v])
			VMULPS(Mem{Base: mul, Disp: 64 * v}, acc[p][v], acc[p][v])
			VADDPS(Mem{Base: bias, Disp: 64 * v}, acc[p][v], acc[p][v])
		}
		ADDQ(biasStride, bias)
	}
	MOVQ(bias, at.bias)
	residual, dstStride := load(at.residual), pointer("dstStride")
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
		ADDQ(dstStride, residual)
	}
	MOVQ(residual, at.residual)
	Label("store")
	dst := load(at.dst)
	zero := weight[0] // a register of its own would be one too many
	VPXORD(zero, zero, zero)
	for p := range acc {
		for v := range acc[p] {
			VMAXPS(zero, acc[p][v], acc[p][v])
			VCVTPS2DQ(acc[p][v], acc[p][v])
			VPMOVUSDB(acc[p][v], Mem{Base: dst, Disp: 16 * v})
		}
		ADDQ(dstStride, dst)
	}
	MOVQ(dst, at.dst)
}

// avxVNNI writes the tile of seven pixels by 16 channels. 14 accumulators leave one of 16 registers for weights and one
// for activations; the second vector of weights is read from memory for each pixel: 15 loads for 14 multiplications.
// Registers are named, as the encoder must know them.
func avxVNNI() {
	TEXT("tilesAVXVNNI", NOSPLIT, signature)
	Pragma("noescape")
	Doc("tilesAVXVNNI is Convolve for 16 channels, with AVX2 and AVX-VNNI.")
	grid(avxVNNITile)
}

func avxVNNITile(at place) {
	w := reg.RDI
	Load(Param("w"), w)
	s := newSource(at)
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
	finish(at, sums)
}

// avx2 writes the tile of seven pixels by 8 channels. VPMADDUBSW, the obvious instruction, saturates its sums of two
// products at 16 bits; so both are widened to 16 bits, weights before, as every row of pixels reads them again, and VPMADDWD sums to 32.
func avx2() {
	TEXT("tilesAVX2", NOSPLIT, signature)
	Pragma("noescape")
	Doc("tilesAVX2 is Convolve for 8 channels whose weights were widened, with AVX2.")
	grid(avx2Tile)
}

func avx2Tile(at place) {
	s, w := newSource(at), pointer("w")
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
	finish(at, sums)
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
func finish(at place, sums [pixels][]vector) {
	mul, bias, biasStride := pointer("mul"), load(at.bias), pointer("biasStride")
	for p := range sums {
		for v, sum := range sums[p] {
			VCVTDQ2PS(sum, sum)
			VMULPS(Mem{Base: mul, Disp: 32 * v}, sum, sum)
			VADDPS(Mem{Base: bias, Disp: 32 * v}, sum, sum)
		}
		ADDQ(biasStride, bias)
	}
	MOVQ(bias, at.bias)
	residual, dstStride := load(at.residual), pointer("dstStride")
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
		ADDQ(dstStride, residual)
	}
	MOVQ(residual, at.residual)
	Label("store")
	dst := load(at.dst)
	for p := range sums {
		for v, sum := range sums[p] {
			storeBytes(sum, Mem{Base: dst, Disp: 8 * v})
		}
		ADDQ(dstStride, dst)
	}
	MOVQ(dst, at.dst)
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

// round writes what brings floats to bytes, eight at a time.
func round() {
	TEXT("roundAVX2", NOSPLIT, "func(y *uint8, x *float32, n int)")
	Pragma("noescape")
	Doc("roundAVX2 is roundGeneric of n numbers, a multiple of 16.")
	y, x, n := pointer("y"), pointer("x"), pointer("n")
	Label("numbers")
	for i := range 2 {
		v := YMM()
		VMOVUPS(Mem{Base: x, Disp: 32 * i}, v)
		storeBytes(v, Mem{Base: y, Disp: 8 * i})
	}
	ADDQ(number(64), x)
	ADDQ(number(16), y)
	SUBQ(number(16), n)
	JNZ(LabelRef("numbers"))
	VZEROUPPER()
	RET()
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
