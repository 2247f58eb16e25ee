package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// weighted returns 3 near + far + bias in 16 bits, shifted down by shift, of the lower or upper 8 bytes in each
// lane.
func weighted(upper bool, near, far VecVirtual, factors, bias Op, shift int) VecVirtual {
	v := YMM()
	if upper {
		VPUNPCKHBW(far, near, v)
	} else {
		VPUNPCKLBW(far, near, v)
	}
	VPMADDUBSW(factors, v, v)
	VPADDW(bias, v, v)
	VPSRLW(U8(shift), v, v)
	return v
}

var factors Mem // 3 and 1 in turns

// upsampleH2 makes 64 samples of 32 at a time.
func upsampleH2() {
	factors = bytes("factors31", 3, 1)
	one, two := words("bias1", 1), words("bias2", 2)
	TEXT("upsampleH2Vector", NOSPLIT, "func(dst, src *byte, n int)")
	Pragma("noescape")
	Doc("upsampleH2Vector writes dst[0:2n] from src[-1:n+1] as upsampleH2Generic does for inner samples, n a multiple of 32.")
	dst, src, n := arg("dst"), arg("src"), arg("n")
	f := YMM()
	VMOVDQU(factors, f)
	Label("loop")
	here, before, after := YMM(), YMM(), YMM()
	VMOVDQU(at(src, 0), here)
	VMOVDQU(at(src, -1), before)
	VMOVDQU(at(src, 1), after)
	var pairs [2]VecVirtual
	for i := range pairs {
		left := weighted(i == 1, here, before, f, one, 2)
		right := weighted(i == 1, here, after, f, two, 2)
		VPSLLW(U8(8), right, right)
		VPOR(right, left, left)
		pairs[i] = left
	}
	storePairs(dst, pairs)
	ADDQ(U8(32), src)
	ADDQ(U8(64), dst)
	SUBQ(U8(32), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// storePairs writes 64 bytes of which pairs[0] holds [0-15][32-47] and pairs[1] [16-31][48-63].
func storePairs(dst Register, pairs [2]VecVirtual) {
	VMOVDQU(pairs[0].AsX(), at(dst, 0))
	VMOVDQU(pairs[1].AsX(), at(dst, 16))
	VEXTRACTI128(U8(1), pairs[0], at(dst, 32))
	VEXTRACTI128(U8(1), pairs[1], at(dst, 48))
}

// upsampleV2 makes 32 samples at a time.
func upsampleV2() {
	TEXT("upsampleV2Vector", NOSPLIT, "func(dst, near, far *byte, n int, bias int)")
	Pragma("noescape")
	Doc("upsampleV2Vector is upsampleV2Generic for n samples, n a multiple of 32.")
	dst, near, far, n := arg("dst"), arg("near"), arg("far"), arg("n")
	bias, f, b := GP64(), YMM(), YMM()
	Load(Param("bias"), bias)
	VMOVDQU(factors, f)
	VMOVQ(bias, b.AsX())
	VPBROADCASTW(b.AsX(), b)
	Label("loop")
	here, other := YMM(), YMM()
	VMOVDQU(at(near, 0), here)
	VMOVDQU(at(far, 0), other)
	lo := weighted(false, here, other, f, b, 2)
	hi := weighted(true, here, other, f, b, 2)
	VPACKUSWB(hi, lo, lo)
	VMOVDQU(lo, at(dst, 0))
	ADDQ(U8(32), near)
	ADDQ(U8(32), far)
	ADDQ(U8(32), dst)
	SUBQ(U8(32), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// upsampleH2V2 makes 32 samples of 16 at a time: sums of two rows first, then of neighbors.
func upsampleH2V2() {
	seven, eight := words("bias7", 7), words("bias8", 8)
	TEXT("upsampleH2V2Vector", NOSPLIT, "func(dst, near, far *byte, n int)")
	Pragma("noescape")
	Doc("upsampleH2V2Vector writes dst[0:2n] from near[-1:n+1] and far[-1:n+1] as upsampleH2V2Generic does for inner samples,",
		"n a multiple of 16.")
	dst, near, far, n := arg("dst"), arg("near"), arg("far"), arg("n")
	Label("loop")
	sum := func(offset int) VecVirtual {
		v, t := YMM(), YMM()
		VPMOVZXBW(at(near, offset), v)
		VPADDW(v, v, t)
		VPADDW(t, v, v)
		VPMOVZXBW(at(far, offset), t)
		VPADDW(t, v, v)
		return v
	}
	here, left, right := sum(0), sum(-1), sum(1)
	t := YMM()
	VPADDW(here, here, t)
	VPADDW(t, here, here)
	VPADDW(here, left, left)
	VPADDW(here, right, right)
	VPADDW(eight, left, left)
	VPADDW(seven, right, right)
	VPSRLW(U8(4), left, left)
	VPSRLW(U8(4), right, right)
	VPSLLW(U8(8), right, right)
	VPOR(right, left, left)
	VMOVDQU(left, at(dst, 0))
	ADDQ(U8(16), near)
	ADDQ(U8(16), far)
	ADDQ(U8(32), dst)
	SUBQ(U8(16), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
