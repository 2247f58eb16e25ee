package onnx

import (
	"fmt"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// walker follows the data through the graph and collects weights under torchvision's names.
type walker struct {
	graph *graph
	alias map[string]string  // output of an Identity or Dropout: its input
	users map[string][]*node // operators that read a value
	found map[string]tensor.Tensor
}

// maxAliases bounds how many Identities in a row are followed, so that a ring of them ends.
const maxAliases = 64

// weights walks from the input to the output. A ResNet-18 is a stem, four layers of two blocks, and a
// classifier (He et al., "Deep Residual Learning for Image Recognition", table 1).
func (g *graph) weights() (map[string]tensor.Tensor, error) {
	if len(g.inputs) != 1 || len(g.outputs) != 1 {
		return nil, fmt.Errorf("graph has %d inputs and %d outputs, want one of each", len(g.inputs), len(g.outputs))
	}
	w := &walker{g, map[string]string{}, map[string][]*node{}, map[string]tensor.Tensor{}}
	for _, n := range g.nodes {
		if (n.op == "Identity" || n.op == "Dropout") && len(n.inputs) > 0 && len(n.outputs) > 0 {
			w.alias[n.outputs[0]] = n.inputs[0]
		}
	}
	for _, n := range g.nodes {
		if n.op == "Identity" || n.op == "Dropout" {
			continue
		}
		for _, in := range n.inputs {
			in = w.resolve(in)
			w.users[in] = append(w.users[in], n)
		}
	}
	at, err := w.stem(w.resolve(g.inputs[0]))
	for layer := 1; err == nil && layer <= 4; layer++ {
		for block := 0; err == nil && block < 2; block++ {
			stride := 1
			if layer > 1 && block == 0 {
				stride = 2
			}
			at, err = w.block(at, fmt.Sprintf("layer%d.%d", layer, block), stride)
		}
	}
	if err == nil {
		err = w.classifier(at)
	}
	return w.found, err
}

// resolve follows aliases to the value they stand for.
func (w *walker) resolve(value string) string {
	for range maxAliases {
		to, ok := w.alias[value]
		if !ok {
			break
		}
		value = to
	}
	return value
}

// next is the only operator that reads a value, which must be one of the given kinds.
func (w *walker) next(value, where string, ops ...string) (*node, error) {
	users := w.users[value]
	if len(users) != 1 {
		return nil, fmt.Errorf("%s: %d operators read its value, want one (%v)", where, len(users), ops)
	}
	n := users[0]
	if !slices.Contains(ops, n.op) {
		if n.op == "QuantizeLinear" {
			return nil, fmt.Errorf("%s: model is quantized (%s), want the floating-point one", where, n)
		}
		return nil, fmt.Errorf("%s: found %s, want %v: not a ResNet-18", where, n, ops)
	}
	if len(n.outputs) == 0 || len(n.inputs) == 0 {
		return nil, fmt.Errorf("%s: %s has no input or output", where, n)
	}
	return n, nil
}

// through is the output of the next operator.
func (w *walker) through(value, where string, ops ...string) (string, error) {
	n, err := w.next(value, where, ops...)
	if err != nil {
		return "", err
	}
	return n.outputs[0], nil
}

func (w *walker) stem(at string) (string, error) {
	conv, err := w.next(at, "conv1", "Conv")
	if err != nil {
		return "", err
	}
	if at, err = w.conv(conv, "conv1", "bn1", 2, 3); err != nil {
		return "", err
	}
	if at, err = w.through(at, "relu", "Relu"); err != nil {
		return "", err
	}
	return w.through(at, "maxpool", "MaxPool")
}

// block reads a basic block: two 3x3 convolutions beside the block's input, or beside a strided 1x1
// convolution of it, added up.
func (w *walker) block(at, name string, stride int) (string, error) {
	var main, side, add *node
	for _, n := range w.users[at] {
		switch {
		case n.op == "Conv" && w.kernelSize(n) == 1:
			side = n
		case n.op == "Conv":
			main = n
		case n.op == "Add":
			add = n
		}
	}
	if main == nil || len(w.users[at]) != 2 || (side == nil) == (add == nil) {
		return "", fmt.Errorf("%s: its input goes to %v, want a 3x3 convolution beside an addition or a 1x1 convolution: "+
			"not a ResNet-18", name, w.users[at])
	}
	short := at
	var err error
	if side != nil {
		if short, err = w.conv(side, name+".downsample.0", name+".downsample.1", stride, 0); err != nil {
			return "", err
		}
	}
	if at, err = w.conv(main, name+".conv1", name+".bn1", stride, 1); err != nil {
		return "", err
	}
	if at, err = w.through(at, name+".relu", "Relu"); err != nil {
		return "", err
	}
	second, err := w.next(at, name+".conv2", "Conv")
	if err != nil {
		return "", err
	}
	if at, err = w.conv(second, name+".conv2", name+".bn2", 1, 1); err != nil {
		return "", err
	}
	sum, err := w.next(at, name, "Add")
	if err != nil {
		return "", err
	}
	terms := []string{w.resolve(sum.inputs[0]), w.resolve(sum.inputs[len(sum.inputs)-1])}
	if !slices.Contains(terms, at) || !slices.Contains(terms, short) || at == short {
		return "", fmt.Errorf("%s: %s adds %v, want %v: not a ResNet-18", name, sum, terms, []string{at, short})
	}
	return w.through(sum.outputs[0], name+".relu", "Relu")
}

// kernelSize is the width of a convolution's kernel; zero when its weights are missing.
func (w *walker) kernelSize(n *node) int {
	if len(n.inputs) < 2 {
		return 0
	}
	shape := w.graph.tensors[w.resolve(n.inputs[1])].Shape
	if len(shape) != 4 {
		return 0
	}
	return shape[3]
}

// conv takes a convolution's weights, and a batch normalization's behind it if there is one. It returns the
// value behind both.
func (w *walker) conv(n *node, name, bn string, stride, pad int) (string, error) {
	if err := w.take(n, 1, name+".weight"); err != nil {
		return "", err
	}
	for _, want := range []struct {
		attribute string
		value     int
	}{{"strides", stride}, {"pads", pad}, {"dilations", 1}, {"group", 1}} {
		for _, v := range n.ints[want.attribute] {
			if int(v) != want.value {
				return "", fmt.Errorf("%s: %s has %s %v, want %d: not a ResNet-18", name, n, want.attribute,
					n.ints[want.attribute], want.value)
			}
		}
	}
	at := n.outputs[0]
	hasBias := len(n.inputs) > 2
	if users := w.users[at]; len(users) == 1 && users[0].op == "BatchNormalization" {
		if hasBias {
			return "", fmt.Errorf("%s: has a bias and a batch normalization, want one of them", name)
		}
		return w.norm(users[0], bn)
	}
	if !hasBias {
		return "", fmt.Errorf("%s: has neither a bias nor a batch normalization", name)
	}
	return at, w.take(n, 2, name+".bias")
}

func (w *walker) norm(n *node, name string) (string, error) {
	if len(n.inputs) != 5 || len(n.outputs) == 0 {
		return "", fmt.Errorf("%s: %s has %d inputs, want 5", name, n, len(n.inputs))
	}
	for i, part := range []string{"weight", "bias", "running_mean", "running_var"} {
		if err := w.take(n, 1+i, name+"."+part); err != nil {
			return "", err
		}
	}
	if eps, ok := n.floats["epsilon"]; ok && eps != 1e-5 {
		return "", fmt.Errorf("%s: %s has epsilon %g, want 1e-05", name, n, eps)
	}
	return n.outputs[0], nil
}

// classifier reads the average over all pixels and the fully connected layer.
func (w *walker) classifier(at string) error {
	at, err := w.through(at, "avgpool", "GlobalAveragePool", "ReduceMean", "AveragePool")
	if err != nil {
		return err
	}
	n, err := w.next(at, "fc", "Flatten", "Reshape", "Squeeze", "Gemm")
	if err == nil && n.op != "Gemm" {
		n, err = w.next(n.outputs[0], "fc", "Gemm")
	}
	if err != nil {
		return err
	}
	if b := n.ints["transB"]; len(b) != 1 || b[0] != 1 {
		return fmt.Errorf("fc: %s has transB %v, want 1", n, b)
	}
	if alpha, ok := n.floats["alpha"]; ok && alpha != 1 {
		return fmt.Errorf("fc: %s has alpha %g, want 1", n, alpha)
	}
	if err := w.take(n, 1, "fc.weight"); err != nil {
		return err
	}
	if err := w.take(n, 2, "fc.bias"); err != nil {
		return err
	}
	if n.outputs[0] != w.resolve(w.graph.outputs[0]) {
		return fmt.Errorf("fc: graph's output is %q, want that of %s: not a ResNet-18", w.graph.outputs[0], n)
	}
	return nil
}

// take stores an operator's i-th input, which must be an initializer, under a name.
func (w *walker) take(n *node, i int, name string) error {
	if i >= len(n.inputs) || len(n.outputs) == 0 {
		return fmt.Errorf("%s: %s has %d inputs, want it as number %d", name, n, len(n.inputs), i)
	}
	t, ok := w.graph.tensors[w.resolve(n.inputs[i])]
	if !ok {
		return fmt.Errorf("%s: input %q of %s is not a floating-point initializer", name, n.inputs[i], n)
	}
	w.found[name] = t
	return nil
}
