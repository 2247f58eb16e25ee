package resnet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// Params is ResNet-18's weights with batch norm folded in. It is read-only and safe for concurrent use. The result of
// Fold shares the memory of its set and must not be used after that is closed; Clone makes an independent copy.
type Params struct {
	convs map[string]conv // by torchvision's name
	top
}

// conv is one convolution: out[o] = bias[o] + sum of scale[o] * weight[o][i][r][q] * in[i] over the kernel.
type conv struct {
	weight []float32 // OIHW
	scale  []float64 // batch norm's factor of each output channel; nil if it is in the weights
	bias   []float32
}

// factor is an output channel's scale.
func (c conv) factor(o int) float64 {
	if c.scale == nil {
		return 1
	}
	return c.scale[o]
}

// folded is weight with scale in it; it may be weight itself.
func (c conv) folded() []float32 {
	if c.scale == nil {
		return c.weight
	}
	w := make([]float32, len(c.weight))
	each := len(w) / len(c.scale)
	for o, scale := range c.scale {
		to := w[o*each:][:each]
		for i, v := range c.weight[o*each:][:each] {
			to[i] = float32(float64(v) * scale)
		}
	}
	return w
}

func (c conv) clone() conv {
	return conv{slices.Clone(c.weight), slices.Clone(c.scale), slices.Clone(c.bias)}
}

// Clone is a copy that shares no memory with p.
func (p *Params) Clone() *Params {
	q := &Params{convs: map[string]conv{}, top: p.top.clone()}
	for name, c := range p.convs {
		q.convs[name] = c.clone()
	}
	return q
}

// epsilon is what torchvision's batch norm adds to the variance.
const epsilon = 1e-5

// Fold checks that a set holds the ResNet-18 of its Spec, every tensor in its shape and nothing else, and folds batch norm
// into the convolutions: w' = w * gamma/sqrt(var+eps), b' = beta - mean * gamma/sqrt(var+eps), in float64. A
// set that is folded already (with "conv1.bias" instead of "bn1.weight" and its siblings) is used unchanged.
// Errors name the tensor and what was expected.
func Fold(set *weights.Set) (*Params, error) {
	r, err := newReader(set)
	if err != nil {
		return nil, err
	}
	p := &Params{convs: map[string]conv{}}
	for _, s := range resnet18.operations {
		c := conv{weight: r.read(s.name+".weight", s.out, s.in, s.kernel, s.kernel)}
		if _, folded := set.Tensors[s.name+".bias"]; folded {
			c.bias = r.read(s.name+".bias", s.out)
		} else {
			r.fold(&c, s.shape)
		}
		p.convs[s.name] = c
	}
	p.top = r.top()
	if r.err == nil {
		r.refuseOthers()
	}
	if r.err != nil {
		return nil, fmt.Errorf("not the weights of a ResNet-18 with %d classes: %w", set.Spec.Head.Classes, r.err)
	}
	return p, nil
}

// reader reads tensors from a set and keeps the first error.
type reader struct {
	set  *weights.Set
	used map[string]bool
	err  error
}

// newReader checks the description of a set.
func newReader(set *weights.Set) (*reader, error) {
	if err := set.Spec.Validate(); err != nil {
		return nil, fmt.Errorf("description of the model: %w", err)
	}
	return &reader{set: set, used: map[string]bool{}}, nil
}

func (r *reader) read(name string, want ...int) []float32 {
	t, ok := r.set.Tensors[name]
	err := t.Check(want...)
	if !ok {
		err = fmt.Errorf("is missing, want one of shape %v", want)
	}
	if err == nil {
		err = finite(t)
	}
	if err != nil {
		r.fail(fmt.Errorf("tensor %s %w", name, err))
		return make([]float32, tensor.Size(want))
	}
	r.used[name] = true
	return t.Data
}

// fail keeps an error if it is the first.
func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func finite(t tensor.Tensor) error {
	for i, v := range t.Data {
		// A subtraction gives NaN for infinities and NaN alike, and costs no call.
		if v-v != 0 {
			return fmt.Errorf("holds %v at element %d, want finite numbers", v, i)
		}
	}
	return nil
}

func (r *reader) fold(c *conv, s shape) {
	gamma, beta := r.read(s.norm+".weight", s.out), r.read(s.norm+".bias", s.out)
	mean, variance := r.read(s.norm+".running_mean", s.out), r.read(s.norm+".running_var", s.out)
	c.scale, c.bias = make([]float64, s.out), make([]float32, s.out)
	for o := range s.out {
		if variance[o] < 0 {
			r.fail(fmt.Errorf("tensor %s.running_var holds %v at element %d, want a variance of at least 0", s.norm, variance[o], o))
		}
		c.scale[o] = float64(gamma[o]) / math.Sqrt(float64(variance[o])+epsilon)
		c.bias[o] = float32(float64(beta[o]) - float64(mean[o])*c.scale[o])
	}
}

// refuseOthers returns an error for tensors that ResNet-18 does not have: they belong to another architecture.
func (r *reader) refuseOthers() {
	var others []string
	for name := range r.set.Tensors {
		if !r.used[name] && name != spec.KnownTensor && !strings.HasSuffix(name, ".num_batches_tracked") {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		r.err = fmt.Errorf("tensor %s does not belong to it", slices.Min(others))
	}
}

// Random makes meaningless weights of a model from a seed, with He initialization, so that activations neither vanish nor
// explode. Fully connected layers before the last have 512 outputs. m must be valid.
func Random(seed uint64, m spec.Model) *Params {
	src := rand.New(rand.NewPCG(seed, 0))
	normal := func(n int, scale float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(src.NormFloat64() * scale)
		}
		return x
	}
	p := &Params{convs: map[string]conv{}}
	for _, s := range resnet18.operations {
		fanIn := s.in * s.kernel * s.kernel
		scale := math.Sqrt(2 / float64(fanIn))
		if strings.HasSuffix(s.name, "conv2") {
			scale /= 2 // its output is added to another
		}
		p.convs[s.name] = conv{weight: normal(s.out*fanIn, scale), bias: normal(s.out, 0.1)}
	}
	p.spec = m
	in := pooled(m.Head.Pool)
	for i := range m.Head.ReLU {
		out := features
		if i == len(m.Head.ReLU)-1 {
			out = m.Head.Classes
		}
		p.dense = append(p.dense, conv{weight: normal(out*in, math.Sqrt(1/float64(in))), bias: normal(out, 0.1)})
		in = out
	}
	return p
}
