package replica

import (
	"context"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// line is the bounded line in front of the workers. A request enters (or is refused), waits for its slot,
// works, and leaves. Slots are granted in order of asking, as senders to a channel are served in order.
type line struct {
	places chan struct{} // one element per request in the house, waiting or working
	slots  chan struct{} // one element per request at work

	mu      sync.Mutex
	service time.Duration // guarded by mu: smoothed time one image occupies a slot; 0 before the first
}

func newLine(slots, queue int) *line {
	return &line{places: make(chan struct{}, slots+queue), slots: make(chan struct{}, slots)}
}

// enter takes a place. When there is none the error says when the line of now will have been served.
func (l *line) enter() error {
	select {
	case l.places <- struct{}{}:
		return nil
	default:
		return l.full()
	}
}

// room returns the error of enter when there is no place now, and takes none.
func (l *line) room() error {
	if len(l.places) == cap(l.places) {
		return l.full()
	}
	return nil
}

func (l *line) full() error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full",
		Hint: "try another replica, or this one after retry_after seconds", RetryAfter: l.clearsIn()}
}

// leave gives the place back.
func (l *line) leave() { <-l.places }

// work waits for a slot, runs f in it, and learns from a success how long an image takes. It returns
// without running f when ctx ends first.
func (l *line) work(ctx context.Context, f func() error) error {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-l.slots }()
	start := time.Now()
	if err := f(); err != nil {
		return err // a refused image takes no time and would flatter the rate
	}
	l.learn(time.Since(start))
	return nil
}

// learn moves the smoothed service time an eighth of the way, as TCP does with its round trips (RFC 6298).
func (l *line) learn(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.service == 0 {
		l.service = d
	}
	l.service += (d - l.service) / 8
}

// clearsIn predicts when everybody now in the house will have been served: n requests, c at a time, each
// taking s, leave after n*s/c. Zero, unknown, before the first image.
func (l *line) clearsIn() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(len(l.places)) * l.service / time.Duration(cap(l.slots))
}

// working and waiting count requests, for the metrics; the difference of two moving numbers is never
// negative here.
func (l *line) working() int { return len(l.slots) }
func (l *line) waiting() int { return max(0, len(l.places)-len(l.slots)) }
