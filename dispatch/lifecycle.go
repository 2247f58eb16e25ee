package dispatch

import (
	"errors"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// This file has the rules for the lifecycle of a request. They are functions of the record, the time and the limits;
// worker.go, submit.go, result.go and reconcile.go execute the decisions.

// limits are the limits on a request's lifecycle.
type limits struct {
	attempts         int           // maximum number of attempts to process a request
	wait             time.Duration // how long a request may wait for a replica
	submit           time.Duration // how long queueing the job of a request may take
	heartbeatTimeout time.Duration // time without a heartbeat before another dispatcher takes over; 0 if there is no other
}

func (c Config) limits() limits {
	l := limits{attempts: c.Attempts, wait: c.ResultTTL / 2, submit: c.SubmitTimeout, heartbeatTimeout: c.RedeliverAfter}
	if c.Queue == nil && !c.sharesQueue() { // the queue belongs to this process
		l.heartbeatTimeout = 0
	}
	return l
}

// readerGrace is how much later than its worker others may end a request.
const readerGrace = 250 * time.Millisecond

// overdue returns the error with which a request that has not ended must fail at the time now, or nil if it may still
// succeed.
func (l limits) overdue(r store.Record, now time.Time) *resnet18cloud.Error {
	switch {
	case !r.Deadline.IsZero() && !now.Before(r.Deadline):
		return errDeadline()
	case now.Sub(r.QueuedAt) > l.wait:
		return errUnavailable("No replica accepted the image in time", hintEndpoints, 0)
	}
	return nil
}

// overdueForReaders is overdue for code that does not process the request itself: it gives the worker time to end it.
func (l limits) overdueForReaders(r store.Record, now time.Time) *resnet18cloud.Error {
	return l.overdue(r, now.Add(-readerGrace))
}

// waitLimit returns how long a client that allows limit waits for a request to end: no longer than until the deadline
// and the grace period have passed.
func waitLimit(r store.Record, now time.Time, limit time.Duration) time.Duration {
	if r.Deadline.IsZero() {
		return limit
	}
	return max(0, min(limit, r.Deadline.Add(readerGrace).Sub(now)))
}

// duty is what a worker has to do with a delivered job.
type duty struct {
	work bool                 // classify the image
	end  *resnet18cloud.Error // end the request with this error; may be nil
	// If neither is set, the job is obsolete and leaves the queue.
}

// onDelivery decides what to do with a delivered job, given the request's record:
//
//	record has a later generation    the job is from before a restart: nothing to do
//	final                            an earlier delivery ended the request, or its client cancelled it: nothing to do
//	overdue                          end it
//	processing, attempts used up     dispatchers died while processing it: end it
//	queued or processing             work; a job is delivered again if its worker fell silent or returned it
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
		return duty{end: errAttempts(r.Attempts)}
	}
	return duty{work: true}
}

// sequel is what follows a failed attempt.
type sequel struct {
	end     *resnet18cloud.Error // end the request with this error; nil means retry
	after   time.Duration        // delay before the job is delivered again
	uncount bool                 // do not count the attempt: no replica processed the image
}

// Delays before a job is delivered again.
const (
	firstRetry = 200 * time.Millisecond // after the first failed attempt
	// Busy or unavailable replicas are tried again soon, regardless of their Retry-After.
	minBusyRetry, maxBusyRetry = 100 * time.Millisecond, time.Second
	// storageRetry applies after a storage error, and while the dispatcher is stopping.
	storageRetry = time.Second
)

// onFailure decides what follows a failed attempt. By then the pool has tried other replicas.
func (l limits) onFailure(r store.Record, err error, now time.Time) sequel {
	if e := l.overdue(r, now); e != nil {
		e.Err = err
		return sequel{end: e}
	}
	e := resnet18cloud.AsError(err)
	switch e.Code {
	case resnet18cloud.CodeFull, resnet18cloud.CodeUnavailable:
		return sequel{after: min(max(e.RetryAfter, minBusyRetry), maxBusyRetry), uncount: true}
	case resnet18cloud.CodeInternal, resnet18cloud.CodeCancelled, resnet18cloud.CodeDeadline:
		if r.Attempts < l.attempts {
			return sequel{after: retryDelay(r.Attempts)}
		}
		// Here cancelled and deadline refer to the attempt. The client has not cancelled the request, and its
		// deadline has not passed.
		return sequel{end: &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: e.Message, Hint: e.Hint, Err: err}}
	}
	return sequel{end: e} // the image caused the error
}

// retryDelay returns the delay before the next attempt: 0.2, 0.4, 0.8, 1.6, 3.2, 6.4 and then always 6.4 seconds.
func retryDelay(attempts int) time.Duration { return firstRetry << min(max(attempts-1, 0), 5) }

// restartable reports whether an ended request may be restarted by its idempotency key. This is the case if the image
// did not cause the failure, so that a retry may succeed; any other outcome is final.
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

// sendAgainAfter returns the retry delay after a request ended with the code; 0 if waiting does not help.
func sendAgainAfter(code resnet18cloud.Code) time.Duration {
	if code == resnet18cloud.CodeUnavailable || code == resnet18cloud.CodeLost {
		return time.Second
	}
	return 0
}

// superseded reports whether the current record makes it unnecessary to end the given generation.
func superseded(present store.Record, generation int) bool {
	return present.Generation > generation || present.Generation == generation && present.Status.Final()
}

// errCancelled is the cause of a job's cancellation by its client.
var errCancelled = errors.New("cancelled by client")
