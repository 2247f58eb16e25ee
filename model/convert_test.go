package model

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// network18 is a ResNet-18 with three classes, 45 MB of weights that are nearly all zero.
var network18 = sync.OnceValue(func() map[string]tensor.Tensor {
	tensors := map[string]tensor.Tensor{}
	add := func(name string, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		tensors[name] = tensor.Tensor{Shape: shape, Data: make([]float32, n)}
	}
	norm := func(name string, channels int) {
		for _, part := range []string{"weight", "bias", "running_mean", "running_var"} {
			add(name+"."+part, channels)
		}
	}
	add("conv1.weight", 64, 3, 7, 7)
	norm("bn1", 64)
	in := 64
	for layer := range 4 {
		out := 64 << layer
		for block := range 2 {
			name := fmt.Sprintf("layer%d.%d.", layer+1, block)
			add(name+"conv1.weight", out, in, 3, 3)
			norm(name+"bn1", out)
			add(name+"conv2.weight", out, out, 3, 3)
			norm(name+"bn2", out)
			if in != out {
				add(name+"downsample.0.weight", out, in, 1, 1)
				norm(name+"downsample.1", out)
			}
			in = out
		}
	}
	add("fc.weight", 3, 512)
	add("fc.bias", 3)
	tensors["fc.bias"].Data[1] = 2
	return tensors
})

// save18 writes network18 with metadata, and other tensors if they are given.
func save18(t *testing.T, path string, metadata map[string]string, others map[string]tensor.Tensor) {
	t.Helper()
	tensors := maps.Clone(network18())
	maps.Copy(tensors, others)
	if err := Save(path, &safetensors.Content{Tensors: tensors, Metadata: metadata}); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConvertIsLossless converts a model that a folder and options describe, and its result again.
func TestConvertIsLossless(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	first, second, third := filepath.Join(from, "named.bin"), filepath.Join(to, "2"), filepath.Join(to, "3")
	save18(t, first, map[string]string{"note": "kept", "classes": `["x", "y", "z"]`}, nil)
	write(t, filepath.Join(from, "preprocessor_config.json"), `{"size": {"height": 160, "width": 160}, "resample": 3}`)
	labels := write(t, filepath.Join(from, "labels.txt"), "ant\nbee\nfly\n")
	if err := Convert(first, second, Options{Labels: labels, Activation: "sigmoid"}); err != nil {
		t.Fatal(err)
	}
	want := spec.Model{Labels: []string{"ant", "bee", "fly"}, Head: spec.Linear(3), Preprocess: spec.Preprocess{Mode: spec.Squash, Resize: 160, Crop: 160,
		Interpolation: spec.Bicubic, Center: spec.Floor, Mean: [3]float64{0.5, 0.5, 0.5}, Deviation: [3]float64{0.5, 0.5, 0.5}}}
	want.Head.Activation = spec.Sigmoid
	set, err := Load(second, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if !cmp.Equal(set.Spec, want) {
		t.Errorf("converted model is %+v, want %+v", set.Spec, want)
	}
	if set.Version() != set.SHA256 {
		t.Errorf("version %s of a file that says all, want its hash %s", set.Version(), set.SHA256)
	}
	if set.Metadata["note"] != "kept" || set.Metadata["classes"] != "" || set.Metadata[weights.MetaWeights] != "named" || set.Metadata["format"] != "pt" {
		t.Errorf("metadata %v", set.Metadata)
	}
	for name, w := range network18() {
		if got := set.Tensors[name]; !cmp.Equal(got.Shape, w.Shape) || !bytes.Equal(floats(got), floats(w)) {
			t.Errorf("%s changed", name)
		}
	}
	if err := Convert(second, third, Options{}); err != nil {
		t.Fatal(err)
	}
	a, errA := os.ReadFile(second)
	b, errB := os.ReadFile(third)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("converting a converted file changed it (%v, %v)", errA, errB)
	}
}

// floats are the numbers of a tensor as comparable bytes.
func floats(t tensor.Tensor) []byte {
	b := make([]byte, 0, 4*len(t.Data))
	for _, x := range t.Data {
		bits := math.Float32bits(x)
		b = append(b, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	}
	return b
}

func TestLoadRefusesOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "m.safetensors")
	save18(t, file, nil, nil)
	for name, test := range map[string]struct {
		options Options
		problem string
	}{
		"too few labels":  {Options{Labels: write(t, filepath.Join(dir, "two"), "a\nb")}, "2 labels for 3 classes"},
		"no labels":       {Options{Labels: write(t, filepath.Join(dir, "none"), "")}, "none: no labels: the file is empty"},
		"labels missing":  {Options{Labels: filepath.Join(dir, "missing")}, "read labels: "},
		"labels a folder": {Options{Labels: dir}, "read labels: "},
		"preprocess":      {Options{Preprocess: "crop=7"}, "input of 7 pixels"},
		"activation":      {Options{Activation: "tanh"}, `activation "tanh"`},
	} {
		if _, err := Load(file, test.options); err == nil || !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.problem)
		}
	}
}

