package logs

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Interval is the time between two lines of a [Tally] about the same kind of event.
const Interval = time.Second

// Tally counts events of which there may be any number, so that they can have a line a second for each kind instead of one
// for each event. K tells kinds apart, V is what is known of the events of a kind since the last line. All methods are safe
// for concurrent use.
type Tally[K cmp.Ordered, V any] struct {
	some chan struct{} // holds a value if there are events since the last line

	mu    sync.Mutex
	since map[K]V // guarded by mu: since the last line
}

// NewTally returns an empty tally.
func NewTally[K cmp.Ordered, V any]() *Tally[K, V] {
	return &Tally[K, V]{some: make(chan struct{}, 1), since: map[K]V{}}
}

// Add counts an event: with replaces what is known of its kind, which is zero for the first one since the last line. It
// must not block.
func (t *Tally[K, V]) Add(kind K, with func(V) V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since[kind] = with(t.since[kind])
	select {
	case t.some <- struct{}{}:
	default:
	}
}

// Run calls write for each kind, in order, an interval after its first event, until ctx ends, and then for what is left.
func (t *Tally[K, V]) Run(ctx context.Context, write func(K, V)) {
	defer t.flush(write)
	for {
		select {
		case <-t.some:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(Interval):
			t.flush(write)
		case <-ctx.Done():
			return
		}
	}
}

func (t *Tally[K, V]) flush(write func(K, V)) {
	t.mu.Lock()
	since := t.since
	t.since = map[K]V{}
	t.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(since)) {
		write(kind, since[kind])
	}
}
