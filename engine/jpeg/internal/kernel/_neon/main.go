// Command neon writes the NEON kernels of JPEG decoding to its output. Run it by `go generate` in the package's folder.
package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

func main() {
	inverseDCT()
	ycbcrToRGB()
	interleave()
	upsampleH2()
	upsampleV2()
	upsampleH2V2()
	Print("_neon")
}

// loop ends a loop that n, in a register, counts down.
func loop(label, n string, step int) {
	Op("SUBS $%d, %s", step, n)
	Op("BNE %s", label)
	Op("RET")
}
