package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Constants of the transform with 13 fraction bits, as in idct_generic.go.
const (
	fix0_298631336 = 2446
	fix0_390180644 = 3196
	fix0_541196100 = 4433
	fix0_765366865 = 6270
	fix0_899976223 = 7373
	fix1_175875602 = 9633
	fix1_501321110 = 12299
	fix1_847759065 = 15137
	fix1_961570560 = 16069
	fix2_053119869 = 16819
	fix2_562915447 = 20995
	fix3_072711026 = 25172
)

// idctConstants are the factors of pairs of inputs, for VPMADDWD, and the halves that round.
type idctConstants struct {
	even2, even3 Mem // of inputs 2, 6
	z3, z4       Mem // of sums 3+7, 1+5
	t0, t3       Mem // of inputs 1, 7
	t1, t2       Mem // of inputs 3, 5
	round        [2]Mem
}

// inverseDCT keeps two rows of the block in a register, each split in halves, so that lane 0 holds columns 0-3 and
// lane 1 columns 4-7: [r0c0-3 r1c0-3][r0c4-7 r1c4-7]. Interleaving two such registers gives the pairs of rows that
// VPMADDWD wants, eight columns at a time.
func inverseDCT() {
	c := idctConstants{
		even2: words("even2", fix0_541196100, fix0_541196100-fix1_847759065),
		even3: words("even3", fix0_541196100+fix0_765366865, fix0_541196100),
		z3:    words("z3", fix1_175875602-fix1_961570560, fix1_175875602),
		z4:    words("z4", fix1_175875602, fix1_175875602-fix0_390180644),
		t0:    words("t0", -fix0_899976223, fix0_298631336-fix0_899976223),
		t3:    words("t3", fix1_501321110-fix0_899976223, -fix0_899976223),
		t1:    words("t1", -fix2_562915447, fix2_053119869-fix2_562915447),
		t2:    words("t2", fix3_072711026-fix2_562915447, -fix2_562915447),
		round: [2]Mem{dwords("round11", 1<<10), dwords("round18", 1<<17)},
	}
	center := bytes("center", 128)
	// [c0r0-3 c2r0-3 c1r0-3 c3r0-3] in bytes becomes [r0c0-3 r1c0-3 r2c0-3 r3c0-3].
	transpose4 := bytes("transpose4", 0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15)

	TEXT("inverseDCTVector", NOSPLIT, "func(dst *byte, stride int, block *int16, quant *uint16)")
	Pragma("noescape")
	Doc("inverseDCTVector is inverseDCTGeneric.")
	dst, stride := arg("dst"), arg("stride")
	block, quant := arg("block"), arg("quant")

	// Dequantize. The products wrap at 16 bits.
	p := [4]VecVirtual{YMM(), YMM(), YMM(), YMM()}
	for i := range p {
		VMOVDQU(at(block, 32*i), p[i])
	}
	// Where rows 1 to 7 are zero, the first pass only repeats row 0.
	rest, row1 := YMM(), XMM()
	VPOR(p[1], p[2], rest)
	VPOR(p[3], rest, rest)
	VEXTRACTI128(U8(1), p[0], row1)
	VPOR(row1.AsY(), rest, rest)
	for i := range p {
		VPMULLW(at(quant, 32*i), p[i], p[i])
	}
	VPTEST(rest, rest)
	JNZ(LabelRef("columns"))

	// Each column is constant: spread columns 0 and 1, 2 and 3 ... of row 0 over the lanes.
	{
		v, t := p[0], YMM()
		VPSLLW(U8(2), v, v)
		VPUNPCKLWD(v, v, t) // [0 0 1 1 2 2 3 3]
		VPUNPCKHWD(v, v, v) // [4 4 5 5 6 6 7 7]
		VPERMQ(U8(0x44), t, t)
		VPERMQ(U8(0x44), v, v)
		VPUNPCKLDQ(t, t, p[1]) // [0 0 0 0 1 1 1 1] in both lanes
		VPUNPCKHDQ(t, t, p[2])
		VPUNPCKLDQ(v, v, t)
		VPUNPCKHDQ(v, v, p[3])
		VMOVDQA(p[1], p[0])
		VMOVDQA(p[2], p[1])
		VMOVDQA(t, p[2])
	}
	JMP(LabelRef("rows"))

	Label("columns")
	for i := range p {
		VPERMQ(U8(0xD8), p[i], p[i])
	}
	out := pass(p, c, 0)
	{
		// Transpose: [c0r0-3 c1r0-3][c0r4-7 c1r4-7] and so on.
		half := func(a, b, c, d VecVirtual) (VecVirtual, VecVirtual) {
			VPACKSSDW(c, a, a)
			VPACKSSDW(d, b, b)
			lo, hi := c, d
			VPUNPCKLWD(b, a, lo)
			VPUNPCKHWD(b, a, hi)
			VPUNPCKLDQ(hi, lo, a) // columns 0, 1 in lane 0; 4, 5 in lane 1
			VPUNPCKHDQ(hi, lo, b) // columns 2, 3 and 6, 7
			return a, b
		}
		up01, up23 := half(out[0], out[1], out[2], out[3])
		down01, down23 := half(out[4], out[5], out[6], out[7])
		VPERM2I128(U8(0x20), down01, up01, p[0])
		VPERM2I128(U8(0x20), down23, up23, p[1])
		VPERM2I128(U8(0x31), down01, up01, p[2])
		VPERM2I128(U8(0x31), down23, up23, p[3])
	}

	Label("rows")
	out = pass(p, c, 1)
	VPACKSSDW(out[2], out[0], out[0])
	VPACKSSDW(out[3], out[1], out[1])
	VPACKSSDW(out[6], out[4], out[4])
	VPACKSSDW(out[7], out[5], out[5])
	VPACKSSWB(out[1], out[0], out[0]) // columns 0, 2, 1, 3; rows 0-3 in lane 0, 4-7 in lane 1
	VPACKSSWB(out[5], out[4], out[4])
	shuffle, offset := out[2], out[3]
	VMOVDQU(transpose4, shuffle)
	VMOVDQU(center, offset)
	VPSHUFB(shuffle, out[0], out[0])
	VPSHUFB(shuffle, out[4], out[4])
	VPADDB(offset, out[0], out[0])
	VPADDB(offset, out[4], out[4])
	rows01, rows23 := out[1], out[5]
	VPUNPCKLDQ(out[4], out[0], rows01) // [rows 0, 1][rows 4, 5]
	VPUNPCKHDQ(out[4], out[0], rows23) // [rows 2, 3][rows 6, 7]

	row := dst
	store := func(v VecVirtual) {
		VMOVQ(v.AsX(), Mem{Base: row})
		VMOVHPS(v.AsX(), Mem{Base: row, Index: stride, Scale: 1})
		LEAQ(Mem{Base: row, Index: stride, Scale: 2}, row)
	}
	rows45, rows67 := XMM(), XMM()
	VEXTRACTI128(U8(1), rows01, rows45)
	VEXTRACTI128(U8(1), rows23, rows67)
	store(rows01)
	store(rows23)
	store(rows45)
	store(rows67)
	VZEROUPPER()
	RET()
}

