package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	set := func(node, attribute string, value any) func(e *export) {
		return func(e *export) { e.node(node).attributes[attribute] = value }
	}
	unset := func(node, attribute string) func(e *export) {
		return func(e *export) { delete(e.node(node).attributes, attribute) }
	}
	op := func(node, op string) func(e *export) { return func(e *export) { e.node(node).op = op } }
	for _, test := range []struct {
		name    string
		alter   func(e *export)
		problem string
	}{
		{"stride", set("layer3.0.conv1", "strides", []int{1, 1}), `layer3.0.conv1: Conv "layer3.0.conv1" has strides [1 1], want 2`},
		{"stride of one dimension", set("conv1", "strides", []int{2, 1}), "has strides [2 1]"},
		{"no stride", unset("conv1", "strides"), "conv1: Conv \"conv1\" has strides [1 1], want 2"},
		{"no pads", unset("layer1.1.conv2", "pads"), "has pads [0 0 0 0], want 1"},
		{"pads of the shortcut", set("layer4.0.downsample.0", "pads", []int{1, 1, 1, 1}), "downsample.0: Conv"},
		{"negative pads", set("layer4.0.downsample.0", "pads", []int{0, 0, -1, -1}), "has pads [0 0 -1 -1]"},
		{"pads at the end", set("layer1.0.conv1", "pads", []int{1, 1, 0, 0}), "has pads [1 1 0 0]"},
		{"pads at the begin", set("layer2.0.conv1", "pads", []int{0, 0, 1, 1}), "has pads [0 0 1 1]"},
		{"dilation", set("layer4.0.conv2", "dilations", []int{2, 2}), "has dilations [2 2], want 1"},
		{"groups", set("layer1.0.conv1", "group", 2), "ResNeXt"},
		{"kernel_shape", set("layer1.0.conv1", "kernel_shape", []int{5, 5}), "has kernel_shape [5 5], want 3"},
		{"SAME_UPPER with stride", set("layer2.0.conv1", "auto_pad", "SAME_UPPER"), "has auto_pad SAME_UPPER, want pads 1"},
		{"VALID", set("layer1.0.conv1", "auto_pad", "VALID"), "has auto_pad VALID"},
		{"unknown auto_pad", set("layer2.0.downsample.0", "auto_pad", "FULL"), "has auto_pad FULL"},
		{"max pool without strides", unset("maxpool", "strides"), `maxpool: MaxPool "maxpool" has strides [1 1], want 2`},
		{"max pool without pads", unset("maxpool", "pads"), "has pads [0 0 0 0], want 1"},
		{"max pool without kernel", unset("maxpool", "kernel_shape"), "has kernel_shape []"},
		{"max pool of 2", set("maxpool", "kernel_shape", []int{2, 2}), "has kernel_shape [2 2]"},
		{"max pool ceil", set("maxpool", "ceil_mode", 1), "has ceil_mode 1"},
		{"max pool dilations", set("maxpool", "dilations", []int{2, 2}), "has dilations [2 2]"},
		{"max pool storage order", set("maxpool", "storage_order", 1), "has storage_order 1"},
		{"average instead of max", op("maxpool", "AveragePool"), `maxpool: found AveragePool "maxpool", want [MaxPool]`},
		{"no max pool", func(e *export) { e.cut("maxpool") }, "maxpool: its input goes to"},
		{"leaky ReLU", op("layer1.0.relu", "LeakyRelu"), "layer1.0.relu: found LeakyRelu"},
		{"ReLU6", op("relu", "Clip"), `relu: found Clip "relu"`},
		{"missing ReLU", func(e *export) { e.cut("layer2.1.relu") }, "layer2.1.relu: found Conv"},
		{"missing last ReLU", func(e *export) { e.cut("layer4.1.relu2") }, "layer4.1.relu: found GlobalAveragePool"},
		{"missing first ReLU", func(e *export) { e.cut("relu") }, "relu: found MaxPool"},
		{"residual of another block", func(e *export) { e.node("layer3.1.add").in[1] = "layer2.1.relu2" }, "layer3.0: its input goes to"},
		{"residual twice", func(e *export) {
			n := e.node("layer2.0.add")
			n.op, n.in = "Sum", append(n.in, n.in[1])
		}, `layer2.0: Sum "layer2.0.add" adds`},
		{"something else instead of the residual", func(e *export) {
			e.node("layer2.0.add").in[1] = e.add("Exp", "x", nil, "fc.b")
			e.node("layer2.1.add").in = append(e.node("layer2.1.add").in, "layer2.0.downsample.0")
		}, `layer2.0: Add "layer2.0.add" adds`},
		{"constant beside the residual", func(e *export) {
			n := e.node("layer2.0.add")
			n.op, n.in = "Sum", append(n.in, "fc.b")
		}, `layer2.0: Sum "layer2.0.add" adds`},
		{"residual of the convolution", func(e *export) { e.node("layer1.1.add").in[1] = "layer1.1.conv2" }, "layer1.1: its input goes to"},
		{"residual multiplied", op("layer1.1.add", "Mul"), "layer1.1: its input goes to"},
		{"shortcut where none belongs", func(e *export) {
			e.add("Conv", "side", map[string]any{"kernel_shape": []int{1, 1}}, "maxpool", "layer1.0.conv1.w")
			e.nodes = slices.Insert(e.nodes[:len(e.nodes)-1], 3, e.nodes[len(e.nodes)-1])
			e.node("layer1.0.add").in[1] = "side"
		}, "layer1.0: its input goes to"},
		{"weights of another shape", func(e *export) { e.node("layer2.1.conv1").in[1] = "layer1.0.conv1.w" },
			"layer2.1.conv1.weight has shape [64 64 3 3], want [128 128 3 3]"},
		{"bias of another shape", func(e *export) { e.node("conv1").in[2] = "layer2.0.conv1.b" }, "conv1.bias has shape [128], want [64]"},
		{"weights of an operator", func(e *export) { e.node("conv1").in[1] = "input" }, "read the pictures"},
		{"conv1 for gray", func(e *export) { e.floats("conv1.w", numbers(64*49, 1), 64, 1, 7, 7) }, "1 channel"},
		{"conv1 for four channels", func(e *export) { e.floats("conv1.w", numbers(4*64*49, 1), 64, 4, 7, 7) }, "other than 3 channels"},
		{"training mode", func(e *export) {
			in, _ := e.norm("n", 64)
			e.after("conv1", "BatchNormalization", "n", map[string]any{"training_mode": 1}, in...)
		}, "model.eval()"},
		{"training mode of old", func(e *export) {
			in, _ := e.norm("n", 64)
			e.after("conv1", "BatchNormalization", "n", nil, in...)
			e.node("n").more = []string{"mean", "var"}
		}, "model.eval()"},
		{"norm of single pixels", func(e *export) {
			in, _ := e.norm("n", 64)
			e.after("conv1", "BatchNormalization", "n", map[string]any{"spatial": 0}, in...)
		}, "spatial 0"},
		{"norm of other size", func(e *export) {
			in, _ := e.norm("n", 32)
			e.after("conv1", "BatchNormalization", "n", nil, in...)
		}, "has shape [32], want [64]"},
		{"negative variance", func(e *export) {
			in, _ := e.norm("n", 64)
			e.floats("n.3", numbers(64, -9), 64)
			e.after("conv1", "BatchNormalization", "n", nil, in...)
		}, "variance"},
		{"factor of columns", func(e *export) { e.after("conv1", "Mul", "m", nil, e.floats("c", numbers(64, 1), 64)) },
			"constant of shape [64], want one number or one for each of 64 channels"},
		{"max pool at the end", op("avgpool", "GlobalMaxPool"), `avgpool: found GlobalMaxPool`},
		{"average of 2", func(e *export) { e.pool("AveragePool", map[string]any{"kernel_shape": []int{2, 2}}) }, "avgpool: AveragePool"},
		{"average of another size", func(e *export) {
			e.dims = []int{1, 3, 160, 160}
			e.pool("AveragePool", map[string]any{"kernel_shape": []int{7, 7}})
		}, "want that of the whole last layer, 5"},
		{"padded average", func(e *export) {
			e.pool("AveragePool", map[string]any{"kernel_shape": []int{7, 7}, "pads": []int{1, 1, 1, 1}})
		}, "has pads [1 1 1 1]"},
		{"mean of channels", func(e *export) { e.pool("ReduceMean", map[string]any{"axes": []int{1, 2}}) }, "has axes [1 2]"},
		{"mean of all", func(e *export) { e.pool("ReduceMean", nil) }, "has axes []"},
		{"mean of rows only", func(e *export) { e.pool("ReduceMean", map[string]any{"axes": []int{2}}) }, "found Flatten"},
		{"sum", op("avgpool", "ReduceSum"), "found ReduceSum"},
		{"Flatten axis 0", set("flatten", "axis", 0), "does not keep the features"},
		{"Flatten axis 2", set("flatten", "axis", 2), "does not keep the features"},
		{"Reshape to pairs", func(e *export) { e.reshape("Reshape", e.integers("shape", -1, 256)) }, "does not keep the features"},
		{"Squeeze of channels", func(e *export) { e.reshape("Squeeze", e.integers("axes", 1)) }, "does not keep the features"},
		{"no Flatten", func(e *export) { e.cut("flatten") }, "Flatten is missing"},
		{"transA", set("fc", "transA", 1), "has transA 1"},
		{"transB of the wrong shape", unset("fc", "transB"), "weights of Gemm \"fc\" have shape [6 512], want 512 features"},
		{"bias of a wrong size", func(e *export) { e.node("fc").in[2] = e.floats("b5", numbers(5, 1), 5) }, "bias of Gemm \"fc\" has shape [5], want 6"},
		{"ReLU at the end", func(e *export) { e.after("fc", "Relu", "r", nil) }, "followed by ReLU"},
		{"tanh between", func(e *export) { e.after("flatten", "Tanh", "h", nil) }, `found Tanh "h"`},
		{"leaky ReLU in the head", func(e *export) { e.after("fc", "LeakyRelu", "h", nil) }, `found LeakyRelu "h"`},
		{"softmax of the batch", func(e *export) { e.after("fc", "Softmax", "p", map[string]any{"axis": 0}) }, "has axis 0"},
		{"softmax of rows", func(e *export) {
			e.cut("flatten")
			e.gemm(nil, e.floats("w4", weights(classes, 512), classes, 512, 1, 1), "fc.b").op = "Conv"
			e.after("fc", "Softmax", "p", nil)
		}, "has axis -1"},
		{"softmax of features", func(e *export) { e.after("flatten", "Softmax", "p", nil) }, "follows features"},
		{"softmax of one output", func(e *export) {
			e.gemm(map[string]any{"transB": 1}, e.floats("w1", weights(1, 512), 1, 512))
			e.after("fc", "Softmax", "p", nil)
		}, "softmax of one output"},
		{"best class", func(e *export) { e.after("fc", "ArgMax", "best", nil) }, `found ArgMax "best"`},
		{"best probability", func(e *export) {
			e.after("fc", "Softmax", "p", nil)
			e.after("p", "TopK", "best", nil)
		}, `TopK "best" follows the activation`},
		{"too many classes", func(e *export) { e.gemm(map[string]any{"transB": 1}, e.floats("w", weights(2001, 512), 2001, 512)) }, "2001 classes"},
		{"two heads", func(e *export) {
			e.outputs = append(e.outputs, e.add("Gemm", "other", map[string]any{"transB": 1}, "flatten", "fc.w"))
		}, `outputs "fc" and "other" come from different layers`},
		{"norm and ReLU of features", func(e *export) {
			in, _ := e.norm("n", 512)
			e.after("flatten", "BatchNormalization", "n", nil, in...)
			e.after("n", "Relu", "r", nil)
		}, "follows a batch norm without a layer"},
		{"scaled features", func(e *export) {
			e.after("flatten", "Mul", "m", nil, e.floats("c", []float32{2}))
			e.outputs = []string{"m"}
		}, "scaled and shifted"},
		{"pixels as output", func(e *export) { e.outputs = []string{"layer4.1.relu2"} }, "in front of the average"},
		{"an early output", func(e *export) { e.outputs = []string{"relu"} }, "maxpool: its input goes to []"},
		{"preprocessing", func(e *export) { e.after("input", "Resize", "r", nil) }, `Resize "r" is before the first convolution`},
		{"flipped channels", func(e *export) { e.after("input", "Gather", "bgr", nil, e.integers("i", 2, 1, 0)) }, `Gather "bgr" is before`},
		{"normalization by pixels", func(e *export) { e.after("input", "Sub", "s", nil, e.floats("m", numbers(224, 0), 224)) }, `Sub "s" has a constant of shape [224]`},
		{"normalization to nowhere", func(e *export) { e.after("input", "Mul", "s", nil, e.floats("m", []float32{-1})) }, `Mul "s"`},
		{"normalization by zero", func(e *export) { e.after("input", "Mul", "s", nil, e.floats("m", []float32{0})) }, `Mul "s"`},
		{"constant divided by pixels", func(e *export) {
			e.after("input", "Div", "s", nil, e.floats("m", []float32{1}))
			slices.Reverse(e.node("s").in)
		}, "divides a constant"},
		{"integers", func(e *export) { e.after("input", "Cast", "c", map[string]any{"to": 7}) }, "changes pictures to type 7"},
		{"channels last without transpose", func(e *export) { e.dims = []int{1, 224, 224, 3} }, "channels last"},
		{"another transpose", func(e *export) {
			e.dims = []int{1, 224, 224, 3}
			e.after("input", "Transpose", "t", map[string]any{"perm": []int{0, 3, 2, 1}})
		}, `Transpose "t"`},
		{"oblong input", func(e *export) { e.dims = []int{1, 3, 224, 256} }, "fixed to 224 x 256 pixels"},
		{"small input", func(e *export) { e.dims = []int{1, 3, 32, 32} }, "fixed to 32 x 32 pixels"},
		{"input of three dimensions", func(e *export) { e.dims = []int{3, 224, 224} }, "four dimensions"},
		{"input of four channels", func(e *export) { e.dims = []int{1, 4, 224, 224} }, "4 channels, want 3"},
		{"two inputs", func(e *export) { e.listed = []string{"second"} }, "2 inputs"},
		{"no output", func(e *export) { e.outputs = nil }, "0 outputs"},
		{"old operators", func(e *export) { e.opset = 6 }, "operator set 6, want 7 or later"},
		{"quantized", func(e *export) { e.after("input", "QuantizeLinear", "q", nil) }, "quantized (QuantizeLinear \"q\"): this is an int8 ONNX file; export float32"},
		{"quantized weights", func(e *export) { e.add("DequantizeLinear", "q", nil, "conv1.w") }, "an int8 ONNX file"},
		{"quantized operators", op("conv1", "QLinearConv"), "an int8 ONNX file"},
		{"integer operators", op("fc", "MatMulInteger"), "an int8 ONNX file"},
		{"optimized", func(e *export) {
			e.node("conv1").op, e.node("conv1").domain = "FusedConv", "com.microsoft"
		}, `com.microsoft.FusedConv "conv1" is not an operator of ONNX`},
		{"functions", func(e *export) {
			e.node("conv1").op, e.node("conv1").domain = "Conv2d", "pkg.torch"
			e.extra = message(nil, modelFunctions, message(nil, functionName, []byte("Conv2d")))
		}, "consists of functions"},
		{"sparse weights", func(e *export) { delete(e.tensors, "conv1.w") }, `"conv1.w" is not a constant`},
		{"integer weights", func(e *export) {
			e.tensors["fc.w"] = message(tensorProto("fc.w", 3, classes, 512), tensorRawData, make([]byte, classes*512))
		}, `tensor "fc.w": has type "I8"`},
		{"short weights", func(e *export) {
			e.tensors["fc.w"] = message(tensorProto("fc.w", typeFloat, classes, 512), tensorRawData, make([]byte, 40))
		}, `tensor "fc.w": has 40 bytes, its shape [6 512] of F32 wants 12288`},
		{"huge weights", func(e *export) { e.tensors["fc.w"] = tensorProto("fc.w", typeFloat, 1<<62) }, `tensor "fc.w": has dimension`},
		{"very huge weights", func(e *export) { e.tensors["fc.w"] = tensorProto("fc.w", typeFloat, 1<<20, 1<<20) }, `tensor "fc.w": has shape`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newExport(false)
			test.alter(e)
			if _, err := Parse(e.bytes(), openShared); err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("Parse: error %v, want one with %q", err, test.problem)
			}
		})
	}
}

