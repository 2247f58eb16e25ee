package jsqueue

import (
	"context"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

const (
	// recountInterval is the time between two checks of the stream, to see what other dispatchers did.
	recountInterval = 500 * time.Millisecond
	// idleIntervals is the number of intervals between two checks while nothing happens.
	idleIntervals = 4
)

// recountLoop corrects the counts from the stream until ctx ends.
func (q *Queue) recountLoop(ctx context.Context) {
	ticker := time.NewTicker(recountInterval)
	defer ticker.Stop()
	var tallies [queue.Classes]tally
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for i := range q.lanes {
			l, t := &q.lanes[i], &tallies[i]
			if t.settled(l.changes.Load(), l.waiting.Load()) && n%idleIntervals != 0 {
				continue
			}
			before := l.changes.Load()
			asking, cancel := context.WithTimeout(ctx, 2*time.Second)
			pending, err := q.pending(asking, l)
			cancel()
			if err != nil {
				continue
			}
			if by := t.check(before, l.changes.Load(), l.waiting.Load(), pending+l.held.Load()); by != 0 {
				l.waiting.Add(by)
			}
		}
	}
}

// tally decides when a count is wrong. A small difference may be a job that is on its way while we check, so it is
// corrected only if several checks find it.
type tally struct {
	changes uint64  // of this process at the last check
	diffs   []int64 // actual minus counted in the last checks
}

// settledChecks is the number of consecutive checks that must find a difference before it is corrected.
const settledChecks = 3

// settled reports whether nothing has changed since the last check, which found an empty lane.
func (t *tally) settled(changes uint64, counted int64) bool {
	return counted == 0 && changes == t.changes && len(t.diffs) > 0 && t.diffs[len(t.diffs)-1] == 0
}

// check compares the counted with the actual number of waiting jobs. before and after are the number of local changes
// before and after the actual number was read. It returns the correction to the count.
func (t *tally) check(before, after uint64, counted, truth int64) int64 {
	diff := truth - counted
	t.changes = after
	if tolerance := int64(after-before) + 1; diff > tolerance || -diff > tolerance {
		t.diffs = nil
		return diff
	}
	t.diffs = append(t.diffs, diff)
	if len(t.diffs) > settledChecks {
		t.diffs = t.diffs[1:]
	}
	if len(t.diffs) < settledChecks {
		return 0
	}
	// The smallest difference that all checks agree on.
	by := max(0, slices.Min(t.diffs)) + min(0, slices.Max(t.diffs))
	if by != 0 {
		t.diffs = nil
	}
	return by
}
