// Command neon writes the arm64 assembly of package kernel to its output. Run it by `go generate` in the package's folder.
package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

func main() {
	for n := 1; n <= pixels; n++ {
		tile(n)
	}
	Floats("factors", 2, 4, 5, 8)
	for _, w := range algorithms {
		w.input()
		w.output()
	}
	stemInput()
	stemOutput()
	maxPool()
	Print("_neon")
}

// bytes turns a stride in floats, in a general register, into bytes.
func bytes(registers ...string) {
	for _, r := range registers {
		Op("LSL $2, %s, %s", r, r)
	}
}

// move copies a vector.
func move(d, n int) { Op("VMOV V%d.B16, V%d.B16", n, d) }
