package resnet

import "github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"

// winograd8 is a stride-1 3x3 convolution of bytes by kernel8's algorithm in whole numbers: the same bytes as direct8's.
type winograd8 struct {
	shape
	tiling
	finish8
	kernels *kernel8.Winograd
	in, out buffer
	u       []int16 // as kernel8.Winograd.Pack lays it out
}

func newWinograd8(p *packing, k *kernel8.Winograd, s shape, c conv8, in, out tensor8, residual *tensor8) *winograd8 {
	w := &winograd8{shape: s, finish8: newFinish8(c, in, out, residual), kernels: k, in: in.at, out: out.at,
		u: room[int16](p, kernel8.Positions*s.in*s.out)}
	w.tiling = newTiling(s, kernel8.M, kernel8.M, kernel8.Positions, k.Columns, 2*len(w.u), 2, 4)
	p.add(s.out/k.Columns, func(panel int) {
		k.Pack(w.u, panel, s.out, s.in, func(o, i int) []int8 { return c.weight[(o*s.in+i)*9:][:9] })
	})
	return w
}

func (w *winograd8) layer() Layer { return Layer{w.name, "winograd2", w.macs()} }

func (w *winograd8) run(r *Runner, worker int) { w.tiling.run(r, worker, w) }

// input transforms the tiles from first to end.
func (w *winograd8) input(r *Runner, scratch, row, first, end int) {
	v, in := r.scratch8[scratch].v, r.buffer8(w.in)
	for tile := first; tile < end; tile++ {
		y, x := w.pixel(row, tile)
		w.kernels.Input(v[tile*in.channels:], w.vStride, in.data[in.at(y-1, x-1):], in.rowStride(), in.channels)
	}
}

// multiply computes units from first to end; a unit is one position's product with one panel.
func (w *winograd8) multiply(r *Runner, scratch, first, end int) {
	v, m := r.scratch8[scratch].v, r.scratch8[scratch].m
	k := w.kernels
	panels, each := w.shape.out/k.Columns, w.shape.in*k.Columns
	for unit, next := first, 0; unit < end; unit = next {
		position, panel := unit/panels, unit%panels
		next = min(unit-panel+panels, end) // all of the position's panels, if they are this worker's
		k.Product(w.tiles(), next-unit, m[position*w.mStride+panel*k.Columns:], w.shape.out, v[position*w.vStride:], w.shape.in, w.shape.in,
			w.u[unit*each:])
	}
}

// output transforms the sums of the tiles from first to end back; tiles at the edge may reach beyond it.
func (w *winograd8) output(r *Runner, scratch, row, first, end int) {
	m, out := r.scratch8[scratch].m, r.buffer8(w.out)
	for tile := first; tile < end; tile++ {
		y, x := w.pixel(row, tile)
		to := out.data[out.at(y, x):]
		w.kernels.Output(to, out.rowStride(), out.channels, min(kernel8.M, w.size-y), min(kernel8.M, w.size-x),
			m[tile*out.channels:], w.mStride, w.mul, w.bias, w.residualOf(to), w.residualMul)
	}
}
