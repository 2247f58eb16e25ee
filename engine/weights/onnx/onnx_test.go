package onnx

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// model writes a graph of ResNet-18's form with tiny tensors, as exporters do.
type model struct {
	graph  []byte
	values int

	withNorm  bool // batch normalizations not folded
	rawData   bool // numbers in raw_data instead of float_data
	aliased   bool // biases through an Identity
	stride    int  // of layer 3's first block; 2 is right
	flatten   string
	quantized bool
}

func field(msg []byte, num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(msg, num, protowire.BytesType), b)
}

func varint(msg []byte, num protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(msg, num, protowire.VarintType), uint64(v))
}

// initializer adds a tensor whose every number is value, and returns its name.
func (m *model) initializer(value float32, dims ...int) string {
	m.values++
	name := fmt.Sprintf("w%d", m.values)
	var t, data []byte
	for _, d := range dims {
		t = varint(t, tensorDims, d)
	}
	for range tensor.Size(dims) {
		data = protowire.AppendFixed32(data, math.Float32bits(value))
	}
	t = varint(t, tensorDataType, 1)
	t = field(t, tensorName, []byte(name))
	if m.rawData {
		t = field(t, tensorRawData, data)
	} else {
		t = field(t, tensorFloatData, data)
	}
	m.graph = field(m.graph, graphInitializer, t)
	return name
}

// node adds an operator and returns its output's name. Attributes are lists of integers.
func (m *model) node(op string, attributes map[string][]int, inputs ...string) string {
	m.values++
	out := fmt.Sprintf("v%d", m.values)
	var n []byte
	for _, in := range inputs {
		n = field(n, nodeInput, []byte(in))
	}
	n = field(n, nodeOutput, []byte(out))
	n = field(n, nodeOpType, []byte(op))
	for name, ints := range attributes {
		a := field(nil, attributeName, []byte(name))
		for _, v := range ints {
			a = varint(a, attributeInts, v)
		}
		n = field(n, nodeAttribute, a)
	}
	m.graph = field(m.graph, graphNode, n)
	return out
}

// conv adds a convolution of k x k whose weights all are value.
func (m *model) conv(in string, value float32, k, stride int) string {
	attributes := map[string][]int{"strides": {stride, stride}, "pads": {k / 2, k / 2, k / 2, k / 2}, "group": {1}}
	inputs := []string{in, m.initializer(value, 2, 2, k, k)}
	if m.withNorm {
		out := m.node("Conv", attributes, inputs...)
		for i := range 4 {
			inputs = append(inputs, m.initializer(value+float32(i)/8, 2))
		}
		return m.node("BatchNormalization", nil, append([]string{out}, inputs[2:]...)...)
	}
	bias := m.initializer(value+0.5, 2)
	if m.aliased {
		bias = m.node("Identity", nil, m.node("Identity", nil, bias))
	}
	return m.node("Conv", attributes, append(inputs, bias)...)
}

// bytes is the serialized model. Convolution number i, in torchvision's order, has weights i.
func (m *model) bytes() []byte {
	m.graph = field(m.graph, graphInput, field(nil, valueName, []byte("input")))
	at := "input"
	if m.quantized {
		at = m.node("QuantizeLinear", nil, at)
	}
	value := float32(1)
	conv := func(in string, k, stride int) string {
		value++
		return m.conv(in, value-1, k, stride)
	}
	at = m.node("MaxPool", nil, m.node("Relu", nil, conv(at, 7, 2)))
	for block := range 8 {
		stride, short := 1, at
		if block > 0 && block%2 == 0 {
			stride = 2
			if block == 4 && m.stride != 0 {
				stride = m.stride
			}
		}
		at = m.node("Relu", nil, conv(at, 3, stride))
		at = conv(at, 3, 1)
		if block > 0 && block%2 == 0 {
			short = conv(short, 1, 2)
		}
		at = m.node("Relu", nil, m.node("Add", nil, at, short))
	}
	at = m.node("GlobalAveragePool", nil, at)
	if m.flatten != "" {
		at = m.node(m.flatten, nil, at)
	}
	at = m.node("Gemm", map[string][]int{"transB": {1}}, at, m.initializer(99, 3, 2), m.initializer(98, 3))
	m.graph = field(m.graph, graphOutput, field(nil, valueName, []byte(at)))
	return field(varint(nil, 1, 7), modelGraph, m.graph)
}

