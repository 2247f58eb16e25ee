package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

// ycbcrToRGB computes with 16-bit numbers, 16 pixels at a time. Factors beyond 16 bits are split into whole numbers
// and a rest.
func ycbcrToRGB() {
	const red, blue, greenCb, greenCr = 0, 1, 2, 3 // lanes of V0
	Constant("colorFactors", 91881-65536, 116130-2*65536, -22554, 65536-46802)
	Text("ycbcrToRGBVector", 0, "dst", "y", "cb", "cr", "n")
	Op("MOVD $colorFactors<>(SB), R5")
	Op("VLD1 (R5), [V0.H8]")
	Op("MOVD $128, R5")
	Op("VDUP R5, V1.H8")
	Label("loop")
	Op("VLD1.P 16(R1), [V2.B16]")
	Op("VLD1.P 16(R2), [V3.B16]")
	Op("VLD1.P 16(R3), [V4.B16]")
	for _, h := range []Half{Low, High} {
		const luma, u, v, lo, hi, term = 5, 6, 7, 16, 17, 18
		Widen8H(h, luma, 2)
		Widen8H(h, u, 3)
		Widen8H(h, v, 4)
		Sub("H8", u, u, 1)
		Sub("H8", v, v, 1)
		// rounded leaves the upper 16 bits of the sums of lo and hi in term.
		rounded := func() {
			Rshrn4S(Low, term, lo, 16)
			Rshrn4S(High, term, hi, 16)
		}
		SmullLane(Low, lo, v, 0, red)
		SmullLane(High, hi, v, 0, red)
		rounded()
		Add("H8", term, term, v)
		Add("H8", term, term, luma)
		Sqxtun8H(h, 20, term)

		SmullLane(Low, lo, u, 0, greenCb)
		SmullLane(High, hi, u, 0, greenCb)
		SmlalLane(Low, lo, v, 0, greenCr)
		SmlalLane(High, hi, v, 0, greenCr)
		rounded()
		Sub("H8", term, term, v)
		Add("H8", term, term, luma)
		Sqxtun8H(h, 21, term)

		SmullLane(Low, lo, u, 0, blue)
		SmullLane(High, hi, u, 0, blue)
		rounded()
		Add("H8", term, term, u)
		Add("H8", term, term, u)
		Add("H8", term, term, luma)
		Sqxtun8H(h, 22, term)
	}
	Op("VST3.P [V20.B16, V21.B16, V22.B16], 48(R0)")
	loop("loop", "R4", 16)
}

func interleave() {
	Text("interleaveVector", 0, "dst", "red", "green", "blue", "n")
	Label("loop")
	Op("VLD1.P 16(R1), [V0.B16]")
	Op("VLD1.P 16(R2), [V1.B16]")
	Op("VLD1.P 16(R3), [V2.B16]")
	Op("VST3.P [V0.B16, V1.B16, V2.B16], 48(R0)")
	loop("loop", "R4", 16)
}

// triple makes d three times the 16-bit numbers in n.
func triple(d, n int) {
	Op("VSHL $1, V%d.H8, V%d.H8", n, d)
	Add("H8", d, d, n)
}

// upsampleH2 makes 32 samples of 16 at a time.
func upsampleH2() {
	Text("upsampleH2Vector", 0, "dst", "src", "n")
	Op("SUB $1, R1, R3") // the neighbors before
	Op("ADD $1, R1, R4") // and after
	Op("MOVD $1, R5")
	Op("VDUP R5, V0.H8")
	Label("loop")
	Op("VLD1.P 16(R1), [V1.B16]")
	Op("VLD1.P 16(R3), [V2.B16]")
	Op("VLD1.P 16(R4), [V3.B16]")
	for _, h := range []Half{Low, High} {
		Widen8H(h, 4, 1)
		triple(5, 4)
		Widen8H(h, 6, 2)
		Add("H8", 6, 6, 5)
		Add("H8", 6, 6, 0)
		Shrn8H(h, 20, 6, 2)
		Widen8H(h, 7, 3)
		Add("H8", 7, 7, 5)
		Rshrn8H(h, 21, 7, 2) // rounding adds 2
	}
	Op("VST2.P [V20.B16, V21.B16], 32(R0)")
	loop("loop", "R2", 16)
}

// upsampleV2 makes 16 samples at a time.
func upsampleV2() {
	Text("upsampleV2Vector", 0, "dst", "near", "far", "n", "bias")
	Op("VDUP R4, V0.H8")
	Label("loop")
	Op("VLD1.P 16(R1), [V1.B16]")
	Op("VLD1.P 16(R2), [V2.B16]")
	for _, h := range []Half{Low, High} {
		Widen8H(h, 4, 1)
		triple(5, 4)
		Widen8H(h, 6, 2)
		Add("H8", 6, 6, 5)
		Add("H8", 6, 6, 0)
		Shrn8H(h, 20, 6, 2)
	}
	Op("VST1.P [V20.B16], 16(R0)")
	loop("loop", "R3", 16)
}

// upsampleH2V2 makes 32 samples of 16 at a time: sums of two rows first, then of neighbors.
func upsampleH2V2() {
	Text("upsampleH2V2Vector", 0, "dst", "near", "far", "n")
	Op("MOVD $7, R5")
	Op("VDUP R5, V0.H8")
	for i, base := range []string{"R1", "R2"} {
		Op("SUB $1, %s, R%d", base, 6+i)
		Op("ADD $1, %s, R%d", base, 8+i)
	}
	Label("loop")
	for i, base := range []string{"R1", "R2", "R6", "R7", "R8", "R9"} {
		Op("VLD1.P 16(%s), [V%d.B16]", base, 1+i)
	}
	for _, h := range []Half{Low, High} {
		// sum makes d of a sample in a row near and one in a row far.
		sum := func(d, near, far int) {
			Widen8H(h, 16, near)
			triple(d, 16)
			Widen8H(h, 16, far)
			Add("H8", d, d, 16)
		}
		sum(17, 1, 2)
		sum(18, 3, 4)
		sum(19, 5, 6)
		triple(16, 17)
		Add("H8", 18, 18, 16)
		Rshrn8H(h, 20, 18, 4) // rounding adds 8
		Add("H8", 19, 19, 16)
		Add("H8", 19, 19, 0)
		Shrn8H(h, 21, 19, 4)
	}
	Op("VST2.P [V20.B16, V21.B16], 32(R0)")
	loop("loop", "R3", 16)
}
