package onnx

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
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
		return fmt.Sprintf("%s.%s %.100q", n.domain, n.op, n.name)
	}
	return fmt.Sprintf("%s %.100q", n.op, n.name)
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
			n.name = brief(b)
		case nodeOpType:
			n.op = brief(b)
		case nodeDomain:
			n.domain = brief(b)
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

// brief is a text of the file for comparisons and messages: names of operators and what users called them. Longer ones are cut.
func brief(b []byte) string { return string(b[:min(len(b), 100)]) }

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
			n.strings[name] = brief(b)
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
