package queue_test

import (
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

func TestDedupID(t *testing.T) {
	t.Parallel()
	for generation, want := range map[int]string{0: "id", 1: "id.1", 12: "id.12"} {
		if got := queue.DedupID(resnet18cloud.Job{ID: "id", Generation: generation}); got != want {
			t.Errorf("DedupID of generation %d = %q, want %q", generation, got, want)
		}
	}
}

// TestTurns checks that every eighth delivery is a bulk job while both priorities have jobs.
func TestTurns(t *testing.T) {
	t.Parallel()
	var turns queue.Turns
	for delivery := range 3 * 8 {
		want := resnet18cloud.PriorityInteractive
		if delivery%8 == 7 {
			want = resnet18cloud.PriorityBulk
		}
		got := resnet18cloud.PriorityInteractive
		if turns.Bulk() {
			got = resnet18cloud.PriorityBulk
		}
		if got != want {
			t.Fatalf("delivery %d is %s, want %s", delivery, got, want)
		}
		turns.Took(got)
	}
	// A bulk job that was delivered because nothing else waited also counts as bulk's turn.
	turns.Took(resnet18cloud.PriorityInteractive)
	turns.Took(resnet18cloud.PriorityBulk)
	for delivery := range 7 {
		if turns.Bulk() {
			t.Fatalf("bulk again after %d interactive deliveries, want 7", delivery)
		}
		turns.Took(resnet18cloud.PriorityInteractive)
	}
	if !turns.Bulk() {
		t.Error("no bulk after 7 interactive deliveries")
	}
}
