package recognize

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// activations are the classes of PyTorch's activations, and whether the network here has them inside.
var activations = map[string]bool{
	"ReLU": true, "ReLU6": false, "LeakyReLU": false, "PReLU": false, "RReLU": false, "ELU": false, "CELU": false, "SELU": false,
	"GELU": false, "SiLU": false, "Swish": false, "Mish": false, "Hardswish": false, "Hardsigmoid": false, "Hardtanh": false,
	"Sigmoid": false, "Tanh": false, "Softplus": false, "Softsign": false, "Softmax": false, "LogSoftmax": false, "GLU": false,
}

// layersWithoutTensors checks the parts of a whole model that have no tensors and yet change its answers: other activations than
// ReLU in the backbone, a missing max pooling.
func (f *finding) layersWithoutTensors() error {
	for _, name := range slices.Sorted(maps.Keys(f.modules)) {
		inner, ok := strings.CutPrefix(name, f.prefix)
		if !ok {
			continue
		}
		class := classOf(f.modules[name])
		_, body := f.scheme.rename(inner + ".")
		relu, activation := activations[class]
		switch {
		case activation && !relu && (body || inner == "relu" || inner == "act1"):
			return fmt.Errorf("%s is %s, ResNet-18 has ReLU: %s", name, class, otherwise)
		case inner == "maxpool" && class != "MaxPool2d":
			return fmt.Errorf("%s is %s, ResNet-18 has MaxPool2d (networks for CIFAR leave it out): %s", name, class, otherwise)
		case inner == "avgpool" && class != "AdaptiveAvgPool2d" && class != "AvgPool2d" && class != "Identity":
			return fmt.Errorf("%s is %s, ResNet-18 has AdaptiveAvgPool2d: %s", name, class, otherwise)
		}
	}
	return nil
}

// has reports whether a module of the class is outside of the backbone.
func (f *finding) has(class string) bool {
	for name, c := range f.modules {
		inner, under := strings.CutPrefix(name, f.prefix)
		_, body := f.scheme.rename(inner + ".")
		if classOf(c) == class && !(under && body) {
			return true
		}
	}
	return false
}

// activation tells whether there is ReLU between two modules, and whether that is known. Another activation is an error.
func (f *finding) activation(a, b string) (relu, known bool, err error) {
	inA, indexA := split(a)
	inB, indexB := split(b)
	if f.modules[a] == "" || inA != inB {
		return false, false, nil
	}
	from, errA := strconv.Atoi(indexA)
	to, errB := strconv.Atoi(indexB)
	for _, name := range slices.Sorted(maps.Keys(f.modules)) {
		parent, leaf := split(name)
		if parent != inA {
			continue
		}
		if errA == nil && errB == nil {
			if n, err := strconv.Atoi(leaf); err != nil || n <= from || n >= to {
				continue
			}
		}
		class := classOf(f.modules[name])
		served, activation := activations[class]
		switch {
		case served:
			relu = true
		case activation && errA == nil && errB == nil:
			return false, true, fmt.Errorf("%s is %s: between fully connected layers ReLU is served, nothing else", name, class)
		}
	}
	// Modules with names have an order that is lost, and functions leave no module at all.
	return relu, relu || errA == nil && errB == nil, nil
}

// classOf returns a class without its package: "torch.nn.modules.activation.ReLU" is ReLU.
func classOf(path string) string {
	_, class := split(path)
	return class
}
