package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
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
	kerneltest.Each(t, written, func(t *testing.T, level cpu.Level) { test(t, For(level)) })
}

// source makes data; integers are small enough for every order of summation to be exact.
type source struct {
	*rand.Rand
	integers bool
}

func newSource(seed uint64, integers bool) source {
	return source{rand.New(rand.NewPCG(seed, 18)), integers}
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

// guard fills what must not be written.
const guard = 1e30

// exact is Multiply in float64 for panels of so many columns, with the sum of magnitudes for an error bound.
func exact(columns, m, panels int, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool) (sums, magnitudes []float64) {
	n := (m-1)*cs + panels*columns
	sums, magnitudes = make([]float64, n), make([]float64, n)
	for p := range m {
		for j := range panels * columns {
			panel := b[j/columns*rows*k*columns:]
			sum, magnitude := float64(bias[j]), math.Abs(float64(bias[j]))
			for r := range rows {
				for i := range k {
					product := float64(a[p*as+r*rs+i]) * float64(panel[(r*k+i)*columns+j%columns])
					sum, magnitude = sum+product, magnitude+math.Abs(product)
				}
			}
			if residual != nil {
				sum, magnitude = sum+float64(residual[p*cs+j]), magnitude+math.Abs(float64(residual[p*cs+j]))
			}
			if relu {
				sum = max(0, sum)
			}
			sums[p*cs+j], magnitudes[p*cs+j] = sum, magnitude
		}
	}
	return sums, magnitudes
}

// TestMultiply compares every tile height, alone and with others, at every depth from 1 to 70 with a float64 reference: equal
// on integers, and on random numbers within the bound of a sum of that many rounded terms (Higham, "Accuracy and
// Stability of Numerical Algorithms", section 3.1).
func TestMultiply(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		const largest = 1 << 14
		inputs, weights := kerneltest.NewRegion[float32](t, largest, guard), kerneltest.NewRegion[float32](t, 2*largest, guard)
		biases, residuals := kerneltest.NewRegion[float32](t, largest, guard), kerneltest.NewRegion[float32](t, largest, guard)
		output := kerneltest.NewRegion[float32](t, largest, guard)
		for m := 1; m <= 3*s.MR; m++ {
			for k := 1; k <= 70; k++ {
				every := 1
				switch {
				case m > s.MR && testing.Short():
					every = 35
				case m > s.MR || testing.Short(): // emulated CPUs are slow
					every = 13
				}
				if (k-m)%every != 0 {
					continue
				}
				for _, integers := range []bool{true, false} {
					src := newSource(uint64(m*100+k), integers)
					rows, panels := 1+src.IntN(4), 1+src.IntN(3)
					columns := panels * s.NR
					as, cs := k+src.IntN(9), columns+src.IntN(40)
					if src.IntN(3) == 0 {
						as = src.IntN(k + 1) // windows may overlap
					}
					rs := k + src.IntN(100)
					a := inputs.Copy(src.floats((m-1)*as + (rows-1)*rs + k))
					b, bias := weights.Copy(src.floats(rows*k*columns)), biases.Copy(src.floats(columns))
					relu := src.IntN(2) == 0
					var residual []float32
					if src.IntN(2) == 0 {
						residual = residuals.Copy(src.floats((m-1)*cs + columns))
					}
					got := output.Slice((m-1)*cs + columns)
					s.Multiply(Product{M: m, N: columns, K: k, Rows: rows, RowStride: rs, A: a, LDA: as, B: b, C: got, LDC: cs,
						Bias: bias, Residual: residual, ReLU: relu, Ahead: b[len(b)/2:]})
					output.Check(t, "Multiply")
					want, magnitude := exact(s.NR, m, panels, cs, a, as, rs, rows, k, b, bias, residual, relu)
					for i, g := range got {
						if i%cs >= columns {
							if g != guard {
								t.Fatalf("m=%d k=%d: wrote between rows at %d", m, k, i)
							}
							continue
						}
						bound := 0.0
						if !integers {
							bound = float64(rows*k+3) * magnitude[i] * 0x1p-24
						}
						if math.Abs(float64(g)-want[i]) > bound {
							t.Fatalf("m=%d panels=%d rows=%d k=%d: [%d] = %g, want %g within %g", m, panels, rows, k, i, g, want[i], bound)
						}
					}
				}
			}
		}
	})
}

var winograds = map[string]*Winograd{"F2": F2, "F4": F4, "F4x2": F4x2, "Stride2": Stride2,
	"F2Low": TrimmedF2.Low, "F2Narrow": TrimmedF2.Narrow, "F2Small": TrimmedF2.Small,
	"F4Low": TrimmedF4.Low, "F4Narrow": TrimmedF4.Narrow, "F4Small": TrimmedF4.Small,
	"S2Low": TrimmedStride2.Low, "S2Narrow": TrimmedStride2.Narrow, "S2Small": TrimmedStride2.Small}

