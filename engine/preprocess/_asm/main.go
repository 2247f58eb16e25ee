// Command asm writes the AVX2 kernels of resizing. Run it by `go generate` in the folder above.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const precision = 22 // fraction bits of a weight

func main() {
	ConstraintExpr("amd64,!purego")
	alongRows("alongTwoRowsAVX2", 2)
	alongRows("alongFourRowsAVX2", 4)
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

// alongRows makes n pixels of 2 or 4 rows, a row in each lane. Weights have 24 bits with their sign, so they come in two
// parts, and VPMADDWD multiplies two pixels by a part of their weights and adds the products:
//
//	sum = sum(pixel*high)*256 + sum(pixel*low) + 1/2
//
// All of it is modulo 2^32: only the last sum has to fit.
func alongRows(name string, rows int) {
	TEXT(name, NOSPLIT, "func(dst *byte, stride int, src *byte, srcStride int, from *int32, split *int16, pairs, n int)")
	Doc(fmt.Sprintf("%s is alongRowGeneric for the first n pixels of %d rows, srcStride bytes apart, whose results", name, rows),
		"lie stride bytes apart. There are pairs of weights for each pixel, at least two, see splitWeights. It reads four bytes beyond",
		"the pixels of the weights, and writes a byte beyond the last pixel.")
	dst := Load(Param("dst"), GP64())
	stride := Load(Param("stride"), GP64())
	src := Load(Param("src"), GP64())
	srcStride := Load(Param("srcStride"), GP64())
	from := Load(Param("from"), GP64())
	split := Load(Param("split"), GP64())
	groups, odd := Load(Param("pairs"), GP64()), GP64()
	MOVQ(groups, odd)
	ANDQ(U8(1), odd)
	SHRQ(U8(1), groups)
	n := Load(Param("n"), GP64())
	// rowsOf returns the addresses of rows, whose third is apart by three times their distance.
	rowsOf := func(first, distance Register) (at []Mem) {
		three := GP64()
		at = []Mem{{Base: first}, {Base: first, Index: distance, Scale: 1}}
		if rows == 4 {
			LEAQ(Mem{Base: distance, Index: distance, Scale: 2}, three)
			at = append(at, Mem{Base: first, Index: distance, Scale: 2}, Mem{Base: first, Index: three, Scale: 1})
		}
		return at
	}
	at, left := GP64(), GP64()
	sources, results := rowsOf(at, srcStride), rowsOf(dst, stride)

	first, second, half := YMM(), YMM(), YMM()
	VMOVDQU(pairs(name+"01", 0, 1), first)
	VMOVDQU(pairs(name+"23", 2, 3), second)
	VMOVDQU(dwords(name+"Half", 1<<(precision-1)), half)

	Label("pixel")
	MOVLQSX(Mem{Base: from}, at)
	LEAQ(Mem{Base: at, Index: at, Scale: 2}, at)
	ADDQ(src, at)
	var low, high []VecVirtual
	for range rows / 2 {
		l, h := YMM(), YMM()
		low, high = append(low, l), append(high, h)
		VMOVDQA(half, l)
		VPXOR(h, h, h)
	}
	MOVQ(groups, left)

	// group adds as many pairs of pixels, and moves on by them.
	group := func(pairs int) {
		pixels := make([][]VecVirtual, pairs)
		for i := 0; i < rows; i += 2 {
			whole := YMM()
			VMOVDQU(sources[i], whole.AsX())
			VINSERTI128(U8(1), sources[i+1], whole, whole)
			for pair, shuffle := range []VecVirtual{first, second}[:pairs] {
				words := whole
				if pair < pairs-1 {
					words = YMM()
				}
				VPSHUFB(shuffle, whole, words)
				pixels[pair] = append(pixels[pair], words)
			}
		}
		for part, sums := range [][]VecVirtual{low, high} {
			for pair := range pixels {
				w := YMM()
				VPBROADCASTD(Mem{Base: split, Disp: 4 * (pairs*part + pair)}, w)
				for i, sum := range sums {
					product := YMM()
					VPMADDWD(pixels[pair][i], w, product)
					VPADDD(product, sum, sum)
				}
			}
		}
		ADDQ(U8(8*pairs), split)
		ADDQ(U8(6*pairs), at)
	}
	TESTQ(odd, odd)
	JZ(LabelRef("group"))
	group(1)

	Label("group")
	group(2)
	DECQ(left)
	JNZ(LabelRef("group"))

	for i, sum := range low {
		VPSLLD(U8(8), high[i], high[i])
		VPADDD(high[i], sum, sum)
		VPSRAD(U8(precision), sum, sum)
	}
	// Each lane has its rows, every other one, in turn.
	sum := low[0]
	VPACKUSDW(low[len(low)-1], sum, sum)
	VPACKUSWB(sum, sum, sum)
	other := XMM()
	VEXTRACTI128(U8(1), sum, other)
	for i, result := range results {
		lane := []VecVirtual{sum.AsX().(VecVirtual), other}[i%2]
		if i < 2 {
			VMOVD(lane, result)
		} else {
			VPEXTRD(U8(1), lane, result)
		}
	}
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
