package kernel8

import (
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
	kerneltest.Each(t, written, func(t *testing.T, level cpu.Level) { test(t, For(level)) })
}

func bytes(r *rand.Rand, n int) []uint8 {
	b := make([]uint8, n)
	for i := range b {
		b[i] = uint8(r.Uint32())
	}
	return b
}

const guard = 0xA5

// TestConvolve compares every level with the definition, bit for bit. Extremes of both operands are
// among the data: sums of two products reach 65280 in magnitude, where 16 bits would saturate.
func TestConvolve(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		const largest = 1 << 16
		source, output := kerneltest.NewRegion[uint8](t, largest, 0), kerneltest.NewRegion[uint8](t, largest, guard)
		packed, rest := kerneltest.NewRegion[int8](t, 4*largest, 0), kerneltest.NewRegion[uint8](t, largest, 0)
		widened := kerneltest.NewRegion[int8](t, 4*largest, 0)
		muls, biases := kerneltest.NewRegion[float32](t, largest, 0), kerneltest.NewRegion[float32](t, largest, 0)
		for trial := range 400 {
			r := rand.New(rand.NewPCG(uint64(trial), 8))
			deep := 1 + r.IntN(80)
			g := Geometry{Rows: 1 + r.IntN(7), Steps: (deep + 3) / 4}
			g.PixelStride = r.IntN(2 * deep)
			g.RowStride = 4*g.Steps + r.IntN(50)
			g.DstStride = s.Channels + r.IntN(70)
			if r.IntN(2) == 0 {
				g.BiasStride = s.Channels + r.IntN(9)
			}
			lines := 1 + r.IntN(2)
			g.Width = 1 + r.IntN(3*Pixels)
			width, last := g.Width, lines-1
			read := width + Behind(width)
			g.SrcLine, g.DstLine = r.IntN(2*g.RowStride), width*g.DstStride+r.IntN(50)
			src := source.Copy(bytes(r, last*g.SrcLine+(read-1)*g.PixelStride+(g.Rows-1)*g.RowStride+4*g.Steps))
			weights := make([]int8, s.Channels*g.Rows*deep)
			for i := range weights {
				weights[i] = int8(r.Uint32())
			}
			if trial%10 == 0 { // nothing but extremes
				pixel, w := []uint8{0, 255}[r.IntN(2)], []int8{-128, -127, 127}[r.IntN(3)]
				for i := range src {
					src[i] = pixel
				}
				for i := range weights {
					weights[i] = w
				}
			}
			weight := func(c, row, i int) int8 { return weights[(c*g.Rows+row)*deep+i] }
			w := packed.Slice(s.Panel(g))
			s.Pack(w, g, func(c, row int, to []int8) {
				for i := range deep {
					to[i] = weight(c, row, i)
				}
			})
			mul, bias := muls.Slice(s.Channels), biases.Slice((read-1)*g.BiasStride+s.Channels)
			for i := range mul {
				mul[i] = r.Float32() * 0.002
			}
			for i := range bias {
				bias[i] = float32(r.NormFloat64() * 100)
			}
			end := last*g.DstLine + (width-1)*g.DstStride + s.Channels
			var residual []uint8
			if r.IntN(2) == 0 {
				residual = rest.Copy(bytes(r, end))
			}
			factor := r.Float32()
			got := output.Slice(end)
			w = s.Widen(widened.Slice(s.Room(len(w))), w)
			s.Convolve(Convolution{g, lines, got, src, w, mul, bias, residual, factor, make([]uint8, RestBytes(width))})
			output.Check(t, "Convolve")
			for i := range got {
				line, p, c := i/g.DstLine, i%g.DstLine/g.DstStride, i%g.DstLine%g.DstStride
				if p >= width || c >= s.Channels {
					if got[i] != guard {
						t.Fatalf("trial %d: wrote between pixels at %d", trial, i)
					}
					continue
				}
				var sum int32
				for row := range g.Rows {
					for j := range deep {
						sum += int32(src[line*g.SrcLine+p*g.PixelStride+row*g.RowStride+j]) * int32(weight(c, row, j))
					}
				}
				y := float32(float32(sum)*mul[c]) + bias[p*g.BiasStride+c]
				if residual != nil {
					y += float32(float32(residual[i]) * factor)
				}
				if want := rounded(y); got[i] != want {
					t.Fatalf("trial %d, line %d, pixel %d, channel %d: %d, want %d (%g)", trial, line, p, c, got[i], want, y)
				}
			}
		}
	})
}

// rounded rounds half to even and cuts to 0..255, by comparing.
func rounded(y float32) uint8 {
	if y <= 0 {
		return 0
	}
	if y >= 255 {
		return 255
	}
	whole := uint8(y)
	switch rest := y - float32(whole); {
	case rest > 0.5, rest == 0.5 && whole%2 == 1:
		return whole + 1
	default:
		return whole
	}
}

func TestMaxPool(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		output := kerneltest.NewRegion[uint8](t, 12*poolChannels, guard)
		for columns := 1; columns <= 12; columns++ {
			r := rand.New(rand.NewPCG(uint64(columns), 9))
			n := (2*columns + 1) * poolChannels
			rows := [][]uint8{bytes(r, n), bytes(r, n), bytes(r, n)}
			got := output.Slice(columns * poolChannels)
			s.MaxPool(got, rows[0], rows[1], rows[2], columns)
			output.Check(t, "MaxPool")
			for i, v := range got {
				var want uint8
				for _, row := range rows {
					for q := range 3 {
						want = max(want, row[(i/poolChannels*2+q)*poolChannels+i%poolChannels])
					}
				}
				if v != want {
					t.Fatalf("%d columns: y[%d] = %d, want %d", columns, i, v, want)
				}
			}
		}
	})
}

// TestRound covers halves, which are rounded to even, and numbers far beyond bytes.
func TestRound(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		source, output := kerneltest.NewRegion[float32](t, 1<<10, 0), kerneltest.NewRegion[uint8](t, 1<<10, guard)
		for n := 16; n <= 160; n += 16 {
			r := rand.New(rand.NewPCG(uint64(n), 13))
			x := source.Slice(n)
			for i := range x {
				x[i] = float32(r.IntN(600)-40) / 2
				if i%5 == 0 {
					x[i] = float32(r.NormFloat64() * 1e6)
				}
			}
			got := output.Slice(n)
			s.Round(got, x)
			output.Check(t, "Round")
			for i, v := range x {
				if want := rounded(v); got[i] != want {
					t.Fatalf("%g becomes %d, want %d", v, got[i], want)
				}
			}
		}
	})
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"tile_amd64.s", "tile_arm64.s"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			kerneltest.Encodings(t, file)
		})
	}
}

// BenchmarkConvolve measures a tile whose panel stays in the first-level cache.
func BenchmarkConvolve(b *testing.B) {
	for _, s := range Sets() {
		b.Run(s.Level.String(), func(b *testing.B) {
			g := Geometry{Rows: 1, Steps: 64, PixelStride: 256, DstStride: s.Channels, Width: Pixels}
			w := make([]int8, s.Panel(g))
			s.Pack(w, g, func(c, _ int, to []int8) {
				for i := range to {
					to[i] = int8(c + i)
				}
			})
			src, dst := make([]uint8, Pixels*256), make([]uint8, Pixels*s.Channels)
			mul := make([]float32, s.Channels)
			for b.Loop() {
				s.Convolve(Convolution{Geometry: g, Lines: 1, Dst: dst, Src: src, W: w, Mul: mul, Bias: mul})
			}
			b.ReportMetric(float64(Pixels*s.Channels*256)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}
