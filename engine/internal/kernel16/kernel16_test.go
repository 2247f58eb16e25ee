package kernel16

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// each runs a test once for every set of kernels this CPU has.
func each(t *testing.T, test func(t *testing.T, s *Set)) {
	t.Helper()
	var written []cpu.Level
	for _, s := range assembly() {
		written = append(written, s.Level)
	}
	kerneltest.Each(t, written, func(t *testing.T, level cpu.Level) {
		s := For(level)
		if level == cpu.Generic {
			if s != nil {
				t.Errorf("For(generic) = %s, want none", s.Level)
			}
			s = &generic
		}
		test(t, s)
	})
}

// rounded is x with 8 significant bits, halves to even, by arithmetic in float64.
func rounded(x float32) float64 {
	if x == 0 || math.IsInf(float64(x), 0) {
		return float64(x)
	}
	_, exponent := math.Frexp(float64(x))
	ulp := math.Ldexp(1, max(exponent-8, -133)) // subnormal numbers have the last bit of 2^-133
	y := math.RoundToEven(float64(x)/ulp) * ulp
	if math.Abs(y) >= 0x1p128 {
		return math.Inf(int(math.Copysign(1, y)))
	}
	return y
}

func TestRound(t *testing.T) {
	t.Parallel()
	numbers := []float32{0, 1, 1 + 0x1p-8, 1 + 3*0x1p-8, 1 + 0x1p-8 + 0x1p-23, 1 + 0x1p-7 - 0x1p-23, math.MaxFloat32, 0x1.fep127, 0x1.ff7ffp127,
		math.SmallestNonzeroFloat32, 0x1p-126, 0x1.8p-134, float32(math.Inf(1))}
	r := rand.New(rand.NewPCG(16, 1))
	for range 100_000 {
		if x := math.Float32frombits(r.Uint32()); x == x {
			numbers = append(numbers, x)
		}
	}
	for _, x := range numbers {
		for _, x := range []float32{x, -x} {
			if got, want := Float(Round(x)), rounded(x); float64(got) != want {
				t.Fatalf("%g becomes %g, want %g", x, got, want)
			}
		}
	}
	for _, bits := range []uint32{0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0xFF800001} {
		if got := Float(Round(math.Float32frombits(bits))); got == got {
			t.Errorf("NaN of bits %x becomes %g", bits, got)
		}
	}
}

// source makes data; integers are exact in bf16, and small enough for every order of summation to be exact.
type source struct {
	*rand.Rand
	integers bool
}

func (s source) floats(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		if s.integers {
			x[i] = float32(s.IntN(17) - 8)
		} else {
			x[i] = float32(s.NormFloat64())
		}
	}
	return x
}

// all rounds numbers.
func all(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = rounded(v)
	}
	return y
}

const guard = 1e30

// TestMultiply compares every tile height, alone and with others, at many depths with a float64 reference: equal on integers, and on
// random numbers within the bound that the package promises.
func TestMultiply(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		const largest = 1 << 15
		floats := func() *kerneltest.Region[float32] { return kerneltest.NewRegion[float32](t, largest, guard) }
		as, biases, residuals, output := floats(), floats(), floats(), floats()
		weights := kerneltest.NewRegion[uint16](t, largest, 0)
		for trial := range 600 {
			src := source{rand.New(rand.NewPCG(uint64(trial), 16)), trial%2 == 0}
			p := Product{M: 1 + src.IntN(3*s.most), N: Columns * (1 + src.IntN(2)), K: Deep * (1 + src.IntN(20)), Rows: 1 + src.IntN(3), ReLU: src.IntN(2) == 0}
			p.LDA, p.RowStride, p.LDC = src.IntN(2*p.K), src.IntN(3*p.K), p.N+src.IntN(9)
			p.A = as.Copy(src.floats((p.M-1)*p.LDA + (p.Rows-1)*p.RowStride + p.K))
			p.Bias = biases.Copy(src.floats(p.N))
			end := (p.M-1)*p.LDC + p.N
			if src.IntN(2) == 0 {
				p.Residual = residuals.Copy(src.floats(end))
			}
			b := src.floats(p.Rows * p.K * p.N) // [panel][kernel row][K][Columns]
			p.B = weights.Slice(len(b))
			Pack(p.B, b)
			p.C = output.Slice(end)
			exactA, exactB := all(p.A), all(b)
			s.Multiply(p)
			output.Check(t, "Multiply")
			for i, got := range p.C {
				row, column := i/p.LDC, i%p.LDC
				if column >= p.N {
					if got != guard {
						t.Fatalf("trial %d: wrote between rows at %d", trial, i)
					}
					continue
				}
				want, magnitude := float64(p.Bias[column]), math.Abs(float64(p.Bias[column]))
				if p.Residual != nil {
					want, magnitude = want+float64(p.Residual[i]), magnitude+math.Abs(float64(p.Residual[i]))
				}
				panel := exactB[column/Columns*p.Rows*p.K*Columns:]
				for r := range p.Rows {
					for l := range p.K {
						product := exactA[row*p.LDA+r*p.RowStride+l] * panel[(r*p.K+l)*Columns+column%Columns]
						want, magnitude = want+product, magnitude+math.Abs(product)
					}
				}
				if p.ReLU {
					want = max(0, want)
				}
				bound := 0.0
				if !src.integers {
					bound = (float64(p.Rows*p.K)/2 + 4) * 0x1p-23 * magnitude
				}
				if math.Abs(float64(got)-want) > bound {
					t.Fatalf("trial %d, row %d, column %d: %g, want %g within %g", trial, row, column, got, want, bound)
				}
			}
		}
	})
}

func TestPanicsOnBadProducts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		good := func() Product {
			return Product{M: 2, N: Columns, K: 8, Rows: 1, A: make([]float32, 16), LDA: 8, B: make([]uint16, 8*Columns), C: make([]float32, 2*Columns),
				LDC: Columns, Bias: make([]float32, Columns)}
		}
		s.Multiply(good())
		for name, spoil := range map[string]func(p *Product){
			"columns":  func(p *Product) { p.N-- },
			"depth":    func(p *Product) { p.K-- },
			"a":        func(p *Product) { p.A = p.A[:15] },
			"b":        func(p *Product) { p.B = p.B[:8*Columns-1] },
			"c":        func(p *Product) { p.C = p.C[:2*Columns-1] },
			"bias":     func(p *Product) { p.Bias = p.Bias[1:] },
			"residual": func(p *Product) { p.Residual = p.C[1:] },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", name)
					}
				}()
				p := good()
				spoil(&p)
				s.Multiply(p)
			}()
		}
	})
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	kerneltest.Encodings(t, "tile_arm64.s")
}
