package resnet

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func load(tb testing.TB, file string) *Params {
	tb.Helper()
	set, err := weights.Load(testutil.Shared(tb, "models", file))
	if err != nil {
		tb.Fatal(err)
	}
	defer set.Close()
	p, err := Fold(set)
	if err != nil {
		tb.Fatal(err)
	}
	return p.Clone()
}

// referenceLogits reads NumPy's file: torchvision's logits of the same pictures, in the same order.
func referenceLogits(tb testing.TB) [][defaultClasses]float32 {
	tb.Helper()
	data, err := os.ReadFile(testutil.Shared(tb, "reference", "logits_every16th.npy"))
	if err != nil {
		tb.Fatal(err)
	}
	header := 10 + int(binary.LittleEndian.Uint16(data[8:])) // magic, version, length, header
	all := make([][defaultClasses]float32, (len(data)-header)/4/defaultClasses)
	if _, err := binary.Decode(data[header:], binary.LittleEndian, all); err != nil {
		tb.Fatal(err)
	}
	return all
}

// TestTorchvisionsLogits compares the levels with torchvision's logits of real pictures: every third of 63, with the tag slow
// all of them and every eighth in plain Go.
func TestTorchvisionsLogits(t *testing.T) {
	t.Parallel()
	p := load(t, "resnet18-ktb.pth")
	names, pictures := testutil.Crops(t, 0)
	want := referenceLogits(t)
	if len(want) != len(pictures) {
		t.Fatalf("%d logits for %d pictures", len(want), len(pictures))
	}
	if testing.Short() { // under emulation
		pictures = pictures[:1]
	}
	for _, k := range quick(kernel.Sets()) {
		t.Run(k.Level.String(), func(t *testing.T) {
			t.Parallel()
			r := fp32On(defaultSize, p, k).NewRunner(1)
			defer r.Close()
			worst, every := 0.0, 3
			switch {
			case k.Level == 0:
				every = 8
			case slow:
				every = 1
			}
			for i, rgb := range pictures {
				if i%every != 0 {
					continue
				}
				var got [defaultClasses]float32
				r.Forward(got[:], rgb[:])
				for class, g := range got {
					d := math.Abs(float64(g - want[i][class]))
					if worst = max(worst, d); d > 2e-3 {
						t.Fatalf("%s: logit %d = %g, want %g", filepath.Base(names[i]), class, g, want[i][class])
					}
				}
			}
			t.Logf("largest difference %.1e", worst)
		})
	}
}

// TestWeightFilesAgree checks that all formats of the same weights are the same network.
func TestWeightFilesAgree(t *testing.T) {
	t.Parallel()
	_, pictures := testutil.Crops(t, 2)
	logits := func(file string) (all [][defaultClasses]float32) {
		n, err := New(load(t, file), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := n.NewRunner(1)
		defer r.Close()
		for _, rgb := range pictures {
			var l [defaultClasses]float32
			r.Forward(l[:], rgb[:])
			all = append(all, l)
		}
		return all
	}
	want := logits("resnet18-ktb.pth")
	for _, file := range []string{"resnet18-ktb-legacy.pth.gz", "resnet18-ktb.safetensors.gz", "resnet18-ktb.onnx.gz"} {
		for i, got := range logits(file) {
			for class, g := range got {
				if d := math.Abs(float64(g - want[i][class])); d > 1e-4 {
					t.Fatalf("%s: picture %d, logit %d differs by %g from the .pth file's", file, i, class, d)
				}
			}
		}
	}
}
