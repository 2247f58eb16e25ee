package dispatch

import (
	"errors"
	"fmt"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// This file holds the rules of a request's life. They are functions of the record, the time and the limits; worker.go,
// submit.go, result.go and books.go carry out what they decide.

// limits bound a request's life.
type limits struct {
	attempts int           // how often a dispatcher may begin to work on a request
	wait     time.Duration // how long a request may wait for a replica
	submit   time.Duration // how long it may take to queue the job of a request
	silence  time.Duration // how long another dispatcher may work on a request unheard; 0 when there is no other
}

func (c Config) limits() limits {
	l := limits{attempts: c.Attempts, wait: c.ResultTTL / 2, submit: c.SubmitTimeout, silence: c.RedeliverAfter}
	if c.Queue == nil && c.NATS.URL == "" { // the queue is this process's own
		l.silence = 0
	}
	return l
}

// readerGrace is how much later than the worker of a request others may end it.
const readerGrace = 250 * time.Millisecond

// overdue says why a request that has not ended can only fail at the time now. It returns nil while it may succeed.
func (l limits) overdue(r store.Record, now time.Time) *resnet18cloud.Error {
	switch {
	case !r.Deadline.IsZero() && !now.Before(r.Deadline):
		return &resnet18cloud.Error{Code: resnet18cloud.CodeDeadline, Message: "Deadline passed before the image was classified",
			Hint: "grant more time, or send fewer images at a time"}
	case now.Sub(r.QueuedAt) > l.wait:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "No replica took the image in time",
			Hint: "see the endpoints in /status"}
	}
	return nil
}

// overdueForReaders is overdue for those who do not work on the request: they leave its worker the time to end it.
func (l limits) overdueForReaders(r store.Record, now time.Time) *resnet18cloud.Error {
	return l.overdue(r, now.Add(-readerGrace))
}

// waitLimit is how long a client that grants limit waits for the end of a request: until somebody may end it because of
// its deadline, if that is sooner.
func waitLimit(r store.Record, now time.Time, limit time.Duration) time.Duration {
	if r.Deadline.IsZero() {
		return limit
	}
	return max(0, min(limit, r.Deadline.Add(readerGrace).Sub(now)))
}

// duty is what a worker has to do with a job that the queue delivers.
type duty struct {
	work bool                 // have the image classified
	end  *resnet18cloud.Error // end the request with this error; nil otherwise
	// Without either the job is of no use any more and leaves the queue.
}

// onDelivery decides what a delivery of the job means for the request as its record says it stands:
//
//	record is of a later generation  the job is left from before a restart: nothing to do
//	final                            an earlier delivery ended the request, or its client withdrew it: nothing to do
//	time is up                       end it
//	processing, attempts used up     dispatchers died of it: end it
//	queued or processing             work; a job is delivered again when its worker fell silent or gave it back
func (l limits) onDelivery(r store.Record, job resnet18cloud.Job, now time.Time) duty {
	switch {
	case r.Generation > job.Generation:
		return duty{}
	case r.Status.Final():
		return duty{}
	}
	if e := l.overdue(r, now); e != nil {
		return duty{end: e}
	}
	if r.Status == resnet18cloud.StatusProcessing && r.Attempts >= l.attempts {
		return duty{end: &resnet18cloud.Error{Code: resnet18cloud.CodeInternal,
			Message: fmt.Sprintf("Gave up after %d attempts", r.Attempts), Hint: "the dispatcher's log has the causes"}}
	}
	return duty{work: true}
}

// sequel is what follows an attempt that brought no result.
type sequel struct {
	end     *resnet18cloud.Error // end the request with this error; nil: try again
	after   time.Duration        // give the job back to the queue for this long
	uncount bool                 // it was no attempt: no replica has tried
}

// How long a job goes back to the queue.
const (
	firstRetry = 200 * time.Millisecond // after the first failed attempt
	// Replicas that are busy or absent are asked again soon, whatever they say.
	leastBusyRetry, mostBusyRetry = 100 * time.Millisecond, time.Second
	// storageRetry is after a fault of the store, and while the dispatcher stops.
	storageRetry = time.Second
)

// onFailure decides what follows a failed attempt. The pool has by then tried other replicas.
func (l limits) onFailure(r store.Record, err error, now time.Time) sequel {
	if e := l.overdue(r, now); e != nil {
		e.Err = err
		return sequel{end: e}
	}
	e := resnet18cloud.AsError(err)
	switch e.Code {
	case resnet18cloud.CodeFull, resnet18cloud.CodeUnavailable:
		return sequel{after: min(max(e.RetryAfter, leastBusyRetry), mostBusyRetry), uncount: true}
	case resnet18cloud.CodeInternal, resnet18cloud.CodeCancelled, resnet18cloud.CodeDeadline:
		if r.Attempts < l.attempts {
			return sequel{after: retryDelay(r.Attempts)}
		}
		// Cancelled and deadline are the attempt's. The client did not withdraw the request, nor is its time up.
		return sequel{end: &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: e.Message, Hint: e.Hint, Err: err}}
	}
	return sequel{end: e} // the image is to blame
}

// retryDelay is the time until the next attempt after so many: 0.2, 0.4, 0.8, 1.6, 3.2, 6.4 and always 6.4 seconds.
func retryDelay(attempts int) time.Duration { return firstRetry << min(max(attempts-1, 0), 5) }

// restartable reports whether a request that has ended may be started again by its idempotency key. It may where
// another try can succeed because the end was not the image's doing; everything else is the request's answer.
func restartable(r store.Record) bool {
	switch {
	case r.Status == resnet18cloud.StatusCancelled:
		return true
	case r.Status != resnet18cloud.StatusFailed || r.Failure == nil:
		return false
	}
	switch r.Failure.Code {
	case resnet18cloud.CodeDeadline, resnet18cloud.CodeUnavailable, resnet18cloud.CodeLost:
		return true
	}
	return false
}

// sendAgainAfter is when a client may send an image again whose request ended with the code; 0 where the time is not
// what was missing.
func sendAgainAfter(code resnet18cloud.Code) time.Duration {
	if code == resnet18cloud.CodeUnavailable || code == resnet18cloud.CodeLost {
		return time.Second
	}
	return 0
}

// errLost ends a request whose job is gone.
func errLost() *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeLost,
		Message: "The image was accepted but is no longer in the queue: its storage was damaged or removed",
		Hint:    "send it again; the same Idempotency-Key may be used"}
}

// superseded reports whether the present record leaves nothing to end for someone who works on the given generation.
func superseded(present store.Record, generation int) bool {
	return present.Generation > generation || present.Generation == generation && present.Status.Final()
}

// errCancelled stops the work on a request that its client has withdrawn.
var errCancelled = errors.New("cancelled by the client")
