package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// TestBF16Config checks which weights and CPUs bf16 is for, and what an engine starts with.
func TestBF16Config(t *testing.T) {
	t.Parallel()
	features := &weights.Set{Spec: spec.Model{Head: spec.Head{Pool: spec.Average, Activation: spec.None}, Preprocess: spec.Torchvision()}}
	bytes := &weights.Set{Spec: spec.ImageNet(), Int8: map[string]tensor.Of[int8]{"conv1.weight": {}}}
	lacking := "" // what is wrong with the CPU
	if !slices.Contains(cpu.Levels(), cpu.BF16) {
		lacking = "precision bf16 needs a CPU with the level bf16; this CPU"
	}
	for name, test := range map[string]struct {
		set     *weights.Set
		watch   *observe.Config
		problem string
		first   string
	}{
		"quantized":           {bytes, nil, "these weights are quantized; they support int8, not bf16", PrecisionInt8},
		"watched":             {&weights.Set{Spec: spec.ImageNet()}, new(observe.Config), lacking, PrecisionFP32},
		"not watched":         {&weights.Set{Spec: spec.ImageNet()}, nil, lacking, PrecisionBF16},
		"random":              {nil, nil, lacking, PrecisionBF16},
		"no labels, watched":  {features, new(observe.Config), "bf16 is adopted when its labels agree with those of fp32, but this model has none; use fp32", PrecisionFP32},
		"no labels":           {features, nil, lacking, PrecisionBF16},
		"watched incorrectly": {nil, &observe.Config{Pictures: -1}, "-1 pictures, want at least 1", PrecisionFP32},
	} {
		c := Config{Weights: test.set, Precision: PrecisionBF16, Observe: test.watch}.withDefaults()
		if err := c.validate(); (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.problem)
		}
		if got := c.first(); got != test.first {
			t.Errorf("%s: starts in %s, want %s", name, got, test.first)
		}
	}
}

// inFloats is a quantized model as one in float32, for pictures of 128 pixels: what emulated CPUs can do in a minute.
func inFloats(t *testing.T) *weights.Set {
	t.Helper()
	set := *ownModel(t, 3, spec.Softmax, []string{"a", "b", "c"})
	tensors := map[string]tensor.Tensor{}
	for name, values := range set.Tensors {
		if !strings.HasSuffix(name, "_scale") {
			tensors[name] = values
		}
	}
	for name, q := range set.Int8 {
		scale, each := set.Tensors[name+"_scale"].Data, len(q.Data)/q.Shape[0]
		w := tensor.New(q.Shape...)
		for i, v := range q.Data {
			w.Data[i] = float32(v) * scale[i/each]
			if name == "conv1.weight" { // which is for pixels of 0 to 255
				w.Data[i] *= 58
			}
		}
		tensors[name] = w
	}
	set.Tensors, set.Int8 = tensors, nil
	return &set
}

// TestBF16 takes an engine from fp32 to bf16 while it answers.
func TestBF16(t *testing.T) {
	t.Parallel()
	if err := CheckPrecision(PrecisionBF16); err != nil {
		t.Skip(err)
	}
	j := newJournal()
	e := open(t, Config{Weights: inFloats(t), Precision: PrecisionBF16, Concurrency: 1,
		Observe: &observe.Config{Pictures: 1, Agreement: 0.01, Share: -1, Changed: j.add}})
	if i := e.Info(); i.Precision != PrecisionFP32 || i.Quantization.Precision != PrecisionBF16 {
		t.Errorf("starts in %s, on the way to %s", i.Precision, i.Quantization.Precision)
	}
	until(t, e, j, observe.Adopted, func(i int) resnet18cloud.Image { return patches(t, uint64(i%50)) })
	r, err := e.Classify(t.Context(), patches(t, 1))
	if i := e.Info(); err != nil || r.Precision != PrecisionBF16 || i.Kernels != "bf16" {
		t.Errorf("answers in %q, error %v, with %s kernels; want bf16", r.Precision, err, i.Kernels)
	}
}
