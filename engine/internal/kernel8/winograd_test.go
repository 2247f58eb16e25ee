package kernel8

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// eachWinograd runs a test for every set that has Winograd's kernels.
func eachWinograd(t *testing.T, test func(t *testing.T, w *Winograd)) {
	t.Helper()
	each(t, func(t *testing.T, s *Set) {
		if s.Winograd != nil {
			test(t, s.Winograd)
		}
	})
}

func TestWinogradInput(t *testing.T) {
	t.Parallel()
	eachWinograd(t, func(t *testing.T, w *Winograd) {
		source, output := kerneltest.NewRegion[uint8](t, 1<<14, 0), kerneltest.NewRegion[int16](t, 1<<14, guard)
		for trial := range 100 {
			r := rand.New(rand.NewPCG(uint64(trial), 10))
			channels := 16 * (1 + r.IntN(12))
			rs, vs := 4*channels+r.IntN(70), channels+r.IntN(50)
			x := source.Copy(bytes(r, 3*rs+4*channels))
			if trial%10 == 0 {
				for i := range x {
					x[i] = 255 * uint8(r.IntN(2))
				}
			}
			want := slices.Repeat([]int16{guard}, (Positions-1)*vs+channels)
			inputGeneric(want, vs, x, rs, channels)
			got := output.Slice(len(want))
			w.Input(got, vs, x, rs, channels)
			output.Check(t, "Input")
			if !slices.Equal(got, want) {
				t.Fatalf("trial %d, %d channels: other than plain Go's", trial, channels)
			}
		}
	})
}

func TestWinogradMultiply(t *testing.T) {
	t.Parallel()
	eachWinograd(t, func(t *testing.T, w *Winograd) {
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
					v[i] = int16(r.IntN(2041) - 1020) // what Input makes
				}
				for i := range u {
					u[i] = int16(r.IntN(2305) - 1152) // what Pack makes
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
	eachWinograd(t, func(t *testing.T, w *Winograd) {
		sums, output := kerneltest.NewRegion[int32](t, 1<<14, 0), kerneltest.NewRegion[uint8](t, 1<<12, guard)
		muls, biases, rest := kerneltest.NewRegion[float32](t, 1<<8, 0), kerneltest.NewRegion[float32](t, 1<<8, 0), kerneltest.NewRegion[uint8](t, 1<<12, 0)
		for trial := range 200 {
			r := rand.New(rand.NewPCG(uint64(trial), 11))
			channels, rows, columns := 16*(1+r.IntN(8)), 1+r.IntN(M), 1+r.IntN(M)
			rs, ms := M*channels+r.IntN(40), channels+r.IntN(40)
			m := sums.Slice((Positions-1)*ms + channels)
			for i := range m {
				m[i] = int32(r.Uint32()) // sums that run over on the way are among them
			}
			mul, bias := muls.Slice(channels), biases.Slice(channels)
			for i := range mul {
				mul[i], bias[i] = r.Float32()*2e-7, float32(r.NormFloat64()*100)
			}
			last := (rows-1)*rs + columns*channels
			var residual []uint8
			if r.IntN(2) == 0 {
				residual = rest.Copy(bytes(r, last))
			}
			factor := r.Float32()
			want := slices.Repeat([]uint8{guard}, last)
			outputGeneric(Outputs{want, rs, channels, rows, columns, m, ms, mul, bias, residual, factor})
			got := output.Slice(last)
			w.Output(Outputs{got, rs, channels, rows, columns, m, ms, mul, bias, residual, factor})
			output.Check(t, "Output")
			if !slices.Equal(got, want) {
				t.Fatalf("trial %d, %d channels, %d x %d: other than plain Go's", trial, channels, rows, columns)
			}
		}
	})
}

// TestWinogradIsExact holds the whole algorithm to the definition of a convolution, extremes of pixels and weights and
// the most channels that are promised among the data.
func TestWinogradIsExact(t *testing.T) {
	t.Parallel()
	eachWinograd(t, func(t *testing.T, w *Winograd) {
		for trial, in := range []int{16, 48, 64, 512, 1824} {
			r := rand.New(rand.NewPCG(uint64(trial), 12))
			out := w.NR
			kernels := make([]int8, out*in*9)
			for i := range kernels {
				kernels[i] = int8(r.Uint32())
				if i/(in*9)%4 == 0 { // some outputs are as far from zero as can be
					kernels[i] = -128
				}
			}
			kernel := func(o, i int) []int8 { return kernels[(o*in+i)*9:][:9] }
			x := bytes(r, 16*in)
			if trial%2 == 0 {
				for i := range x {
					x[i] = 255
				}
			}
			u, v, m := make([]int16, Positions*out*in), make([]int16, Positions*in), make([]int32, Positions*out)
			w.Pack(u, 0, out, in, kernel)
			w.Input(v, in, x, 4*in, in)
			for position := range Positions {
				w.Multiply(Product{M: 1, N: out, K: in, A: v[position*in:], LDA: in, B: u[position*in*out:], C: m[position*out:], LDC: out})
			}
			for o := range out {
				for pixel, got := range outputs(m[o:], out) {
					var want int32
					for i := range in {
						for tap, weight := range kernel(o, i) {
							want += int32(weight) * int32(x[((pixel/M+tap/3)*4+pixel%M+tap%3)*in+i])
						}
					}
					if got != 4*want {
						t.Fatalf("%d channels, output %d, pixel %d: %d, want 4 times %d", in, o, pixel, got, want)
					}
				}
			}
		}
	})
}

// outputs is At m A.
func outputs(m []int32, ms int) (y [M * M]int32) {
	at := [M][4]int32{{1, 1, 1, 0}, {0, 1, -1, -1}}
	for i := range y {
		for position := range Positions {
			y[i] += at[i/M][position/4] * m[position*ms] * at[i%M][position%4]
		}
	}
	return y
}
