package resnet

import "github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"

// filter8 is one of kernel8's algorithms with a layer's weights.
type filter8 struct {
	finish
	kernels *kernel8.Winograd
	in, out int       // channels
	u       []int16   // as kernel8.Winograd.Pack lays it out
	muls    []float32 // of the sums at each position, likewise
	order   []int     // as orderOf returns it
}

func newFilter8(work *packing, k *kernel8.Winograd, o operation, c conv8, f finish) *filter8 {
	w := &filter8{finish: f, kernels: k, in: o.in, out: o.out, order: orderOf(k.Winograd),
		u: room[int16](work, k.Matrices()*o.in*o.out), muls: room[float32](work, k.Positions()*o.out)}
	bound := k.Bound()
	work.add(o.out/k.NR, func(panel int) {
		k.Pack(w.u, w.muls, bound, panel, o.out, o.in, func(out int) float32 { return f.mul[out] },
			func(out, in int) []int8 { return c.weight[(out*o.in+in)*9:][:9] })
	})
	return w
}

func (f *filter8) name() string { return algorithms[f.kernels.Winograd] }

func (f *filter8) geometry() geometry {
	w := f.kernels
	return geometry{height: w.Height, width: w.Width, positions: w.Positions(), columns: w.NR,
		weightBytes: 2 * len(f.u), group: groupRows8, vBytes: 2, sumBytes: 4}
}

func (f *filter8) input(v []int16, vStride int, x []uint8, rowStride, channels int) {
	f.kernels.Input(v, vStride, x, rowStride, channels)
}

func (f *filter8) multiply(t *tiling, tiles int, sums []int32, v []int16, first, next, _ int) {
	position, panel := f.order[first/t.panels], first%t.panels
	f.kernels.Multiply(kernel8.Product{
		M: tiles, N: (next - first) * f.kernels.NR, K: f.in,
		A: v[position*t.vStride:], LDA: f.in, B: f.u[(f.kernels.Matrix(position)*t.panels+panel)*f.in*f.kernels.NR:],
		C: sums[position*t.sumStride+panel*f.kernels.NR:], LDC: f.out,
	})
}

func (f *filter8) output(y []uint8, rowStride, channels, rows, columns int, sums []int32, sumStride int) {
	f.kernels.Output(kernel8.Outputs{Y: y, RowStride: rowStride, Channels: channels, Rows: rows, Columns: columns,
		Sums: sums, SumStride: sumStride, Mul: f.muls, Bias: f.bias, Residual: f.residualAt(y), ResidualMul: f.residualMul})
}
