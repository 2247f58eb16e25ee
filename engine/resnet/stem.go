package resnet

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// stemBorder is how many pixels of zeros surround the stem's input, for its 7x7 kernel.
const stemBorder = 3

// inputStride is a row of the stem's input with its borders, for an output of the given size.
func inputStride(size int) int { return 3 * (2*size + 2*stemBorder) }

// stemRow is a row of the stem's outputs, after the border pixel that pooling reads.
func stemRow(o operation) int { return (o.size + 1) * o.out }

// stemRing is the rows of outputs that pooling needs.
const stemRing = 3

const (
	// stemRows is the most rows of outputs that are worked on together: their transformed input stays in a second-level
	// cache.
	stemRows = 14
	// stemInputRows is the rows of input that stemRows need. A tile's transformed values of all of them are adjacent, so
	// that a kernel's seven rows are one piece.
	stemInputRows = 2*stemRows + 5
	stemTile      = stemInputRows * kernel.StemDeep
	stemTileLast  = stemInputRows * kernel.StemDeepLast
)

// stem is normalization, the 7x7 stride-2 convolution by a minimal filtering algorithm along rows, or in two dimensions where kernels have
// that (stemgrid.go), ReLU and the 3x3 stride-2 maximum. Pooling follows the convolution three rows behind, so that its 3 MB never leave the cache.
type stem struct {
	operation
	kernels       *kernel.Set
	tiles         int             // of a row
	sumStride     int             // a position's sums, and a line that keeps positions apart in caches
	u, last, bias []float32       // as stemMatrices returns them, or u as gridMatrices does
	lookup        [256][3]float32 // normalized value of a byte, by color
	zeros         []float32       // a row outside the picture, and one above the first row of outputs
}

// stemSpace is a worker's memory for the stem.
type stemSpace struct {
	input   []float32   // one normalized row inside a border of zeros
	rows    [][]float32 // the last rows of outputs, each after a border pixel of zeros
	v, sums []float32   // transformed rows, those of the last position behind the others; products of a row
	pooled  []float32   // a row of outputs that will be rounded
}

// stemNeeds is the length of each part of a stemSpace.
type stemNeeds struct{ input, row, ring, v, sums, pooled int }

func (n stemNeeds) max(m stemNeeds) stemNeeds {
	return stemNeeds{max(n.input, m.input), max(n.row, m.row), max(n.ring, m.ring), max(n.v, m.v), max(n.sums, m.sums), max(n.pooled, m.pooled)}
}

func newStemSpace(take func(bytes int) []byte, n stemNeeds) stemSpace {
	return stemSpace{input: numbers[float32](take, n.input), rows: newRing[float32](take, n.ring, n.row), v: numbers[float32](take, n.v),
		sums: numbers[float32](take, n.sums), pooled: numbers[float32](take, n.pooled)}
}

// newRing makes n rows.
func newRing[T number](take func(bytes int) []byte, n, row int) [][]T {
	rows := make([][]T, n)
	for i := range rows {
		rows[i] = numbers[T](take, row)
	}
	return rows
}

func newStem(work *packing, k *kernel.Set, o operation, c conv, pre spec.Preprocess) *stem {
	s := &stem{operation: o, kernels: k, tiles: o.size / kernel.StemOutputs, bias: slices.Clone(c.bias)}
	s.sumStride = s.tiles*o.out + 16
	s.zeros = make([]float32, max(stemRow(o), inputStride(o.size)+kernel.StemSlack))
	if k.HasGrid() {
		s.u = gridMatrices(work, o, c)
	} else {
		s.u, s.last = stemMatrices(work, k, c)
	}
	for x := range s.lookup {
		for color := range s.lookup[x] {
			s.lookup[x][color] = float32((float64(x)/255 - pre.Mean[color]) / pre.Deviation[color])
		}
	}
	return s
}

// stemMatrices lays the transformed weights out: u as [position][panel][kernel row][StemDeep][NR], and those of
// the last position as [panel][kernel row][StemDeepLast][NR].
func stemMatrices(work *packing, k *kernel.Set, c conv) (u, last []float32) {
	const rows, deep, deepLast, positions = 7, kernel.StemDeep, kernel.StemDeepLast, kernel.StemPositions
	columns, panels := k.NR, len(c.bias)/k.NR
	u, last = room[float32](work, (positions-1)*rows*deep*len(c.bias)), room[float32](work, rows*deepLast*len(c.bias))
	work.add(panels, func(panel int) {
		for column := range columns {
			o := panel*columns + column
			for i := range 3 * rows {
				color, row := i/rows, i%rows
				taps := kernel.StemWeights(c.weight[(o*3*rows+i)*rows:][:rows], c.factor(o))
				for position := range positions - 1 {
					at := (((position*panels+panel)*rows+row)*deep + color) * columns
					u[at+column] = float32(taps[position])
					u[at+3*columns+column] = float32(taps[positions+position])
				}
				last[((panel*rows+row)*deepLast+color)*columns+column] = float32(taps[positions-1])
			}
		}
	})
	return u, last
}

