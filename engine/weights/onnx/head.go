package onnx

import (
	"fmt"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/dense"
)

// head is what follows the last convolution.
type head struct {
	pool       spec.Pool
	swapped    bool   // averages come first, then maxima; spec has them the other way round
	layout     layout // of the value that the walker is at
	layers     []*linear
	pending    *affine // of the value, to be folded into the next layer; nil if none
	activation *spec.Activation
	notes      []string
}

// head reads pooling, fully connected layers, and the activation at the end.
func (w *walker) head(at, output string) (*head, error) {
	h := &head{pool: spec.Average, layout: layout{4, 1, spec.Features}}
	if at == output || len(w.users[at]) == 0 {
		return nil, departs("output %.100q is in front of the average over all pixels, want features or classes", output)
	}
	at, err := w.pooling(h, at)
	if err != nil {
		return nil, err
	}
	for range len(w.graph.nodes) + 1 {
		if at == output && len(w.users[at]) == 0 {
			return h, h.end()
		}
		users := w.users[at]
		if len(users) != 1 {
			return nil, departs("fc: its input goes to %v, want one operator", users)
		}
		n := users[0]
		if err := w.step(h, n, at); err != nil {
			return nil, err
		}
		at = n.outputs[0]
	}
	return nil, departs("fc: the graph goes in a circle")
}

// pooling reads the average over all pixels, or the maximum beside it.
func (w *walker) pooling(h *head, at string) (string, error) {
	if users := w.users[at]; len(users) == 2 {
		return w.concatenated(h, at, users)
	}
	n, err := w.next(at, "avgpool", "GlobalAveragePool", "ReduceMean", "AveragePool")
	if err != nil {
		return "", err
	}
	at = n.outputs[0]
	switch n.op {
	case "AveragePool":
		if w.in.size, err = covers(n, w.in.size); err != nil {
			return "", err
		}
	case "ReduceMean":
		return w.reduced(h, n)
	}
	return at, nil
}

// reduced reads one ReduceMean over rows and columns, or one for each.
func (w *walker) reduced(h *head, n *node) (string, error) {
	left := []int{2, 3} // dimensions that are not averaged yet, of the value's
	for {
		axes, ok := n.ints["axes"]
		if len(n.inputs) > 1 {
			axes, ok = w.graph.integers(n.inputs[1])
		}
		var rest []int
		for _, d := range left {
			if !hasAxis(axes, d, h.layout.rank) {
				rest = append(rest, d)
			}
		}
		if !ok || len(left)-len(rest) != len(axes) || len(axes) == 0 {
			return "", departs("avgpool: %s has axes %v, want rows and columns, 2 and 3", n, axes)
		}
		if n.int("keepdims", 1) == 0 {
			h.layout.rank -= len(axes)
			if len(rest) == 1 {
				rest[0] = 2
			}
		}
		if left = rest; len(left) == 0 {
			return n.outputs[0], nil
		}
		var err error
		if n, err = w.next(n.outputs[0], "avgpool", "ReduceMean"); err != nil {
			return "", err
		}
	}
}

// concatenated reads fastai's pooling: the maximum of each channel, then the average of each.
func (w *walker) concatenated(h *head, at string, users []*node) (string, error) {
	var values [2]string // maximum, average
	for _, n := range users {
		switch n.op {
		case "GlobalMaxPool":
			values[0] = n.outputs[0]
		case "GlobalAveragePool":
			values[1] = n.outputs[0]
		}
	}
	if values[0] == "" || values[1] == "" {
		return "", departs("avgpool: its input goes to %v, want GlobalAveragePool, alone or beside GlobalMaxPool", users)
	}
	n, err := w.next(values[0], "avgpool", "Concat")
	if err != nil {
		return "", err
	}
	var order []string
	for _, in := range n.inputs {
		order = append(order, w.graph.resolve(in))
	}
	h.swapped = slices.Equal(order, []string{values[1], values[0]})
	if !h.swapped && !slices.Equal(order, values[:]) || n.int("axis", 0) != 1 && n.int("axis", 0) != -3 {
		return "", departs("avgpool: %s joins %.100q, want maxima and averages as channels", n, order)
	}
	h.pool, h.layout.channels = spec.MaxAverage, 2*spec.Features
	return n.outputs[0], nil
}

// step reads one operator.
func (w *walker) step(h *head, n *node, at string) error {
	if h.activation != nil && !slices.Contains([]string{"Flatten", "Reshape", "Squeeze"}, n.op) {
		return departs("%s follows the activation at the end, want the scores as output", n)
	}
	if i := slices.IndexFunc(n.inputs, func(in string) bool { return w.graph.resolve(in) == at }); i != 0 &&
		!slices.Contains([]string{"Add", "Mul", "Sub"}, n.op) {
		return departs("fc: %s has the features as input %d, want them as the first", n, i+1)
	}
	switch n.op {
	case "Flatten", "Reshape", "Squeeze":
		return w.flatten(h, n)
	case "Gemm", "MatMul", "Conv":
		return w.dense(h, n)
	case "Relu":
		return h.relu(n)
	case "Softmax", "LogSoftmax", "Sigmoid":
		return h.activate(n)
	}
	last := len(h.layers) - 1
	a := identity(h.layout.channels)
	ok, err := w.affine(&a, n, at, h.layout)
	switch {
	case err != nil:
		return fmt.Errorf("fc: %w", err)
	case !ok:
		return departs("fc: found %s, want fully connected layers with Relu between them, then Softmax, Sigmoid or nothing", n)
	case last >= 0 && !h.layers[last].relu:
		h.layers[last].follow(a, n.op)
	case h.pending == nil:
		h.pending = &a
	default:
		for i, s := range a.scale {
			h.pending.scale[i] *= s
			h.pending.shift[i] = h.pending.shift[i]*s + a.shift[i]
		}
	}
	return nil
}

