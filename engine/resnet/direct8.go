package resnet

import "github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"

// direct8 is direct on bytes.
type direct8 struct {
	operation
	finish
	kernels  *kernel8.Set
	geometry kernel8.Geometry
	w        []int8
	each     int // packed weights of a panel
}

func newDirect8(work *packing, k *kernel8.Set, o operation, c conv8, f finish) *direct8 {
	d := &direct8{operation: o, finish: f, kernels: k}
	from, to := sideOf(o.size*o.stride, tile8)*o.in, sideOf(o.size, tile8)*o.out
	d.geometry = kernel8.Geometry{
		Rows: o.kernel, Steps: o.kernel * o.in / 4, RowStride: from,
		PixelStride: o.stride * o.in, DstStride: o.out, Width: o.size,
		SrcLine: o.stride * from, DstLine: to,
	}
	d.w, d.each = bytePanels(work, k, c, o.shape, d.geometry)
	return d
}

func (d *direct8) algorithm() string { return "direct" }

func (d *direct8) needs(int) needs {
	return needs{wide: d.kernels.Room(d.each), rest: kernel8.RestBytes(d.size)}
}

// run divides rows of panels among workers, panel by panel: with many panels each worker streams its own weights, with
// few they share them.
func (d *direct8) run(p *int8Pass, worker int) {
	k := d.kernels
	in, out := p.buffer(d.from), p.buffer(d.to)
	pad := d.kernel / 2
	first, end := p.share(d.out/k.Channels*d.size, worker)
	for unit, next := first, 0; unit < end; unit = next {
		panel, y := unit/d.size, unit%d.size
		next = min(unit-y+d.size, end) // the panel's remaining rows, as far as they are this worker's
		c := panel * k.Channels
		w := k.Widen(p.workspaces[worker].wide, d.w[panel*d.each:][:d.each])
		dst := out.data[out.at(y, 0)+c:]
		k.Convolve(kernel8.Convolution{
			Geometry: d.geometry, Lines: next - unit, Dst: dst, Src: in.data[in.at(d.stride*y-pad, -pad):], W: w,
			Mul: d.mul[c:], Bias: d.bias[c:], Residual: d.residualAt(dst), ResidualMul: d.residualMul,
			Rest: p.workspaces[worker].rest,
		})
	}
}
