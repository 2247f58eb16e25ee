// Command asm writes the AVX2 kernels of package decode. Run it by `go generate` in the folder above.
//
// Registers of 256 bits work as two lanes of 128 bits that most instructions do not mix.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!purego")
	yuvToRGB()
	upsample()
	hasLeadingZeros()
	readBlock()
	filters()
	residuals()
	lossless()
	shuffle()
	Generate()
}

// words makes a constant of a 16-bit number, repeated to fill a register.
func words(name string, v int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(2*i, U16(uint16(v)))
	}
	return m
}

// bytes makes a constant of 16 bytes for each lane.
func bytes(name string, v [16]byte) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 32 {
		DATA(i, U8(v[i%16]))
	}
	return m
}

// at addresses the bytes from base+offset on.
func at(base Register, offset int) Mem { return Mem{Base: base, Disp: offset} }

// arg loads a parameter into a register.
func arg(name string) GPVirtual { return Load(Param(name), GP64()).(GPVirtual) }

// spread returns the byte orders that spread 16 values of one channel over three registers of pixels; 0x80 gives zero.
func spread() (order [3][3]Mem) {
	for channel := range 3 {
		for part := range 3 {
			var v [16]byte
			for i := range v {
				v[i] = 0x80
				if at := 16*part + i; at%3 == channel {
					v[i] = byte(at / 3)
				}
			}
			order[channel][part] = bytes("spread"+string("RGB"[channel])+string("012"[part]), v)
		}
	}
	return order
}

// yuvToRGB computes with 16-bit numbers, 32 pixels at a time. A sample in the upper byte of a word makes the upper half of
// its product with a factor the generic product without its 8 lowest bits.
func yuvToRGB() {
	order := spread()
	luma := words("lumaFactor", 19077)
	redV, greenU, greenV, blueU := words("redV", 26149), words("greenU", 6419), words("greenV", 13320), words("blueU", 33050)
	red, green, blue := words("redBias", 14234), words("greenBias", 8708), words("blueBias", 17685)

	TEXT("yuvToRGBVector", NOSPLIT, "func(dst, y, u, v *byte, n int)")
	Pragma("noescape")
	Doc("yuvToRGBVector is yuvToRGBGeneric for n pixels, n a multiple of 32.")
	dst, y, u, v, n := arg("dst"), arg("y"), arg("u"), arg("v"), arg("n")
	zero := YMM()
	VPXOR(zero, zero, zero)

	Label("loop")
	ys, us, vs := YMM(), YMM(), YMM()
	VMOVDQU(at(y, 0), ys)
	VMOVDQU(at(u, 0), us)
	VMOVDQU(at(v, 0), vs)
	var out [2][3]VecVirtual
	for i := range out {
		upper := func(samples VecVirtual) VecVirtual {
			w := YMM()
			if i == 0 {
				VPUNPCKLBW(samples, zero, w)
			} else {
				VPUNPCKHBW(samples, zero, w)
			}
			return w
		}
		times := func(w VecVirtual, factor Mem) VecVirtual {
			product := YMM()
			VPMULHUW(factor, w, product)
			return product
		}
		yw, uw, vw := upper(ys), upper(us), upper(vs)
		base := times(yw, luma)

		r := times(vw, redV) // may exceed 15 bits, but not after the subtraction
		VPADDW(base, r, r)
		VPSUBW(red, r, r)
		VPSRAW(U8(6), r, r)

		g := YMM()
		VPSUBW(times(uw, greenU), base, g)
		VPSUBW(times(vw, greenV), g, g)
		VPADDW(green, g, g)
		VPSRAW(U8(6), g, g)

		b := times(uw, blueU) // up to 51922, so without sign; saturation at zero is the generic clipping
		VPADDUSW(base, b, b)
		VPSUBUSW(blue, b, b)
		VPSRLW(U8(6), b, b)
		out[i] = [3]VecVirtual{r, g, b}
	}
	for i := range 3 {
		VPACKUSWB(out[1][i], out[0][i], out[0][i])
	}
	for part := range 3 {
		p, t := YMM(), YMM()
		VPSHUFB(order[0][part], out[0][0], p)
		VPSHUFB(order[1][part], out[0][1], t)
		VPOR(t, p, p)
		VPSHUFB(order[2][part], out[0][2], t)
		VPOR(t, p, p)
		VMOVDQU(p.AsX(), at(dst, 16*part))
		VEXTRACTI128(U8(1), p, at(dst, 48+16*part))
	}
	ADDQ(U8(32), y)
	ADDQ(U8(32), u)
	ADDQ(U8(32), v)
	ADDQ(U8(96), dst)
	SUBQ(U8(32), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// upsample makes the 32 samples between 17, in 16-bit numbers.
func upsample() {
	eight := words("eight", 8)
	TEXT("upsampleVector", NOSPLIT, "func(dst, near, far *byte, n int)")
	Pragma("noescape")
	Doc("upsampleVector writes dst[0:2n] from near[0:n+1] and far[0:n+1] as upsampleGeneric does for inner samples, n a multiple",
		"of 16.")
	dst, near, far, n := arg("dst"), arg("near"), arg("far"), arg("n")
	Label("loop")
	load := func(base Register, offset int) VecVirtual {
		v := YMM()
		VPMOVZXBW(at(base, offset), v)
		return v
	}
	a, b, c, d := load(near, 0), load(near, 1), load(far, 0), load(far, 1)
	across, along, all := YMM(), YMM(), YMM() // of a's and b's diagonals
	VPADDW(b, c, across)
	VPADDW(a, d, along)
	VPADDW(across, along, all)
	VPADDW(eight, all, all)
	sample := func(own, pair VecVirtual) VecVirtual {
		v := YMM()
		VPADDW(pair, pair, v)
		VPADDW(all, v, v)
		VPSRLW(U8(3), v, v)
		VPADDW(own, v, v)
		VPSRLW(U8(1), v, v)
		return v
	}
	left, right := sample(a, across), sample(b, along)
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
