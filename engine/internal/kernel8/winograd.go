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
// run over on the way; but 4 Y stays below 2^31 for up to 1827 input channels, so what comes out is exact: the same as
// a direct convolution's, bit for bit.
//
// It pays where products of bytes cost as much as products of 16 bits. It is read-only and safe for concurrent use.
type Winograd struct {
	// Rows is the most rows of a product's tile, and Columns their number of output channels.
	Rows, Columns int

	input    func(v []int16, vs int, x []uint8, rs, channels int)
	products func(n tiles.Rows, panels int, m []int32, ms int, v []int16, vs, k int, u []int16)
	output   func(y []uint8, rs, channels, rows, columns int, m []int32, ms int, mul, bias []float32, residual []uint8, residualMul float32)
}

// M is the number of outputs of a Winograd tile in one dimension, Positions that of its products.
const (
	M         = 2
	Positions = (M + 2) * (M + 2)
)

// portable is Winograd in plain Go, the reference.
var portable = Winograd{Rows: 4, Columns: genericChannels, input: inputGeneric, products: productsGeneric, output: outputGeneric}

// Pack transforms the weights of one panel of Columns output channels and puts them where products look for them, in u,
// which has Positions*out*in elements for all panels: position by position, panel by panel, the weights of two
// neighbouring input channels together. at returns the 3x3 kernel of an output and an input channel, row by row. in is
// even.
func (w *Winograd) Pack(u []int16, panel, out, in int, at func(o, i int) []int8) {
	for column := range w.Columns {
		for i := range in {
			for position, value := range transformKernel(at(panel*w.Columns+column, i)) {
				to := (position*out/w.Columns + panel) * in * w.Columns
				u[to+(i/2*w.Columns+column)*2+i%2] = value
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

// Product multiplies n rows, a tile of pixels each, with panels of packed weights at one position:
//
//	m[t*ms+c] = sum over input channels i below k of v[t*vs+i] * u[(c/Columns*k/2+i/2)*2*Columns+c%Columns*2+i%2]
//
// for t below n and c below panels*Columns. k is even.
func (w *Winograd) Product(n, panels int, m []int32, ms int, v []int16, vs, k int, u []int16) {
	if n < 1 || panels < 1 || k < 2 || k%2 != 0 {
		panic(fmt.Sprintf("kernel8: product of %d tiles and %d panels, %d deep", n, panels, k))
	}
	_, _, _ = m[(n-1)*ms+panels*w.Columns-1], v[(n-1)*vs+k-1], u[k*panels*w.Columns-1]
	w.products(tiles.Cut(n, w.Rows), panels, m, ms, v, vs, k, u)
}

// Output transforms the products of a tile, m[i*ms+c] at position i, back to sums, finishes them as Convolve does, with
// the same bias for all pixels, and stores the upper left rows x columns (1..M) of them at y. Pixels of a row lie channels
// apart, rows rs; residual is laid out as y, and may be nil or y. channels is a multiple of 16.
func (w *Winograd) Output(y []uint8, rs, channels, rows, columns int, m []int32, ms int, mul, bias []float32, residual []uint8, residualMul float32) {
	checkChannels(channels)
	if rows < 1 || rows > M || columns < 1 || columns > M {
		panic(fmt.Sprintf("kernel8: %d x %d outputs of a tile", rows, columns))
	}
	last := (rows-1)*rs + columns*channels - 1
	_, _, _, _ = y[last], m[(Positions-1)*ms+channels-1], mul[channels-1], bias[channels-1]
	if residual != nil {
		_ = residual[last]
	}
	w.output(y, rs, channels, rows, columns, m, ms, mul, bias, residual, residualMul)
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

func productsGeneric(rows tiles.Rows, panels int, m []int32, ms int, v []int16, vs, k int, u []int16) {
	for q := range panels {
		productGeneric(rows.Sum(), m[q*genericChannels:], ms, v, vs, k, u[q*k*genericChannels:])
	}
}

// productGeneric multiplies n rows with one panel.
func productGeneric(n int, m []int32, ms int, v []int16, vs, k int, u []int16) {
	const columns = genericChannels
	for t := range n {
		var sum [columns]int32
		for i, at := 0, v[t*vs:][:k]; i < k; i += 2 {
			x0, x1 := int32(at[i]), int32(at[i+1])
			pairs := (*[2 * columns]int16)(u[i*columns:])
			for c := range sum {
				sum[c] += x0*int32(pairs[2*c]) + x1*int32(pairs[2*c+1])
			}
		}
		copy(m[t*ms:], sum[:])
	}
}

func outputGeneric(y []uint8, rs, channels, rows, columns int, m []int32, ms int, mul, bias []float32, residual []uint8, residualMul float32) {
	once := func(d [4]int32) [2]int32 { return [2]int32{d[0] + d[1] + d[2], d[1] - d[2] - d[3]} }
	for c := range channels {
		var half [M][4]int32
		for j := range 4 {
			for i, value := range once([4]int32{m[j*ms+c], m[(4+j)*ms+c], m[(8+j)*ms+c], m[(12+j)*ms+c]}) {
				half[i][j] = value
			}
		}
		for i := range rows {
			sums := once(half[i])
			for j := range columns {
				at := i*rs + j*channels + c
				z := float32(float32(sums[j]>>2)*mul[c]) + bias[c]
				if residual != nil {
					z = float32(z) + float32(float32(residual[at])*residualMul)
				}
				y[at] = saturate(z)
			}
		}
	}
}
