package onnx

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// checkBackbone checks that each convolution's tensor is where it belongs. Those in folded are changed by folding.
func checkBackbone(t *testing.T, c Content, kept bool, folded ...string) {
	t.Helper()
	count := 0
	for i, l := range convolutions() {
		w := c.Tensors[l.name+".weight"]
		if err := w.Check(l.out, l.in, l.kernel, l.kernel); err != nil {
			t.Errorf("%s.weight %v", l.name, err)
			continue
		}
		count++
		if slices.Contains(folded, l.name) {
			count++
			continue
		}
		if w.Data[0] != float32(i) {
			t.Errorf("%s.weight begins with %v, want %d", l.name, w.Data[0], i)
		}
		bias := map[string]float32{l.name + ".bias": float32(i) + 1}
		if kept {
			bias = map[string]float32{}
			for j, part := range []string{"weight", "bias", "running_mean", "running_var"} {
				bias[l.norm+"."+part] = float32(10*i+j) + 1
			}
		}
		for name, want := range bias {
			count++
			if b := c.Tensors[name]; b.Check(l.out) != nil || b.Data[0] != want {
				t.Errorf("%s has shape %v and begins with %v, want %v", name, b.Shape, b.Data, want)
			}
		}
	}
	for name := range c.Tensors {
		if strings.HasPrefix(name, "fc.") {
			count++
		}
	}
	if count != len(c.Tensors) {
		t.Errorf("%d tensors, want %d: %v", len(c.Tensors), count, slices.Sorted(maps.Keys(c.Tensors)))
	}
}

// features is an input of the head.
func features(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(i*31%17) / 16
	}
	return x
}

func apply(w, b []float32, x []float64) []float64 {
	out := len(w) / len(x)
	y := make([]float64, out)
	for o := range y {
		if b != nil {
			y[o] = float64(b[o])
		}
		for i := range x {
			y[o] += float64(w[o*len(x)+i]) * x[i]
		}
	}
	return y
}

func each(x []float64, f func(i int, v float64) float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = f(i, v)
	}
	return y
}

func rectified(x []float64) []float64 {
	return each(x, func(_ int, v float64) float64 { return max(v, 0) })
}

// outputs computes the head that was read.
func outputs(t *testing.T, c Content) []float64 {
	t.Helper()
	n := spec.Features
	if c.Head.Pool == spec.MaxAverage {
		n *= 2
	}
	x := features(n)
	for i, relu := range c.Head.ReLU {
		name := "fc"
		if len(c.Head.ReLU) > 1 {
			name = fmt.Sprintf("fc.%d", i)
		}
		w := c.Tensors[name+".weight"]
		if len(w.Shape) != 2 || w.Shape[1] != len(x) {
			t.Fatalf("%s.weight has shape %v for %d features", name, w.Shape, len(x))
		}
		if x = apply(w.Data, c.Tensors[name+".bias"].Data, x); relu {
			x = rectified(x)
		}
	}
	return x
}

func plain(x []float64) []float64 { return apply(weights(classes, 512), numbers(classes, 3), x) }

func transposed(w []float32, out, in int) []float32 {
	t := make([]float32, len(w))
	for o := range out {
		for i := range in {
			t[i*out+o] = w[o*in+i]
		}
	}
	return t
}

// head of several layers: 512 -> 8 -> ReLU -> 6.
func twoLayers(x []float64) []float64 {
	return apply(weights(classes, 8), numbers(classes, 3), rectified(apply(weights(8, 512), numbers(8, -9), x)))
}

// gemm replaces the head's layer.
func (e *export) gemm(attributes map[string]any, more ...string) *operator {
	n := e.node("fc")
	n.attributes, n.in = attributes, append(n.in[:1], more...)
	return n
}

// norm adds the parameters of a batch norm, positive ones, and what it computes.
func (e *export) norm(name string, n int) (in []string, compute func(x []float64, eps float64) []float64) {
	var p [4][]float32
	for i := range p {
		p[i] = numbers(n, float32(i))
		in = append(in, e.floats(fmt.Sprintf("%s.%d", name, i), p[i], n))
	}
	return in, func(x []float64, eps float64) []float64 {
		return each(x, func(i int, v float64) float64 {
			return float64(p[0][i])*(v-float64(p[2][i]))/math.Sqrt(float64(p[3][i])+eps) + float64(p[1][i])
		})
	}
}

