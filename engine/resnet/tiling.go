package resnet

// tiling is how a Winograd layer works through its tiles. While its weights fit a second-level cache each worker takes
// rows of tiles from input to output; otherwise all workers share each part of the work, so that every weight is read
// once.
type tiling struct {
	height, width int  // outputs of a tile
	down, across  int  // rows of tiles, and tiles in each
	group         int  // tile rows that are worked on together
	positions     int  // products of a tile
	units         int  // products of one position with one panel of weights
	shared        bool // all workers share the group
	// The distances, in elements, between positions in the transformed input and in the sums.
	vStride, mStride int
}

// localBytes bounds the weights of a layer that every worker walks through for itself, again for each row of
// tiles: they must stay in a second-level cache.
const localBytes = 768 << 10

// newTiling plans for a layer with so many bytes of weights in panels of so many output channels. inBytes and outBytes
// are the sizes of an element of the transformed input and of the sums.
func newTiling(s shape, height, width, positions, columns, weightBytes, inBytes, outBytes int) tiling {
	t := tiling{height: height, width: width, down: (s.size + height - 1) / height, across: (s.size + width - 1) / width,
		group: 1, positions: positions, units: positions * s.out / columns}
	if weightBytes > localBytes {
		t.group, t.shared = t.down, true
	}
	// A line is added because positions a power of two apart would compete for the same few lines of a cache.
	t.vStride, t.mStride = t.tiles()*s.in+64/inBytes, t.tiles()*s.out+64/outBytes
	return t
}

// tiles is their number in a group.
func (t *tiling) tiles() int { return t.group * t.across }

// plan gives steps of all precisions one face.
func (t *tiling) plan() *tiling { return t }

// scratch is how many elements of transformed input and of sums a worker needs; all share those of the first.
func (n *Network) scratch(worker int) (v, m int) {
	for _, s := range n.steps {
		w, ok := s.(interface{ plan() *tiling })
		if !ok || worker > 0 && w.plan().shared {
			continue
		}
		v = max(v, w.plan().positions*w.plan().vStride)
		m = max(m, w.plan().positions*w.plan().mStride)
	}
	return v, m
}

// pixel is the upper left output of a tile, counted from the start of a row of tiles.
func (t *tiling) pixel(row, tile int) (y, x int) {
	return (row + tile/t.across) * t.height, tile % t.across * t.width
}

// phases are the three parts of a Winograd layer. They work in the scratch memory of a worker, which holds the tiles of
// one group, the first of them in the given row of tiles.
type phases interface {
	input(r *Runner, scratch, row, first, end int)
	multiply(r *Runner, scratch, first, end int)
	output(r *Runner, scratch, row, first, end int)
}

// run is one worker's part.
func (t *tiling) run(r *Runner, worker int, p phases) {
	if !t.shared {
		first, end := r.share(t.down, worker)
		for row := first; row < end; row++ {
			p.input(r, worker, row, 0, t.across)
			p.multiply(r, worker, 0, t.units)
			p.output(r, worker, row, 0, t.across)
		}
		return
	}
	first, end := r.share(t.tiles(), worker)
	p.input(r, 0, 0, first, end)
	r.barrier.wait(spins)
	from, to := r.share(t.units, worker)
	p.multiply(r, 0, from, to)
	r.barrier.wait(spins)
	p.output(r, 0, 0, first, end)
}
