package resnet

import "github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"

// head is the mean over all pixels and the fully connected layer.
type head struct {
	in      buffer
	b, bias []float32 // columns filled up to a whole panel
}

func newHead(p *packing, k *kernel.Set, fc conv, in buffer) *head {
	h := &head{in: in, b: p.direct(k, fc, features, 1)}
	h.bias = append(h.bias, fc.bias...)
	h.bias = append(h.bias, make([]float32, paddedClasses-Classes)...)
	return h
}

// paddedClasses is Classes rounded up to panels of every width in use.
const paddedClasses = 1024

func (h *head) layer() Layer { return Layer{"fc", "direct", features * Classes} }

func (h *head) run(r *Runner, worker int) {
	if worker == 0 {
		h.average(r)
	}
	r.barrier.wait(spins)
	h.connect(r, worker)
}

// connect computes the logits from the mean of each channel.
func (h *head) connect(r *Runner, worker int) {
	k := r.network.kernels
	first, end := r.share((Classes+k.Columns-1)/k.Columns, worker)
	if first < end {
		k.Multiply(1, end-first, r.logits[first*k.Columns:], paddedClasses, r.features, features, 0, 1, features,
			h.b[first*features*k.Columns:], h.bias[first*k.Columns:], nil, false, nil)
	}
}

// average takes the mean over the pixels of each channel.
func (h *head) average(r *Runner) {
	in := r.buffer(h.in)
	clear(r.features)
	for y := range in.size {
		for x := range in.size {
			for c, v := range in.data[in.at(y, x):][:features] {
				r.features[c] += v
			}
		}
	}
	for c := range r.features {
		r.features[c] /= float32(in.size * in.size)
	}
}