func TestHeads(t *testing.T) {
	t.Parallel()
	linear := spec.Linear(classes)
	two := spec.Head{Pool: spec.Average, ReLU: []bool{true, false}, Classes: classes, Activation: spec.Softmax}
	sigmoid := linear
	sigmoid.Activation = spec.Sigmoid
	for name, test := range map[string]struct {
		alter func(e *export) (want func(x []float64) []float64)
		head  spec.Head
	}{
		"plain": {func(*export) func([]float64) []float64 { return plain }, linear},
		"Gemm by defaults": {func(e *export) func([]float64) []float64 {
			e.gemm(nil, e.floats("t", transposed(weights(classes, 512), classes, 512), 512, classes), "fc.b")
			return plain
		}, linear},
		"Gemm without bias": {func(e *export) func([]float64) []float64 {
			e.gemm(map[string]any{"transB": 1}, "fc.w")
			return func(x []float64) []float64 { return apply(weights(classes, 512), nil, x) }
		}, linear},
		"alpha and beta": {func(e *export) func([]float64) []float64 {
			e.gemm(map[string]any{"transB": 1, "alpha": float32(0.5), "beta": float32(-2)}, "fc.w", "fc.b")
			return func(x []float64) []float64 {
				return each(apply(weights(classes, 512), nil, x), func(i int, v float64) float64 { return v/2 - 2*float64(numbers(classes, 3)[i]) })
			}
		}, linear},
		"bias of one number": {func(e *export) func([]float64) []float64 {
			e.gemm(map[string]any{"transB": 1}, "fc.w", e.floats("one", []float32{4}, 1, 1))
			return func(x []float64) []float64 {
				return each(apply(weights(classes, 512), nil, x), func(_ int, v float64) float64 { return v + 4 })
			}
		}, linear},
		"MatMul and Add": {func(e *export) func([]float64) []float64 {
			e.gemm(nil, e.floats("t", transposed(weights(classes, 512), classes, 512), 512, classes)).op = "MatMul"
			e.after("fc", "Add", "sum", nil, "fc.b")
			return plain
		}, linear},
		"MatMul with Transpose, bias first": {func(e *export) func([]float64) []float64 {
			e.gemm(nil, e.add("Transpose", "t", map[string]any{"perm": []int{1, 0}}, "fc.w")).op = "MatMul"
			e.nodes = append([]*operator{e.nodes[len(e.nodes)-1]}, e.nodes[:len(e.nodes)-1]...)
			e.after("fc", "Add", "sum", nil, "fc.b")
			n := e.node("sum")
			n.in[0], n.in[1] = n.in[1], n.in[0]
			return plain
		}, linear},
		"1x1 convolution": {func(e *export) func([]float64) []float64 {
			e.cut("flatten")
			e.gemm(nil, e.floats("w4", weights(classes, 512), classes, 512, 1, 1), "fc.b").op = "Conv"
			e.after("fc", "Flatten", "flat", nil)
			return plain
		}, linear},
		"temperature": {func(e *export) func([]float64) []float64 {
			e.after("fc", "Div", "cool", nil, e.floats("temperature", []float32{2}))
			return func(x []float64) []float64 { return each(plain(x), func(_ int, v float64) float64 { return v / 2 }) }
		}, linear},
		"softmax": {func(e *export) func([]float64) []float64 {
			e.after("fc", "Softmax", "p", map[string]any{"axis": 1})
			return plain
		}, linear},
		"log softmax": {func(e *export) func([]float64) []float64 {
			e.after("fc", "LogSoftmax", "p", nil)
			return plain
		}, linear},
		"sigmoid": {func(e *export) func([]float64) []float64 {
			e.after("fc", "Sigmoid", "p", nil)
			return plain
		}, sigmoid},
		"logits and sigmoid": {func(e *export) func([]float64) []float64 {
			e.add("Sigmoid", "p", nil, "fc")
			e.outputs = []string{"p", "fc", "flatten"}
			return plain
		}, sigmoid},
		"logits and cooled softmax": {func(e *export) func([]float64) []float64 {
			e.add("Softmax", "p", nil, e.add("Mul", "cool", nil, "fc", e.floats("temperature", []float32{2})))
			e.outputs = []string{"p", "fc"}
			return plain
		}, linear},
		"one output with sigmoid and squeezed": {func(e *export) func([]float64) []float64 {
			e.gemm(map[string]any{"transB": 1}, e.floats("w1", weights(1, 512), 1, 512))
			e.after("fc", "Sigmoid", "p", nil)
			e.after("p", "Squeeze", "s", map[string]any{"axes": []int{1}})
			return func(x []float64) []float64 { return apply(weights(1, 512), nil, x) }
		}, spec.Head{Pool: spec.Average, ReLU: []bool{false}, Classes: 1, Activation: spec.Sigmoid}},
		"one output": {func(e *export) func([]float64) []float64 {
			e.gemm(map[string]any{"transB": 1}, e.floats("w1", weights(1, 512), 1, 512))
			return func(x []float64) []float64 { return apply(weights(1, 512), nil, x) }
		}, spec.Head{Pool: spec.Average, ReLU: []bool{false}, Classes: 1, Activation: spec.None}},
		"features": {func(e *export) func([]float64) []float64 {
			e.outputs = []string{"flatten"}
			return func(x []float64) []float64 { return x }
		}, spec.Head{Pool: spec.Average, Activation: spec.None}},
		"two layers": {func(e *export) func([]float64) []float64 {
			at := e.behead().add("Flatten", "flatten", nil, e.add("GlobalAveragePool", "avgpool", nil, "layer4.1.relu2"))
			at = e.add("Gemm", "a", map[string]any{"transB": 1}, e.add("Dropout", "drop", nil, at), e.floats("a.w", weights(8, 512), 8, 512), e.floats("a.b", numbers(8, -9), 8))
			at = e.add("Dropout", "drop2", nil, e.add("Relu", "r", nil, at))
			e.outputs[0] = e.add("Gemm", "fc", map[string]any{"transB": 1}, at, e.floats("b.w", weights(classes, 8), classes, 8), "fc.b")
			return twoLayers
		}, two},
		"hidden layer as second output": {func(e *export) func([]float64) []float64 {
			at := e.behead().add("Flatten", "flatten", nil, e.add("GlobalAveragePool", "avgpool", nil, "layer4.1.relu2"))
			hidden := e.add("Gemm", "a", map[string]any{"transB": 1}, at, e.floats("a.w", weights(8, 512), 8, 512), e.floats("a.b", numbers(8, -9), 8))
			at = e.add("Relu", "r", nil, hidden)
			e.outputs = []string{hidden, e.add("Gemm", "fc", map[string]any{"transB": 1}, at, e.floats("b.w", weights(classes, 8), classes, 8), "fc.b"), "r"}
			return twoLayers
		}, two},
		"norm of features": {func(e *export) func([]float64) []float64 {
			in, norm := e.norm("n", 512)
			e.after("flatten", "BatchNormalization", "n", map[string]any{"epsilon": float32(1e-3)}, in...)
			return func(x []float64) []float64 { return plain(norm(x, float64(float32(1e-3)))) }
		}, linear},
		"norm of pixels and scaled features": {func(e *export) func([]float64) []float64 {
			in, norm := e.norm("n", 512)
			e.after("avgpool", "BatchNormalization", "n", nil, in...)
			e.after("n", "Mul", "scaled", nil, e.floats("scale", numbers(512, 1), 1, 512, 1, 1))
			return func(x []float64) []float64 {
				return plain(each(norm(x, 1e-5), func(i int, v float64) float64 { return v * float64(numbers(512, 1)[i]) }))
			}
		}, linear},
		"norm of the last layer": {func(e *export) func([]float64) []float64 {
			in, norm := e.norm("n", classes)
			e.after("fc", "BatchNormalization", "n", nil, in...)
			return func(x []float64) []float64 { return norm(plain(x), 1e-5) }
		}, linear},
		"norm between layers": {func(e *export) func([]float64) []float64 {
			in, norm := e.norm("n", classes)
			e.after("fc", "Relu", "r", nil)
			e.after("r", "BatchNormalization", "n", nil, in...)
			e.after("n", "Gemm", "last", map[string]any{"transB": 1}, e.floats("b.w", weights(classes, classes), classes, classes))
			return func(x []float64) []float64 {
				return apply(weights(classes, classes), nil, norm(rectified(plain(x)), 1e-5))
			}
		}, two},
		"fastai":                {func(e *export) func([]float64) []float64 { return e.fastai(false) }, fastaiHead()},
		"fastai, average first": {func(e *export) func([]float64) []float64 { return e.fastai(true) }, fastaiHead()},
		"fastai, channels counted from the end": {func(e *export) func([]float64) []float64 {
			want := e.fastai(false)
			e.node("cat").attributes["axis"] = -3
			return want
		}, fastaiHead()},
		"ReLU of features": {func(e *export) func([]float64) []float64 {
			e.after("flatten", "Relu", "r", nil)
			return plain
		}, linear},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExport(false)
			want := test.alter(e)
			c, err := Parse(e.bytes(), openShared)
			if err != nil {
				t.Fatal(err)
			}
			checkBackbone(t, c, false)
			if fmt.Sprint(c.Head) != fmt.Sprint(test.head) {
				t.Errorf("head %+v, want %+v", c.Head, test.head)
			}
			n := spec.Features
			if c.Head.Pool == spec.MaxAverage {
				n *= 2
			}
			got := outputs(t, c)
			for i, want := range want(features(n)) {
				if i >= len(got) || math.Abs(got[i]-want) > 1e-5*(1+math.Abs(want))*10 {
					t.Fatalf("outputs %v, number %d should be %v", got, i, want)
				}
			}
		})
	}
}

