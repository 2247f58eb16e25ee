package model

import (
	"fmt"
	"image"
	"image/png"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	files := []string{"a", "b", "c", "d", "e"}
	for n, want := range map[int][]string{1: {"a"}, 2: {"a", "c"}, 4: files[:4], 5: files[:4], 9: files[:4]} {
		chosen, others := choose(files, n)
		if !slices.Equal(chosen, want) || len(chosen)+len(others) != len(files) {
			t.Errorf("choose %d: %q and %q, want %q chosen", n, chosen, others, want)
		}
	}
}

// TestChooseOfFew checks that few files are all calibrated with.
func TestChooseOfFew(t *testing.T) {
	t.Parallel()
	for n := range 5 {
		if chosen, others := choose(make([]string, n), 9); len(chosen) != n || len(others) > 0 {
			t.Errorf("of %d files %d are chosen, %d are not", n, len(chosen), len(others))
		}
	}
}

func TestQuantizeNeedsImages(t *testing.T) {
	t.Parallel()
	if _, err := Quantize(t.Context(), QuantizeConfig{}); err == nil {
		t.Error("no images to calibrate with: no error")
	}
}

// noisy is a ResNet-18 with random weights, folded, and fully connected layers of the given widths.
func noisy(widths ...int) map[string]tensor.Tensor {
	r := rand.New(rand.NewPCG(1, 2))
	tensors := map[string]tensor.Tensor{}
	network := network18()
	for _, name := range slices.Sorted(maps.Keys(network)) { // in the same order each time, because of r
		t := network[name]
		layer, isWeight := strings.CutSuffix(name, ".weight")
		if !isWeight || len(t.Shape) != 4 {
			continue
		}
		w := tensor.New(t.Shape...)
		spread := math.Sqrt(6 / float64(len(w.Data)/w.Shape[0]))
		if strings.HasSuffix(layer, "conv2") {
			spread /= 2 // its output is added to another
		}
		for i := range w.Data {
			w.Data[i] = float32((2*r.Float64() - 1) * spread)
		}
		tensors[name], tensors[layer+".bias"] = w, tensor.New(w.Shape[0])
	}
	for i := range len(widths) - 1 {
		name := "fc"
		if len(widths) > 2 {
			name = fmt.Sprintf("fc.%d", i)
		}
		w := tensor.New(widths[i+1], widths[i])
		for j := range w.Data {
			w.Data[j] = float32(r.NormFloat64() / math.Sqrt(float64(widths[i])))
		}
		tensors[name+".weight"], tensors[name+".bias"] = w, tensor.New(widths[i+1])
	}
	return tensors
}

// pictures writes files of colored noise, and returns their names.
func pictures(t *testing.T, n int) (files []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		m := image.NewNRGBA(image.Rect(0, 0, 150+20*i, 140))
		r := rand.New(rand.NewPCG(uint64(i), 3))
		tint := [3]int{r.IntN(256), r.IntN(256), r.IntN(256)}
		for j := range m.Pix {
			m.Pix[j] = 255
			if color := j % 4; color < 3 {
				m.Pix[j] = byte((tint[color] + r.IntN(256)) / 2)
			}
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.png", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, m); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		files = append(files, f.Name())
	}
	return files
}

// TestQuantizeKeepsTheModel quantizes models unlike torchvision's: the file in 8 bits says the same of them, has their fully
// connected layers, and gives nearly their outputs.
func TestQuantizeKeepsTheModel(t *testing.T) {
	t.Parallel()
	small := spec.Preprocess{Mode: spec.Squash, Resize: 140, Crop: spec.MinSize, Interpolation: spec.Bicubic, Center: spec.Floor,
		Mean: [3]float64{0.5, 0.4, 0.3}, Deviation: [3]float64{0.5, 0.25, 0.125}}
	for name, test := range map[string]struct {
		model  spec.Model
		widths []int // of the fully connected layers
		want   string
	}{
		"several layers": {spec.Model{Labels: []string{"ant", "bee", "wasp"}, Preprocess: small,
			Head: spec.Head{Pool: spec.MaxAverage, ReLU: []bool{true, false}, Classes: 3, Activation: spec.Sigmoid}},
			[]int{1024, 40, 3}, "best label equal"},
		"no classes": {spec.Model{Preprocess: small, Head: spec.Head{Pool: spec.Average, Activation: spec.None}}, nil, "cosine between features"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exact, out := filepath.Join(t.TempDir(), "ants.safetensors"), filepath.Join(t.TempDir(), "int8.safetensors")
			metadata, err := describe.Encode(test.model, map[string]string{weights.MetaWeights: "ants", weights.MetaLicence: "mine", weights.MetaRevision: "abc", "note": "kept"})
			if err != nil {
				t.Fatal(err)
			}
			tensors := noisy(test.widths...)
			if err := Save(exact, &safetensors.Content{Tensors: tensors, Metadata: metadata}); err != nil {
				t.Fatal(err)
			}
			q, err := Quantize(t.Context(), QuantizeConfig{Model: exact, Images: pictures(t, 3), Calibrate: 1, Out: out})
			if err != nil {
				t.Fatal(err)
			}
			agreement, err := q.Compare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Log(agreement)
			if cosine := agreement.Cosine / float64(agreement.Pictures); agreement.Pictures != 2 || cosine < 0.99 || !strings.Contains(agreement.String(), test.want) {
				t.Errorf("%v, cosine %.4f, want 2 pictures, nearly 1, and %q", agreement, cosine, test.want)
			}
			r, err := Verify(out, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.model, r.Spec); diff != "" {
				t.Errorf("the model changed (-fp32 +int8):\n%s", diff)
			}
			for key, want := range map[string]string{weights.MetaWeights: "ants-int8", weights.MetaLicence: "mine", weights.MetaRevision: "abc",
				weights.MetaPrecision: "int8", "note": "kept"} {
				if r.Metadata[key] != want {
					t.Errorf("metadata %s is %q, want %q", key, r.Metadata[key], want)
				}
			}
			set, err := Load(out, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			dense := maps.Clone(tensors)
			maps.DeleteFunc(dense, func(name string, _ tensor.Tensor) bool { return !strings.HasPrefix(name, "fc") })
			for name, want := range dense {
				if !slices.Equal(set.Tensors[name].Data, want.Data) {
					t.Errorf("%s changed", name)
				}
			}
		})
	}
}
