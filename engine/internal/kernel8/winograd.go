package kernel8

import (
	"fmt"
	"math"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// Winograd is a minimal filtering algorithm of package kernel on bytes, with products of 16 bits, and the kernels of one
// level for it:
//
//	Y = At [ sum over input channels of (G g Gt) * (Bt d B) ] A      (* elementwise)
//
// Bt d B is computed in 16 bits without rounding: bytes become at most 255*68 in magnitude. G g Gt has fractions. It is
// rounded to 16 bits in units that differ by position and output channel, the smallest with which no sum of products can
// overflow 32 bits. Sums are exact; they are converted to float32 and multiplied by their unit before At and A.
//
// Results are therefore close to those of Convolve, but not equal to them. They are the same at all levels that have an
// algorithm: each operation on floats is rounded in the same order everywhere.
//
// It is worthwhile where products of bytes cost as much as products of 16 bits. It is read-only and safe for concurrent use.
//
// See docs/decisions/0149-winograd-in-16-bits.md.
type Winograd struct {
	*kernel.Winograd
	// MR is the most rows of C that are computed together, NR the number of columns.
	MR, NR int

	input    inputFunc
	multiply func(rows tiles.Rows, p Product)
	output   func(o Outputs)
}

type inputFunc func(v []int16, vs int, x []uint8, rs, channels int)

// line is an algorithm in one dimension, which is applied to columns, then to rows: in transforms size pixels, out as many
// sums to outputs.
type line struct {
	size int
	in   func(d [6]int16) [6]int16
	out  func(m [6]float32) [4]float32
}

var (
	line2 = line{4,
		func(d [6]int16) [6]int16 { return [6]int16{d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]} },
		func(m [6]float32) [4]float32 { return [4]float32{m[1] + m[2] + m[0], m[1] - m[2] - m[3]} },
	}
	line4 = line{6,
		func(d [6]int16) [6]int16 {
			even, odd := d[4]-4*d[2], d[3]-4*d[1]
			near, far := d[4]-d[2], 2*(d[3]-d[1])
			return [6]int16{4*(d[0]-d[2]) + near, even + odd, even - odd, near + far, near - far, 4*(d[1]-d[3]) + d[5] - d[3]}
		},
		func(m [6]float32) [4]float32 {
			// A compiler may fuse these multiplications with the additions: products with powers of two are exact.
			near, far := m[1]+m[2], m[3]+m[4]
			odd, odder := m[1]-m[2], m[3]-m[4]
			return [4]float32{near + far + m[0], odd + 2*odder, near + 4*far, odd + m[5] + 8*odder}
		},
	}
	lineStride2 = line{5,
		func(d [6]int16) [6]int16 { return [6]int16{d[0] - d[2], d[2], d[4] - d[2], d[1], d[3]} },
		func(m [6]float32) [4]float32 { return [4]float32{m[1] + m[0] + m[3], m[1] + m[2] + m[4]} },
	}
)

// genericF4 and its siblings are the algorithms in plain Go, the reference.
var (
	genericF4      = portable(kernel.F4, line4)
	genericF2      = portable(kernel.F2, line2)
	genericStride2 = portable(kernel.Stride2, lineStride2)
)

func portable(a *kernel.Winograd, l line) Winograd {
	return Winograd{Winograd: a, MR: 4, NR: genericChannels, multiply: multiplyGeneric, input: l.input, output: l.output}
}

// side is the height and width of the part of the input that a tile reads.
func (w *Winograd) side() int { return (w.Height-1)*w.Stride + 3 }