// TestMissingBias checks that a bias is made up only where something is added.
func TestMissingBias(t *testing.T) {
	t.Parallel()
	for op, want := range map[string]bool{"Mul": false, "Div": false, "Add": true, "Sub": true} {
		e := newExport(false)
		e.gemm(map[string]any{"transB": 1}, "fc.w")
		e.after("fc", op, "x", nil, e.floats("c", []float32{2}))
		c, err := Parse(e.bytes(), openShared)
		if _, ok := c.Tensors["fc.bias"]; err != nil || ok != want {
			t.Errorf("%s behind a layer without bias: bias %t, %v; want %t", op, ok, err, want)
		}
	}
}

func fastaiHead() spec.Head {
	return spec.Head{Pool: spec.MaxAverage, ReLU: []bool{true, false}, Classes: classes, Activation: spec.Softmax}
}

// fastai makes the head that fastai's vision_learner does.
func (e *export) fastai(averageFirst bool) func(x []float64) []float64 {
	e.behead()
	pools := []string{e.add("GlobalMaxPool", "mp", nil, "layer4.1.relu2"), e.add("GlobalAveragePool", "ap", nil, "layer4.1.relu2")}
	if averageFirst {
		slices.Reverse(pools)
	}
	at := e.add("Flatten", "flatten", nil, e.add("Concat", "cat", map[string]any{"axis": 1}, pools...))
	first, norm1 := e.norm("n1", 1024)
	second, norm2 := e.norm("n2", 8)
	at = e.add("BatchNormalization", "bn1", nil, append([]string{at}, first...)...)
	at = e.add("MatMul", "l1", nil, at, e.floats("l1.w", transposed(weights(8, 1024), 8, 1024), 1024, 8))
	at = e.add("BatchNormalization", "bn2", nil, append([]string{e.add("Relu", "r", nil, at)}, second...)...)
	e.outputs[0] = e.add("MatMul", "l2", nil, at, e.floats("l2.w", transposed(weights(classes, 8), classes, 8), 8, classes))
	return func(x []float64) []float64 {
		if averageFirst {
			x = append(slices.Clone(x[512:]), x[:512]...)
		}
		return apply(weights(classes, 8), nil, norm2(rectified(apply(weights(8, 1024), nil, norm1(x, 1e-5))), 1e-5))
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]func(e *export){
		"as exported":               func(*export) {},
		"initializers among inputs": func(e *export) { e.listed = slices.Sorted(maps.Keys(e.tensors)); e.opset = 7 },
		"aliases": func(e *export) {
			e.after("input", "Identity", "i1", nil)
			e.after("relu", "Identity", "i2", nil)
			e.after("i2", "Identity", "i3", nil)
			e.after("layer2.0.relu2", "Dropout", "i4", nil)
			e.after("fc", "Identity", "i5", nil)
			e.nodes = append([]*operator{{op: "Identity", name: "bias", in: []string{"fc.b"}}}, e.nodes...)
			e.node("fc").in[2] = "bias"
		},
		"casts": func(e *export) {
			e.after("input", "Cast", "c1", map[string]any{"to": typeHalf})
			e.after("relu", "Cast", "c2", map[string]any{"to": typeFloat})
			e.after("fc", "Cast", "c3", map[string]any{"to": typeDouble})
			e.nodes = append([]*operator{{op: "Cast", name: "half", in: []string{"conv1.w"}, attributes: map[string]any{"to": typeHalf}}}, e.nodes...)
			e.node("conv1").in[1] = "half"
		},
		"constants": func(e *export) {
			e.nodes = append([]*operator{{op: "Constant", name: "c", attributes: map[string]any{"value": e.tensors["fc.b"]}}}, e.nodes...)
			e.node("fc").in[2] = "c"
		},
		"half precision": func(e *export) {
			e.tensors["fc.b"] = message(tensorProto("fc.b", typeHalf, classes), tensorRawData, halves(numbers(classes, 3)))
		},
		"half precision in integers": func(e *export) {
			var packed []byte
			for b := halves(numbers(classes, 3)); len(b) > 0; b = b[2:] {
				packed = protowire.AppendVarint(packed, uint64(b[0])|uint64(b[1])<<8)
			}
			e.tensors["fc.b"] = message(tensorProto("fc.b", typeHalf, classes), tensorInt32Data, packed)
		},
		"double precision": func(e *export) {
			e.tensors["fc.b"] = message(tensorProto("fc.b", typeDouble, classes), tensorDoubleData, doubles(numbers(classes, 3)))
		},
		"float_data": func(e *export) {
			e.tensors["fc.b"] = message(tensorProto("fc.b", typeFloat, classes), tensorFloatData, singles(numbers(classes, 3)))
		},
		"type forgotten, length too": func(e *export) {
			e.tensors["conv1.w"] = varint(outsideTensor("conv1.w", "./"+sharedFile, 0, 0, 64, 3, 7, 7), tensorDataType, typeUndefined)
		},
		"defaults": func(e *export) {
			delete(e.node("layer1.0.conv1").attributes, "strides")
			delete(e.node("layer1.0.conv1").attributes, "dilations")
			delete(e.node("layer1.0.conv1").attributes, "group")
			delete(e.node("layer1.0.conv1").attributes, "kernel_shape")
			delete(e.node("layer2.0.downsample.0").attributes, "pads")
			delete(e.node("flatten").attributes, "axis")
			delete(e.node("maxpool").attributes, "ceil_mode")
		},
		"auto_pad": func(e *export) {
			for name, auto := range map[string]string{"conv1": "SAME_LOWER", "maxpool": "SAME_LOWER", "layer1.0.conv1": "SAME_UPPER",
				"layer2.0.conv1": "SAME_LOWER", "layer2.0.downsample.0": "VALID", "layer3.0.downsample.0": "SAME_UPPER", "layer4.0.conv1": "NOTSET"} {
				e.node(name).attributes["auto_pad"] = auto
				if auto != "NOTSET" {
					delete(e.node(name).attributes, "pads")
				}
			}
		},
		"last pixel of padding missing": func(e *export) {
			e.node("conv1").attributes["pads"] = []int{3, 3, 2, 2}
			e.node("maxpool").attributes["pads"] = []int{1, 1, 0, 0}
			e.node("layer2.0.conv1").attributes["pads"] = []int{1, 1, 0, 1}
		},
		"addition the other way round": func(e *export) {
			for _, name := range []string{"layer1.0.add", "layer2.0.add"} {
				slices.Reverse(e.node(name).in)
				e.node(name).op = "Sum"
			}
		},
		"Reshape":   func(e *export) { e.reshape("Reshape", e.integers("shape", -1, 512)) },
		"Reshape 2": func(e *export) { e.reshape("Reshape", e.integers("shape", 0, -1)) },
		"Reshape to a computed shape": func(e *export) {
			batch := e.add("Gather", "batch", nil, e.add("Shape", "of", nil, "avgpool"), e.integers("zero", 0))
			e.reshape("Reshape", e.add("Concat", "shape", map[string]any{"axis": 0}, batch, e.integers("rest", -1)))
			n := len(e.nodes)
			e.nodes = append(e.nodes[:n-5:n-5], append(e.nodes[n-3:], e.nodes[n-5:n-3]...)...) // before their reader
		},
		"Squeeze":                    func(e *export) { e.reshape("Squeeze"); e.node("flatten").attributes["axes"] = []int{2, 3} },
		"Squeeze with axes as input": func(e *export) { e.reshape("Squeeze", e.integers("axes", -1, -2)) },
		"Squeeze with axes of 32 bits": func(e *export) {
			e.tensors["axes"] = message(tensorProto("axes", 6, 2), tensorRawData, []byte{255, 255, 255, 255, 254, 255, 255, 255})
			e.reshape("Squeeze", "axes")
		},
		"Squeeze twice":              func(e *export) { e.squeezeTwice() },
		"Flatten from the end":       func(e *export) { e.node("flatten").attributes["axis"] = -3 },
		"ReduceMean":                 func(e *export) { e.pool("ReduceMean", map[string]any{"axes": []int{2, 3}}) },
		"ReduceMean with axes input": func(e *export) { e.pool("ReduceMean", nil, e.integers("axes", -1, -2)) },
		"ReduceMean without Flatten": func(e *export) {
			e.pool("ReduceMean", map[string]any{"axes": []int{3, 2}, "keepdims": 0})
			e.cut("flatten")
		},
		"two ReduceMean": func(e *export) {
			e.pool("ReduceMean", map[string]any{"axes": []int{3}, "keepdims": 0})
			e.after("avgpool", "ReduceMean", "second", map[string]any{"axes": []int{-1}, "keepdims": 0})
			e.cut("flatten")
		},
		"two ReduceMean, rows first": func(e *export) {
			e.pool("ReduceMean", map[string]any{"axes": []int{2}, "keepdims": 0})
			e.after("avgpool", "ReduceMean", "second", map[string]any{"axes": []int{2}, "keepdims": 0})
			e.cut("flatten")
		},
		"AveragePool": func(e *export) { e.pool("AveragePool", map[string]any{"kernel_shape": []int{7, 7}}) },
		"Pad of nothing before AveragePool": func(e *export) {
			e.pool("AveragePool", map[string]any{"kernel_shape": []int{7, 7}, "strides": []int{7, 7}})
			e.after("layer4.1.relu2", "Pad", "pad", map[string]any{"pads": []int{0, 0, 0, 0, 0, 0, 0, 0}, "mode": "constant"})
		},
		"unused operators": func(e *export) {
			e.add("Sqrt", "unused", nil, "relu")
			e.add("ArgMax", "best", nil, "fc")
			e.outputs = []string{"best", "fc"}
		},
	} {
		for _, kept := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, norm %t", name, kept), func(t *testing.T) {
				t.Parallel()
				e := newExport(kept)
				alter(e)
				data := e.bytes()
				if !Detect(data) {
					t.Error("Detect is false, want true")
				}
				c, err := Parse(data, openShared)
				if err != nil {
					t.Fatal(err)
				}
				checkBackbone(t, c, kept)
				if fmt.Sprint(c.Head) != fmt.Sprint(spec.Linear(classes)) {
					t.Errorf("head %+v, want %+v", c.Head, spec.Linear(classes))
				}
				if got, want := outputs(t, c), plain(features(512)); math.Abs(got[5]-want[5]) > 1e-3 {
					t.Errorf("outputs %v, want %v", got, want)
				}
			})
		}
	}
}

