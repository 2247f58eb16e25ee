package spec_test

import (
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

func TestParsePreprocess(t *testing.T) {
	t.Parallel()
	for text, change := range map[string]func(*spec.Preprocess){
		"torchvision":                      func(*spec.Preprocess) {},
		"resize=235,interpolation=bicubic": func(p *spec.Preprocess) { p.Resize, p.Interpolation = 235, spec.Bicubic },
		"transformers, crop=160":           func(p *spec.Preprocess) { p.Interpolation, p.Center, p.Crop = spec.Bicubic, spec.Floor, 160 },
		"fastai":                           func(p *spec.Preprocess) { p.Mode, p.Resize = spec.Fill, 224 },
		"mode=squash,center=floor":         func(p *spec.Preprocess) { p.Mode, p.Center = spec.Squash, spec.Floor },
		"mean=0.5,std=0.25/0.5/1": func(p *spec.Preprocess) {
			p.Mean, p.Deviation = [3]float64{0.5, 0.5, 0.5}, [3]float64{0.25, 0.5, 1}
		},
		"orient=true,interpolation=nearest": func(p *spec.Preprocess) { p.Orient, p.Interpolation = true, spec.Nearest },
	} {
		want := spec.Torchvision()
		change(&want)
		got, err := spec.ParsePreprocess(text, spec.Torchvision())
		if err != nil || got != want {
			t.Errorf("ParsePreprocess(%q) = %v, %v, want %v", text, got, err, want)
		}
		if again, err := spec.ParsePreprocess(got.String(), spec.Preprocess{}); err != nil || again != got {
			t.Errorf("ParsePreprocess(%q) = %v, %v, want the same", got, again, err)
		}
	}
}

func TestParsePreprocessRefuses(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		"":                    `preprocessing "", want parts`,
		"bicubic":             `preprocessing "bicubic", want parts`,
		"size=224":            `preprocessing "size", want parts`,
		"crop=100":            "input of 100 pixels, want a multiple of 32 from 128 to 320",
		"crop=large":          `preprocessing crop=large: `,
		"mean=0.5/0.5":        "2 numbers, want one for each color",
		"std=a":               "std=a",
		"mean=123":            "not of 255",
		"interpolation=cubic": `interpolation "cubic", want`,
		"resize=100":          "resize to 100 pixels",
		"crop=160,fastai":     `preprocessing "fastai"`, // a name that would undo what stands before it
		"orient=maybe":        "orient=maybe",
	} {
		if got, err := spec.ParsePreprocess(text, spec.Torchvision()); err == nil || !strings.Contains(err.Error(), problem) || got != spec.Torchvision() {
			t.Errorf("ParsePreprocess(%q) = %v, %v, want an error with %q", text, got, err, problem)
		}
	}
}

func TestHeadString(t *testing.T) {
	t.Parallel()
	for want, h := range map[string]spec.Head{
		"average pooling, 1 layer, 6 outputs, softmax":                        spec.Linear(6),
		"average pooling, no classes: features only":                          {Pool: spec.Average},
		"max+average pooling, 2 layers with ReLU between, 6 outputs, sigmoid": {Pool: spec.MaxAverage, ReLU: []bool{true, false}, Classes: 6, Activation: spec.Sigmoid},
		"average pooling, 2 layers, 1 output, none":                           {Pool: spec.Average, ReLU: []bool{false, false}, Classes: 1, Activation: spec.None},
	} {
		if got := h.String(); got != want {
			t.Errorf("%+v is %q, want %q", h.Classes, got, want)
		}
	}
}

func FuzzParsePreprocess(f *testing.F) {
	f.Add("transformers,crop=160,mean=0.5/0.4/1e-3,std=1")
	f.Add(spec.Torchvision().String())
	f.Fuzz(func(t *testing.T, text string) {
		p, err := spec.ParsePreprocess(text, spec.Torchvision())
		if err != nil {
			return
		}
		if again, err := spec.ParsePreprocess(p.String(), spec.Preprocess{}); err != nil || again != p {
			t.Errorf("%q gives %v, which reads as %v, %v", text, p, again, err)
		}
	})
}
