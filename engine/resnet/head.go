package resnet

import (
	"math"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// pooling turns the pixels of the last convolution into the means of the channels and, for some heads, their maxima, all
// in float32.
type pooling[A activation, V, S number] struct {
	from  buffer
	scale float32 // value of one unit of an activation
	max   bool    // maxima are wanted too
}

// dense is a fully connected layer, which is in float32 at every precision.
type dense[A activation, V, S number] struct {
	kernels *kernel.Set
	pool    *pooling[A, V, S] // goes before; nil if another layer does
	index   int               // in the head
	in      int
	panels  int
	relu    bool
	length  float32   // what the input's length is scaled to; 0 if it is not
	b, bias []float32 // padded to whole panels
}

// newHead makes the steps after the last convolution: one for each layer, or pooling alone.
func newHead[A activation, V, S number](work *packing, k *kernel.Set, t top, p *plan, scale float32) []step[A, V, S] {
	pool := &pooling[A, V, S]{p.last().to, scale, t.spec.Head.Pool == spec.MaxAverage}
	if len(t.dense) == 0 {
		return []step[A, V, S]{pool}
	}
	var list []step[A, V, S]
	widths := t.widths()
	for i, c := range t.dense {
		d := &dense[A, V, S]{kernels: k, pool: pool, index: i, in: widths[i], panels: (widths[i+1] + k.NR - 1) / k.NR,
			relu: t.spec.Head.ReLU[i], b: panels(work, k, c, widths[i], 1)}
		d.bias = make([]float32, d.panels*k.NR)
		copy(d.bias, c.bias)
		if i == 0 {
			d.length = t.spec.Head.Normalize
		}
		list, pool = append(list, d), nil
	}
	return list
}

func (d *dense[A, V, S]) algorithm() string { return "direct" }

func (d *dense[A, V, S]) needs(int) needs { return needs{} }

func (d *dense[A, V, S]) run(p *pass[A, V, S], worker int) {
	if d.pool != nil {
		d.pool.run(p, worker)
		p.wait()
		if d.length > 0 {
			if worker == 0 {
				scaleTo(p.scaled, p.values[0], d.length)
			}
			p.wait()
		}
	}
	in := p.values[d.index]
	if d.length > 0 {
		in = p.scaled
	}
	k := d.kernels
	first, end := p.share(d.panels, worker)
	if first < end {
		k.Multiply(kernel.Product{
			M: 1, N: (end - first) * k.NR, K: d.in, Rows: 1, ReLU: d.relu,
			A: in, B: d.b[first*d.in*k.NR:], C: p.values[d.index+1][first*k.NR:], Bias: d.bias[first*k.NR:],
		})
	}
}

// scaleTo writes x scaled to a Euclidean length. Zeros stay zeros.
func scaleTo(dst, x []float32, length float32) {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	scale := float32(0)
	if sum > 0 {
		scale = float32(float64(length) / math.Sqrt(sum))
	}
	for i, v := range x {
		dst[i] = v * scale
	}
}

func (h *pooling[A, V, S]) algorithm() string { return "direct" }

func (h *pooling[A, V, S]) needs(int) needs { return needs{} }

// run divides channels among workers.
func (h *pooling[A, V, S]) run(p *pass[A, V, S], worker int) {
	first, end := p.share(features, worker)
	h.average(p, first, end)
	if h.max {
		h.maximum(p, first, end)
	}
}

// average computes the means over the pixels of channels from first to end.
func (h *pooling[A, V, S]) average(p *pass[A, V, S], first, end int) {
	in, means := p.buffer(h.from), p.features[first:end]
	clear(means)
	for y := range in.size {
		for x := range in.size {
			values := in.data[in.at(y, x)+first:][:len(means)]
			for c := range means {
				means[c] += float32(values[c])
			}
		}
	}
	for c := range means {
		means[c] = means[c] / float32(in.size*in.size) * h.scale
	}
}

// maximum computes the largest pixel of each of these channels. There are none below zero, after ReLU.
func (h *pooling[A, V, S]) maximum(p *pass[A, V, S], first, end int) {
	in, largest := p.buffer(h.from), p.values[0][first:end]
	clear(largest)
	for y := range in.size {
		for x := range in.size {
			for c, v := range in.data[in.at(y, x)+first:][:len(largest)] {
				largest[c] = max(largest[c], float32(v)*h.scale)
			}
		}
	}
}
