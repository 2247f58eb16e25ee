package kernel8

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// eachWinograd runs a test for every algorithm of every set, with plain Go's kernels of the same algorithm.
func eachWinograd(t *testing.T, test func(t *testing.T, w, plain *Winograd)) {
	t.Helper()
	each(t, func(t *testing.T, s *Set) {
		for i, w := range s.algorithms() {
			if w != nil {
				test(t, w, generic.algorithms()[i])
			}
		}
	})
}

func (s *Set) algorithms() []*Winograd { return []*Winograd{s.F4, s.F2, s.Stride2} }

func (w *Winograd) String() string {
	return fmt.Sprintf("F(%dx%d), stride %d", w.Height, w.Width, w.Stride)
}

func TestWinogradInput(t *testing.T) {
	t.Parallel()
	eachWinograd(t, func(t *testing.T, w, plain *Winograd) {
		source, output := kerneltest.NewRegion[uint8](t, 1<<14, 0), kerneltest.NewRegion[int16](t, 1<<14, guard)
		side := w.side()
		for trial := range 100 {
			r := rand.New(rand.NewPCG(uint64(trial), 10))
			channels := 16 * (1 + r.IntN(12))
			rs, vs := side*channels+r.IntN(70), channels+r.IntN(50)
			x := source.Copy(bytes(r, (side-1)*rs+side*channels))
			if trial%10 == 0 {
				for i := range x {
					x[i] = 255 * uint8(r.IntN(2))
				}
			}
			want := slices.Repeat([]int16{guard}, (w.Positions()-1)*vs+channels)
			plain.input(want, vs, x, rs, channels)
			got := output.Slice(len(want))
			w.Input(got, vs, x, rs, channels)
			output.Check(t, "Input")
			if !slices.Equal(got, want) {
				t.Fatalf("%s, trial %d, %d channels: differs from plain Go", w, trial, channels)
			}
		}
	})
}

// TestWinogradInputIsExact compares the transform with that of package kernel, in float32, which holds such numbers exactly, and
// its extremes with Bound.
func TestWinogradInputIsExact(t *testing.T) {
	t.Parallel()
	const channels = 16
	for _, w := range generic.algorithms() {
		side := w.side()
		bound := w.Bound()
		largest := make([]int, w.Positions())
		floats := kernel.Sets()[0]
		for trial := range 2000 {
			r := rand.New(rand.NewPCG(uint64(trial), 14))
			x := bytes(r, side*side*channels)
			if trial > 0 { // black and white
				for i := range x {
					x[i] = 255 * (x[i] & 1)
				}
			}
			exact, v := make([]float32, len(x)), make([]int16, w.Positions()*channels)
			for i := range x {
				exact[i] = float32(x[i])
			}
			want := make([]float32, len(v))
			floats.Input(w.Winograd, want, channels, exact, side*channels, channels)
			w.Input(v, channels, x, side*channels, channels)
			for i, got := range v {
				if float32(got) != want[i] {
					t.Fatalf("%s, trial %d: position %d is %d, want %g", w, trial, i/channels, got, want[i])
				}
				largest[i/channels] = max(largest[i/channels], int(got), -int(got))
			}
		}
		for i, got := range largest {
			if most := bound[w.Matrix(i)]; got > most || 3*got < most {
				t.Errorf("%s: position %d reaches %d, want at most %d and not much less", w, i, got, most)
			}
		}
		if most := slices.Max(bound); most > math.MaxInt16 {
			t.Errorf("%s: %d does not fit into 16 bits", w, most)
		}
	}
}

