package resnet

import "github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"

// trimmed is winograd whose last tiles, of which half would lie beyond the edge, are smaller: other algorithms compute these, with the
// same weights and fewer products. At 14 x 14, F4 then has 484 products for each pair of channels instead of 576; at 7 x 7, F2 has 225
// instead of 256. A convolution of stride 2 has 324 there, where a direct one has 441.
//
// See docs/decisions/0173-the-last-tiles-are-smaller.md.
type trimmed struct {
	operation
	tiling
	filter *filter32
	list   []trimmedTile
	spans  []span // the tiles that have a product at each position
}

// trimmedTile is a tile and the filter that computes it.
type trimmedTile struct {
	filter *filter32
	y, x   int // its upper left output
}

// span is neighboring tiles, from first to end.
type span struct{ first, end int }

// trimmedFor returns how an algorithm's last tiles can be smaller at outputs of a size; nil if they cannot.
func trimmedFor(k *kernel.Set, w *kernel.Winograd, size int) *kernel.Trimmed {
	for _, a := range []*kernel.Trimmed{&kernel.TrimmedF2, &kernel.TrimmedF4, &kernel.TrimmedStride2} {
		if k.Trims() && a.Whole == w && size%w.Height == a.Small.Height {
			return a
		}
	}
	return nil
}

// newTrimmed makes the step. Workers divide its weights, which in ResNet-18 are many: layers of such sizes are the last ones.
func newTrimmed(f *filter32, a *kernel.Trimmed, o operation) *trimmed {
	f.order = diagonally(f.winograd)
	g := f.geometry()
	g.shared = true
	t := &trimmed{operation: o, tiling: newTiling(o.shape, g), filter: f}
	t.list = trimmedTiles(f, a, t.down-1)
	t.spans = spansOf(t.list, t.positions)
	return t
}

func (t *trimmed) algorithm() string { return t.filter.name() }

// trimmedTiles lists the tiles of an image that has whole x whole full ones. Those below come first and those at the right last, so
// that tiles that have a product at the same position are neighbors.
func trimmedTiles(f *filter32, a *kernel.Trimmed, whole int) (list []trimmedTile) {
	of := func(w *kernel.Winograd) *filter32 {
		g := *f
		g.winograd = w
		return &g
	}
	add := func(f *filter32, row, column int) {
		list = append(list, trimmedTile{f, row * a.Whole.Height, column * a.Whole.Width})
	}
	low, narrow := of(a.Low), of(a.Narrow)
	for column := range whole {
		add(low, whole, column)
	}
	for i := range whole * whole {
		add(f, i/whole, i%whole)
	}
	for row := range whole {
		add(narrow, row, whole)
	}
	add(of(a.Small), whole, whole)
	return list
}

// spansOf finds the tiles of each position.
func spansOf(list []trimmedTile, positions int) []span {
	spans := make([]span, positions)
	for i, tile := range list {
		w := tile.filter.winograd
		for position := range w.Positions() {
			s := &spans[w.Place(position)]
			if s.end == 0 {
				s.first = i
			}
			s.end = i + 1
		}
	}
	return spans
}

// diagonally is an algorithm's positions in an order whose halves have about equally many products: neighbors in a row or column of
// its matrices are in different ones. Positions that share a matrix stay next to each other.
func diagonally(w *kernel.Winograd) (positions []int) {
	side := 1
	for side*side < w.Matrices() {
		side++
	}
	for half := range 2 {
		for _, position := range orderOf(w) {
			if matrix := w.Matrix(position); (matrix/side+matrix%side)%2 == half {
				positions = append(positions, position)
			}
		}
	}
	return positions
}

// run divides tiles among workers for the transforms, and units for the products.
func (t *trimmed) run(p *fp32Pass, worker int) {
	m, in, out := &p.workspaces[0], p.buffer(t.from), p.buffer(t.to)
	first, end := p.share(len(t.list), worker)
	for i, tile := range t.list[first:end] {
		tile.filter.input(m.v[(first+i)*t.in:], t.vStride, in.data[in.at(t.stride*tile.y-1, t.stride*tile.x-1):], in.rowStride(), t.in)
	}
	p.wait()
	from, to := p.share(t.units, worker)
	for unit, next := from, 0; unit < to; unit = next {
		next = min(unit-unit%t.panels+t.panels, to)
		t.filter.multiplyTiles(&t.tiling, m.sums, m.v, unit, next, min(next, to-1), t.spans[t.filter.order[unit/t.panels]])
	}
	p.wait()
	for i, tile := range t.list[first:end] {
		w := tile.filter.winograd
		tile.filter.output(out.data[out.at(tile.y, tile.x):], out.rowStride(), t.out, w.Height, w.Width, m.sums[(first+i)*t.out:], t.sumStride)
	}
}
