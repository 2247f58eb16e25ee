package kernel

import "fmt"

// Tile multiplies n rows of a, each of rows*k floats, with a panel of Columns weights for each, and adds what
// follows a convolution:
//
//	c[p*cs+j] = act(bias[j] + residual[p*cs+j] + sum over r, i of a[p*as+r*rs+i] * b[(r*k+i)*Columns+j])
//
// for p below n (1..Rows) and j below Columns. residual may be nil; act is max(0, x) when relu is set. With
// rows = 1 this is a matrix product; with rows the height of a kernel, k its width times the input channels
// and rs an image row, it is a convolution of n neighbouring pixels, as channels are last.
//
// ahead is weights that will be wanted next: half as many of them as b has are brought into the cache meanwhile. It
// may be nil.
func (s *Set) Tile(n int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool, ahead []float32) {
	last := (n-1)*cs + s.Columns - 1
	if n < 1 || n > s.Rows || rows < 1 || k < 1 {
		panic(fmt.Sprintf("kernel: tile of %d rows, %d x %d deep", n, rows, k))
	}
	_, _, _, _ = c[last], a[(n-1)*as+(rows-1)*rs+k-1], b[rows*k*s.Columns-1], bias[s.Columns-1]
	if residual != nil {
		_ = residual[last]
	}
	if len(ahead) == 0 {
		ahead = b // is being read anyway
	}
	s.tile(n, c, cs, a, as, rs, rows, k, b, bias, residual, relu, ahead)
}

func tileGeneric(n int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool, _ []float32) {
	const columns = 16
	for p := range n {
		sum := [columns]float32(bias[:columns])
		for r := range rows {
			for i, x := range a[p*as+r*rs:][:k] {
				for j, w := range (*[columns]float32)(b[(r*k+i)*columns:]) {
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
