package resnet

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/prefetch"
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

// fewWeights is how many weights, of four bytes, stay in a second-level cache.
const fewWeights = 64 << 10

// run divides panels among workers, not rows: each worker then streams its own part of the weights, once. Few weights are read again for
// each row of pixels, which then stays in the first-level cache while it is multiplied with all of them, while the next row is fetched.
func (d *direct) run(p *fp32Pass, worker int) {
	panels := d.out / d.kernels.NR
	if len(d.b) <= fewWeights {
		first, end := p.share(d.size, worker)
		in, out := p.buffer(d.from), p.buffer(d.to)
		for y := first; y < end; y++ {
			prefetch.Slice(out.data[out.at(y, 0):][:d.size*d.out])
			if y+1 < end {
				prefetch.Slice(in.data[in.at(d.stride*(y+1), 0):][:in.size*in.channels])
			}
			d.row(p, y, 0, panels, nil)
		}
		return
	}
	first, end := p.share(panels, worker)
	for panel := first; panel < end; panel++ {
		next := d.panel(min(panel+1, end-1))
		for y := range d.size {
			d.row(p, y, panel, 1, next)
			next = nil // is in the cache now
		}
	}
}

// panel is the weights from a panel on.
func (d *direct) panel(panel int) []float32 { return d.b[panel*d.kernel*d.kernel*d.in*d.kernels.NR:] }

// row computes a number of panels' outputs in row y, the first of which is given, while the weights ahead are fetched.
func (d *direct) row(p *fp32Pass, y, panel, panels int, ahead []float32) {
	k := d.kernels
	in, out := p.buffer(d.from), p.buffer(d.to)
	// The buffer's border is one pixel wide; a 1x1 kernel has no padding.
	pad := d.kernel / 2
	to := out.data[out.at(y, 0)+panel*k.NR:]
	var residual []float32
	if d.residual != "" {
		residual = to
	}
	k.Multiply(kernel.Product{
		M: d.size, N: panels * k.NR, K: d.kernel * d.in, Rows: d.kernel, RowStride: in.rowStride(),
		A: in.data[in.at(d.stride*y-pad, -pad):], LDA: d.stride * in.channels, B: d.panel(panel), C: to, LDC: out.channels,
		Bias: d.bias[panel*k.NR:], Residual: residual, ReLU: !d.signed(), Ahead: ahead,
	})
}
