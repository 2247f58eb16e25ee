package main

import (
	"fmt"

	. "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"
)

const (
	pixels  = 6 // most rows of a tile
	vectors = 4 // of four floats, in a row
	unroll  = 4 // steps of the innermost loop in one turn: lanes of a vector of activations
)

// tile writes the matrix tile of n rows by 16 columns. Four consecutive floats of each row fill a vector, whose lanes
// multiply vectors of weights. The 32 registers hold 24 accumulators, six vectors of activations, and two of weights,
// of which one is loaded while the other is used: 22 loads for 96 multiplications.
func tile(n int) {
	const c, cs, a, as, rs, rows, k, b, bias, residual, relu = "R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10"
	const left, span = "R11", "R12"
	const weights = 30
	acc := func(p, v int) int { return vectors*p + v }
	x := func(p int) int { return vectors*pixels + p }
	row := func(p int) string { return fmt.Sprintf("R%d", 19+p) }

	Text(fmt.Sprintf("tile%dNEON", n), 0, "c", "cs", "a", "as", "rs", "rows", "k", "b", "bias", "residual", "relu")
	bytes(cs, as, rs)
	Op("LSL $2, %s, %s", k, span)
	Op("SUB %s, %s, %s", span, rs, rs) // from the end of one row of taps to the start of the next
	Op("MOVD %s, %s", a, row(0))
	for p := 1; p < n; p++ {
		Op("ADD %s, %s, %s", as, row(p-1), row(p))
	}
	Op("VLD1 (%s), [V0.S4, V1.S4, V2.S4, V3.S4]", bias)
	for i := vectors; i < vectors*n; i++ {
		move(i, i%vectors)
	}

	// multiply does so many steps, whose activations are in the lanes from 0 up.
	multiply := func(steps int) {
		load := func(i int) { Op("FMOVQ %d(%s), F%d", 16*i, b, weights+i%2) }
		load(0)
		for i := range steps * vectors {
			if i+1 < steps*vectors {
				load(i + 1)
			}
			for p := range n {
				Fmla4SLane(acc(p, i%vectors), weights+i%2, x(p), i/vectors)
			}
		}
		Op("ADD $%d, %s", 16*vectors*steps, b)
	}
	Label("row")
	Op("SUBS $%d, %s, %s", unroll, k, left)
	Op("BLT rest")
	Label("steps")
	for p := range n {
		Op("FMOVQ.P 16(%s), F%d", row(p), x(p))
	}
	multiply(unroll)
	Op("SUBS $%d, %s", unroll, left)
	Op("BGE steps")
	Label("rest")
	Op("ADDS $%d, %s", unroll, left)
	Op("BEQ next")
	Label("single")
	for p := range n {
		Op("FMOVS.P 4(%s), F%d", row(p), x(p))
	}
	multiply(1)
	Op("SUBS $1, %s", left)
	Op("BNE single")
	Label("next")
	for p := range n {
		Op("ADD %s, %s", rs, row(p))
	}
	Op("SUBS $1, %s", rows)
	Op("BNE row")

	Op("CBZ %s, activate", residual)
	for p := range n {
		Op("VLD1 (%s), [V24.S4, V25.S4, V26.S4, V27.S4]", residual)
		Op("ADD %s, %s", cs, residual)
		for v := range vectors {
			Fadd4S(acc(p, v), acc(p, v), x(0)+v)
		}
	}
	Label("activate")
	Op("CBZ %s, store", relu)
	Op("VEOR V24.B16, V24.B16, V24.B16")
	for i := range vectors * n {
		Fmax4S(i, i, x(0))
	}
	Label("store")
	for p := range n {
		Op("VST1 [V%d.S4, V%d.S4, V%d.S4, V%d.S4], (%s)", acc(p, 0), acc(p, 1), acc(p, 2), acc(p, 3), c)
		Op("ADD %s, %s", cs, c)
	}
	Op("RET")
}
