package kernel

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// Product is a matrix product and what follows it in a convolution:
//
//	C[i*LDC+j] = act(Bias[j] + Residual[i*LDC+j] + sum over r, l of A[i*LDA+r*RowStride+l] * B[(q*Rows*K+r*K+l)*NR+j%NR])
//
// for i below M, j below N, r below Rows, l below K, and q = j/NR. With Rows = 1 it is BLAS's GEMM, with B packed in
// panels of NR columns. With Rows the height of a kernel, K its width times the input channels and RowStride an image
// row, it is a convolution of M neighboring pixels, as channels are last.
type Product struct {
	M, N, K         int // N is a multiple of NR
	Rows, RowStride int // pieces of K floats that make up a row of A, and the distance between them
	A               []float32
	LDA             int // from one row of A to the next; rows may overlap
	B               []float32
	C               []float32
	LDC             int
	Bias            []float32
	Residual        []float32 // nil for none; may be C
	ReLU            bool      // act is max(0, x), else x
	// Ahead is the weights that are multiplied after these; may be nil. While a panel is multiplied the next one is
	// brought into a cache, a half by each of the first two tiles, and after the last one as many weights of Ahead.
	Ahead []float32
}

// Multiply computes a product.
func (s *Set) Multiply(p Product) {
	if p.M < 1 || p.N < 1 || p.N%s.NR != 0 || p.K < 1 || p.Rows < 1 {
		panic(fmt.Sprintf("kernel: product of %d x %d, %d x %d deep", p.M, p.N, p.Rows, p.K))
	}
	last := (p.M-1)*p.LDC + p.N - 1
	_, _, _, _ = p.C[last], p.A[(p.M-1)*p.LDA+(p.Rows-1)*p.RowStride+p.K-1], p.B[p.Rows*p.K*p.N-1], p.Bias[p.N-1]
	if p.Residual != nil {
		_ = p.Residual[last]
	}
	if len(p.Ahead) == 0 {
		p.Ahead = p.B // is being read anyway
	}
	s.multiply(tiles.Cut(p.M, s.MR), p)
}

type (
	multiplyFunc func(rows tiles.Rows, p Product)
	// tileFunc is Multiply for a single tile: M at most MR, N = NR.
	tileFunc func(p Product)
)

// tilesOf multiplies tile by tile.
func tilesOf(columns int, tile tileFunc) multiplyFunc {
	return func(rows tiles.Rows, p Product) {
		for q := 0; q < p.N; q += columns {
			t := p
			t.N, t.B, t.Bias = columns, p.B[p.Rows*p.K*q:], p.Bias[q:]
			row := 0
			for i := range rows.Count() {
				t.M = rows.Height(i)
				t.A, t.C = p.A[row*p.LDA:], p.C[row*p.LDC+q:]
				if p.Residual != nil {
					t.Residual = p.Residual[row*p.LDC+q:]
				}
				tile(t)
				row += t.M
			}
		}
	}
}

const genericColumns = 16

func tileGeneric(p Product) {
	for row := range p.M {
		for j := 0; j < genericColumns; j += 4 { // as many sums as stay in registers
			s0, s1, s2, s3 := p.Bias[j], p.Bias[j+1], p.Bias[j+2], p.Bias[j+3]
			for r := range p.Rows {
				b := p.B[r*p.K*genericColumns+j:]
				for i, x := range p.A[row*p.LDA+r*p.RowStride:][:p.K] {
					w := (*[4]float32)(b[i*genericColumns:])
					s0 += x * w[0]
					s1 += x * w[1]
					s2 += x * w[2]
					s3 += x * w[3]
				}
			}
			sum := [4]float32{s0, s1, s2, s3}
			for l := range sum {
				if p.Residual != nil {
					sum[l] += p.Residual[row*p.LDC+j+l]
				}
				if p.ReLU {
					sum[l] = max(0, sum[l])
				}
			}
			copy(p.C[row*p.LDC+j:], sum[:])
		}
	}
}
