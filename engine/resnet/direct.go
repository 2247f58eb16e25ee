package resnet

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// direct is a convolution by its definition: rows of pixels times panels of output channels.
type direct struct {
	shape
	in, out  buffer
	residual *buffer
	relu     bool
	b        []float32 // panels of [kernel row][kernel column][input channel][Columns]
	bias     []float32
}

func newDirect(p *packing, k *kernel.Set, s shape, c conv, in, out buffer, residual *buffer, relu bool) *direct {
	return &direct{s, in, out, residual, relu, p.direct(k, c, s.in, s.kernel*s.kernel), slices.Clone(c.bias)}
}

func (d *direct) layer() Layer { return Layer{d.name, "direct", d.macs()} }

// run shares out panels, not rows: each worker then streams its own part of the weights, once.
func (d *direct) run(r *Runner, worker int) {
	k := r.network.kernels
	in, out := r.buffer(d.in), r.buffer(d.out)
	pad := d.kernel / 2
	deep := d.kernel * d.in.channels()
	first, end := r.share(d.shape.out/k.Columns, worker)
	for panel := first; panel < end; panel++ {
		b := d.b[panel*d.kernel*deep*k.Columns:]
		bias := d.bias[panel*k.Columns:]
		next := d.b[min(panel+1, end-1)*d.kernel*deep*k.Columns:]
		for y := range d.size {
			// The buffer's border is one pixel wide, a 1x1 kernel has no padding.
			from := in.at(d.stride*y-pad, -pad)
			to := out.at(y, 0) + panel*k.Columns
			var residual []float32
			if d.residual != nil {
				residual = r.buffer(*d.residual).data[to:]
			}
			k.Multiply(d.size, 1, out.data[to:], out.channels, in.data[from:], d.stride*in.channels, in.rowStride(), d.kernel, deep,
				b, bias, residual, d.relu, next)
			next = nil // is in the cache now
		}
	}
}
