package jsqueue

import (
	"testing"
	"time"
)

// TestRemovedJobs checks for how long removed jobs are remembered, and that adding one is announced without waiting.
func TestRemovedJobs(t *testing.T) {
	t.Parallel()
	r := newRemovedJobs()
	if r.has("a") {
		t.Error("a new list has a job")
	}
	start := time.Unix(1_800_000_000, 0)
	for _, step := range []struct {
		add   string
		after time.Duration
		have  string
	}{
		{"a", 0, "a"},
		{"b", removedKept, "ab"},
		{"c", removedKept + 1, "abc"},
		{"d", 2 * removedKept, "abcd"},
		{"e", 2*removedKept + 2, "cde"},
		{"f", 9 * removedKept, "ef"},
	} {
		r.add(step.add, start.Add(step.after))
		have := ""
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			if r.has(name) {
				have += name
			}
		}
		if have != step.have {
			t.Errorf("after adding %s at %s: %q, want %q", step.add, step.after, have, step.have)
		}
	}
	select {
	case <-r.changed:
	default:
		t.Error("adding is not announced")
	}
}
