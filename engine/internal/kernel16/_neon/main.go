// Command neon writes the arm64 assembly of package kernel16 to its output. Run it by `go generate` in the package's folder.
package main

import (
	"fmt"

	. "github.com/resnet18cloud/resnet18cloud/engine/internal/neonasm"
)

func main() {
	for n := 1; n <= pixels; n++ {
		tile(n)
	}
	Print("_neon")
}

const (
	pixels  = 6 // most rows of a tile
	vectors = 8 // of weights, each of two columns and four steps
	columns = 4 // vectors of a row of C
)

// tile writes the matrix tile of n rows by 16 columns. Four steps of two rows of A fill a vector of eight bf16, and BFMMLA
// multiplies it with four steps of two columns of B. An odd last row is multiplied twice. The 32 registers hold 24 accumulators of 2x2,
// three pairs of rows, one vector of floats and four of weights: 14 loads and 6 conversions for 24 BFMMLA.
func tile(n int) {
	const c, cs, a, as, rs, rows, k, b, bias, residual, relu = "R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10"
	const left, span = "R11", "R12"
	const x, floats, weights = 24, 27, 28
	const sums, addends = 24, 28 // after the last multiplication
	pairs := (n + 1) / 2
	acc := func(pair, v int) int { return vectors*pair + v }
	row := func(p int) string { return fmt.Sprintf("R%d", 19+p) }

	Text(fmt.Sprintf("tile%dBF16", n), 0, "c", "cs", "a", "as", "rs", "rows", "k", "b", "bias", "residual", "relu")
	for _, stride := range []string{cs, as, rs} {
		Op("LSL $2, %s, %s", stride, stride) // from floats to bytes
	}
	Op("LSL $2, %s, %s", k, span)
	Op("SUB %s, %s, %s", span, rs, rs) // from the end of one row of taps to the start of the next
	Op("MOVD %s, %s", a, row(0))
	for p := 1; p < n; p++ {
		Op("ADD %s, %s, %s", as, row(p-1), row(p))
	}
	for i := range pairs * vectors {
		Op("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	Label("row")
	Op("MOVD %s, %s", k, left)
	Label("steps")
	for p := range n {
		Op("FMOVQ.P 16(%s), F%d", row(p), floats)
		Bfcvtn8H(Half(p%2), x+p/2, floats)
	}
	if n%2 == 1 {
		Bfcvtn8H(High, x+n/2, floats)
	}
	for v := range vectors {
		Op("FMOVQ.P 16(%s), F%d", b, weights+v%4)
		for pair := range pairs {
			Bfmmla4S(acc(pair, v), x+pair, weights+v%4)
		}
	}
	Op("SUBS $4, %s", left)
	Op("BNE steps")
	for p := range n {
		Op("ADD %s, %s", rs, row(p))
	}
	Op("SUBS $1, %s", rows)
	Op("BNE row")

	add := func() {
		for q := range columns {
			Fadd4S(sums+q, sums+q, addends+q)
		}
	}
	for p := range n {
		zip := "VZIP" + fmt.Sprint(1+p%2) // a row of the matrices of a pair
		for q := range columns {
			Op("%s V%d.D2, V%d.D2, V%d.D2", zip, acc(p/2, 2*q+1), acc(p/2, 2*q), sums+q)
		}
		Op("VLD1 (%s), [V28.S4, V29.S4, V30.S4, V31.S4]", bias)
		add()
		Op("CBZ %s, activate%d", residual, p)
		Op("VLD1 (%s), [V28.S4, V29.S4, V30.S4, V31.S4]", residual)
		Op("ADD %s, %s", cs, residual)
		add()
		Label("activate%d", p)
		Op("CBZ %s, store%d", relu, p)
		Op("VEOR V%d.B16, V%d.B16, V%d.B16", addends, addends, addends)
		for q := range columns {
			Fmax4S(sums+q, sums+q, addends)
		}
		Label("store%d", p)
		Op("VST1 [V24.S4, V25.S4, V26.S4, V27.S4], (%s)", c)
		Op("ADD %s, %s", cs, c)
	}
	Op("RET")
}