func TestWinogradMultiply(t *testing.T) {
	t.Parallel()
	eachWinograd(t, func(t *testing.T, w, _ *Winograd) {
		source, weights := kerneltest.NewRegion[int16](t, 1<<12, 0), kerneltest.NewRegion[int16](t, 1<<13, 0)
		output := kerneltest.NewRegion[int32](t, 1<<10, guard)
		for n := 1; n <= 3*w.MR; n++ {
			for k := 2; k <= 130; k += 2 {
				r := rand.New(rand.NewPCG(uint64(n), uint64(k)))
				panels := 1 + r.IntN(3)
				columns := panels * w.NR
				vs, ms := k+r.IntN(9), columns+r.IntN(9)
				v, u := source.Slice((n-1)*vs+k), weights.Slice(k*columns)
				for i := range v {
					v[i] = int16(r.IntN(2*17340+1) - 17340) // what Input makes
				}
				for i := range u {
					u[i] = int16(r.IntN(2*math.MaxInt16+1) - math.MaxInt16) // what Pack makes; sums that overflow wrap around
				}
				m := output.Slice((n-1)*ms + columns)
				w.Multiply(Product{M: n, N: columns, K: k, A: v, LDA: vs, B: u, C: m, LDC: ms})
				output.Check(t, "Product")
				for i, got := range m {
					tile, c := i/ms, i%ms
					want := int32(guard)
					if c < columns {
						panel := u[c/w.NR*k*w.NR:]
						want = 0
						for i := range k {
							want += int32(v[tile*vs+i]) * int32(panel[(i/2*w.NR+c%w.NR)*2+i%2])
						}
					}
					if got != want {
						t.Fatalf("%d tiles and %d panels, %d deep: tile %d, column %d is %d, want %d", n, panels, k, tile, c, got, want)
					}
				}
			}
		}
	})
}

func TestWinogradOutput(t *testing.T) {
	t.Parallel()
	eachWinograd(t, func(t *testing.T, w, plain *Winograd) {
		sums, output := kerneltest.NewRegion[int32](t, 1<<14, 0), kerneltest.NewRegion[uint8](t, 1<<12, guard)
		muls, biases, rest := kerneltest.NewRegion[float32](t, 1<<13, 0), kerneltest.NewRegion[float32](t, 1<<8, 0), kerneltest.NewRegion[uint8](t, 1<<12, 0)
		for trial := range 200 {
			r := rand.New(rand.NewPCG(uint64(trial), 11))
			channels, rows, columns := 16*(1+r.IntN(8)), 1+r.IntN(w.Height), 1+r.IntN(w.Width)
			rs, ms := w.Width*channels+r.IntN(40), channels+r.IntN(40)
			m := sums.Slice((w.Positions()-1)*ms + channels)
			for i := range m {
				m[i] = int32(r.Uint32())
			}
			mul, bias := muls.Slice(w.Positions()*channels), biases.Slice(channels)
			for i := range mul {
				mul[i] = r.Float32() * 2e-8
			}
			for i := range bias {
				bias[i] = float32(r.NormFloat64() * 100)
			}
			last := (rows-1)*rs + columns*channels
			var residual []uint8
			if r.IntN(2) == 0 {
				residual = rest.Copy(bytes(r, last))
			}
			o := Outputs{slices.Repeat([]uint8{guard}, last), rs, channels, rows, columns, m, ms, mul, bias, residual, r.Float32()}
			plain.output(o)
			want := o.Y
			o.Y = output.Slice(last)
			w.Output(o)
			output.Check(t, "Output")
			if !slices.Equal(o.Y, want) {
				t.Fatalf("%s, trial %d, %d channels, %d x %d: differs from plain Go", w, trial, channels, rows, columns)
			}
		}
	})
}

