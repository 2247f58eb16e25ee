package jsqueue

import (
	"context"
	"slices"
	"time"
)

const (
	// lookInterval is the time between two looks at the stream, for what other dispatchers did.
	lookInterval = 500 * time.Millisecond
	// lookIdle is how many intervals go by between two looks while nothing happens.
	lookIdle = 4
)

// look corrects the counts by what the stream says, until ctx ends.
func (q *Queue) look(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	var tallies [len(priorities)]tally
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for i := range q.lanes {
			l, t := &q.lanes[i], &tallies[i]
			if t.settled(l.changes.Load(), l.waiting.Load()) && n%lookIdle != 0 {
				continue
			}
			before := l.changes.Load()
			asking, cancel := context.WithTimeout(ctx, 2*time.Second)
			pending, err := q.pending(asking, l)
			cancel()
			if err != nil {
				continue
			}
			if by := t.look(before, l.changes.Load(), l.waiting.Load(), pending+l.held.Load()); by != 0 {
				l.waiting.Add(by)
			}
		}
	}
}

// tally decides when a count is wrong. A difference to the truth may only be a job on its way between here
// and the stream while we look, so one that such changes explain is believed when it stays.
type tally struct {
	changes uint64  // of this process when it last looked
	diffs   []int64 // between truth and count in the last looks
}

// settledLooks is how many looks in a row must show a difference before it is believed.
const settledLooks = 3

// settled reports whether nothing has happened here since the last look, which found an empty lane.
func (t *tally) settled(changes uint64, counted int64) bool {
	return counted == 0 && changes == t.changes && len(t.diffs) > 0 && t.diffs[len(t.diffs)-1] == 0
}

// look takes what was counted and the truth, between two readings of the number of changes that this
// process made. It returns by how much the count is to be corrected.
func (t *tally) look(before, after uint64, counted, truth int64) int64 {
	diff := truth - counted
	t.changes = after
	if tolerance := int64(after-before) + 1; diff > tolerance || -diff > tolerance {
		t.diffs = nil
		return diff
	}
	t.diffs = append(t.diffs, diff)
	if len(t.diffs) > settledLooks {
		t.diffs = t.diffs[1:]
	}
	if len(t.diffs) < settledLooks {
		return 0
	}
	// The least difference that all looks show.
	by := max(0, slices.Min(t.diffs)) + min(0, slices.Max(t.diffs))
	if by != 0 {
		t.diffs = nil
	}
	return by
}
