package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// supported refuses files that are no plain floating-point graph, whatever network they hold.
func (g *graph) supported(functions map[string]bool) error {
	for _, n := range g.nodes {
		switch {
		case strings.Contains(n.op, "uantizeLinear") || strings.HasPrefix(n.op, "QLinear") || n.op == "QGemm" || strings.HasSuffix(n.op, "Integer"):
			return fmt.Errorf("the model is quantized (%s): this is an int8 ONNX file; export float32", n)
		case functions[n.op] && n.domain != "" && n.domain != "ai.onnx":
			return fmt.Errorf("the model consists of functions (%s): export it with a newer PyTorch, or inline them with onnx.inliner", n)
		case n.domain != "" && n.domain != "ai.onnx":
			return fmt.Errorf("%s is not an operator of ONNX but of %s, such as an optimizer writes: use the file before optimization", n, n.domain)
		}
	}
	return nil
}

// census counts what tells networks apart.
type census struct {
	ops       map[string]int
	convs     [][]int // shapes of their weights, in the graph's order
	groups    []int64
	preactive bool // an addition goes into a batch norm
}

func (g *graph) census() census {
	c := census{ops: map[string]int{}}
	sums := map[string]bool{}
	for _, n := range g.nodes {
		c.ops[n.op]++
		switch n.op {
		case "Add", "Sum":
			sums[n.outputOr()] = !g.isConstant(n.inputOr(1))
		case "BatchNormalization":
			c.preactive = c.preactive || sums[n.inputOr(0)]
		case "Conv":
			if w := g.source(n.inputOr(1)); w != nil && len(w.dims) == 4 {
				c.convs = append(c.convs, w.dims)
				c.groups = append(c.groups, n.int("group", 1))
			}
		}
	}
	return c
}

// inputOr is the i-th input, empty if there is none.
func (n *node) inputOr(i int) string {
	if i >= len(n.inputs) {
		return ""
	}
	return n.inputs[i]
}

// outputOr is the first output, empty if there is none.
func (n *node) outputOr() string {
	if len(n.outputs) == 0 {
		return ""
	}
	return n.outputs[0]
}

// stem is the first convolution's shape: outputs, inputs, height and width.
func (c census) stem() (out, in, kernel int) { return c.convs[0][0], c.convs[0][1], c.convs[0][3] }

// depthwise counts convolutions of single channels with kernels of that size; 0 counts all.
func (c census) depthwise(kernel int) int {
	count := 0
	for i, dims := range c.convs {
		if dims[1] == 1 && c.groups[i] > 1 && (kernel == 0 || dims[3] == kernel) {
			count++
		}
	}
	return count
}

func (c census) grouped() bool {
	return slices.ContainsFunc(c.groups, func(g int64) bool { return g > 1 })
}

// wide reports whether the bottleneck of the first block has twice as many channels.
func (c census) wide() bool { return len(c.convs) > 2 && c.convs[1][0] == 128 }

