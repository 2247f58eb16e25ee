package resnet

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// direct is a convolution by its definition: rows of pixels times panels of output channels.
type direct struct {
	operation
	kernels *kernel.Set
	b       []float32 // as panels returns it
	bias    []float32
}

func newDirect(work *packing, k *kernel.Set, o operation, c conv) *direct {
	return &direct{o, k, panels(work, k, c, o.in, o.kernel*o.kernel), slices.Clone(c.bias)}
}

// panels lays the weights of a convolution out for Multiply: panels of NR output channels, the last one padded with
// zeros, each [kernel row][kernel column][input channel][NR]. taps is the number of kernel rows times columns.
func panels(work *packing, k *kernel.Set, c conv, in, taps int) []float32 {
	count, each := (len(c.bias)+k.NR-1)/k.NR, in*taps*k.NR
	b := room[float32](work, count*each)
	work.add(count, func(panel int) { fillPanel(b[panel*each:][:each], k.NR, panel*k.NR, c, in, taps) })
	return b
}

// fillPanel writes the panel of output channels from first on.
func fillPanel(panel []float32, columns, first int, c conv, in, taps int) {
	each := in * taps
	for i := range in {
		for tap := range taps {
			from := c.weight[first*each+i*taps+tap:]
			to := panel[(tap*in+i)*columns:][:min(columns, len(c.bias)-first)]
			for column := range to {
				to[column] = float32(float64(from[column*each]) * c.factor(first+column))
			}
		}
	}
}

func (d *direct) algorithm() string { return "direct" }

func (d *direct) needs(int) needs { return needs{} }

// run divides panels among workers, not rows: each worker then streams its own part of the weights, once.
func (d *direct) run(p *fp32Pass, worker int) {
	k := d.kernels
	in, out := p.buffer(d.from), p.buffer(d.to)
	pad := d.kernel / 2
	deep := d.kernel * d.in
	first, end := p.share(d.out/k.NR, worker)
	for panel := first; panel < end; panel++ {
		b := d.b[panel*d.kernel*deep*k.NR:]
		bias := d.bias[panel*k.NR:]
		next := d.b[min(panel+1, end-1)*d.kernel*deep*k.NR:]
		for y := range d.size {
			// The buffer's border is one pixel wide; a 1x1 kernel has no padding.
			from := in.at(d.stride*y-pad, -pad)
			to := out.data[out.at(y, 0)+panel*k.NR:]
			var residual []float32
			if d.residual != "" {
				residual = to
			}
			k.Multiply(kernel.Product{
				M: d.size, N: k.NR, K: deep, Rows: d.kernel, RowStride: in.rowStride(),
				A: in.data[from:], LDA: d.stride * in.channels, B: b, C: to, LDC: out.channels,
				Bias: bias, Residual: residual, ReLU: !d.signed(), Ahead: next,
			})
			next = nil // is in the cache now
		}
	}
}
