package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

// maxPool writes one output row of the 3x3 stride-2 maximum, 16 channels at a time.
func maxPool() {
	const y, columns, channels = "R0", "R4", "R5"
	const pixel, left, at = "R6", "R7", "R8"
	rows := []string{"R1", "R2", "R3"}
	Text("maxPoolNEON", 0, "y", "r0", "r1", "r2", "columns", "channels")
	Op("LSL $2, %s, %s", channels, pixel)
	Label("column")
	Op("MOVD %s, %s", channels, left)
	Label("channel")
	Op("VLD1 (%s), [V0.S4, V1.S4, V2.S4, V3.S4]", rows[0])
	for i, row := range rows {
		Op("MOVD %s, %s", row, at)
		for q := range 3 {
			if i+q > 0 {
				Op("VLD1 (%s), [V4.S4, V5.S4, V6.S4, V7.S4]", at)
				for v := range 4 {
					Fmax4S(v, v, 4+v)
				}
			}
			if q < 2 {
				Op("ADD %s, %s", pixel, at)
			}
		}
		Op("ADD $64, %s", row)
	}
	Op("VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(%s)", y)
	Op("SUBS $16, %s", left)
	Op("BNE channel")
	for _, row := range rows { // the window moves by two pixels, and has moved by one
		Op("ADD %s, %s", pixel, row)
	}
	Op("SUBS $1, %s", columns)
	Op("BNE column")
	Op("RET")
}