func TestVerifyFindsNaN(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "w")
	save18(t, path, nil, map[string]tensor.Tensor{"fc.bias": {Shape: []int{3}, Data: []float32{1, float32(math.NaN()), 3}}})
	r, err := Verify(path, Options{})
	if err == nil || !strings.Contains(err.Error(), `fc.bias`) || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("Verify: error %v, want one that names the number", err)
	}
	if r.Format != weights.FormatSafetensors || r.Parameters < 11_000_000 || r.Spec.Head.Classes != 3 {
		t.Errorf("report %+v lacks what was found before", r)
	}
}

// TestConvertName checks that a converted file has the name that it is given, and that the name is part of what the file says.
func TestConvertName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out, again := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors"), filepath.Join(dir, "again.safetensors")
	save18(t, in, map[string]string{"weights": "old"}, nil)
	for _, bad := range []string{"a b", "a@1", "../a", strings.Repeat("a", 65), "-a"} {
		if err := ConvertWith(in, out, Extra{Name: bad}, Options{}); err == nil || !strings.Contains(err.Error(), "want up to 64 letters") {
			t.Errorf("name %q: %v", bad, err)
		}
	}
	if err := ConvertWith(in, out, Extra{Name: "trash-2.1"}, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := Convert(out, again, Options{}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{in: "old", out: "trash-2.1", again: "trash-2.1"} {
		r, err := Verify(path, Options{})
		if name, _, _ := strings.Cut(r.Identity, "@"); err != nil || name != want {
			t.Errorf("%s has the name %s, %v; want %s", filepath.Base(path), name, err, want)
		}
	}
}

// TestConvertRefuses checks that a conversion does not write over a model in another format, nor weights that cannot be served.
func TestConvertRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, pth, nan := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "mine.PTH"), filepath.Join(dir, "nan.safetensors")
	save18(t, in, nil, nil)
	write(t, pth, "precious")
	for name, convert := range map[string]func() error{
		"Convert":     func() error { return Convert(in, pth, Options{}) },
		"ConvertWith": func() error { return ConvertWith(in, pth, Extra{}, Options{}) },
	} {
		if err := convert(); err == nil || !strings.Contains(err.Error(), "a name such as mine.safetensors") {
			t.Errorf("%s to a file named .PTH: error %v", name, err)
		}
	}
	if data, err := os.ReadFile(pth); err != nil || string(data) != "precious" {
		t.Errorf("the file that was there before has %.20q, %v", data, err)
	}
	save18(t, nan, nil, map[string]tensor.Tensor{"fc.bias": {Shape: []int{3}, Data: []float32{1, float32(math.NaN()), 3}}})
	out := filepath.Join(dir, "out.safetensors")
	if err := Convert(nan, out, Options{}); err == nil || !strings.Contains(err.Error(), "is NaN") {
		t.Errorf("converted NaN: error %v", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("weights with NaN were written (%v)", err)
	}
}
