package resnet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// Params is ResNet-18's weights with batch norm folded in. It is read-only and safe for concurrent use. What Fold made
// shares the memory of its set and is of no use once that is closed; Clone outlives it.
type Params struct {
	convs map[string]conv // by torchvision's name
	fc    conv            // as a 1x1 convolution
}

// conv is one convolution: out[o] = bias[o] + sum of scale[o] * weight[o][i][r][q] * in[i] over the kernel.
type conv struct {
	weight []float32 // OIHW
	scale  []float64 // what batch norm multiplies each output channel by; nil where it is in the weights
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
	q := &Params{convs: map[string]conv{}, fc: p.fc.clone()}
	for name, c := range p.convs {
		q.convs[name] = c.clone()
	}
	return q
}

// epsilon is what torchvision's batch norm adds to the variance.
const epsilon = 1e-5

// Fold checks that a set holds ResNet-18, every tensor in its shape and nothing else, and folds batch norm
// into the convolutions: w' = w * gamma/sqrt(var+eps), b' = beta - mean * gamma/sqrt(var+eps), in float64. A
// set that is folded already ("conv1.bias" stands in it instead of "bn1.weight" and its siblings) is taken as
// it is. Errors name the tensor and what was expected.
func Fold(set *weights.Set) (*Params, error) {
	p := &Params{convs: map[string]conv{}}
	r := reader{set: set, used: map[string]bool{}}
	for _, s := range resnet18.operations {
		c := conv{weight: r.read(s.name+".weight", s.out, s.in, s.kernel, s.kernel)}
		if _, folded := set.Tensors[s.name+".bias"]; folded {
			c.bias = r.read(s.name+".bias", s.out)
		} else {
			r.fold(&c, s.shape)
		}
		p.convs[s.name] = c
	}
	p.fc = conv{weight: r.read("fc.weight", Classes, features), bias: r.read("fc.bias", Classes)}
	if r.err == nil {
		r.refuseOthers()
	}
	if r.err != nil {
		return nil, fmt.Errorf("not the weights of a ResNet-18 with %d classes: %w", Classes, r.err)
	}
	return p, nil
}

// reader takes tensors from a set and keeps the first error.
type reader struct {
	set  *weights.Set
	used map[string]bool
	err  error
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
		if r.err == nil {
			r.err = fmt.Errorf("tensor %s %w", name, err)
		}
		return make([]float32, tensor.Size(want))
	}
	r.used[name] = true
	return t.Data
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
		if variance[o] < 0 && r.err == nil {
			r.err = fmt.Errorf("tensor %s.running_var holds %v at element %d, want no negative variance", s.norm, variance[o], o)
		}
		c.scale[o] = float64(gamma[o]) / math.Sqrt(float64(variance[o])+epsilon)
		c.bias[o] = float32(float64(beta[o]) - float64(mean[o])*c.scale[o])
	}
}

// refuseOthers makes tensors that ResNet-18 does not have an error: they are another architecture's.
func (r *reader) refuseOthers() {
	var others []string
	for name := range r.set.Tensors {
		if !r.used[name] && !strings.HasSuffix(name, ".num_batches_tracked") {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		r.err = fmt.Errorf("tensor %s does not belong to it", slices.Min(others))
	}
}

// Random makes weights that mean nothing but compute like real ones: He initialization, so that activations
// neither vanish nor explode, from a seed.
func Random(seed uint64) *Params {
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
	p.fc = conv{weight: normal(Classes*features, math.Sqrt(1./features)), bias: normal(Classes, 0.1)}
	return p
}
