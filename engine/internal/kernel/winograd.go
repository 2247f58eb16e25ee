package kernel

import "fmt"

// Winograd is two of the minimal filtering algorithms F(m, 3), one for columns and one for rows: a tile of
// (Down+2)x(Across+2) input pixels gives Down x Across outputs of a 3x3 stride-1 convolution with
// (Down+2)(Across+2) multiplications for each pair of channels instead of 9 Down Across.
//
//	Y = At [ (G g Ht) * (Bt d C) ] D      (* elementwise; products summed over input channels)
//
// with A, B, G of the algorithm down the columns and C, D, H of the one across the rows.
type Winograd struct {
	Down, Across int // outputs of a tile: rows and columns
	index        int // in Set's tables
	down, across *minimal
}

// minimal holds the matrices of one algorithm F(m, 3). Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2015, give them: interpolation at 0, 1, -1 and infinity for m = 2, also at 2 and -2 for m = 4.
type minimal struct{ bt, g, at [][]float32 }

var (
	minimal2 = &minimal{
		bt: [][]float32{{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
		g:  [][]float32{{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}},
		at: [][]float32{{1, 1, 1, 0}, {0, 1, -1, -1}},
	}
	minimal4 = &minimal{
		bt: [][]float32{
			{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
			{0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}},
		g: [][]float32{
			{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6},
			{1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}},
		at: [][]float32{
			{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}},
	}
)

// The algorithms in use. Larger tiles save more multiplications, smaller ones have fewer weights to read.
var (
	F2x2 = &Winograd{2, 2, 0, minimal2, minimal2}
	F4x2 = &Winograd{4, 2, 1, minimal4, minimal2}
	F4x4 = &Winograd{4, 4, 2, minimal4, minimal4}
)

const algorithms = 3

// maxPositions is the largest Positions.
const maxPositions = 36

// Height is the number of input rows of a tile.
func (w *Winograd) Height() int { return w.Down + 2 }

// Width is the number of input columns of a tile.
func (w *Winograd) Width() int { return w.Across + 2 }

// Positions is the number of elementwise products of a tile.
func (w *Winograd) Positions() int { return w.Height() * w.Width() }

// Weights transforms one 3x3 kernel, row by row, to Positions values: G g Ht, in float64 as it is done once.
func (w *Winograd) Weights(kernel []float32) []float64 {
	half := make([]float64, w.Height()*3)
	for i, g := range w.down.g {
		for j := range 3 {
			for k := range 3 {
				half[i*3+j] += float64(g[k]) * float64(kernel[k*3+j])
			}
		}
	}
	u := make([]float64, w.Positions())
	for i := range w.Height() {
		for j, h := range w.across.g {
			for k := range 3 {
				u[i*w.Width()+j] += half[i*3+k] * float64(h[k])
			}
		}
	}
	return u
}

// Input transforms the tile whose upper left pixel is at x[0]: v[i*vs+c] becomes the value at position i of
// channel c. Pixels of a row lie channels apart, rows rs. channels is a multiple of 16.
func (s *Set) Input(w *Winograd, v []float32, vs int, x []float32, rs, channels int) {
	checkChannels(channels)
	_, _ = v[(w.Positions()-1)*vs+channels-1], x[(w.Height()-1)*rs+w.Width()*channels-1]
	s.input[w.index](v, vs, x, rs, channels)
}

// Output transforms sums of products back: m[i*ms+c] at position i gives the Down x Across outputs, of which
// the upper left rows x columns are stored at y with bias, the residual (nil, or laid out as y) and, when
// relu is set, max(0, x). Pixels of a row lie channels apart, rows rs. channels is a multiple of 16.
func (s *Set) Output(w *Winograd, y []float32, rs, channels, rows, columns int, m []float32, ms int, bias, residual []float32, relu bool) {
	checkChannels(channels)
	if rows < 1 || rows > w.Down || columns < 1 || columns > w.Across {
		panic(fmt.Sprintf("kernel: %d x %d outputs of a tile", rows, columns))
	}
	last := (rows-1)*rs + columns*channels - 1
	_, _, _ = y[last], m[(w.Positions()-1)*ms+channels-1], bias[channels-1]
	if residual != nil {
		_ = residual[last]
	}
	s.output[w.index](y, rs, channels, rows, columns, m, ms, bias, residual, relu)
}

func checkChannels(channels int) {
	if channels < 16 || channels%16 != 0 {
		panic(fmt.Sprintf("kernel: %d channels, want a multiple of 16", channels))
	}
}

func (w *Winograd) inputGeneric(v []float32, vs int, x []float32, rs, channels int) {
	var d, t [maxPositions]float32
	for c := range channels {
		for i := range w.Height() {
			for j := range w.Width() {
				d[i*w.Width()+j] = x[i*rs+j*channels+c]
			}
		}
		transform(t[:], w.down.bt, w.across.bt, d[:], w.Height(), w.Width())
		for i, value := range t[:w.Positions()] {
			v[i*vs+c] = value
		}
	}
}

func (w *Winograd) outputGeneric(y []float32, rs, channels, rows, columns int, m []float32, ms int, bias, residual []float32, relu bool) {
	var d, t [maxPositions]float32
	for c := range channels {
		for i := range d[:w.Positions()] {
			d[i] = m[i*ms+c]
		}
		transform(t[:], w.down.at, w.across.at, d[:], w.Height(), w.Width())
		for i := range rows {
			for j := range columns {
				at := i*rs + j*channels + c
				sum := t[i*w.Across+j] + bias[c]
				if residual != nil {
					sum += residual[at]
				}
				if relu {
					sum = max(0, sum)
				}
				y[at] = sum
			}
		}
	}
}

// transform sets t = down d across', where d has so many rows and columns: columns first, then rows.
func transform(t []float32, down, across [][]float32, d []float32, height, width int) {
	var half [maxPositions]float32
	for i, row := range down {
		for j := range width {
			var sum float32
			for k, factor := range row[:height] {
				sum += factor * d[k*width+j]
			}
			half[i*width+j] = sum
		}
	}
	for i := range down {
		for j, row := range across {
			var sum float32
			for k, factor := range row {
				sum += half[i*width+k] * factor
			}
			t[i*len(across)+j] = sum
		}
	}
}
