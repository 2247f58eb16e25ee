package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// The seeds are as short as their forms allow: a fuzzer makes interesting inputs smaller before it goes on, which takes time in
// proportion to the square of their length. A whole ResNet-18 has 2 KB at least, nearly all of which is the same in every file, so
// FuzzGraph changes only what is in front of the convolutions and behind them.

const (
	smallInput  = "x" // what the convolutions of a small network read
	smallOutput = "y" // and what they compute
)

// small is an export without convolutions.
func small() *export {
	return &export{tensors: map[string][]byte{}, elem: typeFloat, opset: 17}
}

// outside adds a tensor whose numbers are in a file, and returns its name.
func (e *export) outside(name string, dims ...int) string {
	e.tensors[name] = outsideTensor(name, "f", 0, 0, dims...)
	return name
}

// backbone adds ResNet-18's convolutions from smallInput to smallOutput: those of one shape have the same weights, without
// biases, and attributes with their defaults are left out.
func (e *export) backbone() *export {
	values := 0
	add := func(op string, attributes map[string]any, in ...string) string {
		values++
		return e.add(op, strconv.Itoa(values), attributes, in...)
	}
	conv := func(in string, from, to, kernel, stride int) string {
		attributes := map[string]any{}
		if stride > 1 {
			attributes["strides"] = []int{stride, stride}
		}
		if pad := kernel / 2; pad > 0 {
			attributes["pads"] = []int{pad, pad, pad, pad}
		}
		return add("Conv", attributes, in, e.outside(fmt.Sprintf("%d.%d.%d", to, from, kernel), to, from, kernel, kernel))
	}
	at := add("Relu", nil, conv(smallInput, 3, 64, 7, 2))
	at = add("MaxPool", map[string]any{"kernel_shape": []int{3, 3}, "strides": []int{2, 2}, "pads": []int{1, 1, 1, 1}}, at)
	channels := 64
	for block := range 8 {
		short, in, stride := at, channels, 1
		if block > 0 && block%2 == 0 {
			channels, stride = 2*channels, 2
			short = conv(at, in, channels, 1, stride)
		}
		at = add("Relu", nil, conv(at, in, channels, 3, stride))
		at = add("Add", nil, conv(at, channels, channels, 3, 1), short)
		if block < 7 {
			at = add("Relu", nil, at)
		}
	}
	e.add("Relu", smallOutput, nil, at)
	return e
}

// input connects the pictures with smallInput.
func (e *export) input(op string, attributes map[string]any, more ...string) {
	e.add(op, smallInput, attributes, append([]string{"input"}, more...)...)
}

// smallEnds are what FuzzGraph puts around the convolutions.
func smallEnds() []*export {
	gemm := map[string]any{"transB": 1}
	plain := func(e *export) *export {
		at := e.add("Flatten", "f", nil, e.add("GlobalAveragePool", "p", nil, smallOutput))
		e.outputs = []string{e.add("Gemm", "z", gemm, at, e.outside("w", 2, 512), e.outside("b", 2))}
		return e
	}
	features := func(e *export) *export {
		e.outputs = []string{e.add("GlobalAveragePool", "p", nil, smallOutput)}
		return e
	}
	var ends []*export
	add := func(make func(e *export) *export, alter func(e *export)) {
		e := small()
		alter(e)
		ends = append(ends, make(e))
	}
	direct := func(e *export) { e.input("Identity", nil) }
	add(plain, direct)
	add(features, direct)
	add(features, func(e *export) { // normalization of bytes, channels last
		e.elem, e.dims = typeUint8, []int{1, 224, 224, 3}
		at := e.add("Cast", "c", map[string]any{"to": typeFloat}, e.add("Transpose", "t", map[string]any{"perm": []int{0, 3, 1, 2}}, "input"))
		at = e.add("Sub", "s", nil, at, e.floats("m", []float32{99, 98, 97}, 1, 3, 1, 1))
		e.add("Div", smallInput, nil, at, e.floats("d", []float32{50}))
	})
	add(features, func(e *export) { // by a batch norm
		e.dims = []int{0, 3, 160, 160}
		e.input("BatchNormalization", map[string]any{"epsilon": float32(1e-3)}, e.floats("n", []float32{1, 1, 1}, 3), "n", "n", "n")
	})
	add(func(e *export) *export { // fastai's head
		at := e.add("Concat", "c", map[string]any{"axis": 1}, e.add("GlobalMaxPool", "p", nil, smallOutput), e.add("GlobalAveragePool", "q", nil, smallOutput))
		at = e.add("Flatten", "f", nil, at)
		at = e.add("BatchNormalization", "g", nil, at, e.outside("n", 1024), "n", "n", "n")
		at = e.add("Relu", "r", nil, e.add("MatMul", "h", nil, at, e.outside("v", 1024, 3)))
		e.outputs = []string{e.add("Sigmoid", "s", nil, e.add("MatMul", "z", nil, at, e.outside("w", 3, 2)))}
		return e
	}, direct)
	add(func(e *export) *export { // other operators for the same
		at := e.add("ReduceMean", "p", map[string]any{"axes": []int{2, 3}}, smallOutput)
		at = e.add("Reshape", "f", nil, at, e.integers("s", 0, -1))
		at = e.add("MatMul", "z", nil, at, e.add("Transpose", "t", map[string]any{"perm": []int{1, 0}}, e.outside("w", 2, 512)))
		e.outputs = []string{e.add("Softmax", "o", nil, e.add("Add", "a", nil, at, e.outside("b", 2)))}
		return e
	}, direct)
	add(func(e *export) *export { // a convolution as the layer, an output for each step
		at := e.add("AveragePool", "p", map[string]any{"kernel_shape": []int{7, 7}}, smallOutput)
		at = e.add("Conv", "z", nil, at, e.outside("w", 2, 512, 1, 1))
		e.outputs = []string{"z", e.add("LogSoftmax", "o", map[string]any{"axis": 1}, e.add("Squeeze", "s", nil, at, e.integers("a", 2, -1)))}
		return e
	}, direct)
	for _, tensor := range [][]byte{ // the forms of numbers
		message(tensorProto("b", typeHalf, 2), tensorRawData, halves([]float32{1, 2})),
		message(tensorProto("b", typeDouble, 2), tensorDoubleData, doubles([]float32{1, 2})),
		message(tensorProto("b", typeBfloat16, 2), tensorInt32Data, protowire.AppendVarint(protowire.AppendVarint(nil, 0x3f80), 0x4000)),
		message(tensorProto("b", typeFloat, 2), tensorFloatData, singles([]float32{1, 2})),
	} {
		add(func(e *export) *export {
			plain(e).tensors["b"] = tensor
			return e
		}, direct)
	}
	add(func(e *export) *export { // constants that are computed
		one := e.add("Constant", "o", map[string]any{"value_float": float32(1)})
		at := e.add("Unsqueeze", "u", map[string]any{"axes": []int{0}}, e.add("Neg", "n", nil, e.add("Sqrt", "q", nil, one)))
		at = e.add("Mul", "m", nil, e.add("Cast", "k", map[string]any{"to": typeFloat}, e.outside("b", 2)), at)
		plain(e).node("z").in[2] = e.add("Squeeze", "l", nil, at)
		return e
	}, direct)
	return ends
}

