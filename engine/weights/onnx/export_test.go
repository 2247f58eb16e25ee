package onnx

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// export is an ONNX file in the making: a ResNet-18 with a plain head as torch.onnx.export writes it, which tests then
// alter. Operators have the names of torchvision's modules, values those of the operators that make them.
type export struct {
	nodes   []*operator
	tensors map[string][]byte // encoded initializers
	listed  []string          // initializers that are listed as inputs too
	dims    []int             // of the input
	elem    int
	outputs []string
	opset   int
	props   map[string]string
	extra   []byte // further fields of the model
}

type operator struct {
	op, name, domain string
	in, more         []string       // more are further outputs
	attributes       map[string]any // int, []int, float32, string, or bytes of a tensor
}

func message(msg []byte, num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(msg, num, protowire.BytesType), b)
}

func varint(msg []byte, num protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(msg, num, protowire.VarintType), uint64(v))
}

// sharedFile is the file beside the model that holds all convolutions and batch norms: one ramp of numbers, 0, 1, 2 and
// so on, in which they overlap. The weights of convolution i begin with i.
const sharedFile = "model.onnx.data"

var ramp = sync.OnceValue(func() []byte {
	x := make([]float32, 512*512*9+64)
	for i := range x {
		x[i] = float32(i)
	}
	return raw.Bytes(x)
})

func openShared(name string) ([]byte, error) {
	if name != sharedFile {
		return nil, fmt.Errorf("open %s: no such file", name)
	}
	return ramp(), nil
}

// tensorProto encodes a tensor up to its numbers.
func tensorProto(name string, dtype int, dims ...int) []byte {
	var t []byte
	for _, d := range dims {
		t = varint(t, tensorDims, d)
	}
	return message(varint(t, tensorDataType, dtype), tensorName, []byte(name))
}

func entry(key, value string) []byte {
	return message(message(nil, entryKey, []byte(key)), entryValue, []byte(value))
}

// outsideTensor is a float tensor whose numbers are in a file.
func outsideTensor(name, file string, offset, length int, dims ...int) []byte {
	t := tensorProto(name, typeFloat, dims...)
	t = message(t, tensorExternal, entry("location", file))
	t = message(t, tensorExternal, entry("offset", fmt.Sprint(offset)))
	if length != 0 {
		t = message(t, tensorExternal, entry("length", fmt.Sprint(length)))
	}
	return varint(t, tensorLocation, 1)
}

// ramp adds a tensor of the shared file whose numbers begin with first, and returns its name.
func (e *export) ramp(name string, first int, dims ...int) string {
	e.tensors[name] = outsideTensor(name, sharedFile, 4*first, 4*tensor.Size(dims), dims...)
	return name
}

// floats adds a tensor of numbers and returns its name.
func (e *export) floats(name string, values []float32, dims ...int) string {
	e.tensors[name] = message(tensorProto(name, typeFloat, dims...), tensorRawData, raw.Bytes(values))
	return name
}

// integers adds a list of 64-bit integers and returns its name.
func (e *export) integers(name string, values ...int) string {
	t := tensorProto(name, 7, len(values))
	var packed []byte
	for _, v := range values {
		packed = protowire.AppendVarint(packed, uint64(v))
	}
	e.tensors[name] = message(t, tensorInt64Data, packed)
	return name
}

// add appends an operator and returns its value.
func (e *export) add(op, name string, attributes map[string]any, in ...string) string {
	if attributes == nil {
		attributes = map[string]any{}
	}
	e.nodes = append(e.nodes, &operator{op: op, name: name, in: in, attributes: attributes})
	return name
}

// node is the operator of a name.
func (e *export) node(name string) *operator {
	i := slices.IndexFunc(e.nodes, func(n *operator) bool { return n.name == name })
	if i < 0 {
		panic("no node " + name)
	}
	return e.nodes[i]
}

