package onnx

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// window checks where the windows of a convolution or pooling of kernel x kernel pixels lie: stride pixels apart, the
// first one kernel/2 pixels before the edge. Absent attributes have ONNX's defaults, which are not ResNet-18's.
//
// At stride 2 the last window may end at the edge or a pixel behind it, because all layers with a stride have inputs
// of even size: kernel 3 on 8 pixels has windows at -1, 1, 3 and 5, and the last one ends at pixel 7. So
// auto_pad SAME_LOWER, which puts the odd pixel of padding first, is equal too; SAME_UPPER puts it last.
func window(n *node, where string, kernel, stride int) error {
	for _, want := range []struct {
		name        string
		value       int64
		byDefault   int64
		isMandatory bool
	}{
		{"kernel_shape", int64(kernel), int64(kernel), n.op == "MaxPool"},
		{"strides", int64(stride), 1, false},
		{"dilations", 1, 1, false},
	} {
		got, ok := n.ints[want.name]
		if !ok {
			got = []int64{want.byDefault, want.byDefault}
			if want.isMandatory {
				got = nil
			}
		}
		if !slices.Equal(got, []int64{want.value, want.value}) {
			return departs("%s: %s has %s %v, want %d", where, n, want.name, got, want.value)
		}
	}
	if n.op == "MaxPool" {
		for _, zero := range []string{"ceil_mode", "storage_order"} {
			if v := n.int(zero, 0); v != 0 {
				return departs("%s: %s has %s %d, want 0", where, n, zero, v)
			}
		}
	}
	half := int64(kernel / 2)
	switch auto := n.strings["auto_pad"]; auto {
	case "", "NOTSET":
		pads, ok := n.ints["pads"]
		if !ok {
			pads = []int64{0, 0, 0, 0}
		}
		if len(pads) != 4 || !begins(half, pads[:2]) || !ends(half, stride, pads[2:]) {
			return departs("%s: %s has pads %v, want %d", where, n, pads, half)
		}
	case "SAME_LOWER":
	default:
		if kernel > 1 && (stride > 1 || auto != "SAME_UPPER") || auto != "SAME_UPPER" && auto != "VALID" {
			return departs("%s: %s has auto_pad %s, want pads %d", where, n, auto, half)
		}
	}
	return nil
}

func begins(half int64, pads []int64) bool {
	return !slices.ContainsFunc(pads, func(p int64) bool { return p != half })
}

func ends(half int64, stride int, pads []int64) bool {
	return !slices.ContainsFunc(pads, func(p int64) bool { return p != half && (stride == 1 || half == 0 || p != half-1) })
}

// covers reports whether a pooling of kernel x kernel pixels averages the whole last layer, and of which input.
func covers(n *node, size int) (input int, err error) {
	k := n.ints["kernel_shape"]
	pads := n.ints["pads"]
	auto := n.strings["auto_pad"]
	switch {
	case len(k) != 2 || k[0] != k[1] || k[0] < 1 || k[0] > spec.MaxSize/spec.SizeStep:
		return 0, departs("avgpool: %s has kernel_shape %v, want the whole last layer, such as 7 x 7", n, k)
	case slices.ContainsFunc(pads, func(p int64) bool { return p != 0 }), auto != "" && auto != "NOTSET" && auto != "VALID":
		return 0, departs("avgpool: %s has pads %v %s, want none", n, pads, auto)
	}
	input = int(k[0]) * spec.SizeStep
	if size != 0 && size != input || input < spec.MinSize {
		return 0, departs("avgpool: %s has kernel_shape %v, want that of the whole last layer, %d", n, k, max(size, spec.MinSize)/spec.SizeStep)
	}
	return input, nil
}
