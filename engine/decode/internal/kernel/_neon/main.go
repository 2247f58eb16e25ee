// Command neon writes the NEON kernel of package decode to its output. Run it by `go generate` in the folder above.
package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

func main() {
	shuffle()
	Print("_neon")
}

// shuffle leaves the end of each vector to the next one: what is stored there is overwritten.
func shuffle() {
	Text("shuffleVector", 0, "dst", "src", "order", "in", "out", "n")
	Op("VLD1 (R2), [V0.B16]")
	Label("loop")
	Op("VLD1.P (R1)(R3), [V1.B16]")
	Op("VTBL V0.B16, [V1.B16], V1.B16") // zero for an index beyond 15
	Op("VST1.P [V1.B16], (R0)(R4)")
	Op("SUBS $1, R5")
	Op("BNE loop")
	Op("RET")
}
