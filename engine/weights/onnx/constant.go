package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// maxFolds bounds how many operators on constants stand behind each other.
const maxFolds = 32

// constant reads a constant, or computes it. Its numbers are never to be written.
func (g *graph) constant(name string, depth int) (tensor.Tensor, error) {
	if t, ok := g.read[name]; ok {
		return t, nil
	}
	t, fresh, err := g.compute(name, depth)
	if err != nil {
		return t, err
	}
	if fresh {
		if g.used += len(t.Data); g.used > raw.MaxElements {
			return t, fmt.Errorf("tensor %.100q: with it the weights have more than %d elements", name, raw.MaxElements)
		}
	}
	g.read[name] = t
	return t, nil
}

// compute does so without keeping the result. It reports whether the numbers take memory of their own.
func (g *graph) compute(name string, depth int) (t tensor.Tensor, fresh bool, err error) {
	if c := g.constants[name]; c != nil {
		if t, err = g.load(c); err != nil {
			err = fmt.Errorf("tensor %.100q: %w", name, err)
		}
		return t, true, err
	}
	n := g.folds[name]
	if n == nil || depth > maxFolds {
		return t, false, departs("%.100q is not a constant", name)
	}
	x, err := g.constant(n.inputs[0], depth+1)
	if err != nil {
		return t, false, err
	}
	switch n.op {
	case "Identity", "Cast", "CastLike", "Dropout":
		return x, false, nil
	case "Transpose":
		t, err = transpose(x, n)
		return t, true, err
	case "Reshape", "Flatten", "Unsqueeze", "Squeeze":
		t, err = g.reshaped(x, n)
		return t, false, err
	case "Sqrt", "Reciprocal", "Neg":
		t = tensor.New(x.Shape...)
		for i, v := range x.Data {
			t.Data[i] = float32(map[string]func(float64) float64{
				"Sqrt":       math.Sqrt,
				"Reciprocal": func(v float64) float64 { return 1 / v },
				"Neg":        func(v float64) float64 { return -v },
			}[n.op](float64(v)))
		}
		return t, true, nil
	}
	if len(n.inputs) != 2 {
		return t, false, fmt.Errorf("%s has %d inputs, want 2", n, len(n.inputs))
	}
	y, err := g.constant(n.inputs[1], depth+1)
	if err != nil {
		return t, false, err
	}
	t, err = combine(n, x, y)
	return t, true, err
}

// load reads a constant's numbers.
func (g *graph) load(c *constant) (tensor.Tensor, error) {
	if c.err != nil {
		return tensor.Tensor{}, c.err
	}
	if !c.dtype.IsFloat() {
		return tensor.Tensor{}, fmt.Errorf("has type %.100q, want floating-point numbers", c.dtype)
	}
	n, err := raw.Elements(c.dims)
	if err != nil {
		return tensor.Tensor{}, err
	}
	want, data := n*c.dtype.Size(), c.data
	if c.external != nil {
		if data, err = g.files.read(c.external, want); err != nil {
			return tensor.Tensor{}, err
		}
	}
	if len(data) != want {
		return tensor.Tensor{}, fmt.Errorf("has %d bytes, its shape %v of %s wants %d", len(data), c.dims, c.dtype, want)
	}
	numbers, err := raw.Floats(data, c.dtype)
	return tensor.Tensor{Shape: c.dims, Data: numbers}, err
}

