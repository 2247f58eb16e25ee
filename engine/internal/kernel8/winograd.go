package kernel8

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// Winograd is the kernels of the minimal filtering algorithm F(2x2,3x3) in whole numbers: a tile of 4x4 pixels gives
// 2x2 outputs of a 3x3 stride-1 convolution with 16 multiplications for each pair of channels instead of 36.
//
//	4 Y = At [ (2G g 2Gt) * (Bt d B) ] A      (* elementwise; products summed over input channels)
//
//	     1  0 -1  0         2 0 0         1 1  1  0
//	Bt = 0  1  1  0    2G = 1 1 1    At = 0 1 -1 -1
//	     0 -1  1  0         1-1 1
//	     0  1  0 -1         0 0 2
//
// (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, with twice their G, which is whole.)
// Transformed pixels are at most 4*255 in magnitude and transformed weights 9*128, so both fit into 16 bits. Sums may
// overflow on the way, but 4 Y stays below 2^31 for up to 1827 input channels, so the result is exact: the same as a
// direct convolution's, bit for bit.
//
// It is worthwhile where products of bytes cost as much as products of 16 bits. It is read-only and safe for concurrent use.
//
// See docs/decisions/0015-winograd-in-whole-numbers.md.
type Winograd struct {
	// MR is the most rows of C that are computed together, NR the number of columns.
	MR, NR int

	input    func(v []int16, vs int, x []uint8, rs, channels int)
	multiply func(rows tiles.Rows, p Product)
	output   func(o Outputs)
}

// M is the number of outputs of a Winograd tile in one dimension, Positions that of its products.
const (
	M         = 2
	Positions = (M + 2) * (M + 2)
)

// portable is Winograd in plain Go, the reference.
var portable = Winograd{MR: 4, NR: genericChannels, input: inputGeneric, multiply: multiplyGeneric, output: outputGeneric}

// Pack transforms the weights of one panel of NR output channels and writes them to u,
// which has Positions*out*in elements for all panels: position by position, panel by panel, the weights of two
// neighboring input channels together. at returns the 3x3 kernel of an output and an input channel, row by row. in is
// even.
func (w *Winograd) Pack(u []int16, panel, out, in int, at func(o, i int) []int8) {
	for column := range w.NR {
		for i := range in {
			for position, value := range transformKernel(at(panel*w.NR+column, i)) {
				to := (position*out/w.NR + panel) * in * w.NR
				u[to+(i/2*w.NR+column)*2+i%2] = value
			}
		}
	}
}

// transformKernel is 2G g 2Gt.
func transformKernel(kernel []int8) (u [Positions]int16) {
	once := func(a, b, c int16) [4]int16 { return [4]int16{2 * a, a + b + c, a - b + c, 2 * c} }
	var half [4][3]int16
	for j := range 3 {
		for i, v := range once(int16(kernel[j]), int16(kernel[3+j]), int16(kernel[6+j])) {
			half[i][j] = v
		}
	}
	for i, row := range half {
		for j, v := range once(row[0], row[1], row[2]) {
			u[4*i+j] = v
		}
	}
	return u
}

// Input transforms the tile whose upper left pixel is at x[0]: v[i*vs+c] becomes the value at position i of channel c.
// Pixels of a row lie channels apart, rows rs. channels is a multiple of 16.
func (w *Winograd) Input(v []int16, vs int, x []uint8, rs, channels int) {
	checkChannels(channels)
	_, _ = v[(Positions-1)*vs+channels-1], x[3*rs+4*channels-1]
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
	Y             []uint8 // the upper left Rows x Columns (1..M) outputs are stored here
	RowStride     int
	Channels      int // a multiple of 16
	Rows, Columns int
	Sums          []int32 // of channel c at position i: Sums[i*SumStride+c]
	SumStride     int
	Mul, Bias     []float32 // as a Convolution's, with the same bias for all pixels
	Residual      []uint8   // laid out as Y, and may be Y; nil for none
	ResidualMul   float32
}

// Output transforms a tile's products back to sums and finishes them as Convolve does.
func (w *Winograd) Output(o Outputs) {
	checkChannels(o.Channels)
	if o.Rows < 1 || o.Rows > M || o.Columns < 1 || o.Columns > M {
		panic(fmt.Sprintf("kernel8: %d x %d outputs of a tile", o.Rows, o.Columns))
	}
	last := (o.Rows-1)*o.RowStride + o.Columns*o.Channels - 1
	_, _, _, _ = o.Y[last], o.Sums[(Positions-1)*o.SumStride+o.Channels-1], o.Mul[o.Channels-1], o.Bias[o.Channels-1]
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

func inputGeneric(v []int16, vs int, x []uint8, rs, channels int) {
	once := func(d [4]int16) [4]int16 { return [4]int16{d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]} }
	for c := range channels {
		var half [4][4]int16
		for j := range 4 {
			at := x[j*channels+c:]
			for i, value := range once([4]int16{int16(at[0]), int16(at[rs]), int16(at[2*rs]), int16(at[3*rs])}) {
				half[i][j] = value
			}
		}
		for i, row := range half {
			for j, value := range once(row) {
				v[(4*i+j)*vs+c] = value
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

func outputGeneric(o Outputs) {
	once := func(d [4]int32) [2]int32 { return [2]int32{d[0] + d[1] + d[2], d[1] - d[2] - d[3]} }
	for c := range o.Channels {
		at := func(position int) int32 { return o.Sums[position*o.SumStride+c] }
		var half [M][4]int32
		for j := range 4 {
			for i, value := range once([4]int32{at(j), at(4 + j), at(8 + j), at(12 + j)}) {
				half[i][j] = value
			}
		}
		for i := range o.Rows {
			sums := once(half[i])
			for j := range o.Columns {
				at := i*o.RowStride + j*o.Channels + c
				z := float32(float32(sums[j]>>2)*o.Mul[c]) + o.Bias[c]
				if o.Residual != nil {
					z = float32(z) + float32(float32(o.Residual[at])*o.ResidualMul)
				}
				o.Y[at] = saturate(z)
			}
		}
	}
}
