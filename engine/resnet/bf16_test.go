package resnet

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel16"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// bf16On packs weights for one level's kernels and a picture size.
func bf16On(size int, p *Params, k16 *kernel16.Set) *Network {
	sets := kernel.Sets()
	var work packing
	n := build(newPlan(size), p.top, bf16{fp32{p, sets[len(sets)-1]}, k16}, &work)
	work.do()
	return n
}

// changed is the squared change of logits, relative to their square.
func changed(got, want []float32) float64 {
	var distance, square float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		distance, square = distance+d*d, square+float64(w)*float64(w)
	}
	return distance / square
}

// The bounds of changed by bf16. On real pictures it is 7e-5; int8 changes logits by 9e-4. What is hardly changed was not rounded.
const (
	leastChange = 1e-6
	mostChange  = 3e-4
)

// TestBF16Sizes compares levels and numbers of threads with fp32 at several sizes.
func TestBF16Sizes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	sets := kernel.Sets()
	list := sizes()
	if !slow {
		list = list[:2] // plain Go is the only level on most machines
	}
	for _, size := range list {
		p, rgb := withModel(other(size)), noiseOf(size)
		exact, _ := logitsOf(t, fp32On(size, p, sets[len(sets)-1]), 1, rgb)
		for _, k16 := range quick(kernel16.Sets()) {
			n := bf16On(size, p, k16)
			var first []float32
			for _, threads := range []int{1, 3} {
				got, _ := logitsOf(t, n, threads, rgb)
				if change := changed(got, exact); change < leastChange || change > mostChange {
					t.Errorf("%s, %d pixels, %d threads: logits change by %.1e, want %g to %g", k16.Level, size, threads, change, leastChange, mostChange)
				}
				if first == nil {
					first = got
				}
				if !slices.Equal(got, first) {
					t.Errorf("%s, %d pixels: logits of %d threads differ from those of one", k16.Level, size, threads)
				}
			}
		}
	}
}

// TestBF16Labels compares best labels with torchvision's on real pictures: every sixteenth of 63, with the tag slow every fourth.
func TestBF16Labels(t *testing.T) {
	t.Parallel()
	p := load(t, "resnet18-ktb.pth")
	names, pictures := testutil.Crops(t, 0)
	want := referenceLogits(t)
	every := 16
	switch {
	case testing.Short(): // under emulation
		every = len(pictures)
	case slow:
		every = 4
	}
	for _, k16 := range quick(kernel16.Sets()) {
		t.Run(k16.Level.String(), func(t *testing.T) {
			t.Parallel()
			r := bf16On(defaultSize, p, k16).NewRunner(1)
			defer r.Close()
			worst := 0.0
			for i := 0; i < len(pictures); i += every {
				var got [defaultClasses]float32
				r.Forward(got[:], pictures[i][:])
				change := changed(got[:], want[i][:])
				if worst = max(worst, change); change > 4*mostChange { // of a single picture
					t.Errorf("%s: logits change by %.1e", filepath.Base(names[i]), change)
				}
				if g, w := best(got[:]), best(want[i][:]); g != w {
					t.Errorf("%s: best label %d, want %d", filepath.Base(names[i]), g, w)
				}
			}
			t.Logf("largest change %.1e", worst)
		})
	}
}

func best(logits []float32) int { return slices.Index(logits, slices.Max(logits)) }

// TestBF16NeedsTheCPU checks that weights are packed in bf16 only where the CPU multiplies such numbers.
func TestBF16NeedsTheCPU(t *testing.T) {
	t.Parallel()
	level, err := cpu.Best()
	if err != nil {
		t.Fatal(err)
	}
	w, err := random().BF16()
	if !level.Includes(cpu.BF16) {
		if err == nil || !strings.Contains(err.Error(), "precision bf16 needs a CPU with the level bf16; this CPU") {
			t.Errorf("BF16() = %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(w, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n.Precision() != "bf16" || n.Kernels() != "bf16" || n.Layers()[0].Algorithm != "winograd-7x7" || n.Layers()[1].Algorithm != "winograd2" {
		t.Errorf("%s with %s kernels, layers %+v", n.Precision(), n.Kernels(), n.Layers()[:2])
	}
}

func TestBF16AllocatesNothing(t *testing.T) {
	const size = 128
	sets := kernel16.Sets()
	p := withModel(other(size))
	r := bf16On(size, p, sets[len(sets)-1]).NewRunner(2)
	defer r.Close()
	rgb, logits := noiseOf(size), make([]float32, p.spec.Head.Classes)
	if allocs := testing.AllocsPerRun(1, func() { r.Forward(logits, rgb) }); allocs != 0 {
		t.Errorf("Forward allocates %v times", allocs)
	}
}