// transpose swaps dimensions as the attribute perm says; without it their order is reversed.
func transpose(x tensor.Tensor, n *node) (tensor.Tensor, error) {
	rank := len(x.Shape)
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = rank - 1 - i
	}
	if p, ok := n.ints["perm"]; ok {
		if len(p) != rank {
			return x, fmt.Errorf("%s has perm %v for shape %v", n, p, x.Shape)
		}
		for i, d := range p {
			if d < 0 || d >= int64(rank) || slices.Contains(p[:i], d) {
				return x, fmt.Errorf("%s has perm %v for shape %v", n, p, x.Shape)
			}
			perm[i] = int(d)
		}
	}
	strides := make([]int, rank) // of x
	for i, s := rank-1, 1; i >= 0; i-- {
		strides[i], s = s, s*x.Shape[i]
	}
	dims := make([]int, rank)
	for i, p := range perm {
		dims[i] = x.Shape[p]
	}
	t := tensor.New(dims...)
	at := make([]int, rank) // index in t of the next number
	from := 0               // and its place in x
	for i := range t.Data {
		t.Data[i] = x.Data[from]
		for d := rank - 1; d >= 0; d-- {
			at[d]++
			from += strides[perm[d]]
			if at[d] < dims[d] {
				break
			}
			from -= at[d] * strides[perm[d]]
			at[d] = 0
		}
	}
	return t, nil
}

// reshaped gives a constant another shape.
func (g *graph) reshaped(x tensor.Tensor, n *node) (tensor.Tensor, error) {
	bad := fmt.Errorf("%s cannot be applied to shape %v", n, x.Shape)
	axes, known := n.ints["axes"]
	if len(n.inputs) > 1 {
		axes, known = g.integers(n.inputs[1])
	}
	var dims []int
	switch {
	case n.op == "Flatten":
		axis := int(n.int("axis", 1))
		if axis < 0 {
			axis += len(x.Shape)
		}
		if axis < 0 || axis > len(x.Shape) {
			return x, bad
		}
		dims = []int{tensor.Size(x.Shape[:axis]), tensor.Size(x.Shape[axis:])}
	case n.op == "Squeeze":
		for i, d := range x.Shape {
			if d != 1 || known && !hasAxis(axes, i, len(x.Shape)) {
				dims = append(dims, d)
			}
		}
	case !known:
		return x, bad
	case n.op == "Unsqueeze":
		rest := x.Shape
		for i := range len(x.Shape) + len(axes) {
			if hasAxis(axes, i, len(x.Shape)+len(axes)) {
				dims = append(dims, 1)
			} else if len(rest) > 0 {
				dims, rest = append(dims, rest[0]), rest[1:]
			}
		}
	default: // Reshape: 0 keeps a dimension, -1 takes what is left
		free, size := -1, 1
		for i, d := range axes {
			switch {
			case d == 0 && i < len(x.Shape):
				d = int64(x.Shape[i])
			case d == -1:
				free, d = i, 1
			}
			if d < 0 || d > raw.MaxElements || size > raw.MaxElements {
				return x, bad
			}
			dims = append(dims, int(d))
			size *= int(d)
		}
		if free >= 0 && size > 0 {
			dims[free] = len(x.Data) / size
		}
	}
	if n, err := raw.Elements(dims); err != nil || n != len(x.Data) {
		return x, bad
	}
	return tensor.Tensor{Shape: dims, Data: x.Data}, nil
}

// hasAxis reports whether axes, which may count from the end, name the i-th of rank dimensions.
func hasAxis(axes []int64, i, rank int) bool {
	return slices.Contains(axes, int64(i)) || slices.Contains(axes, int64(i-rank))
}

// combine computes an operator of two constants, of which one may be a single number.
func combine(n *node, x, y tensor.Tensor) (tensor.Tensor, error) {
	dims := x.Shape
	if len(x.Data) == 1 && len(y.Shape) >= len(x.Shape) {
		dims = y.Shape
	}
	single := len(x.Data) == 1 && len(y.Shape) >= len(x.Shape) || len(y.Data) == 1 && len(y.Shape) <= len(x.Shape)
	if !single && !slices.Equal(x.Shape, y.Shape) {
		return x, fmt.Errorf("%s combines constants of shapes %v and %v, want equal ones", n, x.Shape, y.Shape)
	}
	t := tensor.New(dims...)
	for i := range t.Data {
		a, b := float64(x.Data[min(i, len(x.Data)-1)]), float64(y.Data[min(i, len(y.Data)-1)])
		switch n.op {
		case "Add":
			a += b
		case "Sub":
			a -= b
		case "Mul":
			a *= b
		case "Div":
			a /= b
		}
		t.Data[i] = float32(a)
	}
	return t, nil
}
