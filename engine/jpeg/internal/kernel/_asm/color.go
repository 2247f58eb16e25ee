package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// shuffles are byte orders that spread 16 values of one plane over three registers of pixels; 0x80 gives zero.
func shuffles() (order [3][3]Mem) {
	for channel := range 3 {
		for part := range 3 {
			v := make([]int, 16)
			for i := range v {
				v[i] = 0x80
				if at := 16*part + i; at%3 == channel {
					v[i] = at / 3
				}
			}
			order[channel][part] = bytes("spread"+string("RGB"[channel])+string("012"[part]), v...)
		}
	}
	return order
}

// storePixels writes 32 pixels from three registers of 32 values.
func storePixels(dst Register, rgb [3]VecVirtual, order [3][3]Mem) {
	for part := range 3 {
		v, t := YMM(), YMM()
		VPSHUFB(order[0][part], rgb[0], v)
		VPSHUFB(order[1][part], rgb[1], t)
		VPOR(t, v, v)
		VPSHUFB(order[2][part], rgb[2], t)
		VPOR(t, v, v)
		VMOVDQU(v.AsX(), at(dst, 16*part))
		VEXTRACTI128(U8(1), v, at(dst, 48+16*part))
	}
}

var order [3][3]Mem

// ycbcrToRGB computes with 16-bit numbers. VPMULHRSW multiplies, shifts down by 15 bits and rounds. With half of a factor of
// 16 fraction bits, and for red half a unit more, it gives the generic result for every difference.
func ycbcrToRGB() {
	order = shuffles()
	bias := words("chromaBias", 128)
	red := words("redFactor", (91881-65536+1)/2)       // R - Y - Cr
	blue := words("blueFactor", (116130-2*65536)/2)    // B - Y - 2 Cb
	green := words("greenFactor", -22554, 65536-46802) // G - Y + Cr, of Cb and Cr
	half := dwords("half", 1<<15)

	TEXT("ycbcrToRGBVector", NOSPLIT, "func(dst, y, cb, cr *byte, n int)")
	Pragma("noescape")
	Doc("ycbcrToRGBVector is ycbcrToRGBGeneric for n pixels, n a multiple of 32.")
	dst, y, cb, cr, n := arg("dst"), arg("y"), arg("cb"), arg("cr"), arg("n")
	zero := YMM()
	VPXOR(zero, zero, zero)

	Label("loop")
	lumas, cbs, crs := YMM(), YMM(), YMM()
	VMOVDQU(at(y, 0), lumas)
	VMOVDQU(at(cb, 0), cbs)
	VMOVDQU(at(cr, 0), crs)
	var out [2][3]VecVirtual
	for i := range out {
		widen := func(v VecVirtual) VecVirtual {
			w := YMM()
			if i == 0 {
				VPUNPCKLBW(zero, v, w)
			} else {
				VPUNPCKHBW(zero, v, w)
			}
			return w
		}
		luma, u, v := widen(lumas), widen(cbs), widen(crs)
		VPSUBW(bias, u, u)
		VPSUBW(bias, v, v)

		scaled := func(x VecVirtual, factor Mem) VecVirtual {
			r := YMM()
			VPMULHRSW(factor, x, r)
			VPADDW(luma, r, r)
			return r
		}
		r := scaled(v, red)
		VPADDW(v, r, r)
		b := scaled(u, blue)
		VPADDW(u, b, b)
		VPADDW(u, b, b)

		lo, hi := YMM(), YMM()
		VPUNPCKLWD(v, u, lo)
		VPUNPCKHWD(v, u, hi)
		for _, x := range []VecVirtual{lo, hi} {
			VPMADDWD(green, x, x)
			VPADDD(half, x, x)
			VPSRAD(U8(16), x, x)
		}
		VPACKSSDW(hi, lo, lo)
		VPADDW(luma, lo, lo)
		VPSUBW(v, lo, lo)
		out[i] = [3]VecVirtual{r, lo, b}
	}
	for i := range 3 {
		VPACKUSWB(out[1][i], out[0][i], out[0][i])
	}
	storePixels(dst, out[0], order)
	ADDQ(U8(32), y)
	ADDQ(U8(32), cb)
	ADDQ(U8(32), cr)
	ADDQ(U8(96), dst)
	SUBQ(U8(32), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// interleaveRGB joins three planes, or one plane three times.
func interleaveRGB() {
	TEXT("interleaveVector", NOSPLIT, "func(dst, red, green, blue *byte, n int)")
	Pragma("noescape")
	Doc("interleaveVector is interleaveGeneric for n pixels, n a multiple of 32.")
	dst, r, g, b, n := arg("dst"), arg("red"), arg("green"), arg("blue"), arg("n")
	Label("loop")
	rgb := [3]VecVirtual{YMM(), YMM(), YMM()}
	for i, plane := range []GPVirtual{r, g, b} {
		VMOVDQU(at(plane, 0), rgb[i])
		ADDQ(U8(32), plane)
	}
	storePixels(dst, rgb, order)
	ADDQ(U8(96), dst)
	SUBQ(U8(32), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
