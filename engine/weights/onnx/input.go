package onnx

import (
	"math"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// input is what happens to pictures before the first convolution.
type input struct {
	elem  uint64 // DataType of the graph's input
	size  int    // of a fixed input, in pixels; 0 if it is not fixed
	nodes []string
	norm  affine // of red, green and blue
}

// input follows the graph to its first convolution: by constants for each channel, and from channels last to channels
// first.
func (w *walker) input(at string, v value) (string, error) {
	w.in = input{elem: v.elem, norm: identity(3)}
	l := layout{4, 1, 3}
	if n := w.first(at); n == "Transpose" || len(v.dims) == 4 && v.dims[3] == 3 && v.dims[1] != 3 {
		l.axis = 3
	}
	if err := w.in.fixed(v.dims, l.axis); err != nil {
		return "", err
	}
	for range len(w.graph.nodes) {
		users := w.users[at]
		if len(users) != 1 {
			return "", departs("%d operators (%v) read the pictures, want the first convolution or a normalization", len(users), users)
		}
		n := users[0]
		if n.op == "Conv" {
			if l.axis != 1 {
				return "", departs("the input has shape %v, channels last, and %s reads it without a Transpose", v.dims, n)
			}
			return at, nil
		}
		if n.op == "Transpose" && l.axis == 3 && slices.Equal(n.ints["perm"], []int64{0, 3, 1, 2}) {
			l.axis = 1
			at = n.outputs[0]
			continue
		}
		if n.op == "Cast" { // from bytes to something that is no float was not taken for an alias
			return "", departs("%s changes pictures to type %d before the first convolution, want float", n, n.int("to", 0))
		}
		ok, err := w.affine(&w.in.norm, n, at, l)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", departs("%s is before the first convolution: this preprocessing inside the graph cannot be followed, "+
				"export the model without it", n)
		}
		w.in.nodes = append(w.in.nodes, n.String())
		at = n.outputs[0]
	}
	return "", departs("the graph goes in a circle")
}

// first is the kind of the first operator that moves channels or computes with them, without following further than
// arithmetic.
func (w *walker) first(at string) string {
	for range len(w.graph.nodes) {
		users := w.users[at]
		if len(users) != 1 {
			return ""
		}
		if !slices.Contains([]string{"Add", "Sub", "Mul", "Div", "BatchNormalization"}, users[0].op) {
			return users[0].op
		}
		at = users[0].outputs[0]
	}
	return ""
}

// fixed takes the size of an input whose shape is fixed.
func (in *input) fixed(dims []int, axis int) error {
	if dims == nil {
		return nil
	}
	if len(dims) != 4 {
		return departs("its input has shape %v, want four dimensions: pictures, channels, rows, columns", dims)
	}
	if c := dims[axis]; c != 0 && c != 3 {
		return departs("its input has %d channels, want 3: red, green and blue", c)
	}
	height, width := dims[2], dims[3]
	if axis == 3 {
		height, width = dims[1], dims[2]
	}
	if height == 0 && width == 0 {
		return nil
	}
	if height == 0 || width == 0 { // one of them is as good as both
		height, width = max(height, width), max(height, width)
	}
	if height != width || height%spec.SizeStep != 0 || height < spec.MinSize || height > spec.MaxSize {
		return departs("its input is fixed to %d x %d pixels, want a square with a multiple of %d from %d to %d: "+
			"export the model for another size", height, width, spec.SizeStep, spec.MinSize, spec.MaxSize)
	}
	in.size = height
	return nil
}

// preprocess is the graph's input in spec's terms: nil if the graph says nothing. For y = a*x + b, where pixels are
// x = 0 to 1, the mean is -b/a and the deviation 1/a. Where they are bytes, both are divided by 255.
func (in *input) preprocess() (*spec.Preprocess, error) {
	p := &spec.Preprocess{Crop: in.size}
	if len(in.nodes) == 0 && in.elem != typeUint8 {
		if in.size == 0 {
			return nil, nil
		}
		return p, nil
	}
	for c := range 3 {
		a, b := in.norm.scale[c], in.norm.shift[c]
		p.Mean[c], p.Deviation[c] = -b/a, 1/a
	}
	if in.elem == typeUint8 {
		p.Mean, p.Deviation = spec.OfBytes(p.Mean), spec.OfBytes(p.Deviation)
	} else {
		p.Mean, p.Deviation = spec.Units(p.Mean, p.Deviation)
	}
	full := spec.Torchvision()
	for c := range 3 {
		p.Mean[c], p.Deviation[c] = short(p.Mean[c]), short(p.Deviation[c])
	}
	full.Mean, full.Deviation = p.Mean, p.Deviation
	if err := full.Validate(); err != nil {
		return nil, departs("%v before the first convolution give %v", in.nodes, err)
	}
	return p, nil
}

// short is the number of six decimals that a float32 was made from, if there is one: 0.485 for 0.48500001431.
func short(v float64) float64 {
	r := math.Round(v*1e6) / 1e6
	if math.Abs(r-v) <= 0x1p-22*math.Abs(v) || math.Abs(v) < 1e-9 {
		return r + 0 // never -0
	}
	return v
}