// flatten reads the step from four dimensions to two.
func (w *walker) flatten(h *head, n *node) error {
	rank := int64(h.layout.rank)
	if len(h.layers) > 0 && h.layout.channels == 1 {
		return nil // a single output has nothing to be mixed with
	}
	ok := true
	switch n.op {
	case "Flatten":
		axis := n.int("axis", 1)
		ok = axis == 1 || axis == 1-rank
	case "Squeeze":
		axes, known := n.ints["axes"]
		if len(n.inputs) > 1 {
			axes, known = w.graph.integers(n.inputs[1])
		}
		for i := range axes {
			if axes[i] < 0 {
				axes = slices.Clone(axes)
				axes[i] += rank
			}
			ok = ok && axes[i] >= 2 && axes[i] < rank
		}
		if known && int64(len(axes)) < rank-2 {
			h.layout.rank -= len(axes)
			rank = 0
		}
	case "Reshape": // a shape that is not constant is computed from that of the pictures
		dims, known := w.graph.integers(n.inputs[len(n.inputs)-1])
		features := []int64{int64(h.layout.channels), -1}
		ok = len(n.inputs) == 2 && (!known || len(dims) >= 2 && slices.Contains(features, dims[1]) &&
			!slices.ContainsFunc(dims[2:], func(d int64) bool { return d != 1 }))
		if known && len(dims) != 2 {
			ok = ok && len(dims) == 4
			rank = 0
		}
	}
	if !ok {
		return departs("fc: %s does not keep the features of each picture together: axis %v, axes %v", n, n.ints["axis"], n.ints["axes"])
	}
	if rank != 0 {
		h.layout.rank = 2
	}
	return nil
}

// relu reads a ReLU. One directly behind the pooling changes nothing, because the last block ends with one.
func (h *head) relu(n *node) error {
	switch {
	case h.pending != nil:
		return departs("fc: %s follows a batch norm without a layer between them", n)
	case len(h.layers) > 0:
		h.layers[len(h.layers)-1].relu = true
	}
	return nil
}

// activate reads the activation at the end. The logits are in front of it.
func (h *head) activate(n *node) error {
	kind := spec.Softmax
	if n.op == "Sigmoid" {
		kind = spec.Sigmoid
	} else if axis := n.int("axis", -1); axis != 1 && (axis != -1 || h.layout.rank != 2) { // absent: 1 before operator set 13
		return departs("fc: %s has axis %d, want the classes, 1", n, axis)
	}
	if len(h.layers) == 0 {
		return departs("fc: %s follows features, want a fully connected layer between them", n)
	}
	h.activation = &kind
	h.notes = append(h.notes, fmt.Sprintf("the graph ends with %s: the values before it are the outputs", n))
	return nil
}

// end checks that nothing is left to be folded, and that the scores are where they should be.
func (h *head) end() error {
	switch last := len(h.layers) - 1; {
	case h.pending != nil:
		return departs("fc: the output is scaled and shifted behind the last layer or ReLU, want plain features or classes")
	case last >= 0 && h.layers[last].relu:
		return departs("fc: %s is followed by ReLU, want outputs without it", h.layers[last].node)
	}
	return nil
}

// finish writes the head into c.
func (h *head) finish(c *Content) error {
	c.Head = spec.Head{Pool: h.pool, Activation: spec.None}
	c.Notes = append(c.Notes, h.notes...)
	for i, l := range h.layers {
		if i == 0 && h.swapped {
			l.Swap()
		}
		name, out := spec.LayerName(i, len(h.layers)), len(l.Bias)
		c.Tensors[name+".weight"] = tensor.Tensor{Shape: []int{out, l.In}, Data: dense.Narrow(l.Weight)}
		if l.biased {
			c.Tensors[name+".bias"] = tensor.Tensor{Shape: []int{out}, Data: dense.Narrow(l.Bias)}
		}
		c.Head.ReLU = append(c.Head.ReLU, l.relu)
		c.Head.Classes = out
		c.Head.Activation = spec.Softmax
	}
	switch {
	case h.activation != nil:
		c.Head.Activation = *h.activation
	case c.Head.Classes == 1:
		c.Head.Activation = spec.None
		c.Notes = append(c.Notes, "the graph has one output and no Sigmoid: it is taken as it is")
	case c.Head.Classes == 0:
		c.Notes = append(c.Notes, "the graph ends with the features: it has no classes")
	}
	if h.pool != spec.Average && len(h.layers) == 0 {
		return departs("avgpool: features of maxima and averages without a fully connected layer, want averages")
	}
	if err := c.Head.Validate(); err != nil {
		return departs("fc: %v", err)
	}
	return nil
}
