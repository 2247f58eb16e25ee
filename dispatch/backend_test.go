package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// fixed is a backend whose replicas have certain models.
type fixed struct {
	inProcess
	answering forward.Answering
}

func (f fixed) Answering() forward.Answering { return f.answering }

// TestModels checks that a cached result is used only for the weights and the arithmetic that produced it.
func TestModels(t *testing.T) {
	t.Parallel()
	b := &fixed{}
	m := models{backend: b}
	if got := m.now(""); len(got) != 0 {
		t.Errorf("models before any answer: %q", got)
	}
	int8 := m.answered(resnet18cloud.Result{Model: "w", Precision: "int8"})
	fp32 := m.answered(resnet18cloud.Result{Model: "w", Precision: "fp32"})
	other := m.answered(resnet18cloud.Result{Model: "v", Precision: "int8"})
	hashed := m.answered(resnet18cloud.Result{Model: "v", Precision: "int8", ModelInfo: &resnet18cloud.ModelInfo{Version: "0a"}})
	if int8 == fp32 || int8 == other || fp32 == other || other == hashed {
		t.Errorf("identities %q, %q, %q, %q: models that may differ in a label share one", int8, fp32, other, hashed)
	}
	if diff := cmp.Diff([]string{int8}, m.now("")); diff != "" {
		t.Errorf("models without replicas that say theirs, the first to answer (-want +got):\n%s", diff)
	}
	both := []forward.Model{{Weights: "w", Precision: "fp32"}, {Weights: "v", Precision: "int8"}}
	for i, test := range []struct {
		models []forward.Model
		want   []string
	}{
		{both, []string{fp32, other}},
		{nil, []string{fp32, other}}, // no replica is left to ask
		{both[:1], []string{fp32}},
	} {
		b.answering = forward.Answering{Models: test.models, Healthy: len(test.models) > 0}
		if diff := cmp.Diff(test.want, m.now("")); diff != "" {
			t.Errorf("%d: models of the replicas (-want +got):\n%s", i, diff)
		}
	}
}

// TestCacheKey checks that the cache key of a result has the image and what is asked about it, by whatever name of the
// model.
func TestCacheKey(t *testing.T) {
	t.Parallel()
	digest := [32]byte{1, 2, 3}
	job := resnet18cloud.Job{Digest: digest, Image: resnet18cloud.Image{Want: resnet18cloud.Want{TopK: 3, Model: "trash"}}}
	if got, want := question(job), (cache.Question{Digest: digest, Want: resnet18cloud.Want{TopK: 3}}); got != want {
		t.Errorf("question = %v, want %v", got, want)
	}
}

func TestInProcess(t *testing.T) {
	t.Parallel()
	p := inProcess{slots: 3}
	if n, changed := p.Slots(); n != 3 || changed != nil {
		t.Errorf("Slots = %d, want 3 that never change", n)
	}
	if diff := cmp.Diff([]string{"in-process"}, p.Configured()); diff != "" || endpointURL(p) != "in-process" {
		t.Errorf("Configured (-want +got):\n%s", diff)
	}
	if p.Endpoints() != nil || len(p.Answering().Models) != 0 {
		t.Error("a classifier in this process has endpoints")
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Run(ctx); err != nil || time.Since(begun) != time.Second {
			t.Errorf("Run: %v after %s, want nil at its context's end", err, time.Since(begun))
		}
	})
}
