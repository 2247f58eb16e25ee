package resnet

import (
	"github.com/resnet18cloud/resnet18cloud/engine/internal/prefetch"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// winograd is a 3x3 convolution by a minimal filtering algorithm: transform tiles of the input, multiply a matrix of
// tiles by channels with the weights of each position, transform the sums back.
type winograd[A activation, V, S number] struct {
	operation
	tiling
	filter filter[A, V, S]
}

// filter is the algorithm with a layer's weights. Positions of a tile lie vStride elements apart in v, sumStride in
// sums; pixels lie channels apart.
type filter[A activation, V, S number] interface {
	name() string
	geometry() geometry
	// input transforms the tile whose upper left pixel is at x.
	input(v []V, vStride int, x []A, rowStride, channels int)
	// multiply computes units from first to next, which are of one position: each the product of the given number of tiles with one
	// panel. The unit ahead is multiplied after them.
	multiply(t *tiling, tiles int, sums []S, v []V, first, next, ahead int)
	// output transforms a tile's sums back, and stores rows x columns outputs at y.
	output(y []A, rowStride, channels, rows, columns int, sums []S, sumStride int)
}

func newWinogradStep[A activation, V, S number](o operation, f filter[A, V, S]) step[A, V, S] {
	return &winograd[A, V, S]{o, newTiling(o.shape, f.geometry()), f}
}

func (w *winograd[A, V, S]) algorithm() string { return w.filter.name() }

// run is one worker's part.
func (w *winograd[A, V, S]) run(p *pass[A, V, S], worker int) {
	if !w.shared {
		w.groups(p, worker)
		return
	}
	first, end := p.share(w.tiles(), worker)
	w.input(p, 0, 0, first, end)
	p.wait()
	from, to := p.share(w.units, worker)
	w.multiply(p, 0, w.tiles(), from, to, soon[A]{})
	p.wait()
	w.output(p, 0, 0, first, end)
}

// groups computes a worker's rows of tiles, a few at a time.
func (w *winograd[A, V, S]) groups(p *pass[A, V, S], worker int) {
	row, end := p.share(w.down, worker)
	if row == end {
		return
	}
	groups := tiles.Cut(end-row, w.group)
	for i := range groups.Count() {
		next := row + groups.Height(i)
		count := (next - row) * w.across
		w.input(p, worker, row, 0, count)
		w.multiply(p, worker, count, 0, w.units, soon[A]{w.writes(p, row, next), w.reads(p, next, min(next+w.group, end))})
		w.output(p, worker, row, 0, count)
		row = next
	}
}

// soon is what is read or written after a product: it is brought into the cache meanwhile, when memory has little else to do.
type soon[A activation] struct{ outputs, inputs []A }

// fetch brings one of several equal parts into the cache. Parts count from 0.
func (s *soon[A]) fetch(part, of int) {
	for _, a := range [][]A{s.outputs, s.inputs} {
		prefetch.Slice(a[len(a)*part/of : len(a)*(part+1)/of])
	}
}

// reads returns the rows of pixels that rows of tiles from first to end read.
func (w *winograd[A, V, S]) reads(p *pass[A, V, S], first, end int) []A {
	if first == end {
		return nil
	}
	in := p.buffer(w.from)
	return in.data[w.stride*w.height*first*in.rowStride() : (w.stride*(w.height*end-1)+3)*in.rowStride()]
}

// writes returns the rows of pixels that rows of tiles from first to end write.
func (w *winograd[A, V, S]) writes(p *pass[A, V, S], first, end int) []A {
	out := p.buffer(w.to)
	return out.data[(1+w.height*first)*out.rowStride() : (1+w.height*end)*out.rowStride()]
}

// The three phases work in the memory of a worker, which holds the tiles of one group, the first of them in the given
// row of tiles.

// input transforms the tiles from first to end, counted from the start of a row of tiles. It fetches the pixels of each row first: those of
// a group that soon has fetched are in the cache, where asking again takes little.
func (w *winograd[A, V, S]) input(p *pass[A, V, S], worker, row, first, end int) {
	v, in := p.workspaces[worker].v, p.buffer(w.from)
	for tile := first; tile < end; tile++ {
		if at := row + tile/w.across; tile == first || tile%w.across == 0 {
			prefetch.Slice(w.reads(p, at, at+1))
		}
		y, x := w.pixel(row, tile)
		w.filter.input(v[tile*in.channels:], w.vStride, in.data[in.at(w.stride*y-1, w.stride*x-1):], in.rowStride(), in.channels)
	}
}

// multiply computes units from first to end for the given number of tiles.
func (w *winograd[A, V, S]) multiply(p *pass[A, V, S], worker, tiles, first, end int, then soon[A]) {
	m := &p.workspaces[worker]
	for unit, next := first, 0; unit < end; unit = next {
		position := unit / w.panels
		then.fetch(position, w.positions)
		next = min((position+1)*w.panels, end) // the position's remaining panels, as far as they are this worker's
		w.filter.multiply(&w.tiling, tiles, m.sums, m.v, unit, next, min(next, end-1))
	}
}

// output transforms the sums of the tiles from first to end back; tiles at the edge may reach beyond it.
func (w *winograd[A, V, S]) output(p *pass[A, V, S], worker, row, first, end int) {
	sums, out := p.workspaces[worker].sums, p.buffer(w.to)
	for tile := first; tile < end; tile++ {
		if at := row + tile/w.across; tile == first || tile%w.across == 0 {
			prefetch.Slice(w.writes(p, at, at+1))
		}
		y, x := w.pixel(row, tile)
		w.filter.output(out.data[out.at(y, x):], out.rowStride(), out.channels, min(w.height, w.size-y), min(w.width, w.size-x),
			sums[tile*out.channels:], w.sumStride)
	}
}
