// Command neon writes the arm64 assembly of package kernel8 to its output. Run it by `go generate` in the package's
// folder.
package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

func main() {
	dotProd()
	i8mm()
	neon()
	maxPool()
	Print("_neon")
}

// maxPool writes one output row of the 3x3 stride-2 maximum of 64 channels.
func maxPool() {
	Text("maxPoolNEON", 0, "y", "r0", "r1", "r2", "columns")
	Label("column")
	for row := 1; row <= 3; row++ {
		Op("MOVD R%d, R5", row)
		for q := range 3 {
			if row == 1 && q == 0 {
				Op("VLD1.P 64(R5), [V0.B16, V1.B16, V2.B16, V3.B16]")
				continue
			}
			Op("VLD1.P 64(R5), [V4.B16, V5.B16, V6.B16, V7.B16]")
			for v := range 4 {
				Op("VUMAX V%d.B16, V%d.B16, V%d.B16", 4+v, v, v)
			}
		}
		Op("ADD $128, R%d", row)
	}
	Op("VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)")
	Op("SUBS $1, R4")
	Op("BNE column")
	Op("RET")
}
