package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

// Lanes of V0 and V1: factors of the inverse DCT with 13 fraction bits, as in idct_generic.go.
const (
	f0541      = iota // 0.541196100
	f0541_1847        // 0.541196100 - 1.847759065
	f0541_0765        // 0.541196100 + 0.765366865
	f1175_1961        // 1.175875602 - 1.961570560
	f1175             // 1.175875602
	f1175_0390        // 1.175875602 - 0.390180644
	f0899             // -0.899976223
	f0298_0899        // 0.298631336 - 0.899976223
	f1501_0899        // 1.501321110 - 0.899976223
	f2562             // -2.562915447
	f2053_2562        // 2.053119869 - 2.562915447
	f3072_2562        // 3.072711026 - 2.562915447
	factorsCount
)

// inverseDCT keeps the rows of the block, eight 16-bit numbers each, in V16-V23.
func inverseDCT() {
	factors := [factorsCount]int{4433, 4433 - 15137, 4433 + 6270, 9633 - 16069, 9633, 9633 - 3196, -7373, 2446 - 7373,
		12299 - 7373, -20995, 16819 - 20995, 25172 - 20995}
	Constant("idctFactors", factors[:]...)

	Text("inverseDCTVector", 0, "dst", "stride", "block", "quant")
	Op("MOVD $idctFactors<>(SB), R4")
	Op("VLD1 (R4), [V0.H8, V1.H8]")
	Op("VLD1.P 64(R2), [V16.H8, V17.H8, V18.H8, V19.H8]")
	Op("VLD1 (R2), [V20.H8, V21.H8, V22.H8, V23.H8]")
	Op("VLD1.P 64(R3), [V24.H8, V25.H8, V26.H8, V27.H8]")
	Op("VLD1 (R3), [V28.H8, V29.H8, V30.H8, V31.H8]")
	// Where rows 1 to 7 are zero, the first pass only repeats row 0.
	Op("VORR V17.B16, V18.B16, V4.B16")
	for i := 19; i <= 23; i++ {
		Op("VORR V%d.B16, V4.B16, V4.B16", i)
	}
	Op("VMOV V4.D[0], R5")
	Op("VMOV V4.D[1], R6")
	Op("ORR R5, R6")
	for i := range 8 {
		Mul8H(16+i, 16+i, 24+i)
	}
	Op("CBNZ R6, columns")
	Op("VSHL $2, V16.H8, V16.H8")
	for i := 7; i >= 0; i-- {
		Op("VDUP V16.H[%d], V%d.H8", i, 16+i)
	}
	Op("B rows")
	Label("columns")
	pass(11)
	transpose()
	Label("rows")
	pass(18)
	transpose()
	Op("VMOVI $128, V5.B16")
	for i := 16; i < 24; i++ {
		Sqxtn8H(Low, 4, i)
		Op("VEOR V5.B8, V4.B8, V4.B8") // adds 128
		Op("VST1 [V4.B8], (R0)")
		Op("ADD R1, R0")
	}
	Op("RET")
}

// pass transforms the columns of V16-V23 into V24-V31, shifted down.
func pass(shift int) {
	const (
		s3, s4, sum, difference = 4, 5, 6, 7 // rows 3+7, 1+5, 0+4, 0-4
		round                   = 2
	)
	Op("MOVD $%d, R5", 1<<(shift-1))
	Op("VDUP R5, V%d.S4", round)
	row := func(i int) int { return 16 + i }
	Add("H8", s3, row(3), row(7))
	Add("H8", s4, row(1), row(5))
	Add("H8", sum, row(0), row(4))
	Sub("H8", difference, row(0), row(4))
	for _, h := range []Half{Low, High} {
		dot := func(d, a, fa, b, fb int) {
			SmullLane(h, d, a, fa/8, fa%8)
			SmlalLane(h, d, b, fb/8, fb%8)
		}
		const even2, even3, z3, z4, t0, t1, t2, t3 = 8, 9, 10, 11, 12, 13, 14, 15
		dot(even2, row(2), f0541, row(6), f0541_1847)
		dot(even3, row(2), f0541_0765, row(6), f0541)
		dot(z3, s3, f1175_1961, s4, f1175)
		dot(z4, s3, f1175, s4, f1175_0390)
		dot(t0, row(1), f0899, row(7), f0298_0899)
		dot(t1, row(3), f2562, row(5), f2053_2562)
		dot(t2, row(3), f3072_2562, row(5), f2562)
		dot(t3, row(1), f1501_0899, row(7), f0899)
		Add("S4", t0, t0, z3)
		Add("S4", t1, t1, z4)
		Add("S4", t2, t2, z3)
		Add("S4", t3, t3, z4)

		const even0, even1, t10, t11, result = 10, 11, 3, 9, 8
		Sshll4S(h, even0, sum, 13)
		Sshll4S(h, even1, difference, 13)
		Add("S4", even0, even0, round)
		Add("S4", even1, even1, round)
		Add("S4", t10, even0, even3)
		Sub("S4", even0, even0, even3) // t13
		Add("S4", t11, even1, even2)
		Sub("S4", even1, even1, even2) // t12
		for i, p := range [4][2]int{{t10, t3}, {t11, t2}, {even1, t1}, {even0, t0}} {
			Add("S4", result, p[0], p[1])
			Sshr4S(result, result, shift)
			Sqxtn4S(h, 24+i, result)
			Sub("S4", result, p[0], p[1])
			Sshr4S(result, result, shift)
			Sqxtn4S(h, 31-i, result)
		}
	}
}

// transpose makes V16-V23 the columns of V24-V31.
func transpose() {
	trn := func(lanes string, d, n, m int) {
		Op("VTRN1 V%d.%s, V%d.%s, V%d.%s", m, lanes, n, lanes, d, lanes)
	}
	trn2 := func(lanes string, d, n, m int) {
		Op("VTRN2 V%d.%s, V%d.%s, V%d.%s", m, lanes, n, lanes, d, lanes)
	}
	for i := 0; i < 8; i += 2 { // pairs of rows: V4 has even columns of rows 0, 1, V5 odd ones ...
		trn("H8", 4+i, 24+i, 25+i)
		trn2("H8", 5+i, 24+i, 25+i)
	}
	for _, top := range []int{0, 4} { // four rows: columns 0 and 4, 1 and 5, 2 and 6, 3 and 7
		trn("S4", 24+top, 4+top, 6+top)
		trn("S4", 25+top, 5+top, 7+top)
		trn2("S4", 26+top, 4+top, 6+top)
		trn2("S4", 27+top, 5+top, 7+top)
	}
	for i := range 4 {
		trn("D2", 16+i, 24+i, 28+i)
		trn2("D2", 20+i, 24+i, 28+i)
	}
}