// pass transforms all columns of p, two rows in a register, into 8 rows of 32-bit numbers, shifted down.
func pass(p [4]VecVirtual, c idctConstants, number int) [8]VecVirtual {
	shift := U8([]int{11, 18}[number])
	interleave := func(high bool, a, b VecVirtual) VecVirtual {
		v := YMM()
		if high {
			VPUNPCKHWD(b, a, v)
		} else {
			VPUNPCKLWD(b, a, v)
		}
		return v
	}
	dot := func(pair VecVirtual, factors Mem) VecVirtual {
		v := YMM()
		VPMADDWD(factors, pair, v)
		return v
	}

	// Odd part.
	sum04, sum26 := YMM(), YMM() // rows 0+4 and 1+5; 2+6 and 3+7
	VPADDW(p[2], p[0], sum04)
	VPADDW(p[3], p[1], sum26)
	s := interleave(true, sum26, sum04)
	z3, z4 := dot(s, c.z3), dot(s, c.z4)
	r17 := interleave(true, p[0], p[3])
	t0, t3 := dot(r17, c.t0), dot(r17, c.t3)
	r35 := interleave(true, p[1], p[2])
	t1, t2 := dot(r35, c.t1), dot(r35, c.t2)
	VPADDD(z3, t0, t0)
	VPADDD(z4, t1, t1)
	VPADDD(z3, t2, t2)
	VPADDD(z4, t3, t3)

	// Even part.
	r26 := interleave(false, p[1], p[3])
	even2, even3 := dot(r26, c.even2), dot(r26, c.even3)
	difference, zero := YMM(), YMM()
	VPSUBW(p[2], p[0], difference)
	VPXOR(zero, zero, zero)
	even0, even1 := interleave(false, zero, sum04), interleave(false, zero, difference)
	for _, v := range []VecVirtual{even0, even1} {
		VPSRAD(U8(3), v, v) // the word in the upper half, times 2^13
		VPADDD(c.round[number], v, v)
	}
	t10, t11 := YMM(), YMM()
	VPADDD(even3, even0, t10)
	VPSUBD(even3, even0, even0) // t13
	VPADDD(even2, even1, t11)
	VPSUBD(even2, even1, even1) // t12

	var out [8]VecVirtual
	for i, pair := range [4][2]VecVirtual{{t10, t3}, {t11, t2}, {even1, t1}, {even0, t0}} {
		sum := YMM()
		VPADDD(pair[1], pair[0], sum)
		VPSUBD(pair[1], pair[0], pair[0])
		VPSRAD(shift, sum, sum)
		VPSRAD(shift, pair[0], pair[0])
		out[i], out[7-i] = sum, pair[0]
	}
	return out
}
