package resnet

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// The stem's input has a border of three pixels on either side, for its 7x7 kernel.
const (
	inputSide   = Size + 6
	inputStride = 3 * inputSide
	// rowFloats is a row of the stem's output with the left border that pooling wants.
	rowFloats = (112 + 1) * 64

	// stemTiles is the tiles of a row, stemRows the most rows of outputs that are worked on together: what their input is
	// transformed to stays in a second-level cache.
	stemTiles = 112 / kernel.StemOutputs
	stemRows  = 14
	// stemInputRows is the rows of input that so many need. A tile's transformed values of all of them lie behind each other, so
	// that the seven rows of a kernel are one piece.
	stemInputRows = 2*stemRows + 5
	stemTile      = stemInputRows * kernel.StemDeep
	stemTileLast  = stemInputRows * kernel.StemDeepLast
	stemSums      = stemTiles*64 + 16 // a position's sums, and a line that keeps positions apart in caches
)

// stemStep is normalisation, the 7x7 stride-2 convolution by a minimal filtering algorithm along rows, ReLU and the 3x3
// stride-2 maximum. Pooling follows the convolution three rows behind, so that its 3 MB never leave the cache.
type stemStep struct {
	u, last, bias []float32       // as packing.stem makes them
	lookup        [256][3]float32 // normalised value of a byte, by colour
}

func newStem(p *packing, k *kernel.Set, c conv) *stemStep {
	s := &stemStep{bias: slices.Clone(c.bias)}
	s.u, s.last = p.stem(k, c)
	for x := range s.lookup {
		for colour := range s.lookup[x] {
			s.lookup[x][colour] = float32((float64(x)/255 - mean[colour]) / deviation[colour])
		}
	}
	return s
}

func (s *stemStep) layer() Layer { return Layer{stem.name, "winograd-7x7", stem.macs()} }

// stemScratch is a worker's memory for the stem.
type stemScratch struct {
	input   []float32    // a normalised row with its border
	v, last []float32    // transformed rows
	m       []float32    // sums of a row, by position
	rows    [3][]float32 // the last three rows of outputs
}

func newStemScratch() *stemScratch {
	s := &stemScratch{
		input: make([]float32, inputStride+kernel.StemSlack),
		v:     make([]float32, (kernel.StemPositions-1)*stemTiles*stemTile),
		last:  make([]float32, stemTiles*stemTileLast),
		m:     make([]float32, kernel.StemPositions*stemSums),
	}
	for i := range s.rows {
		s.rows[i] = make([]float32, rowFloats)
	}
	return s
}

// run computes a worker's share of pooled rows, each of which needs three rows of the convolution. The first is also the
// last that another worker needs; both compute it.
func (s *stemStep) run(r *Runner, worker int) {
	first, end := r.share(stem.size/2, worker)
	if first == end {
		return
	}
	w, out := r.stems[worker], r.buffer(buffer{0, 0})
	row := func(y int) []float32 {
		if y < 0 {
			return r.stemZeros // ReLU leaves nothing below zero, so zeros never win
		}
		return w.rows[y%3]
	}
	y := max(0, 2*first-1)
	parts := tiles.Cut(2*end-y, stemRows)
	for part := range parts.Count() {
		s.input(r, w, y, parts.Height(part))
		for i := range parts.Height(part) {
			s.convolve(r, w, row(y)[64:], i)
			if y%2 == 1 && y/2 >= first {
				r.network.kernels.MaxPool(out.data[out.at(y/2, 0):], row(y-2), row(y-1), row(y), stem.size/2, stem.out)
			}
			y++
		}
	}
}

// input transforms what n rows of outputs from y on need.
func (s *stemStep) input(r *Runner, w *stemScratch, y, n int) {
	for i := range 2*n + 5 {
		row := r.stemZeros
		if from := 2*y + i - 3; from >= 0 && from < Size {
			row = w.input
			s.normalise(row[9:], r.rgb[from*Size*3:])
		}
		r.network.kernels.StemInput(w.v[i*kernel.StemDeep:], stemTiles*stemTile, stemTile, w.last[i*kernel.StemDeepLast:], stemTileLast, row, stemTiles)
	}
}

func (s *stemStep) normalise(to []float32, rgb []byte) {
	to = to[:Size*3]
	rgb = rgb[:Size*3]
	for i := 0; i+2 < len(rgb) && i+2 < len(to); i += 3 {
		to[i] = s.lookup[rgb[i]][0]
		to[i+1] = s.lookup[rgb[i+1]][1]
		to[i+2] = s.lookup[rgb[i+2]][2]
	}
}

// convolve computes the i-th row of those that were transformed.
func (s *stemStep) convolve(r *Runner, w *stemScratch, to []float32, i int) {
	k := r.network.kernels
	const last = kernel.StemPositions - 1
	multiply := func(position int, v []float32, tile, deep int, u []float32) {
		k.Multiply(stemTiles, stem.out/k.Columns, w.m[position*stemSums:], stem.out, v[2*i*deep:], tile, 0, 1, 7*deep, u, r.zeros, nil, false, nil)
	}
	for position := range last {
		multiply(position, w.v[position*stemTiles*stemTile:], stemTile, kernel.StemDeep, s.u[position*7*kernel.StemDeep*stem.out:])
	}
	multiply(last, w.last, stemTileLast, kernel.StemDeepLast, s.last)
	k.StemOutput(to, w.m, stemSums, s.bias, stemTiles)
}