// convNames are ResNet-18's convolutions in torchvision's order.
func convNames() []string {
	names := []string{"conv1"}
	for layer := 1; layer <= 4; layer++ {
		for block := range 2 {
			prefix := fmt.Sprintf("layer%d.%d.", layer, block)
			names = append(names, prefix+"conv1", prefix+"conv2")
			if layer > 1 && block == 0 {
				names = append(names, prefix+"downsample.0")
			}
		}
	}
	return names
}

func TestNamesComeFromPlaces(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*model{
		"folded":        {flatten: "Flatten"},
		"raw data":      {rawData: true, flatten: "Reshape"},
		"aliases":       {aliased: true, flatten: "Flatten"},
		"not folded":    {withNorm: true, flatten: "Flatten"},
		"no flattening": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := m.bytes()
			if !Detect(data) {
				t.Errorf("Detect(% x...) = false, want true", data[:4])
			}
			got, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			for i, conv := range convNames() {
				if w := got[conv+".weight"]; len(w.Data) == 0 || w.Data[0] != float32(i+1) {
					t.Errorf("%s.weight is %v, want all %d", conv, w, i+1)
				}
				bias, want := conv+".bias", float32(i+1)+0.5
				if m.withNorm {
					bias, want = normName(conv)+".running_mean", float32(i+1)+0.25
				}
				if b := got[bias]; len(b.Data) == 0 || b.Data[0] != want {
					t.Errorf("%s is %v, want all %v", bias, b, want)
				}
			}
			if err := got["fc.weight"].Check(3, 2); err != nil {
				t.Errorf("fc.weight %v", err)
			}
		})
	}
}

// normName is the batch normalization behind a convolution.
func normName(conv string) string {
	if strings.HasSuffix(conv, "downsample.0") {
		return strings.TrimSuffix(conv, "0") + "1"
	}
	i := strings.LastIndex(conv, "conv")
	return conv[:i] + "bn" + conv[i+4:]
}

func TestOtherGraphs(t *testing.T) {
	t.Parallel()
	external := field(nil, graphInitializer, varint(field(nil, tensorName, []byte("far")), tensorDataLocation, 1))
	short := field(nil, graphInitializer, varint(varint(field(nil, tensorName, []byte("w")), tensorDims, 5), tensorDataType, 1))
	huge := field(nil, graphInitializer, varint(varint(field(nil, tensorName, []byte("w")), tensorDims, 1<<62), tensorDataType, 1))
	for _, tt := range []struct {
		name  string
		data  []byte
		wrong string
	}{
		{"quantized", (&model{quantized: true}).bytes(), "model is quantized"},
		{"wrong stride", (&model{stride: 1}).bytes(), "layer3.0.conv1"},
		{"softmax in front of the classifier", (&model{flatten: "Softmax"}).bytes(), `fc: found Softmax`},
		{"no graph", varint(nil, 1, 7), "no graph"},
		{"empty graph", field(nil, modelGraph, nil), "0 inputs"},
		{"external data", field(nil, modelGraph, external), `tensor "far": its data is in another file`},
		{"tensor too short", field(nil, modelGraph, short), `tensor "w": has 0 bytes, its shape [5] of F32 wants 20`},
		{"tensor too large", field(nil, modelGraph, huge), `tensor "w": has dimension`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse(tt.data); err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("Parse: error %v, want one with %q", err, tt.wrong)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	data := (&model{}).bytes()
	for n := range len(data) {
		if _, err := Parse(data[:n]); err == nil {
			t.Errorf("Parse of %d of %d bytes gave no error", n, len(data))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add((&model{rawData: true}).bytes())
	f.Add((&model{withNorm: true, flatten: "Flatten"}).bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := Parse(data)
		if err != nil {
			return
		}
		for name, x := range tensors {
			if err := x.Check(x.Shape...); err != nil {
				t.Errorf("tensor %q: %v, has %d elements", name, err, len(x.Data))
			}
		}
	})
}