// TestWinograd compares the three transforms together with a direct convolution in float64.
func TestWinograd(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		for name, w := range winograds {
			if !s.has(w) {
				continue
			}
			for _, channels := range []int{16, 32, 48, 64} {
				for trial := range 20 {
					t.Run(fmt.Sprintf("%s/%d/%d", name, channels, trial), func(t *testing.T) {
						testWinograd(t, s, w, channels, newSource(uint64(trial), false))
					})
				}
			}
		}
	})
}

// testWinograd convolves each channel by itself: the product over channels is Multiply's.
func testWinograd(t *testing.T, s *Set, w *Winograd, channels int, src source) {
	positions := w.Positions()
	places := w.Place(positions-1) + 1
	rs := w.columns.size()*channels + src.IntN(50)
	region := func(n int) *kerneltest.Region[float32] { return kerneltest.NewRegion[float32](t, n, guard) }
	copied := func(x []float32) []float32 { return region(len(x)).Copy(x) }
	x := copied(src.floats((w.rows.size()-1)*rs + w.columns.size()*channels))
	kernels := src.floats(channels * 9)
	bias := copied(src.floats(channels))
	vs := channels + src.IntN(30)
	transformed := region((places-1)*vs + channels)
	v := transformed.Slice((places-1)*vs + channels)
	s.Input(w, v, vs, x, rs, channels)
	transformed.Check(t, "Input")
	m := region(len(v)).Slice(len(v))
	const factor = 1.5
	u := make([]float32, w.Matrices()*channels)
	for c := range channels {
		w.Weights(u[c:], channels, kernels[c*9:][:9], factor)
		for i := range positions {
			at := w.Place(i)*vs + c
			m[at] = v[at] * u[w.Matrix(i)*channels+c]
			v[at] = guard
		}
	}
	for i, value := range v {
		if value != guard {
			t.Fatalf("Input wrote %g at v[%d], which is no position's", value, i)
		}
	}
	rows, columns := 1+src.IntN(w.Height), 1+src.IntN(w.Width)
	last := (rows-1)*rs + columns*channels
	var residual []float32
	if src.IntN(2) == 0 {
		residual = copied(src.floats(last))
	}
	relu := src.IntN(2) == 0
	output := region(last)
	y := output.Slice(last)
	s.Output(w, Outputs{Y: y, RowStride: rs, Channels: channels, Rows: rows, Columns: columns, Sums: m, SumStride: vs,
		Bias: bias, Residual: residual, ReLU: relu})
	output.Check(t, "Output")
	for i, got := range y {
		row, column, c := i/rs, i%rs/channels, i%rs%channels
		if column >= columns {
			if got != guard {
				t.Fatalf("wrote between rows at %d", i)
			}
			continue
		}
		want := float64(bias[c])
		for r := range 3 {
			for q := range 3 {
				want += float64(x[(w.Stride*row+r)*rs+(w.Stride*column+q)*channels+c]) * float64(kernels[c*9+r*3+q]) * factor
			}
		}
		if residual != nil {
			want += float64(residual[i])
		}
		if relu {
			want = max(0, want)
		}
		// F4 loses about two digits: values grow by up to 10 squared on the way.
		if math.Abs(float64(got)-want) > 1e-4 {
			t.Fatalf("y[%d] = %g, want %g", i, got, want)
		}
	}
}

// TestInputEqualsGeneric compares the transforms with those in Go, bit for bit on integers.
func TestInputEqualsGeneric(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		for name, w := range winograds {
			if !s.has(w) {
				continue
			}
			src := newSource(1, true)
			x := src.floats(w.Positions() * 64)
			places := w.Place(w.Positions()-1) + 1
			got, want := make([]float32, places*64), make([]float32, places*64)
			s.Input(w, got, 64, x, w.columns.size()*64, 64)
			generic.Input(w, want, 64, x, w.columns.size()*64, 64)
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s: v[%d] = %g, want %g", name, i, got[i], want[i])
				}
			}
		}
	})
}

