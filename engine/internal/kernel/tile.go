package kernel

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// Multiply multiplies m rows of a, each of rows*k floats, with panels of Columns weights for each, and adds what follows
// a convolution:
//
//	c[p*cs+j] = act(bias[j] + residual[p*cs+j] + sum over r, i of a[p*as+r*rs+i] * b[(q*rows*k+r*k+i)*Columns+j%Columns])
//
// for p below m, j below panels*Columns, and q = j/Columns. residual may be nil; act is max(0, x) when relu is set. With
// rows = 1 this is a matrix product; with rows the height of a kernel, k its width times the input channels and rs an
// image row, it is a convolution of m neighbouring pixels, as channels are last.
//
// While a panel is multiplied the next one is brought into the cache, a half by each of the first two tiles, and after
// the last one as many weights of ahead, which may be nil.
func (s *Set) Multiply(m, panels int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool, ahead []float32) {
	if m < 1 || panels < 1 || rows < 1 || k < 1 {
		panic(fmt.Sprintf("kernel: %d rows and %d panels, %d x %d deep", m, panels, rows, k))
	}
	columns := panels * s.Columns
	last := (m-1)*cs + columns - 1
	_, _, _, _ = c[last], a[(m-1)*as+(rows-1)*rs+k-1], b[rows*k*columns-1], bias[columns-1]
	if residual != nil {
		_ = residual[last]
	}
	if len(ahead) == 0 {
		ahead = b // is being read anyway
	}
	s.multiply(tiles.Cut(m, s.Rows), panels, c, cs, a, as, rs, rows, k, b, bias, residual, relu, ahead)
}

type (
	multiplyFunc func(m tiles.Rows, panels int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool, ahead []float32)
	// tileFunc is multiplyFunc for a single tile of n rows.
	tileFunc func(n int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool)
)

// tilesOf multiplies tile by tile.
func tilesOf(columns int, tile tileFunc) multiplyFunc {
	return func(m tiles.Rows, panels int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool, _ []float32) {
		for q := range panels {
			p, first := 0, q*columns
			for i := range m.Count() {
				n := m.Height(i)
				var beside []float32
				if residual != nil {
					beside = residual[p*cs+first:]
				}
				tile(n, c[p*cs+first:], cs, a[p*as:], as, rs, rows, k, b[rows*k*first:], bias[first:], beside, relu)
				p += n
			}
		}
	}
}

const genericColumns = 16

func tileGeneric(n int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool) {
	for p := range n {
		sum := [genericColumns]float32(bias[:genericColumns])
		for r := range rows {
			for i, x := range a[p*as+r*rs:][:k] {
				for j, w := range (*[genericColumns]float32)(b[(r*k+i)*genericColumns:]) {
					sum[j] += x * w
				}
			}
		}
		for j := range sum {
			if residual != nil {
				sum[j] += residual[p*cs+j]
			}
			if relu {
				sum[j] = max(0, sum[j])
			}
		}
		copy(c[p*cs:], sum[:])
	}
}