// Bound returns the largest magnitude that Input can give for the positions of each matrix: the transform of a tile is a sum of
// pixels times factors, so it is largest if those with factors of one sign are 255 and the others 0.
func (w *Winograd) Bound() []int {
	side := w.side()
	positive, negative := make([]int, w.Positions()), make([]int, w.Positions())
	for pixel := range side * side {
		const channels = 16
		x, v := make([]uint8, side*side*channels), make([]int16, w.Positions()*channels)
		x[pixel*channels] = 1
		w.Input(v, channels, x, side*channels, channels)
		for i := range positive {
			factor := int(v[i*channels])
			positive[i] += max(0, factor)
			negative[i] += max(0, -factor)
		}
	}
	bound := make([]int, w.Matrices())
	for i := range positive {
		matrix := w.Matrix(i)
		bound[matrix] = max(bound[matrix], 255*positive[i], 255*negative[i])
	}
	return bound
}

// Pack transforms the weights of one panel of NR output channels and writes them to u, which has Matrices*out*in elements
// for all panels: matrix by matrix, panel by panel, the weights of two neighboring input channels together. It writes
// factor(o) times the unit of output channel o at position i to mul[(o/8*Positions+i)*8+o%8]. bound is what Bound returns, at
// the 3x3 kernel of an output and an input channel. in is even.
func (w *Winograd) Pack(u []int16, mul []float32, bound []int, panel, out, in int, factor func(o int) float32, at func(o, i int) []int8) {
	exact := make([]float32, w.Matrices()*in) // of one output channel
	units := make([]float64, w.Matrices())
	for column := range w.NR {
		o := panel*w.NR + column
		for i := range in {
			var kernel [9]float32
			for tap, v := range at(o, i) {
				kernel[tap] = float32(v)
			}
			w.Weights(exact[i:], in, kernel[:], 1)
		}
		for matrix := range units {
			to := u[(matrix*out/w.NR+panel)*in*w.NR+2*column:]
			row := exact[matrix*in:][:in]
			steps := stepsFor(row, bound[matrix])
			for i, v := range row {
				to[i/2*2*w.NR+i%2] = int16(math.RoundToEven(float64(v) * steps))
			}
			units[matrix] = 1 / steps
		}
		for position := range w.Positions() {
			mul[(o/8*w.Positions()+position)*8+o%8] = float32(float64(factor(o)) * units[w.Matrix(position)])
		}
	}
}

// stepsFor is the number of steps that a weight of 1 is rounded to. With it, rounded weights fit into 16 bits, and the sum of
// their products with numbers of up to bound in magnitude into 32:
//
//	sum of |round(steps*w)| <= steps * sum of |w| + n/2 <= (2^31-1) / bound
func stepsFor(weights []float32, bound int) float64 {
	var largest, sum float64
	for _, w := range weights {
		size := math.Abs(float64(w))
		largest, sum = max(largest, size), sum+size
	}
	if largest == 0 {
		return 1
	}
	most := float64(math.MaxInt32/bound) - float64(len(weights))/2
	return min(math.MaxInt16/largest, most/sum)
}

// Input transforms the tile whose upper left pixel is at x[0]: v[i*vs+c] becomes the value at position i of channel c.
// Pixels of a row lie channels apart, rows rs. channels is a multiple of 16.
func (w *Winograd) Input(v []int16, vs int, x []uint8, rs, channels int) {
	checkChannels(channels)
	_, _ = v[(w.Positions()-1)*vs+channels-1], x[(w.side()-1)*rs+w.side()*channels-1]
	w.input(v, vs, x, rs, channels)
}

// Product is BLAS's GEMM at one position, M tiles of pixels by N output channels, with B packed in panels of NR columns:
//
//	C[i*LDC+j] = sum over l below K of A[i*LDA+l] * B[(j/NR*K/2+l/2)*2*NR+j%NR*2+l%2]
type Product struct {
	M, N, K int // N is a multiple of NR, K is even
	A       []int16
	LDA     int
	B       []int16
	C       []int32
	LDC     int
}

