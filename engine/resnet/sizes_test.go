package resnet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// other is a model unlike torchvision's: few classes and another normalization.
func other(size int) spec.Model {
	m := spec.Model{Head: spec.Linear(7), Preprocess: spec.Torchvision()}
	m.Preprocess.Crop, m.Preprocess.Resize = size, size
	m.Preprocess.Mean, m.Preprocess.Deviation = [3]float64{0.5, 0.25, 0}, [3]float64{0.5, 0.125, 1}
	return m
}

// withModel is random's convolutions under random layers.
func withModel(m spec.Model) *Params {
	r := rand.New(rand.NewPCG(3, 4))
	p := &Params{convs: random().convs, top: top{spec: m}}
	in := pooled(m.Head.Pool)
	for i := range m.Head.ReLU {
		out := 50 + i // not a whole number of panels
		if i == len(m.Head.ReLU)-1 {
			out = m.Head.Classes
		}
		c := conv{weight: make([]float32, in*out), bias: make([]float32, out)}
		for i := range c.weight {
			c.weight[i] = float32(r.NormFloat64() / math.Sqrt(float64(in)))
		}
		for i := range c.bias {
			c.bias[i] = float32(r.NormFloat64())
		}
		p.dense = append(p.dense, c)
		in = out
	}
	return p
}

// other8 is random's convolutions in 8 bits for the normalization of other, made once.
var other8 = sync.OnceValues(func() (*Quantized, error) {
	return Quantize(withModel(other(spec.MinSize)), &Calibration{Scale: calibration().Scale})
})

// withModel8 is withModel in 8 bits.
func withModel8(t *testing.T, p *Params) *Quantized {
	t.Helper()
	return &Quantized{convs: made(t, other8).convs, top: p.top}
}

// noiseOf is a picture of noise of a size.
func noiseOf(size int) []byte {
	r := rand.New(rand.NewPCG(uint64(size), 1))
	rgb := make([]byte, 3*size*size)
	for i := range rgb {
		rgb[i] = byte(r.Uint32())
	}
	return rgb
}

// sizes are the smallest and the two where most layers have odd sizes; with the tag slow all.
func sizes() (all []int) {
	if !slow {
		return []int{spec.MinSize, 160, 288}
	}
	for size := spec.MinSize; size <= spec.MaxSize; size += spec.SizeStep {
		all = append(all, size)
	}
	return all
}

// onlyDirect is fp32 without Winograd's algorithms.
type onlyDirect struct{ fp32 }

func (d onlyDirect) convolution(work *packing, o operation) fp32Step {
	return newDirect(work, d.kernels, o, d.convs[o.name])
}

// logitsOf runs a picture on a number of threads, twice, and checks that nothing of the first pass is left in the second.
func logitsOf(t *testing.T, n *Network, threads int, rgb []byte) (logits, means []float32) {
	t.Helper()
	r := n.NewRunner(threads)
	defer r.Close()
	logits = make([]float32, n.Classes())
	r.Forward(logits, rgb)
	first := slices.Clone(logits)
	r.Forward(logits, rgb)
	if !slices.Equal(first, logits) {
		t.Errorf("%s, %s, %d pixels: two passes differ", n.Precision(), n.Kernels(), n.Size())
	}
	return logits, slices.Clone(r.Features())
}

// near fails unless all values are within a part of the largest of what is wanted.
func near[T float32 | float64](t *testing.T, what string, got []float32, want []T, part float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	spread := 0.0
	for _, w := range want {
		spread = max(spread, math.Abs(float64(w)))
	}
	if len(want) > 0 && (spread < 0.1 || spread > 100) {
		t.Fatalf("%s: values of up to %g prove nothing", what, spread)
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - float64(w)); d > part*spread {
			t.Fatalf("%s: value %d is %g, want %g", what, i, got[i], w)
		}
	}
}

// TestSizes compares the chosen algorithms with direct convolutions at several sizes, and these with the definition in float64
// at 160 pixels, where layers have odd sizes; with the tag slow at every size, and in plain Go.
func TestSizes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	sets := kernel.Sets()
	for _, size := range sizes() {
		p, plan, rgb := withModel(other(size)), newPlan(size), noiseOf(size)
		var work packing
		direct := build(plan, p.top, onlyDirect{fp32{p, sets[len(sets)-1]}}, &work)
		work.do()
		want, means := logitsOf(t, direct, 1, rgb)
		if direct.Size() != size || direct.Classes() != 7 || direct.InputBytes() != len(rgb) {
			t.Errorf("%d pixels: a network of %d with %d bytes and %d classes", size, direct.Size(), direct.InputBytes(), direct.Classes())
		}
		if size == 160 || slow {
			logits, exact := exactHead(p.top, exactFeatures(plan, p, rgb))
			near(t, fmt.Sprintf("%d pixels, direct", size), want, logits, 2e-4)
			near(t, fmt.Sprintf("features of %d pixels, direct", size), means, exact, 2e-4)
		}
		for _, k := range quick(sets) {
			n := fp32On(size, p, k)
			for _, threads := range []int{1, 3} {
				got, features := logitsOf(t, n, threads, rgb)
				what := fmt.Sprintf("%s, %d pixels, %d threads", k.Level, size, threads)
				near(t, what, got, want, 2e-4)
				near(t, what, features, means, 2e-4)
			}
		}
	}
}

