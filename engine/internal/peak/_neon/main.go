// Command neon writes the arm64 assembly of package peak to its output. Run it by `go generate` in the package's folder.
package main

import . "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"

// sums is the number of accumulators, more than are under way: latency times units, 16 on CPUs known.
const sums = 28

func main() {
	loop("fmaNEON", func(acc, x, y int) { Fmla4SLane(acc, x, y, 0) })
	loop("dotNEON", func(acc, x, y int) { Sdot4SLane(acc, x, y, 0) })
	loop("matrixNEON", Usmmla4S)
	loop("bf16NEON", Bfmmla4S)
	Print("_neon")
}

// loop writes a function that multiplies once into each accumulator in each turn.
func loop(name string, multiply func(acc, x, y int)) {
	Text(name, 0, "turns")
	for i := range 32 {
		Op("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	Label("turn")
	for acc := range sums {
		multiply(acc, sums, sums+1)
	}
	Op("SUBS $1, R0")
	Op("BNE turn")
	Op("RET")
}