// after puts an operator behind a value: who read the value reads the operator's.
func (e *export) after(value, op, name string, attributes map[string]any, more ...string) {
	for _, n := range e.nodes {
		for i, in := range n.in {
			if in == value {
				n.in[i] = name
			}
		}
	}
	e.add(op, name, attributes, append([]string{value}, more...)...)
	n := e.nodes[len(e.nodes)-1]
	e.nodes = e.nodes[:len(e.nodes)-1]
	at := 1 + slices.IndexFunc(e.nodes, func(n *operator) bool { return n.name == value })
	e.nodes = slices.Insert(e.nodes, at, n)
	for i, out := range e.outputs {
		if out == value {
			e.outputs[i] = name
		}
	}
}

// cut removes an operator: who read its value reads its input.
func (e *export) cut(name string) {
	n := e.node(name)
	for _, other := range e.nodes {
		for i, in := range other.in {
			if in == name {
				other.in[i] = n.in[0]
			}
		}
	}
	e.nodes = slices.DeleteFunc(e.nodes, func(other *operator) bool { return other == n })
}

// behead removes the head: "layer4.1.relu2" is the last value.
func (e *export) behead() *export {
	e.nodes = slices.DeleteFunc(e.nodes, func(n *operator) bool { return slices.Contains([]string{"avgpool", "flatten", "fc"}, n.name) })
	return e
}

// convolutions are the 20 of a ResNet-18 in the order of their tensors in sharedFile.
func convolutions() []layer {
	all := []layer{{"conv1", "bn1", 3, 64, 7, 2}}
	channels := 64
	for l := 1; l <= 4; l++ {
		for block := range 2 {
			name, in, stride := fmt.Sprintf("layer%d.%d.", l, block), channels, 1
			if l > 1 && block == 0 {
				channels, stride = 2*channels, 2
				all = append(all, layer{name + "downsample.0", name + "downsample.1", in, channels, 1, 2})
			}
			all = append(all, layer{name + "conv1", name + "bn1", in, channels, 3, stride},
				layer{name + "conv2", name + "bn2", channels, channels, 3, 1})
		}
	}
	return all
}

// classes of the plain head.
const classes = 6

// newExport makes a ResNet-18, batch norm kept or folded into the convolutions.
func newExport(kept bool) *export {
	e := &export{tensors: map[string][]byte{}, elem: typeFloat, opset: 17}
	convs := map[string]func(in string) string{}
	for i, l := range convolutions() {
		weight := e.ramp(l.name+".w", i, l.out, l.in, l.kernel, l.kernel)
		convs[l.name] = func(in string) string {
			pad := l.kernel / 2
			attributes := map[string]any{"strides": []int{l.stride, l.stride}, "pads": []int{pad, pad, pad, pad},
				"dilations": []int{1, 1}, "group": 1, "kernel_shape": []int{l.kernel, l.kernel}}
			if !kept {
				return e.add("Conv", l.name, attributes, in, weight, e.ramp(l.name+".b", i+1, l.out))
			}
			at := []string{e.add("Conv", l.name, attributes, in, weight)}
			for j := range 4 {
				at = append(at, e.ramp(fmt.Sprintf("%s.%d", l.norm, j), 10*i+j+1, l.out))
			}
			return e.add("BatchNormalization", l.norm, map[string]any{"epsilon": float32(1e-5)}, at...)
		}
	}
	at := e.add("Relu", "relu", nil, convs["conv1"]("input"))
	at = e.add("MaxPool", "maxpool", map[string]any{"kernel_shape": []int{3, 3}, "strides": []int{2, 2}, "pads": []int{1, 1, 1, 1}, "ceil_mode": 0}, at)
	for l := 1; l <= 4; l++ {
		for block := range 2 {
			name, short := fmt.Sprintf("layer%d.%d.", l, block), at
			at = e.add("Relu", name+"relu", nil, convs[name+"conv1"](at))
			at = convs[name+"conv2"](at)
			if down := convs[name+"downsample.0"]; down != nil {
				short = down(short)
			}
			at = e.add("Relu", name+"relu2", nil, e.add("Add", name+"add", nil, at, short))
		}
	}
	at = e.add("Flatten", "flatten", map[string]any{"axis": 1}, e.add("GlobalAveragePool", "avgpool", nil, at))
	e.outputs = []string{e.add("Gemm", "fc", map[string]any{"transB": 1}, at,
		e.floats("fc.w", weights(classes, 512), classes, 512), e.floats("fc.b", numbers(classes, 3), classes))}
	return e
}

