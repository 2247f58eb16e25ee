package kernel

import "fmt"

// Winograd is a minimal filtering algorithm in two dimensions: from a tile of pixels it computes Height x Width outputs of
// a 3x3 convolution with fewer multiplications for each pair of channels than 9 for each output.
//
//	Y = At [ (G g Gt) * (Bt d B) ] A      (* elementwise; products summed over input channels)
//
// It is the product of two one-dimensional algorithms, which may differ.
type Winograd struct {
	Height, Width int // outputs of a tile
	Stride        int // pixels from one output to the next
	index         int // in Set's tables
	rows, columns *minimal
}

// minimal is a one-dimensional minimal filtering algorithm for three taps.
type minimal struct {
	bt, at   [][]float32
	g        func(a, b, c float64) [6]float64 // G times taps; the first of its elements count
	matrices int                              // rows of G
	weight   []int                            // row of G that a position uses; nil if each has its own
	part     []int                            // of a larger algorithm's positions, those it has; nil if they are its own
	of       int                              // positions of that
}

// F(2,3) and F(4,3) are Lavin and Gray's, "Fast Algorithms for Convolutional Neural Networks", 2015: interpolation at 0, 1,
// -1 and infinity, and also at 2 and -2.
//
// stride2 computes two outputs that are two pixels apart. Each is the sum of two taps on pixels of odd places, which is
// F(2,2) by interpolation at 0, 1 and infinity, and one tap on a pixel of an even place, which is a plain product (Yepez and
// Ko, "Stride 2 1-D, 2-D, and 3-D Winograd for Convolutional Neural Networks", 2020).
var (
	f2 = minimal{
		bt: [][]float32{{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
		g:  g2, matrices: 4,
		at: [][]float32{{1, 1, 1, 0}, {0, 1, -1, -1}},
	}
	f4 = minimal{
		bt: [][]float32{
			{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
			{0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}},
		g: g4, matrices: 6,
		at: [][]float32{
			{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}},
	}
	stride2 = minimal{
		bt: [][]float32{{1, 0, -1, 0, 0}, {0, 0, 1, 0, 0}, {0, 0, -1, 0, 1}, {0, 1, 0, 0, 0}, {0, 0, 0, 1, 0}},
		g:  gStride2, matrices: 4,
		at:     [][]float32{{1, 1, 0, 1, 0}, {0, 1, 1, 0, 1}},
		weight: []int{0, 1, 2, 3, 3},
	}
	// f4part is F(2,3) for two outputs that are left beside those of F(4,3). It is F(4,3) without the points 2 and -2, and uses its
	// weights. These have other units than F(2,3)'s, so pixels are multiplied by 4, -3, -3 and 1, and the last of its signs differs.
	f4part = minimal{
		bt: [][]float32{{4, 0, -4, 0}, {0, -3, -3, 0}, {0, 3, -3, 0}, {0, -1, 0, 1}},
		g:  g4, matrices: 6,
		at:     [][]float32{{1, 1, 1, 0}, {0, 1, -1, 1}},
		weight: []int{0, 1, 2, 5},
		part:   []int{0, 1, 2, 5}, of: 6,
	}
	// f2part is the first output of F(2,3).
	f2part = minimal{
		bt: [][]float32{{1, 0, -1}, {0, 1, 1}, {0, -1, 1}},
		g:  g2, matrices: 4,
		at:     [][]float32{{1, 1, 1}},
		weight: []int{0, 1, 2},
		part:   []int{0, 1, 2}, of: 4,
	}
	// stride2part is the first output of stride2.
	stride2part = minimal{
		bt: [][]float32{{1, 0, -1}, {0, 0, 1}, {0, 1, 0}},
		g:  gStride2, matrices: 4,
		at:     [][]float32{{1, 1, 1}},
		weight: []int{0, 1, 3},
		part:   []int{0, 1, 3}, of: 5,
	}
)

// g2 has the rows (1 0 0), (1 1 1)/2, (1 -1 1)/2 and (0 0 1).
func g2(a, b, c float64) [6]float64 {
	even, odd := (a+c)/2, b/2
	return [6]float64{a, even + odd, even - odd, c}
}

// g4 has the rows (1 0 0)/4, -(1 1 1)/6, -(1 -1 1)/6, (1 2 4)/24, (1 -2 4)/24 and (0 0 1).
func g4(a, b, c float64) [6]float64 {
	near, far := (a+c)*(-1./6), a*(1./24)+c*(1./6)
	odd, odder := b*(1./6), b*(1./12)
	return [6]float64{a * (1. / 4), near - odd, near + odd, far + odder, far - odder, c}
}

// gStride2 has the rows (1 0 0), (1 0 1), (0 0 1) and (0 1 0).
func gStride2(a, b, c float64) [6]float64 { return [6]float64{a, a + c, c, b} }

// The algorithms in use. Instead of 9 multiplications for an output F2 takes 4, F4x2 3, F4 2.25 and Stride2 6.25. Of 9
// weights F2 and Stride2 make 16, F4x2 24 and F4 36.
var (
	F2      = &Winograd{Height: 2, Width: 2, Stride: 1, index: 0, rows: &f2, columns: &f2}
	F4      = &Winograd{Height: 4, Width: 4, Stride: 1, index: 1, rows: &f4, columns: &f4}
	F4x2    = &Winograd{Height: 4, Width: 2, Stride: 1, index: 2, rows: &f4, columns: &f2}
	Stride2 = &Winograd{Height: 2, Width: 2, Stride: 2, index: 3, rows: &stride2, columns: &stride2}
)

// Trimmed is an algorithm and those that compute its last tiles where half a tile of rows and columns is left: below the others, beside
// them, and in the corner. These use some of its positions, and its weights.
type Trimmed struct{ Whole, Low, Narrow, Small *Winograd }

// The algorithms with smaller last tiles.
var (
	TrimmedF2 = Trimmed{F2,
		&Winograd{Height: 1, Width: 2, Stride: 1, index: 4, rows: &f2part, columns: &f2},
		&Winograd{Height: 2, Width: 1, Stride: 1, index: 5, rows: &f2, columns: &f2part},
		&Winograd{Height: 1, Width: 1, Stride: 1, index: 6, rows: &f2part, columns: &f2part}}
	TrimmedF4 = Trimmed{F4,
		&Winograd{Height: 2, Width: 4, Stride: 1, index: 7, rows: &f4part, columns: &f4},
		&Winograd{Height: 4, Width: 2, Stride: 1, index: 8, rows: &f4, columns: &f4part},
		&Winograd{Height: 2, Width: 2, Stride: 1, index: 9, rows: &f4part, columns: &f4part}}
	TrimmedStride2 = Trimmed{Stride2,
		&Winograd{Height: 1, Width: 2, Stride: 2, index: 10, rows: &stride2part, columns: &stride2},
		&Winograd{Height: 2, Width: 1, Stride: 2, index: 11, rows: &stride2, columns: &stride2part},
		&Winograd{Height: 1, Width: 1, Stride: 2, index: 12, rows: &stride2part, columns: &stride2part}}
)

const (
	algorithms = 13
	// largest is the most pixels, and so positions, of a tile.
	largest = 36
)

// size is the number of positions, and of pixels of a tile, in one dimension.
func (m *minimal) size() int { return len(m.bt) }

// place is where a position lies among those of the larger algorithm.
func (m *minimal) place(position int) int {
	if m.part != nil {
		return m.part[position]
	}
	return position
}

// places is how many positions there are room for.
func (m *minimal) places() int {
	if m.part != nil {
		return m.of
	}
	return m.size()
}

// Positions is the number of elementwise products of a tile.
func (w *Winograd) Positions() int { return w.rows.size() * w.columns.size() }

// Matrices is the number of transformed weights for each pair of channels: Positions, or fewer if some positions share them.
func (w *Winograd) Matrices() int { return w.rows.matrices * w.columns.matrices }

// Matrix returns which of Matrices a position uses.
func (w *Winograd) Matrix(position int) int {
	i, j := position/w.columns.size(), position%w.columns.size()
	if w.rows.weight != nil {
		i = w.rows.weight[i]
	}
	if w.columns.weight != nil {
		j = w.columns.weight[j]
	}
	return i*w.columns.matrices + j
}

// Place returns where a position lies in what Input writes and Output reads: among another algorithm's, if it uses some of these.
func (w *Winograd) Place(position int) int {
	size := w.columns.size()
	return w.rows.place(position/size)*w.columns.places() + w.columns.place(position%size)
}

// places lists Place of all positions.
func (w *Winograd) places() (all [largest]int) {
	for position := range w.Positions() {
		all[position] = w.Place(position)
	}
	return all
}

// Weights transforms one 3x3 kernel, row by row, times a factor: u[i*us] becomes what G g Gt has for matrix i. It computes
// in float64, because it runs once.
func (w *Winograd) Weights(u []float32, us int, kernel []float32, factor float64) {
	k := (*[9]float32)(kernel)
	var half [3][6]float64 // G g, column by column
	for j := range half {
		half[j] = w.rows.g(float64(k[j])*factor, float64(k[3+j])*factor, float64(k[6+j])*factor)
	}
	to := 0
	for i := range w.rows.matrices {
		row := w.columns.g(half[0][i], half[1][i], half[2][i])
		for _, value := range row[:w.columns.matrices] {
			u[to] = float32(value)
			to += us
		}
	}
}

// Trims reports whether this level has the smaller algorithms of Trimmed.
func (s *Set) Trims() bool { return s.has(TrimmedF4.Small) }

func (s *Set) has(w *Winograd) bool { return s.input[w.index] != nil }

// Input transforms the tile whose upper left pixel is at x[0]: v[i*vs+c] becomes the value at place i of
// channel c. Pixels of a row lie channels apart, rows rs. channels is a multiple of 16.
func (s *Set) Input(w *Winograd, v []float32, vs int, x []float32, rs, channels int) {
	checkChannels(channels)
	_, _ = v[w.Place(w.Positions()-1)*vs+channels-1], x[(w.rows.size()-1)*rs+w.columns.size()*channels-1]
	s.input[w.index](v, vs, x, rs, channels)
}

// Outputs is a tile of outputs and its operands. Pixels of a row lie Channels apart.
type Outputs struct {
	Y             []float32 // the upper left Rows x Columns of Height x Width outputs are stored here
	RowStride     int
	Channels      int // a multiple of 16
	Rows, Columns int
	Sums          []float32 // of channel c at place i: Sums[i*SumStride+c]
	SumStride     int
	Bias          []float32
	Residual      []float32 // laid out as Y, and may be Y; nil for none
	ReLU          bool      // max(0, x) of all this
}

// Output transforms a tile's sums of products back and adds bias and residual.
func (s *Set) Output(w *Winograd, o Outputs) {
	checkChannels(o.Channels)
	if o.Rows < 1 || o.Rows > w.Height || o.Columns < 1 || o.Columns > w.Width {
		panic(fmt.Sprintf("kernel: %d x %d outputs of a tile", o.Rows, o.Columns))
	}
	last := (o.Rows-1)*o.RowStride + o.Columns*o.Channels - 1
	_, _, _ = o.Y[last], o.Sums[w.Place(w.Positions()-1)*o.SumStride+o.Channels-1], o.Bias[o.Channels-1]
	if o.Residual != nil {
		_ = o.Residual[last]
	}
	s.output[w.index](o)
}

func checkChannels(channels int) {
	if channels < 16 || channels%16 != 0 {
		panic(fmt.Sprintf("kernel: %d channels, want a multiple of 16", channels))
	}
}

func (w *Winograd) inputGeneric(v []float32, vs int, x []float32, rs, channels int) {
	size, places := w.columns.size(), w.places()
	var d, t [largest]float32
	for c := range channels {
		for i := range w.Positions() {
			d[i] = x[i/size*rs+i%size*channels+c]
		}
		transform(t[:], w.rows.bt, w.columns.bt, d[:])
		for i, value := range t[:w.Positions()] {
			v[places[i]*vs+c] = value
		}
	}
}

func (w *Winograd) outputGeneric(o Outputs) {
	places := w.places()
	var d, t [largest]float32
	for c := range o.Channels {
		for i := range w.Positions() {
			d[i] = o.Sums[places[i]*o.SumStride+c]
		}
		transform(t[:], w.rows.at, w.columns.at, d[:])
		for i := range o.Rows {
			for j := range o.Columns {
				at := i*o.RowStride + j*o.Channels + c
				sum := t[i*w.Width+j] + o.Bias[c]
				if o.Residual != nil {
					sum += o.Residual[at]
				}
				if o.ReLU {
					sum = max(0, sum)
				}
				o.Y[at] = sum
			}
		}
	}
}

// transform sets t = a d bt: columns first, then rows.
func transform(t []float32, a, b [][]float32, d []float32) {
	var half [largest]float32
	size := len(b[0])
	for i, row := range a {
		for j := range size {
			var sum float32
			for k, factor := range row {
				sum += factor * d[k*size+j]
			}
			half[i*size+j] = sum
		}
	}
	for i := range a {
		for j, row := range b {
			var sum float32
			for k, factor := range row {
				sum += half[i*size+k] * factor
			}
			t[i*len(b)+j] = sum
		}
	}
}
