package kernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// packed20 is weights of so many rows and panels, in 20 bits, with what kernels take for each.
func packed20(weights []float32, rows, panels, columns int) (b []uint32, value func(l, j int) float64) {
	each := Len20(rows, columns)
	b = make([]uint32, panels*each)
	for panel := range panels {
		Pack20(b[panel*each:][:each], columns, weights[panel*rows*columns:][:rows*columns])
	}
	return b, func(l, j int) float64 {
		panel := b[j/columns*each:]
		if l >= rows/depth20*depth20 {
			return float64(weight20(panel, rows, columns, l, j%columns))
		}
		return float64(word20(panel, columns, l, j%columns)) * float64(math.Float32frombits(panel[j%columns]))
	}
}

// TestPack20 checks that no weight is off by more than half a unit, and the first of three by more than half of a sixteenth, where a
// column's largest weight is 1<<19 - 1 units, and that weights of rows that are left are what they were. Kernels round words to floats.
func TestPack20(t *testing.T) {
	t.Parallel()
	const columns = 16
	for rows := depth20; rows < 4*depth20; rows++ {
		for trial := range 20 {
			weights := newSource(uint64(trial), false).floats(rows * columns)
			for l := range rows { // zeros, tiny weights, some that are too small, and extremes of both signs
				weights[l*columns+3] = 0
				weights[l*columns+12] *= 1e-25
				weights[l*columns+7] *= 1e-40
				weights[l*columns+9] = 9 * float32(1-2*(l%2))
			}
			weights[trial%depth20*columns+5], weights[trial%depth20*columns+13] = 9, -9
			_, value := packed20(weights, rows, 1, columns)
			for j := range columns {
				largest := 0.0
				for l := range rows / depth20 * depth20 {
					largest = max(largest, math.Abs(float64(weights[l*columns+j])))
				}
				for l := range rows {
					want, unit := float64(weights[l*columns+j]), largest/(1<<19-1)
					bound := unit * (0.5 + 1e-3)
					switch {
					case l >= rows/depth20*depth20:
						bound = 0
					case largest < 1e-30:
						want, bound = 0, 0
					case (2*l+j/(columns/2))%3 == 0:
						bound = unit / 16 * (0.5 + 1e-2)
					}
					if got := value(l, j); math.Abs(got-want) > bound {
						t.Fatalf("%d rows: row %d, column %d: %g, want %g within %g", rows, l, j, got, want, bound)
					}
				}
			}
		}
	}
}

// TestMultiply20 compares every tile height, alone and with others, with a reference in float64: rows of A that have one element give what
// a weight is taken for, others are within the bound of a sum of that many rounded terms.
func TestMultiply20(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		if s.multiply20 == nil {
			if s.Level == cpu.AVX2 || s.Level == cpu.Generic {
				t.Fatal("this level has lost its kernel")
			}
			t.Skip("this level has no such kernel")
		}
		const largest = 1 << 14
		inputs := kerneltest.NewRegion[float32](t, largest, guard)
		words, output := kerneltest.NewRegion[uint32](t, largest, 0x55555555), kerneltest.NewRegion[float32](t, largest, guard)
		for m := 1; m <= 3*s.MR; m++ {
			for k := depth20; k <= 64; k++ {
				if (k-m)%5 != 0 && m > s.MR {
					continue
				}
				for _, single := range []bool{true, false} {
					src := newSource(uint64(m*100+k), false)
					panels := 1 + src.IntN(3)
					columns := panels * s.NR
					packed, value := packed20(src.floats(k*columns), k, panels, s.NR)
					b := words.Copy(packed)
					as, cs := k+src.IntN(9), columns+src.IntN(40)
					a := inputs.Copy(src.floats((m-1)*as + k))
					if single {
						for row := range m {
							clear(a[row*as:][:k])
							a[row*as+src.IntN(k)] = 1
						}
					}
					ahead := b[len(b)/2:]
					if src.IntN(4) == 0 {
						ahead = nil
					}
					got := output.Slice((m-1)*cs + columns)
					s.Multiply20(Product20{M: m, N: columns, K: k, A: a, LDA: as, B: b, C: got, LDC: cs, Ahead: ahead})
					output.Check(t, "Multiply20")
					for i, g := range got {
						row, j := i/cs, i%cs
						if j >= columns {
							if g != guard {
								t.Fatalf("m=%d k=%d: wrote between rows at %d", m, k, i)
							}
							continue
						}
						sum, magnitude := 0.0, 0.0
						for l := range k {
							product := float64(a[row*as+l]) * value(l, j)
							sum, magnitude = sum+product, magnitude+math.Abs(product)
						}
						terms := float64(k + 3)
						if single {
							terms = 2 // a word is rounded to a float, and its product with the scale
						}
						if math.Abs(float64(g)-sum) > terms*magnitude*0x1p-24 {
							t.Fatalf("m=%d panels=%d k=%d: [%d] = %g, want %g", m, panels, k, i, g, sum)
						}
					}
				}
			}
		}
	})
}

// TestMultiply20Panics checks that products that do not fit are refused.
func TestMultiply20Panics(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		if s.multiply20 == nil {
			t.Skip("this level has no such kernel")
		}
		good := func() Product20 {
			b, _ := packed20(make([]float32, 12*s.NR), 12, 1, s.NR)
			return Product20{M: 2, N: s.NR, K: 12, A: make([]float32, 24), LDA: 12, B: b, C: make([]float32, 2*s.NR), LDC: s.NR}
		}
		s.Multiply20(good())
		for name, spoil := range map[string]func(p *Product20){
			"no rows":      func(p *Product20) { p.M = 0 },
			"no columns":   func(p *Product20) { p.N = 0 },
			"half a panel": func(p *Product20) { p.N = s.NR / 2 },
			"too few rows": func(p *Product20) { p.K = depth20 - 1 },
			"short A":      func(p *Product20) { p.A = p.A[1:] },
			"short B":      func(p *Product20) { p.B = p.B[1:] },
			"short C":      func(p *Product20) { p.C = p.C[1:] },
		} {
			t.Run(name, func(t *testing.T) {
				p := good()
				spoil(&p)
				defer func() {
					if recover() == nil {
						t.Error("did not panic")
					}
				}()
				s.Multiply20(p)
			})
		}
	})
}

func BenchmarkMultiply20(b *testing.B) {
	const k, m = 512, 16
	for _, panels := range []int{4, 512} { // from the second-level cache, and from memory
		for _, s := range Sets()[1:] {
			if s.multiply20 == nil {
				continue
			}
			weights := newSource(1, false).floats(k * panels * s.NR)
			words, _ := packed20(weights, k, panels, s.NR)
			a := newSource(2, false).floats(m * k) // memory that was never written would be one page of zeros
			c, bias := make([]float32, m*panels*s.NR), make([]float32, panels*s.NR)
			for name, run := range map[string]func(){
				"floats": func() {
					s.Multiply(Product{M: m, N: panels * s.NR, K: k, Rows: 1, A: a, LDA: k, B: weights, C: c, LDC: panels * s.NR, Bias: bias})
				},
				"20 bits": func() {
					s.Multiply20(Product20{M: m, N: panels * s.NR, K: k, A: a, LDA: k, B: words, C: c, LDC: panels * s.NR})
				},
			} {
				b.Run(fmt.Sprintf("%s/%d panels/%s", s.Level, panels, name), func(b *testing.B) {
					for b.Loop() {
						run()
					}
					b.ReportMetric(float64(b.N)*m*k*float64(panels*s.NR)/b.Elapsed().Seconds()/1e9, "GMAC/s")
				})
			}
		}
	}
}
