package engine

import (
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

func TestChooseFor(t *testing.T) {
	t.Parallel()
	for level, want := range map[cpu.Level]Choice{
		cpu.Generic:    {PrecisionFP32, "with generic int8 is 0.8 times as fast"},
		cpu.AVX2:       {PrecisionInt8, "with avx2 it is 1.5 times as fast as fp32"},
		cpu.AVXVNNI:    {PrecisionInt8, "with avxvnni it is 2.1 times as fast as fp32"},
		cpu.AVX512:     {PrecisionFP32, "with avx512 int8 is 0.5 times as fast"},
		cpu.AVX512VNNI: {PrecisionInt8, "with avx512vnni it is 2.1 times as fast as fp32"},
		cpu.NEON:       {PrecisionFP32, "the speed of int8 has not been measured with neon"},
		cpu.I8MM:       {PrecisionFP32, "the speed of int8 has not been measured with i8mm"},
		cpu.BF16:       {PrecisionFP32, "the speeds of int8 and bf16 have not been measured with bf16"},
	} {
		if got := chooseFor(level); got != want {
			t.Errorf("chooseFor(%s) = %+v, want %+v", level, got, want)
		}
	}
}

// TestChoose checks what weights allow before the CPU is asked.
func TestChoose(t *testing.T) {
	t.Parallel()
	level, err := cpu.Best()
	if err != nil {
		t.Fatal(err)
	}
	floats := &weights.Set{Spec: spec.ImageNet()}
	features := &weights.Set{Spec: spec.Model{Head: spec.Head{Pool: spec.Average, Activation: spec.None}, Preprocess: spec.Torchvision()}}
	bytes := &weights.Set{Spec: spec.ImageNet(), Int8: map[string]tensor.Of[int8]{"conv1.weight": {}}}
	for name, test := range map[string]struct {
		set   *weights.Set
		watch *observe.Config
		want  Choice
	}{
		"quantized":     {bytes, nil, Choice{PrecisionInt8, "the weights are quantized"}},
		"random":        {nil, new(observe.Config), Choice{PrecisionFP32, "the weights are random"}},
		"no classes":    {features, new(observe.Config), Choice{PrecisionFP32, "the model has no labels by which int8 could be checked"}},
		"no observer":   {floats, nil, Choice{PrecisionFP32, "the weights are not quantized"}},
		"as the CPU is": {floats, new(observe.Config), chooseFor(level)},
	} {
		c := Config{Weights: test.set, Precision: PrecisionAuto, Observe: test.watch}
		if got := c.choose(); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
		c = c.withDefaults()
		if err := c.validate(); err != nil || c.Precision != test.want.Precision {
			t.Errorf("%s: precision %q, error %v, want %s", name, c.Precision, err, test.want.Precision)
		}
		if c.observes() != (name == "as the CPU is" && test.want.Precision == PrecisionInt8) {
			t.Errorf("%s: calibrates: %t", name, c.observes())
		}
	}
}

// TestAutoIsExplained checks that an engine says what it chose only if it was asked to choose.
func TestAutoIsExplained(t *testing.T) {
	t.Parallel()
	for precision, want := range map[string]string{PrecisionAuto: "fp32: the weights are random", PrecisionFP32: "", "": ""} {
		i, err := Config{Precision: precision}.withDefaults().info()
		if err != nil || i.Why != want {
			t.Errorf("precision %q: %q, error %v, want %q", precision, i.Why, err, want)
		}
	}
	watched := Config{Weights: &weights.Set{Spec: spec.ImageNet()}, Precision: PrecisionInt8, Observe: new(observe.Config), why: "because"}
	if got := watched.reason(); got != "int8 once its labels are shown to agree: because" {
		t.Errorf("while it calibrates: %q", got)
	}
	cpu, err := DescribeCPU()
	if err != nil || cpu.Auto.Precision == "" || !strings.Contains(cpu.Auto.Why, "with ") {
		t.Errorf("DescribeCPU() = %+v, %v, want a precision and why", cpu, err)
	}
}
