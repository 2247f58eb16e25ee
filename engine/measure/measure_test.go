package measure

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

func TestSpreadOf(t *testing.T) {
	t.Parallel()
	got := SpreadOf([]time.Duration{50, 10, 40, 20, 30})
	if want := (Spread{Median: 30, Low: 20, High: 40}); got != want {
		t.Errorf("SpreadOf = %+v, want %+v", got, want)
	}
	if got := SpreadOf(nil); got != (Spread{}) {
		t.Errorf("SpreadOf(nil) = %+v", got)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	networks, err := Networks(nil, nil)
	if err != nil || len(networks) != 2 {
		t.Fatal(len(networks), err)
	}
	for _, n := range networks {
		for _, test := range []struct{ threads, batch, layers int }{{2, 1, 21}, {2, 3, 0}} {
			if testing.Short() && test.batch > 1 && n == networks[1] {
				continue // in plain Go a pass takes a second
			}
			m, err := Run(n, test.threads, test.batch, 1)
			if err != nil {
				t.Fatal(err)
			}
			if m.Precision != n.Precision() || m.Threads != test.threads || m.Batch != test.batch || m.Pass.Median <= 0 ||
				m.Peak <= 0 || m.GMACs <= 0 || m.Images <= 0 || len(m.Layers) != test.layers {
				t.Errorf("Run = %+v", m)
			}
			for _, l := range m.Layers {
				if l.Time.Median <= 0 || l.GMACs <= 0 || l.MACs <= 0 {
					t.Errorf("layer %+v", l)
				}
			}
		}
	}
	for _, test := range [][3]int{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}} {
		if _, err := Run(networks[0], test[0], test[1], test[2]); err == nil {
			t.Errorf("Run(%v): no error", test)
		}
	}
}

// TestStages times a model that has no classes.
func TestStages(t *testing.T) {
	t.Parallel()
	m := spec.Model{Head: spec.Head{Pool: spec.Average, Activation: spec.None}, Preprocess: spec.Torchvision()}
	m.Preprocess.Crop = spec.MinSize
	scales := map[string]float32{}
	for _, name := range resnet.Activations() {
		scales[name] = 1.0 / 32
	}
	q, err := resnet.Quantize(resnet.Random(1, m), &resnet.Calibration{Scale: scales})
	if err != nil {
		t.Fatal(err)
	}
	set := q.Set()
	set.SHA256 = "0123456789"
	e, err := engine.New(engine.Config{Weights: set, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	path := filepath.Join(t.TempDir(), "black.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	stages, err := Stages(t.Context(), e, []string{path})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"decode", "preprocess", "inference"} {
		if stages[name].Median <= 0 {
			t.Errorf("%s took %v", name, stages[name].Median)
		}
	}
}