// TestInt8Sizes compares levels and numbers of threads with each other at several sizes, and roughly with fp32; with the tag
// slow plain Go too.
func TestInt8Sizes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	sets := kernel.Sets()
	k := sets[len(sets)-1] // of the head
	for _, size := range sizes() {
		p, rgb := withModel(other(size)), noiseOf(size)
		q := withModel8(t, p)
		exact, _ := logitsOf(t, fp32On(size, p, k), 1, rgb)
		var all families[float32]
		for _, k8 := range withoutWinograd(quick(kernel8.Sets())) {
			n := int8On(newPlan(size), q, k, k8)
			for _, threads := range []int{1, 3} {
				got, _ := logitsOf(t, n, threads, rgb)
				if !all.same(k8, got) {
					t.Fatalf("%s, %d pixels, %d threads: logits differ from those of the first level", k8.Level, size, threads)
				}
			}
		}
		if apart := all.apart(); apart > mostApart {
			t.Errorf("%d pixels: logits by Winograd's algorithms are %.1e from those of direct convolutions, want at most %g", size, apart, mostApart)
		}
		if cosine := cosineOf(all.direct, exact); cosine < 0.99 {
			t.Errorf("%d pixels: int8 logits lie at a cosine of %.4f to fp32's, want nearly 1", size, cosine)
		}
	}
}

// heads are the shapes of heads in use.
var heads = map[string]spec.Head{
	"one class":         {Pool: spec.Average, ReLU: []bool{false}, Classes: 1, Activation: spec.Sigmoid},
	"many classes":      {Pool: spec.Average, ReLU: []bool{false}, Classes: spec.MaxClasses, Activation: spec.Softmax},
	"two layers":        {Pool: spec.Average, ReLU: []bool{true, false}, Classes: 5, Activation: spec.Softmax},
	"two linear layers": {Pool: spec.Average, ReLU: []bool{false, false}, Classes: 5, Activation: spec.Softmax},
	"normalized":        {Pool: spec.Average, ReLU: []bool{false}, Classes: 6, Activation: spec.Softmax, Normalize: 10},
	"normalized maxima": {Pool: spec.MaxAverage, ReLU: []bool{true, false}, Classes: 6, Activation: spec.Softmax, Normalize: 3},
	"maxima":            {Pool: spec.MaxAverage, ReLU: []bool{false}, Classes: 6, Activation: spec.Softmax},
	"fastai's":          {Pool: spec.MaxAverage, ReLU: []bool{true, true, false}, Classes: 37, Activation: spec.None},
	"none":              {Pool: spec.Average, Activation: spec.None},
	"none, of maxima":   {Pool: spec.MaxAverage, Activation: spec.None},
}

// TestHeads compares heads, and the features whatever the head, with their definition on the output of the last
// convolution, in both precisions.
func TestHeads(t *testing.T) {
	t.Parallel()
	const size = spec.MinSize
	rgb := noiseOf(size)
	for name, head := range heads {
		m := other(size)
		m.Head = head
		p := withModel(m)
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		q := withModel8(t, p)
		var work packing
		networks := []*Network{q.network(kernel.Sets()[len(kernel.Sets())-1].Level, &work)}
		work.do()
		for _, k := range quick(kernel.Sets()) {
			networks = append(networks, fp32On(size, p, k))
		}
		for _, n := range networks {
			for _, threads := range []int{1, 3} {
				r := n.NewRunner(threads)
				logits := make([]float32, n.Classes())
				r.Forward(logits, rgb)
				want, means := exactHead(p.top, lastOutput(r, q))
				if len(head.ReLU) == 0 {
					want = nil
				}
				what := fmt.Sprintf("%s, %s, %s, %d threads", name, n.Precision(), n.Kernels(), threads)
				near(t, what, logits, want, 1e-5)
				near(t, what+": features", r.Features(), means, 1e-5)
				steps := len(n.Layers()) - len(resnet18.operations)
				if times := r.Profile(logits, rgb); len(times) != len(n.Layers()) || steps != max(1, len(head.ReLU)) {
					t.Errorf("%s: %d steps after the convolutions, times of %d of %d", what, steps, len(times), len(n.Layers()))
				}
				r.Close()
			}
		}
	}
}

// lastOutput is the last convolution's output in the memory of a runner.
func lastOutput(r *Runner, q *Quantized) exact {
	last := resnet18.last()
	var at func(y, column, channel int) float64
	size := 0
	switch p := r.pass.(type) {
	case *fp32Pass:
		out := p.buffer(last.to)
		size = out.size
		at = func(y, column, channel int) float64 { return float64(out.data[out.at(y, column)+channel]) }
	case *int8Pass:
		out, scale := p.buffer(last.to), q.convs[last.name].output
		size = out.size
		at = func(y, column, channel int) float64 {
			return float64(out.data[out.at(y, column)+channel]) * float64(scale)
		}
	}
	x := exact{make([]float64, features*size*size), features, size}
	for c := range features {
		for y := range size {
			for column := range size {
				x.data[(c*size+y)*size+column] = at(y, column, c)
			}
		}
	}
	return x
}

