// Command asm writes the AVX2 kernels of resizing. Run it by `go generate` in the folder above.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const precision = 22 // fraction bits of a weight

func main() {
	ConstraintExpr("amd64,!purego")
	alongRowPair()
	blend()
	Generate()
}

// dwords makes a constant of eight 32-bit numbers.
func dwords(name string, v ...int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(uint32(v[i%len(v)])))
	}
	return m
}

// pairs makes a shuffle for each of two lanes that brings the colors of pixels a and b, three bytes each, into
// pairs of words: red a, red b, green a, green b, blue a, blue b, 0, 0.
func pairs(name string, a, b int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for lane := range 2 {
		for word := range 8 {
			from, color := 3*a, word/2
			if word%2 == 1 {
				from = 3 * b
			}
			index := uint8(from + color)
			if color == 3 {
				index = 0x80
			}
			DATA(16*lane+2*word, U8(index))
			DATA(16*lane+2*word+1, U8(0x80))
		}
	}
	return m
}

// alongRowPair makes n pixels of two rows, a row in each lane. Weights have 23 bits, so they come in two parts, and
// VPMADDWD multiplies two pixels by a part of their weights and adds the products:
//
//	sum = sum(pixel*high)*256 + sum(pixel*low) + 1/2
func alongRowPair() {
	TEXT("alongRowPairAVX2", NOSPLIT, "func(dst *byte, stride int, upper, lower *byte, from *int32, split *int16, groups, n int)")
	Doc("alongRowPairAVX2 is alongRowGeneric for the first n pixels of two rows, whose results lie stride apart. split",
		"has groups of four weights for each pixel. It reads 16 bytes for each group, and writes a byte beyond the last pixel.")
	dst := Load(Param("dst"), GP64())
	stride := Load(Param("stride"), GP64())
	upper := Load(Param("upper"), GP64())
	lower := Load(Param("lower"), GP64())
	from := Load(Param("from"), GP64())
	split := Load(Param("split"), GP64())
	groups := Load(Param("groups"), GP64())
	n := Load(Param("n"), GP64())

	first, second, half := YMM(), YMM(), YMM()
	VMOVDQU(pairs("pairs01", 0, 1), first)
	VMOVDQU(pairs("pairs23", 2, 3), second)
	VMOVDQU(dwords("half", 1<<(precision-1)), half)

	Label("pixel")
	at, left := GP64(), GP64()
	MOVLQSX(Mem{Base: from}, at)
	LEAQ(Mem{Base: at, Index: at, Scale: 2}, at)
	low, high := YMM(), YMM()
	VMOVDQA(half, low)
	VPXOR(high, high, high)
	MOVQ(groups, left)

	Label("group")
	source, w := YMM(), YMM()
	VMOVDQU(Mem{Base: upper, Index: at, Scale: 1}, source.AsX())
	VINSERTI128(U8(1), Mem{Base: lower, Index: at, Scale: 1}, source, source)
	a, b, product := YMM(), YMM(), YMM()
	VPSHUFB(first, source, a)
	VPSHUFB(second, source, b)
	for i, part := range []struct {
		pixels, sum VecVirtual
	}{{a, low}, {b, low}, {a, high}, {b, high}} {
		VPBROADCASTD(Mem{Base: split, Disp: 4 * i}, w)
		VPMADDWD(part.pixels, w, product)
		VPADDD(product, part.sum, part.sum)
	}
	ADDQ(U8(16), split)
	ADDQ(U8(12), at)
	DECQ(left)
	JNZ(LabelRef("group"))

	VPSLLD(U8(8), high, high)
	VPADDD(high, low, low)
	VPSRAD(U8(precision), low, low)
	VPACKUSDW(low, low, low)
	VPACKUSWB(low, low, low)
	VMOVD(low.AsX(), Mem{Base: dst})
	VEXTRACTI128(U8(1), low, low.AsX())
	VMOVD(low.AsX(), Mem{Base: dst, Index: stride, Scale: 1})
	ADDQ(U8(3), dst)
	ADDQ(U8(4), from)
	DECQ(n)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// blend makes 32 columns at a time in four sums of eight. Packing leaves their halves in the order of the lanes,
// which the last permutation mends.
func blend() {
	TEXT("blendAVX2", NOSPLIT, "func(dst *byte, columns int, src *byte, stride int, weights *int32, n int)")
	Doc("blendAVX2 is blendGeneric for n weights, at least one, and 32 bytes times columns.")
	dst := Load(Param("dst"), GP64())
	columns := Load(Param("columns"), GP64())
	src := Load(Param("src"), GP64())
	stride := Load(Param("stride"), GP64())
	weights := Load(Param("weights"), GP64())
	n := Load(Param("n"), GP64())
	half, order := YMM(), YMM()
	VMOVDQU(dwords("blendHalf", 1<<(precision-1)), half)
	VMOVDQU(dwords("lanes", 0, 4, 1, 5, 2, 6, 3, 7), order)

	Label("columns")
	sums := []VecVirtual{YMM(), YMM(), YMM(), YMM()}
	for _, s := range sums {
		VMOVDQA(half, s)
	}
	row, tap := GP64(), GP64()
	MOVQ(src, row)
	XORQ(tap, tap)

	Label("tap")
	w := YMM()
	VPBROADCASTD(Mem{Base: weights, Index: tap, Scale: 4}, w)
	for i, s := range sums {
		v := YMM()
		VPMOVZXBD(Mem{Base: row, Disp: 8 * i}, v)
		VPMULLD(w, v, v)
		VPADDD(v, s, s)
	}
	ADDQ(stride, row)
	INCQ(tap)
	CMPQ(tap, n)
	JLT(LabelRef("tap"))

	for _, s := range sums {
		VPSRAD(U8(precision), s, s)
	}
	VPACKUSDW(sums[1], sums[0], sums[0])
	VPACKUSDW(sums[3], sums[2], sums[2])
	VPACKUSWB(sums[2], sums[0], sums[0])
	VPERMD(sums[0], order, sums[0])
	VMOVDQU(sums[0], Mem{Base: dst})
	ADDQ(U8(32), dst)
	ADDQ(U8(32), src)
	DECQ(columns)
	JNZ(LabelRef("columns"))
	VZEROUPPER()
	RET()
}