// architectures are the networks that people export, the first that fits. They are told apart by what they are built
// of, and residual networks by their number of convolutions, those of the shortcuts included.
var architectures = []struct {
	name string
	is   func(c census, out, in, kernel int) bool
}{
	{"ConvNeXt", func(c census, _, _, _ int) bool { return c.depthwise(7) > 0 }},
	{"ShuffleNet", func(c census, _, _, _ int) bool {
		return c.depthwise(0) > 0 && c.ops["Concat"] > 3 && c.ops["Transpose"] > 3
	}},
	{"MobileNet v3", func(c census, _, _, _ int) bool {
		return c.depthwise(0) > 0 && c.ops["HardSwish"]+c.ops["HardSigmoid"] > 0
	}},
	{"EfficientNet", func(c census, _, _, _ int) bool { return c.depthwise(0) > 0 && c.ops["Sigmoid"] > 3 }},
	{"MobileNet (depthwise convolutions)", func(c census, _, _, _ int) bool { return c.depthwise(0) > 0 }},
	{"ResNeXt (grouped convolutions)", func(c census, _, _, _ int) bool { return c.grouped() }},
	{"Swin Transformer", func(c census, _, _, kernel int) bool { return kernel == 4 && c.ops["Softmax"] > 1 }},
	{"a Vision Transformer", func(c census, _, _, kernel int) bool { return kernel >= 14 }},
	{"AlexNet", func(_ census, _, _, kernel int) bool { return kernel == 11 }},
	{"YOLO", func(c census, _, _, _ int) bool { return c.ops["Concat"] > 3 && c.ops["Sigmoid"] > 10 }},
	{"SqueezeNet", func(c census, _, _, _ int) bool { return c.ops["Concat"] == 8 && len(c.convs) == 26 }},
	{"DenseNet", func(c census, _, _, _ int) bool { return c.ops["Concat"] > 30 }},
	{"Inception or GoogLeNet", func(c census, _, _, _ int) bool { return c.ops["Concat"] > 8 }},
	{"VGG", func(c census, _, _, kernel int) bool {
		return kernel == 3 && c.ops["MaxPool"] == 5 && c.ops["Add"] == 0 && len(c.convs) >= 8
	}},
	{"a network with squeeze and excitation (SE)", func(c census, _, _, _ int) bool {
		return c.ops["GlobalAveragePool"]+c.ops["ReduceMean"] > 4 && c.ops["Mul"] > 4 && c.ops["Sigmoid"]+c.ops["HardSigmoid"] > 4
	}},
	{"a ResNet with group normalization", func(c census, _, _, _ int) bool {
		return c.ops["InstanceNormalization"]+c.ops["GroupNormalization"] > 4
	}},
	{"a ResNet of another kind (pre-activation, v2)", func(c census, _, _, _ int) bool { return c.preactive }},
	{"ResNet-18-D (three 3x3 convolutions as stem)", func(c census, _, _, kernel int) bool {
		return kernel == 3 && len(c.convs) == 22 && c.convs[1][3] == 3 && c.convs[2][3] == 3
	}},
	{"a ResNet with a CIFAR stem (conv1 is 3x3, not 7x7)", func(c census, _, _, kernel int) bool {
		return kernel == 3 && len(c.convs) >= 17 && c.ops["Add"]+c.ops["Sum"] >= 8
	}},
	{"ResNet-10", func(c census, _, _, kernel int) bool { return kernel == 7 && len(c.convs) == 12 }},
	{"ResNet-34", func(c census, _, _, kernel int) bool { return kernel == 7 && len(c.convs) == 36 }},
	{"Wide ResNet-50", func(c census, _, _, kernel int) bool { return kernel == 7 && len(c.convs) == 53 && c.wide() }},
	{"ResNet-50", func(c census, _, _, kernel int) bool { return kernel == 7 && len(c.convs) == 53 }},
	{"Wide ResNet-101", func(c census, _, _, kernel int) bool { return kernel == 7 && len(c.convs) == 104 && c.wide() }},
	{"ResNet-101", func(c census, _, _, kernel int) bool { return kernel == 7 && len(c.convs) == 104 }},
	{"ResNet-152", func(c census, _, _, kernel int) bool { return kernel == 7 && len(c.convs) == 155 }},
	{"a model for gray pictures (1 channel)", func(_ census, _, in, _ int) bool { return in == 1 }},
	{"a model for pictures of other than 3 channels", func(_ census, _, in, _ int) bool { return in != 3 }},
}

// architecture is the name of the network that the graph holds instead; empty if it is not known.
func (g *graph) architecture() string {
	c := g.census()
	switch {
	case c.ops["Conv"] == 0:
		return "a network without convolutions"
	case len(c.convs) < c.ops["Conv"]: // weights are computed, so their shapes are not known
		return ""
	}
	out, in, kernel := c.stem()
	for _, a := range architectures {
		if a.is(c, out, in, kernel) {
			return a.name
		}
	}
	return ""
}