// Multiply computes a product.
func (w *Winograd) Multiply(p Product) {
	if p.M < 1 || p.N < 1 || p.N%w.NR != 0 || p.K < 2 || p.K%2 != 0 {
		panic(fmt.Sprintf("kernel8: product of %d x %d, %d deep", p.M, p.N, p.K))
	}
	_, _, _ = p.C[(p.M-1)*p.LDC+p.N-1], p.A[(p.M-1)*p.LDA+p.K-1], p.B[p.K*p.N-1]
	w.multiply(tiles.Cut(p.M, w.MR), p)
}

// Outputs is a tile of outputs and its operands. Pixels of a row lie Channels apart.
type Outputs struct {
	Y             []uint8 // the upper left Rows x Columns of Height x Width outputs are stored here
	RowStride     int
	Channels      int // a multiple of 16
	Rows, Columns int
	Sums          []int32 // of channel c at position i: Sums[i*SumStride+c]
	SumStride     int
	Mul           []float32 // as Pack writes them
	Bias          []float32 // as a Convolution's, the same for all pixels
	Residual      []uint8   // laid out as Y, and may be Y; nil for none
	ResidualMul   float32
}

// Output transforms a tile's products back to sums and finishes them as Convolve does.
func (w *Winograd) Output(o Outputs) {
	checkChannels(o.Channels)
	if o.Rows < 1 || o.Rows > w.Height || o.Columns < 1 || o.Columns > w.Width {
		panic(fmt.Sprintf("kernel8: %d x %d outputs of a tile", o.Rows, o.Columns))
	}
	last, positions := (o.Rows-1)*o.RowStride+o.Columns*o.Channels-1, w.Positions()
	_, _, _, _ = o.Y[last], o.Sums[(positions-1)*o.SumStride+o.Channels-1], o.Mul[positions*o.Channels-1], o.Bias[o.Channels-1]
	if o.Residual != nil {
		_ = o.Residual[last]
	}
	w.output(o)
}

func checkChannels(channels int) {
	if channels < 16 || channels%16 != 0 {
		panic(fmt.Sprintf("kernel8: %d channels, want a multiple of 16", channels))
	}
}

func (l line) input(v []int16, vs int, x []uint8, rs, channels int) {
	for c := range channels {
		var half [6][6]int16 // by row and column
		for j := range l.size {
			var d [6]int16
			for i := range l.size {
				d[i] = int16(x[i*rs+j*channels+c])
			}
			for i, value := range l.in(d) {
				half[i][j] = value
			}
		}
		for i := range l.size {
			values := l.in(half[i])
			for j := range l.size {
				v[(i*l.size+j)*vs+c] = values[j]
			}
		}
	}
}

func multiplyGeneric(_ tiles.Rows, p Product) {
	const columns = genericChannels
	for q := 0; q < p.N; q += columns {
		for row := range p.M {
			var sum [columns]int32
			for i, at := 0, p.A[row*p.LDA:][:p.K]; i < p.K; i += 2 {
				x0, x1 := int32(at[i]), int32(at[i+1])
				pairs := (*[2 * columns]int16)(p.B[q*p.K+i*columns:])
				for c := range sum {
					sum[c] += x0*int32(pairs[2*c]) + x1*int32(pairs[2*c+1])
				}
			}
			copy(p.C[row*p.LDC+q:], sum[:])
		}
	}
}

func (l line) output(o Outputs) {
	for c := range o.Channels {
		var half [6][6]float32
		for j := range l.size {
			var m [6]float32
			for i := range l.size {
				position := i*l.size + j
				m[i] = float32(float32(o.Sums[position*o.SumStride+c]) * o.Mul[(c/8*l.size*l.size+position)*8+c%8])
			}
			for i, value := range l.out(m) {
				half[i][j] = value
			}
		}
		for i := range o.Rows {
			sums := l.out(half[i])
			for j := range o.Columns {
				at := i*o.RowStride + j*o.Channels + c
				z := sums[j] + o.Bias[c]
				if o.Residual != nil {
					z += float32(float32(o.Residual[at]) * o.ResidualMul)
				}
				o.Y[at] = saturate(z)
			}
		}
	}
}
