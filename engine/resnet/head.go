package resnet

import "github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"

// head is the mean over all pixels and the fully connected layer, which is in float32 at every precision.
type head[A activation, V, S any] struct {
	kernels *kernel.Set
	from    buffer
	scale   float32 // value of one unit of an activation
	panels  int
	b, bias []float32 // padded to whole panels
}

func newHead[A activation, V, S any](work *packing, k *kernel.Set, fc conv, p *plan, scale float32) *head[A, V, S] {
	h := &head[A, V, S]{kernels: k, from: p.last().to, scale: scale, panels: (p.classes + k.NR - 1) / k.NR}
	h.b = panels(work, k, fc, features, 1)
	h.bias = make([]float32, h.panels*k.NR)
	copy(h.bias, fc.bias)
	return h
}

func (h *head[A, V, S]) algorithm() string { return "direct" }

func (h *head[A, V, S]) needs(int) needs { return needs{} }

func (h *head[A, V, S]) run(p *pass[A, V, S], worker int) {
	if worker == 0 {
		h.average(p)
	}
	p.wait()
	k := h.kernels
	first, end := p.share(h.panels, worker)
	if first < end {
		k.Multiply(kernel.Product{
			M: 1, N: (end - first) * k.NR, K: features, Rows: 1,
			A: p.features, B: h.b[first*features*k.NR:], C: p.logits[first*k.NR:], Bias: h.bias[first*k.NR:],
		})
	}
}

// average computes the mean over the pixels of each channel.
func (h *head[A, V, S]) average(p *pass[A, V, S]) {
	in := p.buffer(h.from)
	clear(p.features)
	for y := range in.size {
		for x := range in.size {
			for c, v := range in.data[in.at(y, x):][:features] {
				p.features[c] += float32(v)
			}
		}
	}
	for c := range p.features {
		p.features[c] = p.features[c] / float32(in.size*in.size) * h.scale
	}
}
