package onnx

import (
	"fmt"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/dense"
)

// linear is a fully connected layer of the graph.
type linear struct {
	dense.Layer
	node   *node
	biased bool // whether it needs a bias
	relu   bool // whether ReLU follows
}

// dense reads a fully connected layer: Gemm, MatMul, or a convolution of the single pixel.
func (w *walker) dense(h *head, n *node) error {
	name := fmt.Sprintf("fc.%d", len(h.layers))
	if len(n.inputs) < 2 {
		return departs("%s: %s has %d inputs, want 2 or 3", name, n, len(n.inputs))
	}
	if n.op == "Conv" {
		pads := slices.ContainsFunc(n.ints["pads"], func(p int64) bool { return p != 0 })
		if h.layout.rank != 4 || pads || n.int("group", 1) != 1 || w.kernelSize(n) != 1 {
			return departs("%s: %s is not a 1x1 convolution of the average", name, n)
		}
	} else if h.layout.rank != 2 {
		return departs("%s: %s is applied to %d dimensions, want 2: Flatten is missing", name, n, h.layout.rank)
	}
	t, err := w.graph.constant(n.inputs[1], 0)
	if err != nil {
		return fmt.Errorf("%s: weights of %s: %w", name, n, err)
	}
	alpha, beta, transposed := 1., 1., false // transposed: in x out
	switch n.op {
	case "Gemm":
		alpha, beta = float64(n.float("alpha", 1)), float64(n.float("beta", 1))
		transposed = n.int("transB", 0) == 0
		if n.int("transA", 0) != 0 {
			return departs("%s: %s has transA 1, want 0", name, n)
		}
	case "MatMul":
		transposed = true
	case "Conv":
		if len(t.Shape) == 4 && t.Shape[2] == 1 && t.Shape[3] == 1 {
			t.Shape = t.Shape[:2]
		}
	}
	in := h.layout.channels
	if len(t.Shape) != 2 || len(t.Data) == 0 || !transposed && t.Shape[1] != in || transposed && t.Shape[0] != in {
		return departs("%s: weights of %s have shape %v, want %d features", name, n, t.Shape, in)
	}
	l := &linear{node: n, Layer: dense.Layer{In: in, Weight: make([]float64, len(t.Data)), Bias: make([]float64, len(t.Data)/in)}}
	for i, v := range t.Data {
		if transposed {
			i = i%len(l.Bias)*in + i/len(l.Bias)
		}
		l.Weight[i] = alpha * float64(v)
	}
	h.layout.channels = len(l.Bias)
	if len(n.inputs) > 2 && n.inputs[2] != "" {
		t, err := w.graph.constant(n.inputs[2], 0)
		if err != nil {
			return fmt.Errorf("%s: bias of %s: %w", name, n, err)
		}
		c, ok := layout{2, 1, len(l.Bias)}.vector(t)
		if !ok {
			return departs("%s: bias of %s has shape %v, want %d numbers", name, n, t.Shape, len(l.Bias))
		}
		l.biased = true
		for i, v := range c {
			l.Bias[i] = beta * v
		}
	}
	if h.pending != nil {
		l.precede(*h.pending)
		h.pending = nil
	}
	h.layers = append(h.layers, l)
	return nil
}

// precede folds what happens to the layer's input into it.
func (l *linear) precede(a affine) {
	l.Before(a.scale, a.shift)
	l.biased = true
}

// follow folds what an operator does to the layer's output into it.
func (l *linear) follow(a affine, op string) {
	l.After(a.scale, a.shift)
	l.biased = l.biased || op != "Mul" && op != "Div"
}
