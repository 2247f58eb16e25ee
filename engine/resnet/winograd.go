package resnet

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// winograd is a stride-1 3x3 convolution by a minimal filtering algorithm: transform tiles of the input,
// multiply a matrix of tiles by channels with the weights of each position, transform the sums back.
type winograd struct {
	shape
	algorithm *kernel.Winograd
	in, out   buffer
	residual  *buffer
	relu      bool
	u         []float32 // [position][panel][input channel][Columns]
	bias      []float32

	across int  // tiles in one dimension
	group  int  // tile rows that are worked on together
	shared bool // all workers share each group, rather than taking one each
}

// localBytes bounds the weights of a layer that every worker walks through for itself, again for each row of
// tiles: they must stay in a second-level cache.
const localBytes = 768 << 10

func newWinograd(p *packing, k *kernel.Set, w *kernel.Winograd, s shape, c conv, in, out buffer, residual *buffer, relu bool) *winograd {
	step := &winograd{shape: s, algorithm: w, in: in, out: out, residual: residual, relu: relu, bias: slices.Clone(c.bias)}
	step.across = (s.size + w.M - 1) / w.M
	step.u = p.winograd(k, w, c, s.in)
	step.group, step.shared = 1, false
	if 4*len(step.u) > localBytes {
		step.group, step.shared = step.across, true
	}
	return step
}

func (s *winograd) layer() Layer {
	return Layer{s.name, map[int]string{2: "winograd2", 4: "winograd4"}[s.algorithm.M], s.macs()}
}

// strides are the distances between positions in the transformed input and in the sums. Sixteen floats are
// added because positions a power of two apart would compete for the same few lines of a cache.
func (s *winograd) strides() (v, m int) {
	tiles := s.group * s.across
	return tiles*s.shape.in + 16, tiles*s.shape.out + 16
}

// scratch is the floats needed for the transformed input and for the sums.
func (s *winograd) scratch() (v, m int) {
	v, m = s.strides()
	return v * s.algorithm.Positions(), m * s.algorithm.Positions()
}

func (s *winograd) run(r *Runner, worker int) {
	if !s.shared {
		v, m := r.local(worker)
		first, end := r.share(s.across, worker)
		for row := first; row < end; row++ {
			s.input(r, v, row, 0, s.across)
			s.multiply(r, v, m, 0, s.algorithm.Positions()*s.panels(r))
			s.output(r, m, row, 0, s.across)
		}
		return
	}
	v, m := r.local(0)
	tiles := s.across * s.across
	first, end := r.share(tiles, worker)
	s.input(r, v, 0, first, end)
	r.barrier.wait(spins)
	units := s.algorithm.Positions() * s.panels(r)
	from, to := r.share(units, worker)
	s.multiply(r, v, m, from, to)
	r.barrier.wait(spins)
	s.output(r, m, 0, first, end)
}

func (s *winograd) panels(r *Runner) int { return s.shape.out / r.network.kernels.Columns }

// input transforms the tiles from first to end, counted from the start of a row of tiles.
func (s *winograd) input(r *Runner, v []float32, row, first, end int) {
	in := r.buffer(s.in)
	stride, _ := s.strides()
	for tile := first; tile < end; tile++ {
		y, x := (row+tile/s.across)*s.algorithm.M, tile%s.across*s.algorithm.M
		r.network.kernels.Input(s.algorithm, v[tile*in.channels:], stride, in.data[in.at(y-1, x-1):], in.rowStride(), in.channels)
	}
}

// multiply computes units from first to end; a unit is one position's product with one panel.
func (s *winograd) multiply(r *Runner, v, m []float32, first, end int) {
	k := r.network.kernels
	panels, tiles := s.panels(r), s.group*s.across
	vs, ms := s.strides()
	for unit := first; unit < end; unit++ {
		position, panel := unit/panels, unit%panels
		b := s.u[unit*s.shape.in*k.Columns:]
		next := upcoming{panel: s.u[min(unit+1, end-1)*s.shape.in*k.Columns:][:s.shape.in*k.Columns]}
		r.tiles(tiles, func(tile, n int) {
			k.Tile(n, m[position*ms+tile*s.shape.out+panel*k.Columns:], s.shape.out,
				v[position*vs+tile*s.shape.in:], s.shape.in, 0, 1, s.shape.in, b, r.zeros, nil, false, next.half())
		})
	}
}

// output transforms the sums of the tiles from first to end back; tiles at the edge may reach beyond it.
func (s *winograd) output(r *Runner, m []float32, row, first, end int) {
	out := r.buffer(s.out)
	_, stride := s.strides()
	for tile := first; tile < end; tile++ {
		y, x := (row+tile/s.across)*s.algorithm.M, tile%s.across*s.algorithm.M
		at := out.at(y, x)
		var residual []float32
		if s.residual != nil {
			residual = r.buffer(*s.residual).data[at:]
		}
		r.network.kernels.Output(s.algorithm, out.data[at:], out.rowStride(), out.channels,
			min(s.algorithm.M, s.size-y), min(s.algorithm.M, s.size-x), m[tile*out.channels:], stride, s.bias, residual, s.relu)
	}
}
