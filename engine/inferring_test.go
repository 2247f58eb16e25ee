package engine

import (
	"sync/atomic"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// TestInferring checks that an engine leaves the other CPUs to engines that infer at the same time, with the same answer, and
// that it counts itself out.
func TestInferring(t *testing.T) {
	t.Parallel()
	others := new(atomic.Int64)
	e := open(t, Config{Weights: ownModel(t, 3, spec.Softmax, nil), Concurrency: 2, Inferring: others})
	alone, err := e.Classify(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	parallel := e.parallel
	e.parallel.Close()
	e.parallel = nil
	e.parallel = e.network.NewRunner(1) // one that is not to be used: it has other features
	others.Store(1)
	beside, err := e.Classify(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.parallel.Features()) > 0 && e.parallel.Features()[0] != 0 {
		t.Error("inference took all CPUs beside another")
	}
	if parallel == nil || alone.Scores[0].Index != beside.Scores[0].Index || others.Load() != 1 {
		t.Errorf("class %d, beside another %d; %d counted, want 1", alone.Scores[0].Index, beside.Scores[0].Index, others.Load())
	}
}
