package resnet

// winograd is a 3x3 convolution by a minimal filtering algorithm: transform tiles of the input, multiply a matrix of
// tiles by channels with the weights of each position, transform the sums back.
type winograd[A activation, V, S any] struct {
	operation
	tiling
	filter filter[A, V, S]
}

// filter is the algorithm with a layer's weights. Positions of a tile lie vStride elements apart in v, sumStride in
// sums; pixels lie channels apart.
type filter[A activation, V, S any] interface {
	name() string
	geometry() geometry
	// input transforms the tile whose upper left pixel is at x.
	input(v []V, vStride int, x []A, rowStride, channels int)
	// multiply computes units from first to next, which are of one position: products with one panel each. The unit
	// ahead is multiplied after them.
	multiply(t *tiling, sums []S, v []V, first, next, ahead int)
	// output transforms a tile's sums back, and stores rows x columns outputs at y.
	output(y []A, rowStride, channels, rows, columns int, sums []S, sumStride int)
}

func newWinogradStep[A activation, V, S any](o operation, f filter[A, V, S]) step[A, V, S] {
	return &winograd[A, V, S]{o, newTiling(o.shape, f.geometry()), f}
}

func (w *winograd[A, V, S]) algorithm() string { return w.filter.name() }

// run is one worker's part.
func (w *winograd[A, V, S]) run(p *pass[A, V, S], worker int) {
	if !w.shared {
		first, end := p.share(w.down, worker)
		for row := first; row < end; row++ {
			w.input(p, worker, row, 0, w.across)
			w.multiply(p, worker, 0, w.units)
			w.output(p, worker, row, 0, w.across)
		}
		return
	}
	first, end := p.share(w.tiles(), worker)
	w.input(p, 0, 0, first, end)
	p.wait()
	from, to := p.share(w.units, worker)
	w.multiply(p, 0, from, to)
	p.wait()
	w.output(p, 0, 0, first, end)
}

// The three phases work in the memory of a worker, which holds the tiles of one group, the first of them in the given
// row of tiles.

// input transforms the tiles from first to end, counted from the start of a row of tiles.
func (w *winograd[A, V, S]) input(p *pass[A, V, S], worker, row, first, end int) {
	v, in := p.workspaces[worker].v, p.buffer(w.from)
	for tile := first; tile < end; tile++ {
		y, x := w.pixel(row, tile)
		w.filter.input(v[tile*in.channels:], w.vStride, in.data[in.at(w.stride*y-1, w.stride*x-1):], in.rowStride(), in.channels)
	}
}

// multiply computes units from first to end.
func (w *winograd[A, V, S]) multiply(p *pass[A, V, S], worker, first, end int) {
	m := &p.workspaces[worker]
	for unit, next := first, 0; unit < end; unit = next {
		next = min(unit-unit%w.panels+w.panels, end) // the position's remaining panels, as far as they are this worker's
		w.filter.multiply(&w.tiling, m.sums, m.v, unit, next, min(next, end-1))
	}
}

// output transforms the sums of the tiles from first to end back; tiles at the edge may reach beyond it.
func (w *winograd[A, V, S]) output(p *pass[A, V, S], worker, row, first, end int) {
	sums, out := p.workspaces[worker].sums, p.buffer(w.to)
	for tile := first; tile < end; tile++ {
		y, x := w.pixel(row, tile)
		w.filter.output(out.data[out.at(y, x):], out.rowStride(), out.channels, min(w.height, w.size-y), min(w.width, w.size-x),
			sums[tile*out.channels:], w.sumStride)
	}
}