func (s *stem) algorithm() string { return "winograd-7x7" }

// vLength is the length of a worker's transformed rows at the positions but the last.
func (s *stem) vLength() int { return (kernel.StemPositions - 1) * s.tiles * stemTile }

func (s *stem) space() stemNeeds {
	if s.kernels.HasGrid() {
		return s.gridSpace()
	}
	return stemNeeds{input: inputStride(s.size) + kernel.StemSlack, row: stemRow(s.operation), ring: stemRing,
		v: s.vLength() + s.tiles*stemTileLast, sums: kernel.StemPositions * s.sumStride}
}

// needs: the parts of a workspace of floats are also the stem's.
func (s *stem) needs(int) needs {
	n := s.space()
	return needs{input: n.input, row: n.row, ring: n.ring, v: n.v, sums: n.sums}
}

// run computes a worker's part of the pooled rows.
func (s *stem) run(p *fp32Pass, worker int) {
	first, end := p.share(s.size/2, worker)
	w, out := &p.workspaces[worker], p.buffer(s.to)
	s.rows(&stemSpace{input: w.input, rows: w.rows, v: w.v, sums: w.sums}, p.rgb, first, end, func(y int, r0, r1, r2 []float32) {
		s.kernels.MaxPool(out.data[out.at(y, 0):], r0, r1, r2, s.size/2, s.out)
	})
}

// rows computes the rows of the convolution that pooled rows from first to end need, and calls pool for each of these with its
// three. The first of them is also the last that another worker needs; both compute it.
func (s *stem) rows(w *stemSpace, rgb []byte, first, end int, pool func(y int, r0, r1, r2 []float32)) {
	if first == end {
		return
	}
	if s.kernels.HasGrid() {
		s.gridRows(w, rgb, first, end, pool)
		return
	}
	row := func(y int) []float32 {
		if y < 0 {
			return s.zeros // ReLU leaves nothing below zero, so zeros never win
		}
		return w.rows[y%stemRing]
	}
	y := max(0, 2*first-1)
	parts := tiles.Cut(2*end-y, stemRows)
	for part := range parts.Count() {
		s.transform(w, rgb, y, parts.Height(part))
		for i := range parts.Height(part) {
			s.convolve(w, row(y)[s.out:], i)
			if y%2 == 1 && y/2 >= first {
				pool(y/2, row(y-2), row(y-1), row(y))
			}
			y++
		}
	}
}

// transform prepares what n rows of outputs from y on need.
func (s *stem) transform(w *stemSpace, rgb []byte, y, n int) {
	last := w.v[s.vLength():]
	for i := range 2*n + 5 {
		row := s.pixels(w, rgb, 2*y+i-stemBorder)
		s.kernels.StemInput(w.v[i*kernel.StemDeep:], s.tiles*stemTile, stemTile, last[i*kernel.StemDeepLast:], stemTileLast, row, s.tiles)
	}
}

// pixels is a normalized row, which is zero outside the picture. It is valid until the next call.
func (s *stem) pixels(w *stemSpace, rgb []byte, y int) []float32 {
	if y < 0 || y >= 2*s.size {
		return s.zeros
	}
	s.normalize(w.input[3*stemBorder:], rgb[y*2*s.size*3:][:2*s.size*3])
	return w.input
}

func (s *stem) normalize(to []float32, rgb []byte) {
	to = to[:len(rgb)]
	for i := 0; i+2 < len(rgb) && i+2 < len(to); i += 3 {
		to[i] = s.lookup[rgb[i]][0]
		to[i+1] = s.lookup[rgb[i+1]][1]
		to[i+2] = s.lookup[rgb[i+2]][2]
	}
}

// convolve computes the i-th row of those that were transformed.
func (s *stem) convolve(w *stemSpace, to []float32, i int) {
	k := s.kernels
	const last = kernel.StemPositions - 1
	multiply := func(position int, v []float32, tile, deep int, u []float32) {
		k.Multiply(kernel.Product{M: s.tiles, N: s.out, K: 7 * deep, Rows: 1, A: v[2*i*deep:], LDA: tile, B: u,
			C: w.sums[position*s.sumStride:], LDC: s.out, Bias: noBias[:]})
	}
	for position := range last {
		multiply(position, w.v[position*s.tiles*stemTile:], stemTile, kernel.StemDeep, s.u[position*7*kernel.StemDeep*s.out:])
	}
	multiply(last, w.v[s.vLength():], stemTileLast, kernel.StemDeepLast, s.last)
	k.StemOutput(to, w.sums, s.sumStride, s.bias, s.tiles)
}
