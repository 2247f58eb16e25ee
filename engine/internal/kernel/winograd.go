package kernel

import "fmt"

// Winograd is one of the minimal filtering algorithms F(MxM, 3x3): a tile of (M+2)x(M+2) input pixels gives
// MxM outputs of a 3x3 stride-1 convolution with (M+2)^2 multiplications for each pair of channels instead of
// 9 M^2.
//
//	Y = At [ (G g Gt) * (Bt d B) ] A      (* elementwise; products summed over input channels)
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, give the matrices: interpolation
// at 0, 1, -1 and infinity for M = 2, also at 2 and -2 for M = 4.
type Winograd struct {
	M       int // outputs of a tile in one dimension
	index   int // in Set's tables
	bt, at  [][]float32
	weights func(u []float32, us int, kernel *[9]float32, factor float64)
}

// F2 and F4 are the two algorithms in use. F4 saves more multiplications, F2 has smaller weights.
var (
	F2 = &Winograd{M: 2, index: 0, weights: weights2,
		bt: [][]float32{{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
		at: [][]float32{{1, 1, 1, 0}, {0, 1, -1, -1}},
	}
	F4 = &Winograd{M: 4, index: 1, weights: weights4,
		bt: [][]float32{
			{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
			{0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}},
		at: [][]float32{
			{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}},
	}
)

// Size is the number of input pixels of a tile in one dimension.
func (w *Winograd) Size() int { return w.M + 2 }

// Positions is the number of elementwise products of a tile.
func (w *Winograd) Positions() int { return w.Size() * w.Size() }

// Weights transforms one 3x3 kernel, row by row, times a factor: u[i*us] becomes the value at position i of G g Gt. It
// computes in float64, as it is done once.
func (w *Winograd) Weights(u []float32, us int, kernel []float32, factor float64) {
	w.weights(u, us, (*[9]float32)(kernel), factor)
}

func weights2(u []float32, us int, k *[9]float32, factor float64) {
	var t [3][4]float64 // G g, column by column
	for j := range t {
		t[j][0], t[j][1], t[j][2], t[j][3] = g2(float64(k[j])*factor, float64(k[3+j])*factor, float64(k[6+j])*factor)
	}
	for i := range 4 {
		a, b, c, d := g2(t[0][i], t[1][i], t[2][i])
		row := u[4*i*us:][:3*us+1]
		row[0], row[us], row[2*us], row[3*us] = float32(a), float32(b), float32(c), float32(d)
	}
}

func weights4(u []float32, us int, k *[9]float32, factor float64) {
	var t [3][6]float64 // G g, column by column
	for j := range t {
		t[j][0], t[j][1], t[j][2], t[j][3], t[j][4], t[j][5] = g4(float64(k[j])*factor, float64(k[3+j])*factor, float64(k[6+j])*factor)
	}
	for i := range 6 {
		a, b, c, d, e, f := g4(t[0][i], t[1][i], t[2][i])
		row := u[6*i*us:][:5*us+1]
		row[0], row[us], row[2*us] = float32(a), float32(b), float32(c)
		row[3*us], row[4*us], row[5*us] = float32(d), float32(e), float32(f)
	}
}

// g2 is G of F(2x2,3x3) times a vector; its rows are (1 0 0), (1 1 1)/2, (1 -1 1)/2 and (0 0 1).
func g2(a, b, c float64) (r0, r1, r2, r3 float64) {
	even, odd := (a+c)/2, b/2
	return a, even + odd, even - odd, c
}

// g4 is G of F(4x4,3x3) times a vector; its rows are (1 0 0)/4, -(1 1 1)/6, -(1 -1 1)/6, (1 2 4)/24, (1 -2 4)/24 and
// (0 0 1).
func g4(a, b, c float64) (r0, r1, r2, r3, r4, r5 float64) {
	near, far := (a+c)*(-1./6), a*(1./24)+c*(1./6)
	odd, odder := b*(1./6), b*(1./12)
	return a * (1. / 4), near - odd, near + odd, far + odder, far - odder, c
}

// Input transforms the tile whose upper left pixel is at x[0]: v[i*vs+c] becomes the value at position i of
// channel c. Pixels of a row lie channels apart, rows rs. channels is a multiple of 16.
func (s *Set) Input(w *Winograd, v []float32, vs int, x []float32, rs, channels int) {
	checkChannels(channels)
	size := w.Size()
	_, _ = v[(size*size-1)*vs+channels-1], x[(size-1)*rs+size*channels-1]
	s.input[w.index](v, vs, x, rs, channels)
}

// Output transforms sums of products back: m[i*ms+c] at position i gives the M x M outputs, of which the
// upper left rows x columns (1..M) are stored at y with bias, the residual (nil, or laid out as y) and, when
// relu is set, max(0, x). Pixels of a row lie channels apart, rows rs. channels is a multiple of 16.
func (s *Set) Output(w *Winograd, y []float32, rs, channels, rows, columns int, m []float32, ms int, bias, residual []float32, relu bool) {
	checkChannels(channels)
	if rows < 1 || rows > w.M || columns < 1 || columns > w.M {
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
	size := w.Size()
	var d, t [36]float32
	for c := range channels {
		for i := range size {
			for j := range size {
				d[i*size+j] = x[i*rs+j*channels+c]
			}
		}
		transform(t[:], w.bt, d[:], size)
		for i, value := range t[:size*size] {
			v[i*vs+c] = value
		}
	}
}

func (w *Winograd) outputGeneric(y []float32, rs, channels, rows, columns int, m []float32, ms int, bias, residual []float32, relu bool) {
	size := w.Size()
	var d, t [36]float32
	for c := range channels {
		for i := range d[:size*size] {
			d[i] = m[i*ms+c]
		}
		transform(t[:], w.at, d[:], size)
		for i := range rows {
			for j := range columns {
				at := i*rs + j*channels + c
				sum := t[i*w.M+j] + bias[c]
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

// transform sets t = a d at, where d is size x size: columns first, then rows.
func transform(t []float32, a [][]float32, d []float32, size int) {
	var half [36]float32
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
		for j, row := range a {
			var sum float32
			for k, factor := range row {
				sum += half[i*size+k] * factor
			}
			t[i*len(a)+j] = sum
		}
	}
}
