package resnet

import (
	"fmt"
	"math"
	"testing"
	"unsafe"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// TestPassIsOneBlock checks that the memory of a pass is counted as it is taken: all of it is in one block, where it shares huge pages, and
// each part begins a cache line.
func TestPassIsOneBlock(t *testing.T) {
	t.Parallel()
	params, err := Fold(goldenWeights())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kernel.Sets() {
		for _, size := range []int{64, 224} {
			n := fp32On(size, params, k)
			for _, workers := range []int{1, 2, 5} {
				t.Run(fmt.Sprintf("%s, %d pixels, %d workers", k.Level, size, workers), func(t *testing.T) {
					s := n.program.(*steps[float32, float32, float32])
					p := s.newPass(&team{workers: workers}, nil).(*fp32Pass)
					if len(p.workspaces) != workers {
						t.Fatalf("%d workspaces", len(p.workspaces))
					}
					end := uintptr(unsafe.Pointer(&p.stages[0][0].data[0]))
					follows := func(what string, x []float32) {
						if len(x) == 0 {
							return
						}
						if first := uintptr(unsafe.Pointer(&x[0])); first != end {
							t.Errorf("%s begin %d bytes after what is before", what, int(first-end))
						}
						end = uintptr(unsafe.Pointer(&x[0])) + uintptr(4*len(x)+63)&^63
					}
					for _, stage := range p.stages {
						for _, a := range stage {
							follows("activations", a.data)
						}
					}
					for i := range p.workspaces {
						w := &p.workspaces[i]
						follows("pixels", w.input)
						for _, row := range w.rows {
							follows("rows", row)
						}
						follows("transformed tiles", w.v)
						follows("sums", w.sums)
					}
				})
			}
		}
	}
}

// TestArenaAligns checks that allocations of any length start at a multiple of 64, in a block and in the next one.
func TestArenaAligns(t *testing.T) {
	t.Parallel()
	a := arena{newBlock(4096)}
	for n := range 130 {
		x := a.take(n)
		if len(x) != n || cap(x) != n {
			t.Fatalf("%d bytes have length %d and capacity %d", n, len(x), cap(x))
		}
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(x))); n > 0 && at%64 != 0 {
			t.Errorf("%d bytes begin %d after a multiple of 64", n, at%64)
		}
	}
}

// TestPassesForgetPictures passes two pictures by turns through heads that scale or compare what they pool, on more threads than there are
// rows of tiles, and compares with one thread: nothing of a picture is left for the next, and no worker uses what another has not finished.
func TestPassesForgetPictures(t *testing.T) {
	t.Parallel()
	pictures := [][]byte{noiseOf(spec.MinSize), make([]byte, 3*spec.MinSize*spec.MinSize)}
	for name, head := range heads {
		if head.Normalize == 0 && head.Pool != spec.MaxAverage {
			continue
		}
		m := other(spec.MinSize)
		m.Head = head
		n := fp32On(spec.MinSize, withModel(m), kernel.For(fastest(t)))
		if n.Classes() == 0 {
			continue
		}
		var want [2][]float32
		for i, rgb := range pictures {
			r := n.NewRunner(1)
			want[i] = make([]float32, n.Classes())
			r.Forward(want[i], rgb)
			r.Close()
		}
		for threads, passes := range map[int]int{1: 2, 2: 12, 9: 2} {
			r := n.NewRunner(threads)
			got := make([]float32, n.Classes())
			for i := range passes {
				r.Forward(got, pictures[i%2])
				for class, g := range got {
					if w := want[i%2][class]; math.Abs(float64(g-w)) > 1e-5*max(1, math.Abs(float64(w))) {
						t.Fatalf("%s, %d threads, picture %d: logit %d is %g, want %g", name, threads, i, class, g, w)
					}
				}
			}
			r.Close()
		}
	}
}

func fastest(t *testing.T) cpu.Level {
	t.Helper()
	level, err := cpu.Best()
	if err != nil {
		t.Fatal(err)
	}
	return level
}
