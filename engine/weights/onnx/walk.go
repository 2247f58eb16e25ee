package onnx

import (
	"fmt"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// walker follows the data through the graph to one output and collects weights under torchvision's names.
type walker struct {
	graph *graph
	users map[string][]*node // operators that read a value
	in    input
	found map[string]tensor.Tensor
}

// follow walks from the input to one output. A ResNet-18 is a stem, four layers of two blocks, and a head (He et al.,
// "Deep Residual Learning for Image Recognition", table 1).
func (g *graph) follow(output string) (*reading, error) {
	w := &walker{graph: g, users: g.users(output), found: map[string]tensor.Tensor{}}
	at, err := w.input(g.resolve(g.inputs[0].name), g.inputs[0])
	if err != nil {
		return nil, err
	}
	if at, err = w.stem(at); err != nil {
		return nil, err
	}
	channels := 64
	for layer := 1; layer <= 4; layer++ {
		for block := range 2 {
			name, in := fmt.Sprintf("layer%d.%d", layer, block), channels
			if layer > 1 && block == 0 {
				channels *= 2
			}
			if at, err = w.block(at, name, in, channels); err != nil {
				return nil, err
			}
		}
	}
	h, err := w.head(at, g.resolve(output))
	if err != nil {
		return nil, err
	}
	r := &reading{output: output, tensors: w.found, input: w.in, head: h}
	for value := range g.half {
		if _, used := w.users[g.resolve(value)]; used {
			r.half = true
		}
	}
	return r, nil
}

// next is the only operator that reads a value, which must be one of the given kinds.
func (w *walker) next(value, where string, ops ...string) (*node, error) {
	users := w.users[value]
	if len(users) != 1 {
		return nil, departs("%s: its input goes to %v, want it to go to %v only", where, users, ops)
	}
	n := users[0]
	if !slices.Contains(ops, n.op) {
		return nil, departs("%s: found %s, want %v", where, n, ops)
	}
	return n, nil
}

// relu is the value behind a ReLU.
func (w *walker) relu(at, where string) (string, error) {
	n, err := w.next(at, where, "Relu")
	if err != nil {
		return "", err
	}
	return n.outputs[0], nil
}

func (w *walker) stem(at string) (string, error) {
	n, err := w.next(at, "conv1", "Conv")
	if err != nil {
		return "", err
	}
	if at, err = w.conv(n, layer{"conv1", "bn1", 3, 64, 7, 2}); err != nil {
		return "", err
	}
	if at, err = w.relu(at, "relu"); err != nil {
		return "", err
	}
	if n, err = w.next(at, "maxpool", "MaxPool"); err != nil {
		return "", err
	}
	return n.outputs[0], window(n, "maxpool", 3, 2)
}

// layer is a convolution of ResNet-18.
type layer struct {
	name, norm              string
	in, out, kernel, stride int
}

// block reads a basic block: two 3x3 convolutions beside the block's input, or beside a strided 1x1 convolution of it
// where the number of channels grows, added up.
func (w *walker) block(at, name string, in, out int) (string, error) {
	stride := 1
	want := "a 3x3 convolution and an addition"
	if in != out {
		stride, want = 2, "a 3x3 and a 1x1 convolution"
	}
	var main, side, add *node
	for _, n := range w.users[at] {
		switch {
		case n.op == "Conv" && w.kernelSize(n) == 1:
			side = n
		case n.op == "Conv":
			main = n
		case n.op == "Add", n.op == "Sum":
			add = n
		}
	}
	if main == nil || len(w.users[at]) != 2 || (side != nil) != (in != out) || (side == nil) == (add == nil) {
		return "", departs("%s: its input goes to %v, want %s", name, w.users[at], want)
	}
	short := at
	var err error
	if side != nil {
		if short, err = w.conv(side, layer{name + ".downsample.0", name + ".downsample.1", in, out, 1, stride}); err != nil {
			return "", err
		}
	}
	if at, err = w.conv(main, layer{name + ".conv1", name + ".bn1", in, out, 3, stride}); err != nil {
		return "", err
	}
	if at, err = w.relu(at, name+".relu"); err != nil {
		return "", err
	}
	second, err := w.next(at, name+".conv2", "Conv")
	if err != nil {
		return "", err
	}
	if at, err = w.conv(second, layer{name + ".conv2", name + ".bn2", out, out, 3, 1}); err != nil {
		return "", err
	}
	sum, err := w.next(at, name, "Add", "Sum")
	if err != nil {
		return "", err
	}
	var terms []string
	for _, in := range sum.inputs {
		terms = append(terms, w.graph.resolve(in))
	}
	if len(terms) != 2 || !slices.Contains(terms, at) || !slices.Contains(terms, short) || at == short {
		return "", departs("%s: %s adds %.100q, want %.100q", name, sum, terms, []string{at, short})
	}
	return w.relu(sum.outputs[0], name+".relu")
}

// kernelSize is the width of a convolution's kernel; zero when its weights are unknown.
func (w *walker) kernelSize(n *node) int {
	if k := n.ints["kernel_shape"]; len(k) == 2 {
		return int(k[1])
	}
	if c := w.graph.source(n.inputOr(1)); c != nil && len(c.dims) == 4 {
		return c.dims[3]
	}
	return 0
}

// conv takes a convolution's weights and the batch norm behind it. It returns the value behind both. A batch norm of
// torchvision's form stays as it is; everything else that scales and shifts channels is folded in:
// w' = scale*w, b' = scale*b + shift, in float64.
func (w *walker) conv(n *node, l layer) (string, error) {
	weight, bias, err := w.filters(n, l)
	if err != nil {
		return "", err
	}
	at := n.outputs[0]
	var steps []*node
	a := identity(l.out)
	for len(w.users[at]) == 1 {
		step := w.users[at][0]
		ok, err := w.affine(&a, step, at, layout{4, 1, l.out})
		if err != nil {
			return "", fmt.Errorf("%s: %w", l.name, err)
		}
		if !ok {
			break
		}
		if steps = append(steps, step); len(steps) > maxFolds {
			return "", departs("%s: more than %d operators scale its output", l.name, maxFolds)
		}
		at = step.outputs[0]
	}
	if len(steps) == 1 && steps[0].op == "BatchNormalization" && bias == nil && steps[0].float("epsilon", epsilon) == epsilon {
		w.found[l.name+".weight"] = weight
		for i, part := range []string{"weight", "bias", "running_mean", "running_var"} {
			if w.found[l.norm+"."+part], err = w.graph.constant(steps[0].inputs[1+i], 0); err != nil {
				return "", err
			}
		}
		return at, nil
	}
	if bias == nil {
		bias = make([]float32, l.out)
	}
	if len(steps) > 0 {
		weight, bias = fold(a, weight, bias)
	}
	w.found[l.name+".weight"] = weight
	w.found[l.name+".bias"] = tensor.Tensor{Shape: []int{l.out}, Data: bias}
	return at, nil
}

// fold applies a to the outputs of a layer, the first dimension of weight.
func fold(a affine, weight tensor.Tensor, bias []float32) (tensor.Tensor, []float32) {
	t, b := tensor.New(weight.Shape...), make([]float32, len(bias))
	each := len(weight.Data) / len(bias)
	for o, s := range a.scale {
		b[o] = float32(float64(bias[o])*s + a.shift[o])
		for i := o * each; i < (o+1)*each; i++ {
			t.Data[i] = float32(float64(weight.Data[i]) * s)
		}
	}
	return t, b
}

// filters are a convolution's weights and its bias, nil without one.
func (w *walker) filters(n *node, l layer) (weight tensor.Tensor, bias []float32, err error) {
	if len(n.inputs) < 2 || len(n.inputs) > 3 {
		return weight, nil, departs("%s: %s has %d inputs, want 2 or 3", l.name, n, len(n.inputs))
	}
	if g := n.int("group", 1); g != 1 {
		return weight, nil, departs("%s: %s has %d groups, want 1", l.name, n, g)
	}
	if err := window(n, l.name, l.kernel, l.stride); err != nil {
		return weight, nil, err
	}
	if weight, err = w.graph.constant(n.inputs[1], 0); err != nil {
		return weight, nil, fmt.Errorf("%s: weights of %s: %w", l.name, n, err)
	}
	if err := weight.Check(l.out, l.in, l.kernel, l.kernel); err != nil {
		return weight, nil, departs("%s.weight %v", l.name, err)
	}
	if len(n.inputs) == 3 && n.inputs[2] != "" {
		t, err := w.graph.constant(n.inputs[2], 0)
		if err != nil {
			return weight, nil, fmt.Errorf("%s: bias of %s: %w", l.name, n, err)
		}
		if err := t.Check(l.out); err != nil {
			return weight, nil, departs("%s.bias %v", l.name, err)
		}
		bias = t.Data
	}
	return weight, bias, nil
}
