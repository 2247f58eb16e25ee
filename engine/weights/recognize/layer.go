package recognize

import (
	"fmt"
	"math"
	"sync"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/dense"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// epsilon is added to variances, the default of PyTorch's BatchNorm1d.
const epsilon = 1e-5

// layer is a fully connected layer, y = W x + b, into which batch norms are folded when it is read. A batch norm is
// s x + t with s = weight / sqrt(running_var + epsilon) and t = bias - running_mean s.
type layer struct {
	in, out int
	weight  raw.Lazy
	bias    *raw.Lazy // nil without
	inputs  *module   // batch norm of the inputs
	outputs *module   // batch norm of the outputs
	swap    bool      // the inputs' halves are exchanged
}

func newLayer(m module) *layer {
	l := &layer{in: m.in, out: m.out, weight: m.tensors["weight"]}
	if b, ok := m.tensors["bias"]; ok {
		l.bias = &b
	}
	return l
}

// fold remembers a batch norm of the layer's inputs or outputs.
func (l *layer) fold(norm module, inputs bool) {
	if inputs {
		l.inputs = &norm
	} else {
		l.outputs = &norm
	}
}

// put adds the layer's tensors under a name.
func (l *layer) put(tensors map[string]raw.Lazy, name string) {
	shape := []int{l.out, l.in}
	if l.inputs == nil && l.outputs == nil && !l.swap {
		tensors[name+".weight"] = raw.Lazy{Shape: shape, Float: true, Read: l.weight.Read} // a 1x1 convolution gets two dimensions
		if l.bias != nil {
			tensors[name+".bias"] = *l.bias
		}
		return
	}
	both := sync.OnceValues(l.compute)
	tensors[name+".weight"] = raw.Lazy{Shape: shape, Float: true, Read: func() ([]float32, error) {
		both, err := both()
		return both[0], err
	}}
	if l.bias != nil || l.inputs != nil || l.outputs != nil {
		tensors[name+".bias"] = raw.Lazy{Shape: []int{l.out}, Float: true, Read: func() ([]float32, error) {
			both, err := both()
			return both[1], err
		}}
	}
}

// compute reads the layer and returns its weight and bias with all batch norms folded in.
func (l *layer) compute() ([2][]float32, error) {
	w, err := read(l.weight, l.out*l.in)
	if err != nil {
		return [2][]float32{}, err
	}
	d := dense.Layer{In: l.in, Weight: w, Bias: make([]float64, l.out)}
	if l.bias != nil {
		if d.Bias, err = read(*l.bias, l.out); err != nil {
			return [2][]float32{}, err
		}
	}
	if l.inputs != nil {
		s, t, err := affine(l.inputs)
		if err != nil {
			return [2][]float32{}, err
		}
		d.Before(s, t)
	}
	if l.outputs != nil {
		s, t, err := affine(l.outputs)
		if err != nil {
			return [2][]float32{}, err
		}
		d.After(s, t)
	}
	if l.swap {
		d.Swap()
	}
	return [2][]float32{dense.Narrow(d.Weight), dense.Narrow(d.Bias)}, nil
}

// affine returns a batch norm's scale and shift of each channel.
func affine(norm *module) (s, t []float64, err error) {
	parts := map[string][]float64{}
	for _, leaf := range []string{"weight", "bias", "running_mean", "running_var"} {
		lazy, ok := norm.tensors[leaf]
		if !ok {
			continue
		}
		if parts[leaf], err = read(lazy, norm.in); err != nil {
			return nil, nil, fmt.Errorf("%s.%s: %w", norm.name, leaf, err)
		}
	}
	s, t = make([]float64, norm.in), make([]float64, norm.in)
	for i := range s {
		variance := parts["running_var"][i]
		if variance < 0 {
			return nil, nil, fmt.Errorf("%s.running_var holds %v at element %d, want a variance of at least 0", norm.name, variance, i)
		}
		s[i] = 1 / math.Sqrt(variance+epsilon)
		if w := parts["weight"]; w != nil {
			s[i] *= w[i]
		}
		t[i] = -parts["running_mean"][i] * s[i]
		if b := parts["bias"]; b != nil {
			t[i] += b[i]
		}
	}
	return s, t, nil
}

// read returns a tensor's numbers in double precision.
func read(t raw.Lazy, want int) ([]float64, error) {
	floats, err := t.Read()
	if err != nil {
		return nil, err
	}
	if len(floats) != want {
		return nil, fmt.Errorf("has %d numbers, want %d", len(floats), want)
	}
	return dense.Wide(floats), nil
}