// TestFoldHeads checks which tensors the layers of a head are read from, and that quantized files have the same.
func TestFoldHeads(t *testing.T) {
	t.Parallel()
	for name, head := range heads {
		m := other(spec.MinSize)
		m.Head, m.Labels = head, make([]string, head.Classes)
		want := withModel(m)
		set := asSet(want)
		got, err := Fold(set)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameTop(t, name, got.top, want.top)
		again, err := LoadQuantized(withModel8(t, want).Set())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameTop(t, name+" in int8", again.top, want.top)
		if len(want.dense) == 0 {
			continue
		}
		missing := spec.LayerName(0, len(want.dense)) + ".bias"
		if _, ok := set.Tensors[missing]; !ok {
			t.Fatalf("%s: no tensor %s", name, missing)
		}
		delete(set.Tensors, missing)
		if got, err = Fold(set); err != nil {
			t.Fatalf("%s without %s: %v", name, missing, err)
		}
		clear(want.dense[0].bias)
		sameTop(t, name+" without "+missing, got.top, want.top)
	}
}

func sameTop(t *testing.T, name string, got, want top) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got.Spec()), fmt.Sprintf("%+v", want.Spec()); g != w {
		t.Errorf("%s: described as %s, want %s", name, g, w)
	}
	if len(got.dense) != len(want.dense) {
		t.Fatalf("%s: %d layers, want %d", name, len(got.dense), len(want.dense))
	}
	for i, w := range want.dense {
		if g := got.dense[i]; !slices.Equal(g.weight, w.weight) || !slices.Equal(g.bias, w.bias) {
			t.Errorf("%s: layer %d differs", name, i)
		}
	}
}

func TestFoldRefusesHeads(t *testing.T) {
	t.Parallel()
	two := heads["two layers"]
	for name, test := range map[string]struct {
		head  spec.Head
		spoil func(set *weights.Set)
		want  string
	}{
		"not described": {two, func(set *weights.Set) { set.Spec = spec.Model{} }, "description of the model: pooling"},
		"labels":        {two, func(set *weights.Set) { set.Spec.Labels = []string{"one"} }, "1 labels for 5 classes"},
		"a layer more":  {heads["none"], func(set *weights.Set) { set.Tensors["fc.weight"] = tensor.New(5, 512) }, "fc.weight does not belong"},
		"first missing": {two, func(set *weights.Set) { delete(set.Tensors, "fc.0.weight") },
			"fc.0.weight has shape [], want [n 512] with n from 1 to 8192"},
		"no matrix": {two, func(set *weights.Set) { set.Tensors["fc.0.weight"] = tensor.New(50, 512, 1) }, "fc.0.weight has shape [50 512 1]"},
		"other features": {two, func(set *weights.Set) { set.Tensors["fc.0.weight"] = tensor.New(50, 2048) },
			"fc.0.weight has shape [50 2048], want [n 512]"},
		"too wide": {two, func(set *weights.Set) { set.Tensors["fc.0.weight"] = tensor.New(8193, 512) }, "want [n 512] with n from 1 to 8192"},
		"too many weights": {heads["fastai's"], func(set *weights.Set) {
			set.Tensors["fc.0.weight"], set.Tensors["fc.0.bias"] = tensor.New(8192, 1024), tensor.New(8192)
			set.Tensors["fc.1.weight"] = tensor.Tensor{Shape: []int{8192, 8192}}
		}, "up to fc.1 have 75497472 weights, want at most 16777216"},
		"other width":  {two, func(set *weights.Set) { set.Tensors["fc.1.weight"] = tensor.New(5, 51) }, "fc.1.weight has shape [5 51], want [5 50]"},
		"other bias":   {two, func(set *weights.Set) { set.Tensors["fc.0.bias"] = tensor.New(49) }, "fc.0.bias has shape [49], want [50]"},
		"last missing": {two, func(set *weights.Set) { delete(set.Tensors, "fc.1.weight") }, "fc.1.weight is missing, want one of shape [5 50]"},
	} {
		m := other(spec.MinSize)
		m.Head = test.head
		set := asSet(withModel(m))
		test.spoil(set)
		if _, err := Fold(set); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.want)
		}
	}
}

// TestForwardChecksLengths checks that a slice of another length is no silent mistake.
func TestForwardChecksLengths(t *testing.T) {
	t.Parallel()
	n := packed(t)
	r := n.NewRunner(1)
	defer r.Close()
	for name, call := range map[string]func(){
		"input":  func() { r.Forward(make([]float32, n.Classes()), make([]byte, n.InputBytes()-1)) },
		"logits": func() { r.Forward(make([]float32, 5), noise(1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of another length: no panic", name)
				}
			}()
			call()
		}()
	}
}
