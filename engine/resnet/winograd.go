package resnet

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// winograd is a 3x3 convolution by a minimal filtering algorithm: transform tiles of the input, multiply a matrix of
// tiles by channels with the weights of each position, transform the sums back.
type winograd struct {
	shape
	tiling
	algorithm *kernel.Winograd
	in, out   buffer
	residual  *buffer
	relu      bool
	u         []float32 // [matrix][panel][input channel][Columns]
	order     []int     // positions, those that share a matrix behind each other
	bias      []float32
}

func newWinograd(p *packing, k *kernel.Set, w *kernel.Winograd, s shape, c conv, in, out buffer, residual *buffer, relu bool) *winograd {
	step := &winograd{shape: s, algorithm: w, in: in, out: out, residual: residual, relu: relu, bias: slices.Clone(c.bias)}
	step.u = p.winograd(k, w, c, s.in)
	step.tiling = newTiling(s, w.Height, w.Width, w.Positions(), k.Columns, 4*len(step.u), 4, 4)
	for position := range w.Positions() {
		step.order = append(step.order, position)
	}
	slices.SortStableFunc(step.order, func(a, b int) int { return w.Matrix(a) - w.Matrix(b) })
	return step
}

// algorithms is what Layer calls them.
var algorithms = map[*kernel.Winograd]string{
	kernel.F2: "winograd2", kernel.F4: "winograd4", kernel.F4x2: "winograd4x2", kernel.Stride2: "winograd-s2",
}

func (s *winograd) layer() Layer {
	return Layer{s.name, algorithms[s.algorithm], s.macs()}
}

func (s *winograd) run(r *Runner, worker int) { s.tiling.run(r, worker, s) }

func (s *winograd) panels(r *Runner) int { return s.shape.out / r.network.kernels.Columns }

// input transforms the tiles from first to end, counted from the start of a row of tiles.
func (s *winograd) input(r *Runner, scratch, row, first, end int) {
	v := r.scratch[scratch].v
	in := r.buffer(s.in)
	for tile := first; tile < end; tile++ {
		y, x := s.pixel(row, tile)
		r.network.kernels.Input(s.algorithm, v[tile*in.channels:], s.vStride, in.data[in.at(s.stride*y-1, s.stride*x-1):], in.rowStride(), in.channels)
	}
}

// multiply computes units from first to end; a unit is one position's product with one panel.
func (s *winograd) multiply(r *Runner, scratch, first, end int) {
	v, m := r.scratch[scratch].v, r.scratch[scratch].m
	k := r.network.kernels
	panels := s.panels(r)
	for unit, next := first, 0; unit < end; unit = next {
		position, panel := s.order[unit/panels], unit%panels
		next = min(unit-panel+panels, end) // all of the position's panels, if they are this worker's
		k.Multiply(s.tiles(), next-unit, m[position*s.mStride+panel*k.Columns:], s.shape.out,
			v[position*s.vStride:], s.shape.in, 0, 1, s.shape.in, s.weights(unit, panels, k.Columns), r.zeros, nil, false,
			s.weights(min(next, end-1), panels, k.Columns))
	}
}

// weights begin with a unit's panel.
func (s *winograd) weights(unit, panels, columns int) []float32 {
	return s.u[(s.algorithm.Matrix(s.order[unit/panels])*panels+unit%panels)*s.shape.in*columns:]
}

// output transforms the sums of the tiles from first to end back; tiles at the edge may reach beyond it.
func (s *winograd) output(r *Runner, scratch, row, first, end int) {
	m := r.scratch[scratch].m
	out := r.buffer(s.out)
	for tile := first; tile < end; tile++ {
		y, x := s.pixel(row, tile)
		at := out.at(y, x)
		var residual []float32
		if s.residual != nil {
			residual = r.buffer(*s.residual).data[at:]
		}
		r.network.kernels.Output(s.algorithm, out.data[at:], out.rowStride(), out.channels,
			min(s.height, s.size-y), min(s.width, s.size-x), m[tile*out.channels:], s.mStride, s.bias, residual, s.relu)
	}
}