// TestWinograd compares the whole algorithm with the definition of a convolution, extremes of pixels and weights and many
// channels among the data. Weights are off by at most half a unit each, which bounds what outputs are off by.
func TestWinograd(t *testing.T) {
	t.Parallel()
	eachWinograd(t, func(t *testing.T, w, _ *Winograd) {
		side := w.side()
		positions := w.Positions()
		for trial, in := range []int{16, 48, 64, 512, 2048} {
			r := rand.New(rand.NewPCG(uint64(trial), 12))
			out := w.NR
			kernels := make([]int8, out*in*9)
			for i := range kernels {
				kernels[i] = int8(r.Uint32())
				switch i / (in * 9) % 4 {
				case 0: // some outputs are as far from zero as can be
					kernels[i] = -128
				case 1: // and some have no weights
					kernels[i] = 0
				}
			}
			at := func(o, i int) []int8 { return kernels[(o*in+i)*9:][:9] }
			x := bytes(r, side*side*in)
			if trial%2 == 0 {
				for i := range x {
					x[i] = 255
				}
			}
			u, mul := make([]int16, w.Matrices()*out*in), make([]float32, positions*out)
			v, m := make([]int16, positions*in), make([]int32, positions*out)
			factor := 1 / (100 * 128 * float32(in)) // outputs are bytes
			w.Pack(u, mul, w.Bound(), 0, out, in, func(int) float32 { return factor }, at)
			w.Input(v, in, x, side*in, in)
			for i := range positions {
				w.Multiply(Product{M: 1, N: out, K: in, A: v[i*in:], LDA: in, B: u[w.Matrix(i)*in*out:], C: m[i*out:], LDC: out})
			}
			y, bias := make([]uint8, w.Height*w.Width*out), slices.Repeat([]float32{128}, out)
			w.Output(Outputs{Y: y, RowStride: w.Width * out, Channels: out, Rows: w.Height, Columns: w.Width, Sums: m, SumStride: out, Mul: mul, Bias: bias})
			for i, got := range y {
				o, row, column := i%out, i/out/w.Width, i/out%w.Width
				want := 0
				for c := range in {
					for tap, weight := range at(o, c) {
						want += int(weight) * int(x[((w.Stride*row+tap/3)*side+w.Stride*column+tap%3)*in+c])
					}
				}
				off := 0.5 + 1e-3
				for position := range positions {
					for _, value := range v[position*in:][:in] {
						// An output's factors of a position are at most 8 in both dimensions.
						off += 64 * 0.5 * math.Abs(float64(value)) * float64(mul[(o/8*positions+position)*8+o%8])
					}
				}
				if exact := float64(want)*float64(factor) + 128; math.Abs(float64(got)-min(255, max(0, exact))) > min(off, 2) {
					t.Fatalf("%s, %d channels, output %d of pixel %d, %d: %d, want %g, at most %g off", w, in, o, row, column, got, exact, off)
				}
			}
		}
	})
}

// TestPackCannotOverflow checks Pack's promise on its result: even the largest transforms of pixels that exist, with the sign of
// each weight, sum to 32 bits.
func TestPackCannotOverflow(t *testing.T) {
	t.Parallel()
	eachWinograd(t, func(t *testing.T, w, _ *Winograd) {
		bound, out := w.Bound(), w.NR
		for _, in := range []int{2, 64, 512, 4096} {
			for name, weight := range map[string]func() int8{
				"equal": func() int8 { return -127 }, "one": func() int8 { return 1 }, "none": func() int8 { return 0 },
				"random": func() int8 { return int8(rand.Uint32()) },
				"few":    func() int8 { return int8(127 * max(0, rand.IntN(50)-48)) },
			} {
				kernel := make([]int8, 9)
				u, mul := make([]int16, w.Matrices()*out*in), make([]float32, w.Positions()*out)
				w.Pack(u, mul, bound, 0, out, in, func(int) float32 { return 1 }, func(int, int) []int8 {
					for i := range kernel {
						kernel[i] = weight()
					}
					return kernel
				})
				for matrix := range w.Matrices() {
					sums := make([]int, out)
					for i, value := range u[matrix*in*out:][:in*out] {
						sums[i/2%out] += max(int(value), -int(value)) * bound[matrix]
					}
					largest := slices.Max(sums)
					if largest > math.MaxInt32 {
						t.Errorf("%s, %d channels, %s: matrix %d can sum to %d", w, in, name, matrix, largest)
					}
					if in >= 512 && name == "random" && w.Height == 4 && largest < math.MaxInt32*9/10 {
						t.Errorf("%s, %d channels, %s: matrix %d sums to at most %d, so weights could be finer", w, in, name, matrix, largest)
					}
				}
			}
		}
	})
}