// reshape replaces Flatten.
func (e *export) reshape(op string, more ...string) {
	n := e.node("flatten")
	n.op, n.attributes, n.in = op, map[string]any{}, append(n.in, more...)
}

func (e *export) squeezeTwice() {
	e.reshape("Squeeze", e.integers("axes", 3))
	e.after("flatten", "Squeeze", "second", nil, e.integers("axes2", -1))
}

// pool replaces GlobalAveragePool.
func (e *export) pool(op string, attributes map[string]any, more ...string) {
	n := e.node("avgpool")
	n.op, n.attributes, n.in = op, attributes, append(n.in, more...)
}

// TestFolds checks what scales and shifts a convolution's output.
func TestFolds(t *testing.T) {
	t.Parallel()
	const conv, channels = "layer2.0.downsample.0", 128
	bias := func(kept bool) []float64 { // of the convolution, which is number 5
		b := make([]float64, channels)
		if !kept {
			for i := range b {
				b[i] = float64(6 + i)
			}
		}
		return b
	}
	for name, test := range map[string]struct {
		kept  bool
		alter func(e *export) (want func(y []float64) []float64) // y: sum of products and bias
	}{
		"epsilon": {true, func(e *export) func([]float64) []float64 {
			in, norm := e.norm("n", channels)
			n := e.node("layer2.0.downsample.1")
			n.attributes["epsilon"], n.in = float32(0.25), append(n.in[:1], in...)
			return func(y []float64) []float64 { return norm(y, 0.25) }
		}},
		"bias before the norm": {false, func(e *export) func([]float64) []float64 {
			in, norm := e.norm("n", channels)
			e.after(conv, "BatchNormalization", "n", nil, in...)
			return func(y []float64) []float64 { return norm(y, 1e-5) }
		}},
		"scale after the norm": {true, func(e *export) func([]float64) []float64 {
			in, norm := e.norm("n", channels)
			n := e.node("layer2.0.downsample.1")
			n.in = append(n.in[:1], in...)
			e.after("layer2.0.downsample.1", "Mul", "m", nil, e.floats("m.c", numbers(channels, 1), channels, 1, 1))
			e.after("m", "Add", "a", nil, e.floats("a.c", numbers(channels, 2), 1, channels, 1, 1))
			return func(y []float64) []float64 {
				return each(norm(y, 1e-5), func(i int, v float64) float64 {
					return v*float64(numbers(channels, 1)[i]) + float64(numbers(channels, 2)[i])
				})
			}
		}},
		"constants by arithmetic": {false, func(e *export) func([]float64) []float64 {
			root := e.add("Sqrt", "root", nil, e.add("Add", "plus", nil, e.floats("var", numbers(channels, 1), channels), e.floats("eps", []float32{0.5})))
			c := e.add("Unsqueeze", "c", nil, root, e.integers("axes", 1, 2))
			e.nodes = append(slices.Clone(e.nodes[len(e.nodes)-3:]), e.nodes[:len(e.nodes)-3]...)
			e.after(conv, "Div", "d", nil, c)
			return func(y []float64) []float64 {
				return each(y, func(i int, v float64) float64 { return v / math.Sqrt(float64(numbers(channels, 1)[i])+0.5) })
			}
		}},
		"constant minus value": {false, func(e *export) func([]float64) []float64 {
			e.after(conv, "Sub", "s", nil, e.floats("c", []float32{3}))
			slices.Reverse(e.node("s").in)
			return func(y []float64) []float64 { return each(y, func(_ int, v float64) float64 { return 3 - v }) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExport(test.kept)
			want := test.alter(e)
			c, err := Parse(e.bytes(), openShared)
			if err != nil {
				t.Fatal(err)
			}
			checkBackbone(t, c, test.kept, conv)
			// For an input whose only number is 1, in the second channel, outputs are that channel's weights and the bias.
			zero, one := want(bias(test.kept)), bias(test.kept)
			for o := range one {
				one[o] += float64(5 + 64*o + 1)
			}
			for o, y := range want(one) {
				w, b := float64(c.Tensors[conv+".weight"].Data[64*o+1]), float64(c.Tensors[conv+".bias"].Data[o])
				if math.Abs(b-zero[o]) > 1e-6*(1+math.Abs(zero[o])) || math.Abs(w+b-y) > 1e-6*(1+math.Abs(y)) {
					t.Fatalf("channel %d gives %v and %v, want %v and %v", o, b, w+b, zero[o], y)
				}
			}
		})
	}
}

func TestInput(t *testing.T) {
	t.Parallel()
	mean, deviation := []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}
	imagenet := spec.Torchvision()
	found := func(mean, deviation [3]float64, crop int) *spec.Preprocess {
		return &spec.Preprocess{Mean: mean, Deviation: deviation, Crop: crop}
	}
	for name, test := range map[string]struct {
		alter func(e *export)
		want  *spec.Preprocess
	}{
		"nothing":         {func(*export) {}, nil},
		"fixed size":      {func(e *export) { e.dims = []int{1, 3, 160, 160} }, &spec.Preprocess{Crop: 160}},
		"dynamic size":    {func(e *export) { e.dims = []int{0, 3, 0, 0} }, nil},
		"size by average": {func(e *export) { e.pool("AveragePool", map[string]any{"kernel_shape": []int{9, 9}}) }, &spec.Preprocess{Crop: 288}},
		"Sub, Div": {func(e *export) {
			e.after("input", "Sub", "s", nil, e.floats("m", mean, 1, 3, 1, 1))
			e.after("s", "Div", "d", nil, e.floats("d.c", deviation, 3, 1, 1))
		}, found(imagenet.Mean, imagenet.Deviation, 0)},
		"Mul, Sub, Div of bytes": {func(e *export) {
			e.elem, e.dims = typeUint8, []int{1, 3, 224, 224}
			e.after("input", "Cast", "c", map[string]any{"to": typeFloat})
			e.after("c", "Mul", "x", nil, e.floats("s", []float32{1. / 255}))
			e.after("x", "Sub", "s1", nil, e.floats("m", mean, 3, 1, 1))
			e.after("s1", "Div", "d", nil, e.floats("d.c", deviation, 3, 1, 1))
		}, found(imagenet.Mean, imagenet.Deviation, 224)},
		"bytes as floats": {func(e *export) {
			e.after("input", "Div", "x", nil, e.floats("s", []float32{127.5}))
			e.after("x", "Sub", "s1", nil, e.floats("one", []float32{1}))
		}, found([3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}, 0)},
		"only 255": {func(e *export) { e.after("input", "Div", "x", nil, e.floats("s", []float32{255})) },
			found([3]float64{}, [3]float64{1, 1, 1}, 0)},
		"means of bytes": {func(e *export) {
			e.after("input", "Sub", "x", nil, e.floats("s", []float32{51, 102, 127.5}, 3, 1, 1))
		}, found([3]float64{0.2, 0.4, 0.5}, [3]float64{0.003922, 0.003922, 0.003922}, 0)},
		"bytes as they are": {func(e *export) {
			e.elem = typeUint8
			e.after("input", "Cast", "c", map[string]any{"to": typeFloat})
		}, found([3]float64{}, [3]float64{0.003922, 0.003922, 0.003922}, 0)},
		"channels last": {func(e *export) {
			e.dims = []int{0, 224, 224, 3}
			e.after("input", "Sub", "s", nil, e.floats("m", mean, 3))
			e.after("s", "Transpose", "t", map[string]any{"perm": []int{0, 3, 1, 2}})
			e.after("t", "Div", "d", nil, e.floats("d.c", deviation, 3, 1, 1))
		}, found(imagenet.Mean, imagenet.Deviation, 224)},
		"batch norm": {func(e *export) {
			e.after("input", "BatchNormalization", "n", map[string]any{"epsilon": float32(0)}, e.floats("g", []float32{1, 1, 1}, 3),
				e.floats("b", []float32{0, 0, 0}, 3), e.floats("m", []float32{0.5, 0.25, 0.125}, 3), e.floats("v", []float32{0.25, 0.0625, 0.25}, 3))
		}, found([3]float64{0.5, 0.25, 0.125}, [3]float64{0.5, 0.25, 0.5}, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExport(false)
			e.props = map[string]string{"names": "{0: 'ant'}"}
			test.alter(e)
			c, err := Parse(e.bytes(), openShared)
			if err != nil {
				t.Fatal(err)
			}
			checkBackbone(t, c, false)
			got := c.Preprocess
			if got != nil { // 1/255 is no decimal
				for i := range got.Deviation {
					got.Deviation[i] = math.Round(got.Deviation[i]*1e6) / 1e6
				}
			}
			if (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
				t.Errorf("preprocessing %+v, want %+v", got, test.want)
			}
			if normalized := test.want != nil && test.want.Deviation[0] != 0 && name != "bytes as they are"; normalized != strings.Contains(fmt.Sprint(c.Notes), "normalizes its input") {
				t.Errorf("notes %q, normalized %t", c.Notes, normalized)
			}
			if !maps.Equal(c.Metadata, e.props) {
				t.Errorf("metadata %v, want %v", c.Metadata, e.props)
			}
		})
	}
}
