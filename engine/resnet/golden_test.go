package resnet

import (
	"encoding/binary"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

var export = flag.String("export", "", "write the golden test's weights to this safetensors file, for ../testdata/generate.py")

// goldenWeights is random weights as torchvision's model has them, with batch norm. They mean nothing, but they need no
// download. Seed 18 is the one of engines without weights.
func goldenWeights() *weights.Set { return withNorms(Random(18, spec.ImageNet())) }

// goldenPicture is generate.py's function of that name: a pattern of stripes and steps.
func goldenPicture(n int) []byte {
	rgb := make([]byte, 3*defaultSize*defaultSize)
	for y := range defaultSize {
		for x := range defaultSize {
			for c := range 3 {
				rgb[(y*defaultSize+x)*3+c] = byte(x*(3+c) + y*(5-c)*n + x*y>>(4+n))
			}
		}
	}
	return rgb
}

// TestGoldenLogits compares every level with the logits that torchvision computed with the same weights and pictures.
// ../testdata/generate.py wrote them.
func TestGoldenLogits(t *testing.T) {
	t.Parallel()
	set := goldenWeights()
	if *export != "" {
		f, err := os.Create(*export)
		if err != nil {
			t.Fatal(err)
		}
		if err := safetensors.Write(f, &safetensors.Content{Tensors: set.Tensors}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join("testdata", "logits.f32"))
	if err != nil {
		t.Fatal(err)
	}
	want := make([][defaultClasses]float32, len(data)/4/defaultClasses)
	if _, err := binary.Decode(data, binary.LittleEndian, want); err != nil || len(want) != 2 {
		t.Fatalf("logits of %d pictures, error %v", len(want), err)
	}
	p, err := Fold(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kernel.Sets() {
		n := fp32On(defaultSize, p, k)
		numbers := []int{1, 2, 3, 5}
		if k.Level == 0 && !slow || testing.Short() { // emulated CPUs are slow
			numbers = numbers[:1]
		}
		for _, threads := range numbers {
			r := n.NewRunner(threads)
			for i, want := range want { // the second picture must not see what the first left behind
				if k.Level == 0 && i > 0 && !slow {
					continue
				}
				var got [defaultClasses]float32
				r.Forward(got[:], goldenPicture(i))
				worst := 0.0
				for class, g := range got {
					worst = max(worst, math.Abs(float64(g-want[class])))
				}
				if worst > 2e-4 {
					t.Errorf("%s, %d threads, picture %d: a logit is off by %g", k.Level, threads, i, worst)
				}
				t.Logf("%s, %d threads, picture %d: largest difference %.1e", k.Level, threads, i, worst)
			}
			r.Close()
		}
	}
}
