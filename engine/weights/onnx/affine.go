package onnx

import (
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// epsilon is what torchvision's batch norm adds to the variance, and ONNX's default.
const epsilon = float32(1e-5)

// affine is y = scale*x + shift, of each channel.
type affine struct{ scale, shift []float64 }

func identity(channels int) affine {
	a := affine{make([]float64, channels), make([]float64, channels)}
	for i := range a.scale {
		a.scale[i] = 1
	}
	return a
}

// layout says how a value is arranged: its number of dimensions and which of them are the channels.
type layout struct{ rank, axis, channels int }

// affine composes a with an operator that scales or shifts the channels of value at by constants: batch norm or
// arithmetic. It reports whether the operator is one.
func (w *walker) affine(a *affine, n *node, at string, l layout) (bool, error) {
	if n.op == "BatchNormalization" && w.graph.resolve(n.inputs[0]) == at {
		return true, w.batchNorm(a, n, l)
	}
	if !slices.Contains([]string{"Add", "Sub", "Mul", "Div"}, n.op) || len(n.inputs) != 2 {
		return false, nil
	}
	operand := 1
	if w.graph.isConstant(n.inputs[0]) {
		operand = 0
	}
	if !w.graph.isConstant(n.inputs[operand]) || w.graph.resolve(n.inputs[1-operand]) != at {
		return false, nil
	}
	t, err := w.graph.constant(n.inputs[operand], 0)
	if err != nil {
		return true, err
	}
	c, ok := l.vector(t)
	if !ok {
		return true, departs("%s has a constant of shape %v, want one number or one for each of %d channels", n, t.Shape, l.channels)
	}
	if operand == 0 && n.op == "Div" {
		return true, departs("%s divides a constant by the value, want the opposite", n)
	}
	for i, c := range c {
		switch n.op {
		case "Add":
			a.shift[i] += c
		case "Sub":
			if operand == 0 {
				a.scale[i], a.shift[i] = -a.scale[i], -a.shift[i]
				c = -c
			}
			a.shift[i] -= c
		case "Mul":
			a.scale[i] *= c
			a.shift[i] *= c
		case "Div":
			a.scale[i] /= c
			a.shift[i] /= c
		}
	}
	return true, nil
}

// vector spreads a constant over the channels; false if it varies along another dimension.
func (l layout) vector(t tensor.Tensor) ([]float64, bool) {
	v := make([]float64, l.channels)
	axis := l.axis - l.rank + len(t.Shape) // dimensions are counted from the last
	for i, d := range t.Shape {
		if d != 1 && (i != axis || d != l.channels) {
			return nil, false
		}
	}
	if len(t.Shape) > l.rank {
		return nil, false
	}
	for i := range v {
		v[i] = float64(t.Data[min(i, len(t.Data)-1)])
	}
	return v, true
}

// batchNorm composes a with gamma * (x - mean) / sqrt(var + eps) + beta (Ioffe, Szegedy, "Batch Normalization:
// Accelerating Deep Network Training by Reducing Internal Covariate Shift", algorithm 2).
func (w *walker) batchNorm(a *affine, n *node, l layout) error {
	if err := checkNorm(n); err != nil {
		return err
	}
	var p [4]tensor.Tensor
	for i := range p {
		var err error
		if p[i], err = w.graph.constant(n.inputs[1+i], 0); err != nil {
			return err
		}
		if err := p[i].Check(l.channels); err != nil {
			return departs("%s: input %.100q %v", n, n.inputs[1+i], err)
		}
	}
	if l.axis != 1 {
		return departs("%s is applied where channels are not the second dimension", n)
	}
	eps := float64(n.float("epsilon", epsilon))
	for i := range l.channels {
		v := float64(p[3].Data[i]) + eps
		if v <= 0 {
			return departs("%s has variance %v, want more than 0", n, p[3].Data[i])
		}
		s := float64(p[0].Data[i]) / math.Sqrt(v)
		a.scale[i] *= s
		a.shift[i] = (a.shift[i]-float64(p[2].Data[i]))*s + float64(p[1].Data[i])
	}
	return nil
}

// checkNorm refuses batch norms that use the statistics of the batch, or of single pixels.
func checkNorm(n *node) error {
	switch {
	case len(n.inputs) != 5:
		return departs("%s has %d inputs, want 5", n, len(n.inputs))
	case n.int("training_mode", 0) != 0, slices.ContainsFunc(n.outputs[1:], func(out string) bool { return out != "" }):
		return departs("%s is in training mode: export the model after model.eval()", n)
	case n.int("spatial", 1) != 1:
		return departs("%s has spatial 0, want 1", n)
	}
	return nil
}
