// Package onnx reads the weights of a ResNet-18 from an ONNX file. Exports rename and fold tensors freely, so
// names are not trusted: the graph is followed from its input to its output, each convolution's place gives
// its weights torchvision's name, and a graph that is not ResNet-18's is refused where it departs. Package
// weights is the caller.
//
// The format is the protocol buffer onnx.proto3 of https://github.com/onnx/onnx; the few fields needed are
// read directly, without generated code.
package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// Field numbers of the messages in onnx.proto3 that we read.
const (
	modelGraph = 7

	graphNode, graphInitializer, graphInput, graphOutput = 1, 5, 11, 12

	nodeInput, nodeOutput, nodeName, nodeOpType, nodeAttribute = 1, 2, 3, 4, 5

	attributeName, attributeFloat, attributeInt, attributeTensor, attributeInts = 1, 2, 3, 5, 8

	tensorDims, tensorDataType, tensorFloatData, tensorName, tensorRawData, tensorDataLocation = 1, 2, 4, 8, 9, 14

	valueName = 1
)

// dataTypes maps TensorProto.DataType to our names.
var dataTypes = map[uint64]raw.DType{1: raw.F32, 2: "U8", 3: raw.I8, 6: "I32", 7: "I64", 10: raw.F16, 11: raw.F64, 16: raw.BF16}

// graph is the part of a GraphProto that says what is computed.
type graph struct {
	nodes   []*node
	tensors map[string]tensor.Tensor // float initializers and constants
	ints    map[string]bool          // names of the others: shapes, axes
	inputs  []string
	outputs []string
}

// node is one operator.
type node struct {
	op, name        string
	inputs, outputs []string
	ints            map[string][]int64 // integer attributes, single ones as one
	floats          map[string]float32
	value           *namedTensor // a Constant's tensor
}

type namedTensor struct {
	name  string
	float bool
	t     tensor.Tensor
}

// Detect reports whether data begins like a serialized model: its first field is ir_version (1, a varint).
func Detect(data []byte) bool { return len(data) > 2 && data[0] == 0x08 && data[1] < 0x80 }

