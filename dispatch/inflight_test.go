package dispatch

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestInFlight(t *testing.T) {
	t.Parallel()
	f := newInFlight()
	add := func(id string, generation int) (*takenJob, context.Context) {
		ctx, stop := context.WithCancelCause(t.Context())
		return f.add(resnet18cloud.Job{ID: id, Generation: generation}, stop), ctx
	}
	old, oldCtx := add("a", 0)
	again, againCtx := add("a", 0) // delivered twice
	restart, restartCtx := add("a", 1)
	_, otherCtx := add("b", 0)
	if diff := cmp.Diff(map[string]struct{}{"a": {}, "b": {}}, f.ids()); diff != "" || f.size() != 4 {
		t.Errorf("%d jobs, ids (-want +got):\n%s", f.size(), diff)
	}

	f.remove(old)
	select {
	case <-f.freed:
	default:
		t.Error("no signal that a job has left")
	}
	f.cancel("a", 0)
	if !errors.Is(context.Cause(againCtx), errCancelled) {
		t.Errorf("the other delivery goes on: %v", context.Cause(againCtx))
	}
	for name, ctx := range map[string]context.Context{"one that has left": oldCtx, "the next generation": restartCtx, "another request": otherCtx} {
		if ctx.Err() != nil {
			t.Errorf("%s was cancelled", name)
		}
	}
	f.cancel("never", 0)
	f.remove(again)
	f.remove(restart) // no goroutine has received the signal yet
	if diff := cmp.Diff(map[string]struct{}{"b": {}}, f.ids()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}
