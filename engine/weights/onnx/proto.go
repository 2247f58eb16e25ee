package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// Field numbers of the messages in onnx.proto3 that we read.
const (
	modelGraph, modelOpset, modelMetadata, modelFunctions = 7, 8, 14, 25

	opsetDomain, opsetVersion = 1, 2

	entryKey, entryValue = 1, 2

	graphNode, graphInitializer, graphInput, graphOutput = 1, 5, 11, 12

	nodeInput, nodeOutput, nodeName, nodeOpType, nodeAttribute, nodeDomain = 1, 2, 3, 4, 5, 7

	attributeName, attributeFloat, attributeInt, attributeString, attributeTensor, attributeFloats, attributeInts = 1, 2, 3, 4, 5, 7, 8

	tensorDims, tensorDataType, tensorFloatData, tensorInt32Data, tensorInt64Data = 1, 2, 4, 5, 7
	tensorName, tensorRawData, tensorDoubleData, tensorExternal, tensorLocation   = 8, 9, 10, 13, 14

	valueName, valueType       = 1, 2
	typeTensor                 = 1
	tensorTypeElem, tensorType = 1, 2
	shapeDim, dimValue         = 1, 1

	functionName = 1
)

// dataTypes maps TensorProto.DataType to our names.
var dataTypes = map[uint64]raw.DType{1: raw.F32, 2: "U8", 3: raw.I8, 6: "I32", 7: "I64", 10: raw.F16, 11: raw.F64, 16: raw.BF16}

// Values of TensorProto.DataType.
const (
	typeUndefined, typeFloat, typeUint8, typeHalf, typeDouble, typeBfloat16 = 0, 1, 2, 10, 11, 16
)

// model is the part of a ModelProto that we need.
type model struct {
	graph     *graph
	opset     int64 // version of ONNX's own operators; 0 if the file does not say
	metadata  map[string]string
	functions map[string]bool // names
}

// value is an input of the graph.
type value struct {
	name string
	elem uint64 // a DataType; 0 if the file does not say
	dims []int  // 0 where the dimension is not fixed; nil if the file does not say
}

// node is one operator.
type node struct {
	op, name, domain string
	inputs, outputs  []string
	ints             map[string][]int64 // integer attributes, single ones as one
	floats           map[string][]float32
	strings          map[string]string
	constant         *constant // tensor among the attributes
}

// String is how error messages call the node.
func (n *node) String() string {
	if n.domain != "" && n.domain != "ai.onnx" {
		return fmt.Sprintf("%s.%s %q", n.domain, n.op, n.name)
	}
	return fmt.Sprintf("%s %q", n.op, n.name)
}

// int is an integer attribute or its default.
func (n *node) int(name string, otherwise int64) int64 {
	if v := n.ints[name]; len(v) > 0 {
		return v[0]
	}
	return otherwise
}

// float is a float attribute or its default.
func (n *node) float(name string, otherwise float32) float32 {
	if v := n.floats[name]; len(v) > 0 {
		return v[0]
	}
	return otherwise
}

// constant is a tensor of the file whose numbers are not read yet.
type constant struct {
	name     string
	dims     []int
	dtype    raw.DType
	data     []byte   // numbers, little-endian
	ints     []int64  // numbers of integer tensors that store them so: the first maxInts
	external *outside // where the numbers are if not here
	err      error    // why it cannot be used; matters only if it is
}

// maxInts is more integers than any list of axes or shape has.
const maxInts = 64

// fields calls f for each field of a message: with a number for varints, 32-bit and 64-bit fields, with bytes (not
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
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(msg)
		case protowire.BytesType:
			if b, n = protowire.ConsumeBytes(msg); b == nil {
				b = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, msg)
		}
		if n < 0 {
			return fmt.Errorf("field %d, %d bytes before the end (is the file truncated?): %w", num, len(msg), protowire.ParseError(n))
		}
		if err := f(num, v, b); err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}

func parseModel(msg []byte) (model, error) {
	var m model
	var left budget = maxItems
	err := fields(msg, func(num protowire.Number, _ uint64, b []byte) (err error) {
		switch {
		case b == nil:
		case left.take() != nil:
			return left.take()
		case num == modelGraph:
			m.graph, err = parseGraph(b, &left)
		case num == modelOpset:
			var domain string
			var version int64
			err = fields(b, func(num protowire.Number, v uint64, b []byte) error {
				switch num {
				case opsetDomain:
					domain = string(b)
				case opsetVersion:
					version = int64(v)
				}
				return nil
			})
			if domain == "" || domain == "ai.onnx" {
				m.opset = version
			}
		case num == modelMetadata:
			var key, value string
			if key, value, err = parseEntry(b); m.metadata == nil {
				m.metadata = map[string]string{}
			}
			m.metadata[key] = value
		case num == modelFunctions:
			var name string
			name, err = stringField(b, functionName)
			if m.functions == nil {
				m.functions = map[string]bool{}
			}
			m.functions[name] = true
		}
		return err
	})
	return m, err
}

