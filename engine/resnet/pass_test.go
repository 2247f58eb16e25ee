package resnet

import (
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// TestPassIsOneBlock checks that the memory of a pass is counted as it is taken: all of it is in one block, where it shares huge pages.
func TestPassIsOneBlock(t *testing.T) {
	t.Parallel()
	params, err := Fold(goldenWeights())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kernel.Sets() {
		for _, size := range []int{64, 224, 320} {
			for _, workers := range []int{1, 2, 5} {
				n := fp32On(size, params, k)
				s := n.program.(*steps[float32, float32, float32])
				counted, taken := 0, 0
				s.memory(&fp32Pass{team: &team{workers: workers}}, func(bytes int) []byte {
					counted += aligned(bytes)
					return nil
				})
				p := fp32Pass{team: &team{workers: workers}}
				s.memory(&p, func(bytes int) []byte {
					taken += aligned(bytes)
					return make([]byte, bytes)
				})
				if counted != taken || counted == 0 {
					t.Errorf("%s, %d pixels, %d workers: %d bytes were counted, %d taken", k.Level, size, workers, counted, taken)
				}
				if len(p.workspaces) != workers {
					t.Errorf("%s: %d workspaces of %d workers", k.Level, len(p.workspaces), workers)
				}
			}
		}
	}
}
