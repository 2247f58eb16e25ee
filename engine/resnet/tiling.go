package resnet

// tiling is how a Winograd layer works through its tiles. If it has few weights, each worker takes groups of a few rows of tiles from
// input to output; otherwise all workers divide each phase of the work, so that every weight is read once.
type tiling struct {
	height, width int  // outputs of a tile
	down, across  int  // rows of tiles, and tiles in each
	group         int  // the most rows of tiles that are worked on together
	positions     int  // products of a tile
	units         int  // products of one position with one panel of weights
	panels        int  // of weights, at each position
	shared        bool // all workers share the group
	// The distances, in elements, between positions in the transformed input and in the sums.
	vStride, sumStride int
}

// localBytes bounds the weights of a layer that every worker reads for itself, again for each group: most of them must stay in a
// second-level cache.
const localBytes = 768 << 10

// The rows of tiles of a group that measured fastest with AVX2, in float32 and in int8. A kernel multiplies at most six rows at once, so 14
// tiles would be split into five, five and four, and small ones are slower. In float32, seven rows also leave more of the memory that the
// next layer uses in the cache. Other levels have not been measured: in float32 they have groups of one row.
const groupRows, groupRows8 = 7, 3

// geometry is what a tiling needs to know of an algorithm and its kernels.
type geometry struct {
	height, width, positions int
	columns                  int  // output channels of a panel
	weightBytes              int  // of the whole layer
	group                    int  // rows of tiles that a worker computes together, unless workers divide the weights
	shared                   bool // workers divide the weights even if they are few
	vBytes, sumBytes         int  // of an element of the transformed input and of the sums
}

func newTiling(s shape, g geometry) tiling {
	down := (s.size + g.height - 1) / g.height
	t := tiling{height: g.height, width: g.width, down: down, across: (s.size + g.width - 1) / g.width,
		group: min(g.group, down), positions: g.positions, panels: s.out / g.columns}
	t.units = t.positions * t.panels
	if g.shared || g.weightBytes > localBytes {
		t.group, t.shared = t.down, true
	}
	// A line is added because positions a power of two apart would compete for the same few lines of a cache.
	t.vStride, t.sumStride = t.tiles()*s.in+64/g.vBytes, t.tiles()*s.out+64/g.sumBytes
	return t
}

// tiles is the largest number of tiles in a group.
func (t *tiling) tiles() int { return t.group * t.across }

// needs is a worker's memory; in a shared group all work in the first one's.
func (t *tiling) needs(worker int) needs {
	if worker > 0 && t.shared {
		return needs{}
	}
	return needs{v: t.positions * t.vStride, sums: t.positions * t.sumStride}
}

// pixel is the upper left output of a tile, counted from the start of a row of tiles.
func (t *tiling) pixel(row, tile int) (y, x int) {
	return (row + tile/t.across) * t.height, tile % t.across * t.width
}