// Parse reads a model and returns its weights under torchvision's names. Tensors share data's memory where
// they can.
func Parse(data []byte) (map[string]tensor.Tensor, error) {
	var g *graph
	err := fields(data, func(num protowire.Number, _ uint64, b []byte) (err error) {
		if num == modelGraph && b != nil {
			g, err = parseGraph(b)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("onnx model: %w", err)
	}
	if g == nil {
		return nil, errors.New("onnx model holds no graph")
	}
	return g.weights()
}

// fields calls f for each field of a message: with a number for varints and 32-bit fields, with bytes (not
// nil) for the rest.
func fields(msg []byte, f func(num protowire.Number, v uint64, b []byte) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		var v uint64
		var b []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(msg)
		case protowire.Fixed32Type:
			var v32 uint32
			v32, n = protowire.ConsumeFixed32(msg)
			v = uint64(v32)
		case protowire.BytesType:
			if b, n = protowire.ConsumeBytes(msg); b == nil {
				b = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, msg)
		}
		if n < 0 {
			return fmt.Errorf("field %d, %d bytes before the end: %w", num, len(msg), protowire.ParseError(n))
		}
		if err := f(num, v, b); err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}

func parseGraph(msg []byte) (*graph, error) {
	g := &graph{tensors: map[string]tensor.Tensor{}, ints: map[string]bool{}}
	total := 0
	add := func(nt *namedTensor) error {
		if nt.float {
			g.tensors[nt.name] = nt.t
		} else {
			g.ints[nt.name] = true
		}
		if total += len(nt.t.Data); total > raw.MaxElements {
			return fmt.Errorf("tensor %q: with it the tensors have more than %d elements", nt.name, raw.MaxElements)
		}
		return nil
	}
	var inputs []string
	err := fields(msg, func(num protowire.Number, _ uint64, b []byte) error {
		switch num {
		case graphNode:
			n, err := parseNode(b)
			if err != nil {
				return err
			}
			if n.value != nil && len(n.outputs) == 1 {
				n.value.name = n.outputs[0]
				return add(n.value)
			}
			g.nodes = append(g.nodes, n)
		case graphInitializer:
			t, err := parseTensor(b)
			if err != nil {
				return err
			}
			return add(t)
		case graphInput, graphOutput:
			name, err := stringField(b, valueName)
			if err != nil {
				return err
			}
			if num == graphInput {
				inputs = append(inputs, name)
			} else {
				g.outputs = append(g.outputs, name)
			}
		}
		return nil
	})
	// Old exports list the initializers among the inputs.
	for _, name := range inputs {
		if _, ok := g.tensors[name]; !ok && !g.ints[name] {
			g.inputs = append(g.inputs, name)
		}
	}
	return g, err
}

func stringField(msg []byte, want protowire.Number) (s string, err error) {
	err = fields(msg, func(num protowire.Number, _ uint64, b []byte) error {
		if num == want {
			s = string(b)
		}
		return nil
	})
	return s, err
}

func parseNode(msg []byte) (*node, error) {
	n := &node{ints: map[string][]int64{}, floats: map[string]float32{}}
	err := fields(msg, func(num protowire.Number, _ uint64, b []byte) error {
		switch num {
		case nodeInput:
			n.inputs = append(n.inputs, string(b))
		case nodeOutput:
			n.outputs = append(n.outputs, string(b))
		case nodeName:
			n.name = string(b)
		case nodeOpType:
			n.op = string(b)
		case nodeAttribute:
			return n.addAttribute(b)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", n, err)
	}
	return n, nil
}

// String is how error messages call the node.
func (n *node) String() string { return fmt.Sprintf("%s %q", n.op, n.name) }

func (n *node) addAttribute(msg []byte) error {
	var name string
	var ints []int64
	err := fields(msg, func(num protowire.Number, v uint64, b []byte) (err error) {
		switch num {
		case attributeName:
			name = string(b)
		case attributeFloat:
			n.floats[name] = math.Float32frombits(uint32(v))
		case attributeInt, attributeInts:
			ints, err = appendInts(ints, v, b)
		case attributeTensor:
			n.value, err = parseTensor(b)
		}
		return err
	})
	n.ints[name] = ints
	return err
}

// appendInts adds a repeated integer field's value: one number, or several in packed form.
func appendInts(to []int64, v uint64, packed []byte) ([]int64, error) {
	if packed == nil {
		return append(to, int64(v)), nil
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		to = append(to, int64(v))
		packed = packed[n:]
	}
	return to, nil
}

func parseTensor(msg []byte) (*namedTensor, error) {
	out := &namedTensor{}
	var dims []int64
	var data []byte
	var dtype uint64
	external := false
	err := fields(msg, func(num protowire.Number, v uint64, b []byte) (err error) {
		switch num {
		case tensorDims:
			dims, err = appendInts(dims, v, b)
		case tensorDataType:
			dtype = v
		case tensorName:
			out.name = string(b)
		case tensorRawData:
			data = slices.Clip(b) // so that append never writes behind it, where the mapped file is
		case tensorFloatData: // packed float32, the same bytes as raw data
			if b == nil {
				return errors.New("numbers are not packed")
			}
			data = append(data, b...)
		case tensorDataLocation:
			external = v != 0
		}
		return err
	})
	if err == nil && external {
		err = errors.New("its data is in another file; want it inside the model")
	}
	if err == nil {
		err = out.fill(dims, dataTypes[dtype], data)
	}
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", out.name, err)
	}
	return out, nil
}

// fill sets the tensor's shape and numbers; those of non-float tensors are not needed.
func (nt *namedTensor) fill(dims []int64, dtype raw.DType, data []byte) error {
	if nt.float = dtype.IsFloat(); !nt.float {
		return nil
	}
	nt.t.Shape = make([]int, len(dims))
	for i, d := range dims {
		if d < 0 || d > raw.MaxElements {
			return fmt.Errorf("has dimension %d", d)
		}
		nt.t.Shape[i] = int(d)
	}
	n, err := raw.Elements(nt.t.Shape)
	if err != nil {
		return err
	}
	if want := n * dtype.Size(); len(data) != want {
		return fmt.Errorf("has %d bytes, its shape %v of %s wants %d", len(data), nt.t.Shape, dtype, want)
	}
	nt.t.Data, err = raw.Floats(data, dtype)
	return err
}