// TestStem compares the stem's transforms with a direct convolution in float64.
func TestStem(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		for tiles := 1; tiles <= 9; tiles++ {
			src := newSource(uint64(tiles), false)
			region := func(n int) *kerneltest.Region[float32] { return kerneltest.NewRegion[float32](t, n, guard) }
			const rows = 7
			width := 3 * (2*StemOutputs*(tiles-1) + StemPixels)
			ts, ls := rows*StemDeep+src.IntN(9), rows*StemDeepLast+src.IntN(9)
			vs := tiles*ts + src.IntN(20)
			transformed, transformedLast := region(5*vs+tiles*ts), region(tiles*ls)
			v, last := transformed.Slice(5*vs+(tiles-1)*ts+rows*StemDeep), transformedLast.Slice((tiles-1)*ls+rows*StemDeepLast)
			var x [rows][]float32
			for row := range x {
				x[row] = region(width + StemSlack).Copy(src.floats(width + StemSlack))
				s.StemInput(v[row*StemDeep:], vs, ts, last[row*StemDeepLast:], ls, x[row], tiles)
			}
			transformed.Check(t, "StemInput")
			transformedLast.Check(t, "StemInput")
			for i, value := range v { // between tiles, and between positions
				if inside := i%vs < tiles*ts && i%vs%ts < rows*StemDeep; inside == (value == guard) {
					t.Fatalf("%d tiles: v[%d] is %g", tiles, i, value)
				}
			}
			for i, value := range last {
				if inside := i%ls < rows*StemDeepLast; inside == (value == guard) {
					t.Fatalf("%d tiles: last[%d] is %g", tiles, i, value)
				}
			}

			// One output channel's taps serve all 64, times the channel's number.
			const factor = 1.5
			taps := src.floats(3 * rows * 7)
			ms := tiles*stemChannels + src.IntN(20)
			m := region((StemPositions-1)*ms + tiles*stemChannels).Slice((StemPositions-1)*ms + tiles*stemChannels)
			for i := range m {
				m[i] = 0
			}
			for row := range rows {
				for color := range 3 {
					u := StemWeights(taps[(color*rows+row)*7:][:7], factor)
					for tile := range tiles {
						for c := range stemChannels {
							for p := range StemPositions - 1 {
								at := v[p*vs+tile*ts+row*StemDeep:]
								m[p*ms+tile*stemChannels+c] += float32(c) * (at[color]*float32(u[p]) + at[3+color]*float32(u[StemPositions+p]))
							}
							m[(StemPositions-1)*ms+tile*stemChannels+c] += float32(c) * last[tile*ls+row*StemDeepLast+color] * float32(u[StemPositions-1])
						}
					}
				}
			}
			bias := region(stemChannels).Copy(src.floats(stemChannels))
			output := region(tiles * StemOutputs * stemChannels)
			y := output.Slice(tiles * StemOutputs * stemChannels)
			s.StemOutput(y, m, ms, bias, tiles)
			output.Check(t, "StemOutput")
			for i, got := range y {
				pixel, c := i/stemChannels, i%stemChannels
				want, magnitude := float64(bias[c]), 1.0
				for row := range rows {
					for j := range 3 * 7 {
						product := float64(c) * factor * float64(taps[(j%3*rows+row)*7+j/3]) * float64(x[row][6*pixel+j])
						want, magnitude = want+product, magnitude+math.Abs(product)
					}
				}
				if want = max(0, want); math.Abs(float64(got)-want) > 2e-5*magnitude {
					t.Fatalf("%d tiles: pixel %d, channel %d is %g, want %g", tiles, pixel, c, got, want)
				}
			}
		}
	})
}

func TestMaxPool(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		const largest = (2*9 + 1) * 128
		var inputs [3]*kerneltest.Region[float32]
		for i := range inputs {
			inputs[i] = kerneltest.NewRegion[float32](t, largest, guard)
		}
		output := kerneltest.NewRegion[float32](t, largest, guard)
		for _, channels := range []int{16, 32, 48, 64, 128} {
			for columns := 1; columns <= 9; columns++ {
				src := newSource(uint64(channels+columns), false)
				n := (2*columns + 1) * channels
				var r [3][]float32
				for i := range r {
					r[i] = inputs[i].Copy(src.floats(n))
				}
				got := output.Slice(columns * channels)
				s.MaxPool(got, r[0], r[1], r[2], columns, channels)
				output.Check(t, "MaxPool")
				for i, g := range got {
					want := float32(math.Inf(-1))
					for _, row := range r {
						for q := range 3 {
							want = max(want, row[(i/channels*2+q)*channels+i%channels])
						}
					}
					if g != want {
						t.Fatalf("%d columns of %d channels: y[%d] = %g, want %g", columns, channels, i, g, want)
					}
				}
			}
		}
	})
}

func TestPanicsOnShortSlices(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		for name, call := range map[string]func(){
			"multiply": func() {
				s.Multiply(Product{M: 1, N: s.NR, K: 8, Rows: 1, A: make([]float32, 8), LDA: 8, B: make([]float32, 8*s.NR),
					C: make([]float32, s.NR-1), LDC: s.NR, Bias: make([]float32, s.NR)})
			},
			"input": func() { s.Input(F4, make([]float32, 36*16), 16, make([]float32, 36*16-1), 6*16, 16) },
			"maxPool": func() {
				s.MaxPool(make([]float32, 16), make([]float32, 48), make([]float32, 47), make([]float32, 48), 1, 16)
			},
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic on a slice that is too short", name)
					}
				}()
				call()
			}()
		}
	})
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	kerneltest.Encodings(t, "neon_arm64.s")
}

// BenchmarkMultiply measures a tile of the tallest at a depth whose panel stays in the first-level cache.
func BenchmarkMultiply(b *testing.B) {
	if os.Getenv(cpu.Variable) != "" {
		b.Logf("all levels are measured whatever %s says", cpu.Variable)
	}
	for _, s := range Sets() {
		b.Run(s.Level.String(), func(b *testing.B) {
			const k = 128
			src := newSource(1, false)
			a, w, bias := src.floats(s.MR*k), src.floats(k*s.NR), src.floats(s.NR)
			c := make([]float32, s.MR*s.NR)
			for b.Loop() {
				s.Multiply(Product{M: s.MR, N: s.NR, K: k, Rows: 1, A: a, LDA: k, B: w, C: c, LDC: s.NR, Bias: bias})
			}
			b.ReportMetric(float64(s.MR*s.NR*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}