func TestOutside(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	for _, test := range []struct {
		name, file     string
		offset, length int
		open           func(string) ([]byte, error)
		problem        string
	}{
		{"missing", "other.data", 0, 0, openShared, `its data is in "other.data", which must be in the model's folder: open other.data: no such file`},
		{"unreadable", "other.data", 0, 0, func(string) ([]byte, error) { return nil, broken }, "disk on fire"},
		{"not opened", sharedFile, 0, 0, nil, "cannot be read here"},
		{"parent", "../" + sharedFile, 0, 0, openShared, "want only the name of a file"},
		{"folder", "a/" + sharedFile, 0, 0, openShared, "want only the name"},
		{"absolute", "/etc/passwd", 0, 0, openShared, "want only the name"},
		{"Windows", `C:\x`, 0, 0, openShared, "want only the name"},
		{"no name", "", 0, 0, openShared, "want only the name"},
		{"dots", "..", 0, 0, openShared, "want only the name"},
		{"twice dotted", "./..", 0, 0, openShared, "want only the name"},
		{"behind the end", sharedFile, 1 << 40, 0, openShared, "bytes from byte 1099511627776 of"},
		{"over the end", sharedFile, 512*512*9*4 - 100, 0, openShared, "is it complete"},
		{"largest numbers", sharedFile, 1<<63 - 1, 1<<63 - 1, openShared, "is it complete"},
		{"largest length", sharedFile, 4, 1<<63 - 1, openShared, "is it complete"},
		{"negative offset", sharedFile, -4, 0, openShared, `offset "-4": is negative`},
		{"other length", sharedFile, 0, 40, openShared, "has 40 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newExport(false)
			e.tensors["conv1.w"] = outsideTensor("conv1.w", test.file, test.offset, test.length, 64, 3, 7, 7)
			_, err := Parse(e.bytes(), test.open)
			if err == nil || !strings.Contains(err.Error(), test.problem) || !strings.Contains(err.Error(), `tensor "conv1.w"`) {
				t.Errorf("Parse: error %v, want one with %q", err, test.problem)
			}
		})
	}
}

