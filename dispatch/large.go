package dispatch

import (
	"context"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// This file keeps large images from taking all slots. A replica decodes them beside its workers, so that others need
// not wait for them there; here they must not take the slots that others need. A job with a large image that comes from
// the queue while others have their share of the slots goes back to the queue.

// largeSlots returns how many of the slots large images may have.
func largeSlots(slots int) int { return max(slots/2, 1) }

// Delays before a returned job with a large image is delivered again. Each delivery reads the image from the queue's
// storage, so many jobs wait longer: up to ten wait 1 s, forty 4 s, a hundred and more 10 s.
const (
	minLargeRetry     = time.Second
	maxLargeRetry     = 10 * time.Second
	largeRetryForEach = 100 * time.Millisecond
)

// largeRetry returns the delay, given the number of waiting jobs.
func largeRetry(waiting int) time.Duration {
	return min(max(time.Duration(waiting)*largeRetryForEach, minLargeRetry), maxLargeRetry)
}

// admitLarge reports whether a job is processed now: any but one with a large image that finds others with their share
// of the slots, and may wait. Call done when the job has ended or is back in the queue.
func (d *Dispatcher) admitLarge(job resnet18cloud.Job, now time.Time) (done func(), admitted bool) {
	nothing := func() {}
	if !d.cfg.Large(job.Image) {
		return nothing, true
	}
	slots, _ := d.backend.Slots()
	if d.inFlight.addLarge(largeSlots(slots)) {
		return d.inFlight.removeLarge, true
	}
	return nothing, !d.inTime(job, now)
}

// inTime reports whether a job is not overdue: it may be processed, or wait longer.
func (d *Dispatcher) inTime(job resnet18cloud.Job, now time.Time) bool {
	return d.limits.overdue(store.Record{QueuedAt: job.QueuedAt, Deadline: job.Deadline}, now) == nil
}

// returnLarge returns a job to the queue. It has not been started, so this is no attempt.
func (d *Dispatcher) returnLarge(ctx context.Context, delivery queue.Delivery) {
	after := largeRetry(d.waiting().Total())
	if err := delivery.Nak(context.WithoutCancel(ctx), after); err != nil { // it will be delivered again all the same
		d.cfg.Log.WarnContext(ctx, "returning a job to the queue failed", "request_id", delivery.Job().ID, "error", err)
	}
}

// addLarge counts a job with a large image, and reports whether there are no more than most of them.
func (f *inFlight) addLarge(most int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.large >= most {
		return false
	}
	f.large++
	return true
}

func (f *inFlight) removeLarge() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.large--
}
