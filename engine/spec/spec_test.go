package spec_test

import (
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := spec.ImageNet().Validate(); err != nil {
		t.Errorf("ImageNet: %v", err)
	}
	for name, test := range map[string]struct {
		change  func(*spec.Model)
		problem string
	}{
		"labels":          {func(m *spec.Model) { m.Labels = make([]string, 5) }, "5 labels for 1000 classes"},
		"crop":            {func(m *spec.Model) { m.Preprocess.Crop = 200 }, "input of 200 pixels"},
		"resize":          {func(m *spec.Model) { m.Preprocess.Resize = 223 }, "resize to 223 pixels"},
		"mean of 255":     {func(m *spec.Model) { m.Preprocess.Mean[1] = 116.28 }, "not of 255"},
		"mode":            {func(m *spec.Model) { m.Preprocess.Mode = "" }, "mode"},
		"interpolation":   {func(m *spec.Model) { m.Preprocess.Interpolation = "lanczos" }, `"lanczos"`},
		"center":          {func(m *spec.Model) { m.Preprocess.Center = "" }, "rounding"},
		"one softmax":     {func(m *spec.Model) { m.Head.Classes = 1 }, "always 1"},
		"no layers":       {func(m *spec.Model) { m.Head.ReLU = nil }, "1000 classes after 0 layers"},
		"too many":        {func(m *spec.Model) { m.Head.Classes = 2001 }, "2001 classes"},
		"last ReLU":       {func(m *spec.Model) { m.Head.ReLU[0] = true }, "ReLU after the last layer"},
		"pool":            {func(m *spec.Model) { m.Head.Pool = "" }, "pooling"},
		"activation":      {func(m *spec.Model) { m.Head.Activation = "tanh" }, `"tanh"`},
		"normalize":       {func(m *spec.Model) { m.Head.Normalize = -1 }, "length -1 of normalized"},
		"neighbors":       {func(m *spec.Model) { m.Head.Unknown.Neighbors = -1 }, "-1 neighbors"},
		"threshold":       {func(m *spec.Model) { m.Head.Unknown.Threshold = 3 }, "distance of 3"},
		"deviation of 0":  {func(m *spec.Model) { m.Preprocess.Deviation[2] = 0 }, "deviation"},
		"mean of nothing": {func(m *spec.Model) { m.Preprocess.Mean[0] /= 0 * m.Preprocess.Mean[0] }, "mean"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := spec.ImageNet()
			test.change(&m)
			if err := m.Validate(); err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("Validate: %v, want an error with %q", err, test.problem)
			}
		})
	}
}

func TestLabel(t *testing.T) {
	t.Parallel()
	m := spec.Model{Head: spec.Linear(2)}
	if got := m.Label(1); got != "class 1" {
		t.Errorf("without labels: %q", got)
	}
	m.Labels = []string{"ant", "bee"}
	if got := m.Label(1); got != "bee" {
		t.Errorf("with labels: %q", got)
	}
}