var smallBackbone = sync.OnceValue(func() []byte { return small().backbone().body() })

// around is the model of a backbone and the rest of a graph.
func around(rest []byte) []byte {
	m := message(varint(nil, 1, 8), modelGraph, slices.Concat(smallBackbone(), rest))
	return message(m, modelOpset, varint(nil, opsetVersion, 17))
}

// openAny opens the shared file by any name but one.
func openAny(name string) ([]byte, error) {
	if name == "g" {
		return nil, errors.New("no such file")
	}
	return ramp(), nil
}

// TestSmallFiles checks that the seeds are what they stand for: all are read.
func TestSmallFiles(t *testing.T) {
	t.Parallel()
	for i, e := range smallEnds() {
		rest := e.graph()
		c, err := Parse(around(rest), openAny)
		if err != nil || len(rest) > 600 {
			t.Errorf("seed %d of %d bytes: %+v, error %v", i, len(rest), c.Head, err)
			continue
		}
		checkContent(t, c)
	}
}

// FuzzGraph checks that nothing around the convolutions makes the reader crash or hang, or gives a model that contradicts itself.
func FuzzGraph(f *testing.F) {
	for _, e := range smallEnds() {
		f.Add(e.graph())
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		if c, err := Parse(around(rest), openAny); err == nil {
			checkContent(t, c)
		}
	})
}

// FuzzParse does the same with whole files.
func FuzzParse(f *testing.F) {
	whole := small().backbone()
	whole.props = map[string]string{"a": "b"}
	e := smallEnds()[0]
	whole.nodes = append(whole.nodes, e.nodes...)
	maps.Copy(whole.tensors, e.tensors)
	whole.outputs = e.outputs
	f.Add(whole.bytes())
	f.Add(network([]int{64, 3, 7, 7}, map[string]int{"Add": 1, "BatchNormalization": 1}).bytes())
	f.Add(network([]int{96, 3, 4, 4}, map[string]int{"Softmax": 1}, []int{96, 1, 7, 7, 96}).bytes())
	functions := small()
	functions.nodes = []*operator{{op: "Conv2d", domain: "pkg.torch", name: "c", in: []string{"input"}}}
	functions.outputs, functions.listed = []string{"c"}, []string{"w"}
	functions.extra = message(nil, modelFunctions, message(nil, functionName, []byte("Conv2d")))
	f.Add(functions.bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := Parse(data, openAny); err == nil {
			checkContent(t, c)
		}
	})
}

// checkContent checks that a model that was read fits together.
func checkContent(t *testing.T, c Content) {
	t.Helper()
	for name, x := range c.Tensors {
		if err := x.Check(x.Shape...); err != nil {
			t.Errorf("tensor %q: %v, has %d elements", name, err, len(x.Data))
		}
	}
	if err := c.Head.Validate(); err != nil {
		t.Error(err)
	}
}