// numbers are n numbers of about v.
func numbers(n int, v float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = v + 1 + float32(i%7)/8
	}
	return x
}

// weights are those of a layer, of both signs.
func weights(out, in int) []float32 {
	x := make([]float32, out*in)
	for i := range x {
		x[i] = float32(i*7919%101-50) / 64
	}
	return x
}

// body is the graph's operators and tensors.
func (e *export) body() []byte {
	var g []byte
	for _, n := range e.nodes {
		g = message(g, graphNode, n.bytes())
	}
	for _, name := range slices.Sorted(maps.Keys(e.tensors)) {
		g = message(g, graphInitializer, e.tensors[name])
	}
	return g
}

// graph is the serialized graph.
func (e *export) graph() []byte {
	g := e.body()
	var dims []byte
	for _, d := range e.dims {
		var dim []byte
		if d > 0 {
			dim = varint(nil, dimValue, d)
		}
		dims = message(dims, shapeDim, dim)
	}
	t := varint(nil, tensorTypeElem, e.elem)
	if e.dims != nil {
		t = message(t, tensorType, dims)
	}
	g = message(g, graphInput, message(message(nil, valueName, []byte("input")), valueType, message(nil, typeTensor, t)))
	for _, name := range e.listed {
		g = message(g, graphInput, message(nil, valueName, []byte(name)))
	}
	for _, name := range e.outputs {
		g = message(g, graphOutput, message(nil, valueName, []byte(name)))
	}
	return g
}

// bytes is the serialized model.
func (e *export) bytes() []byte {
	m := message(varint(nil, 1, 8), modelGraph, e.graph())
	m = message(m, modelOpset, varint(nil, opsetVersion, e.opset))
	for _, key := range slices.Sorted(maps.Keys(e.props)) {
		m = message(m, modelMetadata, entry(key, e.props[key]))
	}
	return append(m, e.extra...)
}

func (n *operator) bytes() []byte {
	var b []byte
	for _, in := range n.in {
		b = message(b, nodeInput, []byte(in))
	}
	for _, out := range append([]string{n.name}, n.more...) {
		b = message(b, nodeOutput, []byte(out))
	}
	b = message(b, nodeName, []byte(n.name))
	b = message(b, nodeOpType, []byte(n.op))
	b = message(b, nodeDomain, []byte(n.domain))
	for _, name := range slices.Sorted(maps.Keys(n.attributes)) {
		a := message(nil, attributeName, []byte(name))
		switch v := n.attributes[name].(type) {
		case int:
			a = varint(a, attributeInt, v)
		case []int:
			for _, v := range v {
				a = varint(a, attributeInts, v)
			}
		case float32:
			a = protowire.AppendFixed32(protowire.AppendTag(a, attributeFloat, protowire.Fixed32Type), math.Float32bits(v))
		case string:
			a = message(a, attributeString, []byte(v))
		case []byte:
			a = message(a, attributeTensor, v)
		}
		b = message(b, nodeAttribute, a)
	}
	return b
}

// halves are numbers as half precision, which must be exact.
func halves(x []float32) []byte {
	var b []byte
	for _, v := range x {
		bits := math.Float32bits(v)
		h := uint16(bits>>16&0x8000) | uint16((bits>>23&0xff-112)<<10) | uint16(bits>>13&0x3ff)
		if v == 0 {
			h = 0
		}
		b = binary.LittleEndian.AppendUint16(b, h)
	}
	return b
}

func doubles(x []float32) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
	}
	return b
}

func singles(x []float32) []byte { return slices.Clone(raw.Bytes(x)) }
