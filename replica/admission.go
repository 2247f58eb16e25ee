package replica

import (
	"context"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// admission limits the requests that wait for and use the workers. A request is admitted or rejected, waits for a
// slot, is processed, and leaves. Slots are granted in order of arrival, because senders to a channel are served in
// order.
type admission struct {
	places chan struct{} // one element per admitted request, waiting or being processed
	slots  chan struct{} // one element per request being processed

	mu      sync.Mutex
	service time.Duration // guarded by mu: smoothed time an image occupies a slot; 0 before the first image
	busy    time.Duration // guarded by mu: sum of the times for which slots were taken
}

func newAdmission(slots, queue int) *admission {
	return &admission{places: make(chan struct{}, slots+queue), slots: make(chan struct{}, slots)}
}

// enter admits a request. If the queue is full, the error has the time until the current requests are done.
func (a *admission) enter() error {
	select {
	case a.places <- struct{}{}:
		return nil
	default:
		return a.full()
	}
}

// check returns the error of enter if the queue is full, without admitting a request.
func (a *admission) check() error {
	if len(a.places) == cap(a.places) {
		return a.full()
	}
	return nil
}

func (a *admission) full() error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full",
		Hint: "try another replica, or retry after retry_after seconds", RetryAfter: a.clearsIn()}
}

// leave ends an admitted request.
func (a *admission) leave() { <-a.places }

// visit is an admitted request, for one goroutine.
type visit struct {
	*admission
	start time.Time // when it took its slot; zero if it has none
}

// work waits for a slot, runs f in it, and updates the service time if f succeeds. If ctx ends first, it returns
// without running f.
func (v *visit) work(ctx context.Context, f func() error) error {
	if err := v.take(ctx); err != nil {
		return err
	}
	defer v.giveBack()
	if err := f(); err != nil {
		return err // a rejected image takes no time and would distort the mean
	}
	v.observe(time.Since(v.start))
	return nil
}

// move leaves place and slot to others, while work runs, and waits for those of another admission. It does nothing if
// the request is there.
func (v *visit) move(ctx context.Context, to *admission) error {
	if v.admission == to {
		return nil
	}
	if err := to.enter(); err != nil {
		return err
	}
	v.giveBack()
	v.leave()
	v.admission = to
	return v.take(ctx)
}

// take waits for a slot.
func (v *visit) take(ctx context.Context) error {
	select {
	case v.slots <- struct{}{}:
		v.start = time.Now()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// giveBack gives the slot to the next request.
func (v *visit) giveBack() {
	if v.start.IsZero() {
		return
	}
	<-v.slots
	v.mu.Lock()
	defer v.mu.Unlock()
	v.busy += time.Since(v.start)
	v.start = time.Time{}
}

// busyTime returns the sum of the times for which slots were taken, without those that are taken now.
func (a *admission) busyTime() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.busy
}

// observe updates the smoothed service time with a weight of 1/8, as TCP does with round-trip times (RFC 6298).
func (a *admission) observe(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.service == 0 {
		a.service = d
	}
	a.service += (d - a.service) / 8
}

// clearsIn predicts when all admitted requests are done: n requests, c at a time, each taking s, are done after
// n*s/c. Zero means unknown, before the first image.
func (a *admission) clearsIn() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Duration(len(a.places)) * a.service / time.Duration(cap(a.slots))
}

// working and waiting return the number of requests, for the metrics. The two channels change independently, so the
// difference is limited to zero or more.
func (a *admission) working() int { return len(a.slots) }
func (a *admission) waiting() int { return max(0, len(a.places)-len(a.slots)) }
