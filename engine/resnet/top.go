package resnet

import (
	"fmt"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// top is what models have of their own beside convolutions: the description and the fully connected layers, which stay
// in float32 at every precision.
type top struct {
	spec  spec.Model
	dense []conv // as 1x1 convolutions: weights [output][input]
}

// Spec describes the model.
func (t top) Spec() spec.Model { return t.spec }

func (t top) clone() top {
	dense := make([]conv, len(t.dense))
	for i, c := range t.dense {
		dense[i] = c.clone()
	}
	return top{t.spec, dense}
}

// pooled is how many numbers a kind of pooling makes.
func pooled(p spec.Pool) int {
	if p == spec.MaxAverage {
		return 2 * features
	}
	return features
}

// widths is how many numbers pooling makes and each layer.
func (t top) widths() []int {
	widths := []int{pooled(t.spec.Head.Pool)}
	for _, c := range t.dense {
		widths = append(widths, len(c.bias))
	}
	return widths
}

// steps lists the steps of the head for measurements.
func (t top) steps() []Layer {
	if len(t.dense) == 0 {
		return []Layer{{"avgpool", "direct", 0}}
	}
	var layers []Layer
	for i, c := range t.dense {
		layers = append(layers, Layer{spec.LayerName(i, len(t.dense)), "direct", len(c.weight)})
	}
	return layers
}

// store adds the layers to tensors, by their names in weight files.
func (t top) store(tensors map[string]tensor.Tensor) {
	for i, c := range t.dense {
		name, out := spec.LayerName(i, len(t.dense)), len(c.bias)
		tensors[name+".weight"] = tensor.Tensor{Shape: []int{out, len(c.weight) / out}, Data: c.weight}
		tensors[name+".bias"] = tensor.Tensor{Shape: []int{out}, Data: c.bias}
	}
}

const (
	// maxHidden is the most outputs of a fully connected layer before the last.
	maxHidden = 8192
	// maxDense is the most weights of all fully connected layers: 64 MB, more than all convolutions have.
	maxDense = 16 << 20
)

// top reads the fully connected layers of the set's description. Those before the last have as many outputs as their
// weights say; a bias that is missing is zero.
func (r *reader) top() top {
	t := top{spec: r.set.Spec}
	head := t.spec.Head
	in, weights := pooled(head.Pool), 0
	for i := range head.ReLU {
		name, out := spec.LayerName(i, len(head.ReLU)), head.Classes
		if i < len(head.ReLU)-1 {
			out = r.outputs(name+".weight", in)
		}
		if weights += in * out; weights > maxDense {
			r.fail(fmt.Errorf("the fully connected layers up to %s have %d weights, want at most %d", name, weights, maxDense))
			return t
		}
		c := conv{weight: r.read(name+".weight", out, in)}
		if _, ok := r.set.Tensors[name+".bias"]; ok {
			c.bias = r.read(name+".bias", out)
		} else {
			c.bias = make([]float32, out)
		}
		t.dense = append(t.dense, c)
		in = out
	}
	return t
}

// outputs is the number of outputs of a layer with so many inputs, by the shape of its weights.
func (r *reader) outputs(name string, in int) int {
	shape := r.set.Tensors[name].Shape
	if len(shape) == 2 && shape[1] == in && shape[0] >= 1 && shape[0] <= maxHidden {
		return shape[0]
	}
	if shape == nil {
		shape = []int{}
	}
	r.fail(fmt.Errorf("tensor %s has shape %v, want [n %d] with n from 1 to %d", name, slices.Clone(shape), in, maxHidden))
	return 1
}
