package main

// ycbcrToRGB computes with 16-bit numbers, 16 pixels at a time. Factors beyond 16 bits are split into whole numbers
// and a rest.
func ycbcrToRGB() {
	const red, blue, greenCb, greenCr = 0, 1, 2, 3 // lanes of V0
	constant("colorFactors", 91881-65536, 116130-2*65536, -22554, 65536-46802)
	text("ycbcrToRGBVector", "dst", "y", "cb", "cr", "n")
	op("MOVD $colorFactors<>(SB), R5")
	op("VLD1 (R5), [V0.H8]")
	op("MOVD $128, R5")
	op("VDUP R5, V1.H8")
	line("loop:")
	op("VLD1.P 16(R1), [V2.B16]")
	op("VLD1.P 16(R2), [V3.B16]")
	op("VLD1.P 16(R3), [V4.B16]")
	for _, h := range []half{low, high} {
		const luma, u, v, lo, hi, term = 5, 6, 7, 16, 17, 18
		widen(h, luma, 2)
		widen(h, u, 3)
		widen(h, v, 4)
		sub("H8", u, u, 1)
		sub("H8", v, v, 1)
		// rounded leaves the upper 16 bits of the sums of lo and hi in term.
		rounded := func() {
			rshrnS(low, term, lo, 16)
			rshrnS(high, term, hi, 16)
		}
		smull(low, lo, v, 0, red)
		smull(high, hi, v, 0, red)
		rounded()
		add("H8", term, term, v)
		add("H8", term, term, luma)
		sqxtunH(h, 20, term)

		smull(low, lo, u, 0, greenCb)
		smull(high, hi, u, 0, greenCb)
		smlal(low, lo, v, 0, greenCr)
		smlal(high, hi, v, 0, greenCr)
		rounded()
		sub("H8", term, term, v)
		add("H8", term, term, luma)
		sqxtunH(h, 21, term)

		smull(low, lo, u, 0, blue)
		smull(high, hi, u, 0, blue)
		rounded()
		add("H8", term, term, u)
		add("H8", term, term, u)
		add("H8", term, term, luma)
		sqxtunH(h, 22, term)
	}
	op("VST3.P [V20.B16, V21.B16, V22.B16], 48(R0)")
	loop("loop", "R4", 16)
}

func interleave() {
	text("interleaveVector", "dst", "red", "green", "blue", "n")
	line("loop:")
	op("VLD1.P 16(R1), [V0.B16]")
	op("VLD1.P 16(R2), [V1.B16]")
	op("VLD1.P 16(R3), [V2.B16]")
	op("VST3.P [V0.B16, V1.B16, V2.B16], 48(R0)")
	loop("loop", "R4", 16)
}

// triple makes d three times the 16-bit numbers in n.
func triple(d, n int) {
	op("VSHL $1, V%d.H8, V%d.H8", n, d)
	add("H8", d, d, n)
}

// upsampleH2 makes 32 samples of 16 at a time.
func upsampleH2() {
	text("upsampleH2Vector", "dst", "src", "n")
	op("SUB $1, R1, R3") // the neighbours before
	op("ADD $1, R1, R4") // and after
	op("MOVD $1, R5")
	op("VDUP R5, V0.H8")
	line("loop:")
	op("VLD1.P 16(R1), [V1.B16]")
	op("VLD1.P 16(R3), [V2.B16]")
	op("VLD1.P 16(R4), [V3.B16]")
	for _, h := range []half{low, high} {
		widen(h, 4, 1)
		triple(5, 4)
		widen(h, 6, 2)
		add("H8", 6, 6, 5)
		add("H8", 6, 6, 0)
		shrnH(h, 20, 6, 2)
		widen(h, 7, 3)
		add("H8", 7, 7, 5)
		rshrnH(h, 21, 7, 2) // rounding adds 2
	}
	op("VST2.P [V20.B16, V21.B16], 32(R0)")
	loop("loop", "R2", 16)
}

// upsampleV2 makes 16 samples at a time.
func upsampleV2() {
	text("upsampleV2Vector", "dst", "near", "far", "n", "bias")
	op("VDUP R4, V0.H8")
	line("loop:")
	op("VLD1.P 16(R1), [V1.B16]")
	op("VLD1.P 16(R2), [V2.B16]")
	for _, h := range []half{low, high} {
		widen(h, 4, 1)
		triple(5, 4)
		widen(h, 6, 2)
		add("H8", 6, 6, 5)
		add("H8", 6, 6, 0)
		shrnH(h, 20, 6, 2)
	}
	op("VST1.P [V20.B16], 16(R0)")
	loop("loop", "R3", 16)
}

// upsampleH2V2 makes 32 samples of 16 at a time: sums of two rows first, then of neighbours.
func upsampleH2V2() {
	text("upsampleH2V2Vector", "dst", "near", "far", "n")
	op("MOVD $7, R5")
	op("VDUP R5, V0.H8")
	for i, base := range []string{"R1", "R2"} {
		op("SUB $1, %s, R%d", base, 6+i)
		op("ADD $1, %s, R%d", base, 8+i)
	}
	line("loop:")
	for i, base := range []string{"R1", "R2", "R6", "R7", "R8", "R9"} {
		op("VLD1.P 16(%s), [V%d.B16]", base, 1+i)
	}
	for _, h := range []half{low, high} {
		// sum makes d of a sample in a row near and one in a row far.
		sum := func(d, near, far int) {
			widen(h, 16, near)
			triple(d, 16)
			widen(h, 16, far)
			add("H8", d, d, 16)
		}
		sum(17, 1, 2)
		sum(18, 3, 4)
		sum(19, 5, 6)
		triple(16, 17)
		add("H8", 18, 18, 16)
		rshrnH(h, 20, 18, 4) // rounding adds 8
		add("H8", 19, 19, 16)
		add("H8", 19, 19, 0)
		shrnH(h, 21, 19, 4)
	}
	op("VST2.P [V20.B16, V21.B16], 32(R0)")
	loop("loop", "R3", 16)
}
