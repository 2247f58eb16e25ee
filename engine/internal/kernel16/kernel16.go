// Package kernel16 multiplies matrices in bf16 for convolutions over activations with channels last: it is Multiply of
// package kernel with operands rounded to bfloat16, the upper 16 bits of a float32. There is plain Go, which is the reference,
// and assembly for CPUs that multiply such numbers.
//
// Both operands are rounded to nearest, halves to even. Products are exact; they are summed in float32, in an order and with
// a rounding that each CPU has for itself. What is promised is a bound: a sum of n products, with what is added to it, is off
// by at most (n/2 + 4) * 2^-23 of the sum of their magnitudes.
package kernel16

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

//go:generate sh -c "go run ./_neon > tile_arm64.s"

const (
	// Columns is the number of columns of a panel. Channels of outputs are a multiple of it.
	Columns = 16
	// Deep is what K must be a multiple of.
	Deep = 4
)

// Round returns the bfloat16 nearest to x, halves to even. NaN stays NaN.
func Round(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x { //nolint:gocritic // NaN, which may have ones in the lower half only
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7FFF + bits>>16&1) >> 16)
}

// Float is the value of a bfloat16.
func Float(x uint16) float32 { return math.Float32frombits(uint32(x) << 16) }

// Pack rounds a panel as package kernel's Multiply reads it, [K][Columns], to one as Multiply here does:
// [K/Deep][Columns][Deep].
func Pack(to []uint16, from []float32) {
	for i, w := range from {
		row, column := i/Columns, i%Columns
		to[(row/Deep*Columns+column)*Deep+row%Deep] = Round(w)
	}
}

// Product is kernel.Product with B in bf16:
//
//	C[i*LDC+j] = act(Bias[j] + Residual[i*LDC+j] + sum over r, l of round(A[i*LDA+r*RowStride+l]) * B of r, l, j)
//
// for i below M, j below N, r below Rows and l below K.
type Product struct {
	M, N, K         int // N is a multiple of Columns, K of Deep
	Rows, RowStride int
	A               []float32
	LDA             int
	B               []uint16 // N/Columns panels, each of Rows*K rows, as Pack writes them
	C               []float32
	LDC             int
	Bias            []float32
	Residual        []float32 // nil for none; may be C
	ReLU            bool
}

// Set is the kernels of one level. It is read-only and safe for concurrent use.
type Set struct {
	Level cpu.Level

	most int           // rows of C that are computed together
	tile func(Product) // M at most most, N = Columns
}

var generic = Set{Level: cpu.Generic, most: 4, tile: tileGeneric}

// For returns the best kernels that the given level includes, and nil if it has no instructions for bf16: plain Go is for
// tests.
func For(level cpu.Level) (best *Set) {
	for _, s := range assembly() {
		if level.Includes(s.Level) {
			best = s
		}
	}
	return best
}

// Sets lists the kernels that this CPU can run, plain Go first: what tests compare.
func Sets() []*Set {
	sets := []*Set{&generic}
	for _, s := range assembly() {
		if slices.Contains(cpu.Levels(), s.Level) {
			sets = append(sets, s)
		}
	}
	return sets
}

// Multiply computes a product. It panics if a slice is too short.
func (s *Set) Multiply(p Product) {
	if p.M < 1 || p.N < 1 || p.N%Columns != 0 || p.K < 1 || p.K%Deep != 0 || p.Rows < 1 {
		panic(fmt.Sprintf("kernel16: product of %d x %d, %d x %d deep", p.M, p.N, p.Rows, p.K))
	}
	last := (p.M-1)*p.LDC + p.N - 1
	_, _, _, _ = p.C[last], p.A[(p.M-1)*p.LDA+(p.Rows-1)*p.RowStride+p.K-1], p.B[p.Rows*p.K*p.N-1], p.Bias[p.N-1]
	if p.Residual != nil {
		_ = p.Residual[last]
	}
	rows := tiles.Cut(p.M, s.most)
	for column := 0; column < p.N; column += Columns {
		t := p
		t.N, t.B, t.Bias = Columns, p.B[p.Rows*p.K*column:], p.Bias[column:]
		row := 0
		for i := range rows.Count() {
			t.M = rows.Height(i)
			t.A, t.C = p.A[row*p.LDA:], p.C[row*p.LDC+column:]
			if p.Residual != nil {
				t.Residual = p.Residual[row*p.LDC+column:]
			}
			s.tile(t)
			row += t.M
		}
	}
}

func tileGeneric(p Product) {
	for row := range p.M {
		var sums [Columns]float32
		for r := range p.Rows {
			b := p.B[r*p.K*Columns:]
			for a := p.A[row*p.LDA+r*p.RowStride:][:p.K]; len(a) > 0; a, b = a[Deep:], b[Deep*Columns:] {
				x0, x1, x2, x3 := Float(Round(a[0])), Float(Round(a[1])), Float(Round(a[2])), Float(Round(a[3]))
				w := (*[Deep * Columns]uint16)(b)
				for j := range sums {
					sum := sums[j]
					sum += x0 * Float(w[Deep*j])
					sum += x1 * Float(w[Deep*j+1])
					sum += x2 * Float(w[Deep*j+2])
					sum += x3 * Float(w[Deep*j+3])
					sums[j] = sum
				}
			}
		}
		for j, sum := range sums {
			sum += p.Bias[j]
			if p.Residual != nil {
				sum += p.Residual[row*p.LDC+j]
			}
			if p.ReLU {
				sum = max(0, sum)
			}
			p.C[row*p.LDC+j] = sum
		}
	}
}