// network makes the graph of another network, as far as architecture looks at it.
func network(stem []int, ops map[string]int, convs ...[]int) *export {
	e := &export{tensors: map[string][]byte{}, elem: typeFloat, opset: 17}
	at := "input"
	for i, dims := range append([][]int{stem}, convs...) {
		name := fmt.Sprint("conv", i)
		e.tensors[name+".w"] = tensorProto(name+".w", typeFloat, dims[:4]...)
		attributes := map[string]any{}
		if len(dims) > 4 {
			attributes["group"] = dims[4]
		}
		at = e.add("Conv", name, attributes, at, name+".w")
	}
	for op, count := range ops {
		for i := range count {
			at = e.add(op, fmt.Sprint(op, i), nil, at)
		}
	}
	e.outputs = []string{at}
	return e
}

func TestOtherNetworks(t *testing.T) {
	t.Parallel()
	times := func(n int, dims ...int) [][]int { return slices.Repeat([][]int{dims}, n) }
	seven, three := []int{64, 3, 7, 7}, []int{32, 3, 3, 3}
	preactive := network(seven, nil, times(19, 64, 64, 3, 3)...)
	preactive.add("BatchNormalization", "bn", nil, preactive.add("Add", "sum", nil, "conv2", "conv1"))
	preactive.outputs = []string{"bn"}
	for _, test := range []struct {
		e    *export
		want string
	}{
		{network([]int{96, 3, 4, 4}, nil, times(18, 96, 1, 7, 7, 96)...), "this is ConvNeXt, not ResNet-18"},
		{network([]int{24, 3, 3, 3}, map[string]int{"Concat": 16, "Transpose": 16}, times(9, 58, 1, 3, 3, 58)...), "ShuffleNet"},
		{network([]int{16, 3, 3, 3}, map[string]int{"HardSwish": 9}, times(9, 16, 1, 3, 3, 16)...), "MobileNet v3"},
		{network(three, map[string]int{"Sigmoid": 9}, times(9, 32, 1, 3, 3, 32)...), "EfficientNet"},
		{network(three, map[string]int{"Clip": 9}, times(9, 32, 1, 3, 3, 32)...), "MobileNet"},
		{network(seven, nil, times(9, 128, 4, 3, 3, 32)...), "ResNeXt"},
		{network([]int{96, 3, 4, 4}, map[string]int{"Softmax": 12}), "Swin"},
		{network([]int{768, 3, 16, 16}, map[string]int{"Softmax": 12}), "Vision Transformer"},
		{network([]int{64, 3, 11, 11}, nil), "AlexNet"},
		{network(three, map[string]int{"Concat": 8, "Sigmoid": 30}, times(25, 64, 64, 3, 3)...), "YOLO"},
		{network([]int{64, 3, 3, 3}, map[string]int{"Concat": 8}, times(25, 64, 64, 3, 3)...), "SqueezeNet"},
		{network(seven, map[string]int{"Concat": 58}, times(119, 64, 64, 3, 3)...), "DenseNet"},
		{network(seven, map[string]int{"Concat": 9}, times(56, 64, 64, 3, 3)...), "GoogLeNet"},
		{network([]int{64, 3, 3, 3}, map[string]int{"MaxPool": 5}, times(12, 64, 64, 3, 3)...), "VGG"},
		{network(seven, map[string]int{"GlobalAveragePool": 9, "Mul": 8, "Sigmoid": 8}, times(19, 64, 64, 3, 3)...), "squeeze and excitation"},
		{network(seven, map[string]int{"InstanceNormalization": 20}, times(19, 64, 64, 3, 3)...), "group normalization"},
		{preactive, "pre-activation"},
		{network(three, map[string]int{"Add": 8}, times(21, 64, 64, 3, 3)...), "ResNet-18-D"},
		{network([]int{64, 3, 3, 3}, map[string]int{"Add": 8}, times(19, 64, 64, 3, 3)...), "CIFAR stem"},
		{network(seven, nil, times(11, 64, 64, 3, 3)...), "ResNet-10"},
		{network(seven, nil, times(35, 64, 64, 3, 3)...), "this is ResNet-34, not ResNet-18"},
		{network(seven, nil, times(52, 64, 64, 1, 1)...), "this is ResNet-50, not ResNet-18"},
		{network(seven, nil, times(52, 128, 64, 1, 1)...), "Wide ResNet-50"},
		{network(seven, nil, times(103, 64, 64, 1, 1)...), "this is ResNet-101"},
		{network(seven, nil, times(103, 128, 64, 1, 1)...), "Wide ResNet-101"},
		{network(seven, nil, times(154, 64, 64, 1, 1)...), "this is ResNet-152"},
		{&export{outputs: []string{"input"}}, "without convolutions"},
		{network([]int{64, 1, 7, 7}, nil), "gray pictures"},
		{network([]int{64, 4, 7, 7}, nil), "other than 3 channels"},
		{network(seven, nil), "not that of a ResNet-18"},
	} {
		t.Run(test.want, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse(test.e.bytes(), nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Parse: error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestMany checks that small files cannot ask for much work or memory.
func TestMany(t *testing.T) {
	t.Parallel()
	bomb := newExport(false) // doubles a constant 60 times by adding it to itself
	at := "fc.b"
	for i := range 60 {
		at = bomb.add("Add", fmt.Sprint("twice", i), nil, at, at)
	}
	bomb.node("fc").in[2] = at
	n := len(bomb.nodes) - 60
	bomb.nodes = append(slices.Clone(bomb.nodes[n:]), bomb.nodes[:n]...)
	empty := slices.Repeat(message(nil, graphNode, nil), maxItems+1)
	inputs := message(nil, graphNode, slices.Repeat(message(nil, nodeInput, nil), maxItems+1))
	for name, data := range map[string][]byte{
		"operators": message(varint(nil, 1, 8), modelGraph, empty),
		"inputs":    message(varint(nil, 1, 8), modelGraph, inputs),
		"metadata":  slices.Repeat(message(nil, modelMetadata, nil), maxItems+1),
		"constants": bomb.bytes(),
		"no graph":  varint(nil, 1, 7),
	} {
		if c, err := Parse(data, openShared); err == nil {
			t.Errorf("%s: got %+v, want an error", name, c.Head)
		} else {
			t.Log(name, err)
		}
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	e := newExport(true)
	e.props, e.extra = nil, nil
	data := e.bytes()
	data = data[:len(data)-4] // the operator set, without which the file is complete
	for n := 0; n < len(data); n += 31 {
		if _, err := Parse(data[:n], openShared); err == nil {
			t.Errorf("Parse of %d of %d bytes gave no error", n, len(data))
		}
	}
}

// TestBudget checks that constants have up to raw.MaxElements numbers together: those of the file, each once, and those computed
// from them, but not other shapes of the same numbers.
func TestBudget(t *testing.T) {
	t.Parallel()
	four := func() *constant {
		return &constant{dims: []int{4}, dtype: raw.F32, data: make([]byte, 16)}
	}
	for name, test := range map[string]struct {
		read []string
		room int
	}{
		"a constant":     {[]string{"a"}, 4},
		"the same again": {[]string{"a", "a"}, 4},
		"two":            {[]string{"a", "b"}, 8},
		"another shape":  {[]string{"reshaped", "a"}, 4},
		"a copy":         {[]string{"copied"}, 4},
		"turned":         {[]string{"transposed"}, 8},
		"computed":       {[]string{"negated"}, 8},
		"a sum":          {[]string{"sum"}, 12},
	} {
		for _, less := range []int{0, 1} {
			g := &graph{constants: map[string]*constant{"a": four(), "b": four()}, folds: map[string]*node{
				"reshaped":   {op: "Unsqueeze", inputs: []string{"a"}, ints: map[string][]int64{"axes": {0}}},
				"copied":     {op: "Identity", inputs: []string{"a"}},
				"transposed": {op: "Transpose", inputs: []string{"a"}},
				"negated":    {op: "Neg", inputs: []string{"a"}},
				"sum":        {op: "Add", inputs: []string{"a", "b"}},
			}, read: map[string]tensor.Tensor{}, used: raw.MaxElements - test.room + less}
			var err error
			for _, name := range test.read {
				if _, err = g.constant(name, 0); err != nil {
					break
				}
			}
			if (err == nil) != (less == 0) || err != nil && !strings.Contains(err.Error(), "the weights have more than") {
				t.Errorf("%s with room for %d numbers: error %v", name, test.room-less, err)
			}
		}
	}
}

// TestLimits checks the last number that is accepted and the first that is not.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		alter   func(e *export, n int)
		most    int
		problem string
	}{
		"outputs": {func(e *export, n int) { e.outputs = slices.Repeat([]string{"fc"}, n) }, maxOutputs, "17 outputs"},
		"operators behind a convolution": {func(e *export, n int) {
			two := e.floats("two", []float32{2})
			for i := range n {
				e.after("layer2.0.downsample.0", "Mul", fmt.Sprint("m", i), nil, two)
			}
		}, maxFolds, "more than 32 operators scale its output"},
	} {
		for more := range 2 {
			e := newExport(false)
			test.alter(e, test.most+more)
			_, err := Parse(e.bytes(), openShared)
			if (err == nil) != (more == 0) || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%d %s: error %v", test.most+more, name, err)
			}
		}
	}
	f := files{open: func(string) ([]byte, error) { return make([]byte, 4), nil }}
	for i := range maxFiles + 1 {
		if _, err := f.read(&outside{location: fmt.Sprint("f", i)}, 4); (err == nil) != (i < maxFiles) {
			t.Errorf("file %d: error %v", i, err)
		}
	}
	if _, err := f.read(&outside{location: "f0"}, 4); err != nil {
		t.Errorf("the first file again: %v", err)
	}
	dims := slices.Repeat(message(nil, shapeDim, varint(nil, dimValue, 7)), 2*maxInts)
	v, err := parseValue(message(nil, valueType, message(nil, typeTensor, message(nil, tensorType, dims))))
	if err != nil || len(v.dims) != maxInts {
		t.Errorf("%d dimensions, error %v, want %d", len(v.dims), err, maxInts)
	}
}
