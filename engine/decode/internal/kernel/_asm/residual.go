package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const rowBytes = 32 // Stride

func residuals() {
	transform()
	trueMotion()
}

// transform has a row of coefficients in each register, then a column of results.
func transform() {
	sine, cosine := words("sine", 35468-1<<16), words("cosine", 20091)
	four := words("four", 4)

	TEXT("transformVector", NOSPLIT, "func(samples *byte, coefs *int16)")
	Pragma("noescape")
	Doc("transformVector is transformGeneric.")
	samples, coefs := arg("samples"), arg("coefs")
	var v [4]VecVirtual
	for i := range v {
		v[i] = XMM()
		VMOVQ(at(coefs, 8*i), v[i])
	}
	times := func(v VecVirtual, factor Mem) VecVirtual {
		p := XMM()
		VPMULHW(factor, v, p)
		VPADDW(v, p, p)
		return p
	}
	butterfly := func(v [4]VecVirtual) (r [4]VecVirtual) {
		a, b := XMM(), XMM()
		VPADDW(v[2], v[0], a)
		VPSUBW(v[2], v[0], b)
		c, d := times(v[1], sine), times(v[1], cosine)
		VPSUBW(times(v[3], cosine), c, c)
		VPADDW(times(v[3], sine), d, d)
		for i := range r {
			r[i] = XMM()
		}
		VPADDW(d, a, r[0])
		VPADDW(c, b, r[1])
		VPSUBW(c, b, r[2])
		VPSUBW(d, a, r[3])
		return r
	}
	transposed := func(v [4]VecVirtual) (r [4]VecVirtual) {
		a, b := XMM(), XMM()
		VPUNPCKLWD(v[1], v[0], a)
		VPUNPCKLWD(v[3], v[2], b)
		for i := range r {
			r[i] = XMM()
		}
		VPUNPCKLDQ(b, a, r[0])
		VPUNPCKHDQ(b, a, r[2])
		VPSHUFD(U8(0b1110), r[0], r[1])
		VPSHUFD(U8(0b1110), r[2], r[3])
		return r
	}
	v = transposed(butterfly(v))
	VPADDW(four, v[0], v[0])
	v = transposed(butterfly(v))
	for i, r := range v {
		VPSRAW(U8(3), r, r)
		p := XMM()
		VMOVD(at(samples, i*rowBytes), p)
		VPMOVZXBW(p, p)
		VPADDW(p, r, r)
		VPACKUSWB(r, r, r)
		VMOVD(r, at(samples, i*rowBytes))
	}
	RET()
}

// trueMotion adds the differences of the samples above and the corner to each sample to the left.
func trueMotion() {
	for _, size := range []int{8, 16} {
		name := map[int]string{8: "trueMotion8Vector", 16: "trueMotion16Vector"}[size]
		TEXT(name, NOSPLIT, "func(samples *byte)")
		Pragma("noescape")
		Doc(name + " is trueMotionGeneric for that size.")
		samples := arg("samples")
		vector := func() VecVirtual {
			if size == 8 {
				return XMM()
			}
			return YMM()
		}
		t := GP32()
		spread := func(from Mem) VecVirtual {
			v := vector()
			MOVBLZX(from, t)
			VMOVD(t, v.AsX())
			VPBROADCASTW(v.AsX(), v)
			return v
		}
		above := vector()
		VPMOVZXBW(at(samples, 1), above)
		VPSUBW(spread(at(samples, 0)), above, above)
		for y := 1; y <= size; y++ {
			v := spread(at(samples, y*rowBytes))
			VPADDW(above, v, v)
			if size == 8 {
				VPACKUSWB(v, v, v)
				VMOVQ(v, at(samples, y*rowBytes+1))
				continue
			}
			high := XMM()
			VEXTRACTI128(U8(1), v, high)
			VPACKUSWB(high, v.AsX(), v.AsX())
			VMOVDQU(v.AsX(), at(samples, y*rowBytes+1))
		}
		if size == 16 {
			VZEROUPPER()
		}
		RET()
	}
}