// parseEntry reads a StringStringEntryProto.
func parseEntry(msg []byte) (key, value string, err error) {
	if key, err = stringField(msg, entryKey); err == nil {
		value, err = stringField(msg, entryValue)
	}
	return key, value, err
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

// budget is how many items a file may still have.
type budget int

// maxItems bounds operators, their inputs, outputs and attributes, tensors and so on together: an empty item takes two
// bytes of a file and a hundred times as many in memory. A ResNet-18 has about a thousand.
const maxItems = 1 << 18

func (b *budget) take() error {
	if *b--; *b < 0 {
		return fmt.Errorf("has more than %d operators, attributes and tensors", maxItems)
	}
	return nil
}

func parseGraph(msg []byte, left *budget) (*graph, error) {
	g := &graph{constants: map[string]*constant{}}
	var inputs []value
	err := fields(msg, func(num protowire.Number, _ uint64, b []byte) error {
		if err := left.take(); err != nil {
			return err
		}
		switch num {
		case graphNode:
			n, err := parseNode(b, left)
			if err != nil {
				return err
			}
			if n.op == "Constant" && len(n.outputs) == 1 && n.constant != nil {
				n.constant.name = n.outputs[0]
				g.constants[n.constant.name] = n.constant
			} else {
				g.nodes = append(g.nodes, n)
			}
		case graphInitializer:
			t, err := parseTensor(b)
			if err != nil {
				return err
			}
			g.constants[t.name] = t
		case graphInput:
			v, err := parseValue(b)
			if err != nil {
				return err
			}
			inputs = append(inputs, v)
		case graphOutput:
			name, err := stringField(b, valueName)
			if err != nil {
				return err
			}
			g.outputs = append(g.outputs, name)
		}
		return nil
	})
	// Old exports list the initializers among the inputs.
	for _, in := range inputs {
		if g.constants[in.name] == nil {
			g.inputs = append(g.inputs, in)
		}
	}
	return g, err
}

// parseValue reads a ValueInfoProto: a name with the type of a tensor.
func parseValue(msg []byte) (v value, err error) {
	within := func(want protowire.Number, f func(b []byte) error) func(protowire.Number, uint64, []byte) error {
		return func(num protowire.Number, _ uint64, b []byte) error {
			if num != want || b == nil {
				return nil
			}
			return f(b)
		}
	}
	dim := within(shapeDim, func(b []byte) error {
		size := 0
		err := fields(b, func(num protowire.Number, v uint64, b []byte) error {
			if num == dimValue && b == nil && v <= raw.MaxElements {
				size = int(v)
			}
			return nil
		})
		if len(v.dims) < maxInts {
			v.dims = append(v.dims, size)
		}
		return err
	})
	tensorTypeOf := func(num protowire.Number, n uint64, b []byte) error {
		switch {
		case num == tensorTypeElem && b == nil:
			v.elem = n
		case num == tensorType && b != nil:
			return fields(b, dim)
		}
		return nil
	}
	err = fields(msg, func(num protowire.Number, _ uint64, b []byte) error {
		switch {
		case num == valueName:
			v.name = string(b)
		case num == valueType && b != nil:
			return fields(b, within(typeTensor, func(b []byte) error { return fields(b, tensorTypeOf) }))
		}
		return nil
	})
	return v, err
}

func parseNode(msg []byte, left *budget) (*node, error) {
	n := &node{}
	err := fields(msg, func(num protowire.Number, _ uint64, b []byte) error {
		if err := left.take(); err != nil {
			return err
		}
		switch num {
		case nodeInput:
			n.inputs = append(n.inputs, string(b))
		case nodeOutput:
			n.outputs = append(n.outputs, string(b))
		case nodeName:
			n.name = string(b)
		case nodeOpType:
			n.op = string(b)
		case nodeDomain:
			n.domain = string(b)
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

func (n *node) addAttribute(msg []byte) error {
	var name string
	var ints []int64
	var floats []float32
	err := fields(msg, func(num protowire.Number, v uint64, b []byte) (err error) {
		switch num {
		case attributeName:
			name = string(b)
		case attributeFloat:
			floats = append(floats, math.Float32frombits(uint32(v)))
		case attributeFloats:
			floats = appendFloats(floats, v, b)
		case attributeInt, attributeInts:
			ints, err = appendInts(ints, v, b)
		case attributeString:
			if n.strings == nil {
				n.strings = map[string]string{}
			}
			n.strings[name] = string(b)
		case attributeTensor:
			n.constant, err = parseTensor(b)
		}
		return err
	})
	if ints != nil {
		if n.ints == nil {
			n.ints = map[string][]int64{}
		}
		n.ints[name] = ints
	}
	if floats != nil {
		if n.floats == nil {
			n.floats = map[string][]float32{}
		}
		n.floats[name] = floats
	}
	if n.op == "Constant" {
		n.setValue(name, ints, floats)
	}
	return err
}

// setValue is the constant of an attribute that is no tensor.
func (n *node) setValue(name string, ints []int64, floats []float32) {
	switch name {
	case "value_float", "value_floats":
		n.constant = &constant{dtype: raw.F32, data: raw.Bytes(floats)}
	case "value_int", "value_ints":
		n.constant = &constant{dtype: "I64", ints: ints[:min(len(ints), maxInts)]}
	default:
		return
	}
	if name[len(name)-1] == 's' {
		n.constant.dims = []int{max(len(ints), len(floats))}
	}
}

// appendFloats adds a repeated float field's value: the bits of one number, or several in packed form.
func appendFloats(to []float32, bits uint64, packed []byte) []float32 {
	if packed == nil {
		return append(to, math.Float32frombits(uint32(bits)))
	}
	for ; len(packed) >= 4; packed = packed[4:] {
		to = append(to, math.Float32frombits(binary.LittleEndian.Uint32(packed)))
	}
	return to
}

// appendInts adds a repeated integer field's value: one number, or several in packed form, up to maxInts in all.
func appendInts(to []int64, v uint64, packed []byte) ([]int64, error) {
	if packed == nil {
		if len(to) < maxInts {
			to = append(to, int64(v))
		}
		return to, nil
	}
	for len(packed) > 0 && len(to) < maxInts {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		to = append(to, int64(v))
		packed = packed[n:]
	}
	return to, nil
}

// appendWords adds int32_data to little-endian numbers of 16 bits, which is how half precision is stored there.
func appendWords(to []byte, v uint64, packed []byte) ([]byte, error) {
	if packed == nil {
		return binary.LittleEndian.AppendUint16(to, uint16(v)), nil
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		to = binary.LittleEndian.AppendUint16(to, uint16(v))
		packed = packed[n:]
	}
	return to, nil
}

func parseTensor(msg []byte) (*constant, error) {
	c := &constant{}
	var dims []int64
	var words []byte
	var dtype uint64
	external, outside := false, outside{}
	err := fields(msg, func(num protowire.Number, v uint64, b []byte) (err error) {
		switch num {
		case tensorDims:
			dims, err = appendInts(dims, v, b)
		case tensorDataType:
			dtype = v
		case tensorName:
			c.name = string(b)
		case tensorRawData:
			c.data = slices.Clip(b) // so that append never writes behind it, where the mapped file is
		case tensorFloatData: // the same bytes as raw data
			if b == nil {
				b = binary.LittleEndian.AppendUint32(nil, uint32(v))
			}
			c.data = join(c.data, b)
		case tensorDoubleData:
			if b == nil {
				b = binary.LittleEndian.AppendUint64(nil, v)
			}
			c.data = join(c.data, b)
		case tensorInt32Data:
			if c.ints, err = appendInts(c.ints, v, b); err == nil && (dtype == typeHalf || dtype == typeBfloat16) {
				words, err = appendWords(words, v, b)
			}
		case tensorInt64Data:
			c.ints, err = appendInts(c.ints, v, b)
		case tensorExternal:
			err = outside.set(b)
		case tensorLocation:
			external = v != 0
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", c.name, err)
	}
	if words != nil {
		c.data = words
	}
	if external {
		c.external = &outside
		if dtype == typeUndefined { // some writers forget the type; the length is checked
			dtype = typeFloat
		}
	}
	c.dtype = dataTypes[dtype]
	c.dims, c.err = shape(dims)
	return c, nil
}

// join appends b to a without copying where a is empty.
func join(a, b []byte) []byte {
	if len(a) == 0 {
		return slices.Clip(b)
	}
	return append(a, b...)
}

func shape(dims []int64) ([]int, error) {
	s := make([]int, len(dims))
	for i, d := range dims {
		if d < 0 || d > raw.MaxElements {
			return nil, fmt.Errorf("has dimension %d", d)
		}
		s[i] = int(d)
	}
	return s, nil
}
