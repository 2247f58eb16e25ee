package dispatch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/board"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// recorder is the only place that counts requests, for /status and for metrics. Across all dispatchers that share a
// queue, since its creation, and once all unconfirmed writes are resolved:
//
//	accepted = completed + failed + cancelled + unfinished
//
// A request counts as accepted when its record exists, and again each time it is restarted.
type recorder struct {
	stats   *stats
	metrics *dispatcherMetrics
	tally   *board.Tally // for the dashboard

	mu          sync.Mutex
	unconfirmed map[string][]unconfirmed // guarded by mu: by ID
}

// unconfirmed is a record whose write may or may not have succeeded: the start of a request, or its end. It is
// counted when the current record shows that the write succeeded.
type unconfirmed struct {
	record   store.Record
	rollback string // the start was rolled back if the current record has this mark; empty if it was not
}

// maxUnconfirmed limits the memory for unconfirmed writes. Beyond it, counts may be inaccurate.
const maxUnconfirmed = 10_000

func newRecorder(now time.Time) *recorder {
	return &recorder{stats: newStats(now), tally: &board.Tally{}, unconfirmed: map[string][]unconfirmed{}}
}

// accepted counts an accepted request, with the number of waiting jobs.
func (c *recorder) accepted(r store.Record, waiting queue.Depth) {
	c.stats.accepted(r, waiting.Total())
	c.tally.Accepted()
	c.metrics.accepted.WithLabelValues(string(r.Priority)).Inc()
}

// refused counts a rejected submission.
func (c *recorder) refused(err error) {
	e := resnet18cloud.AsError(err)
	if e.Code == resnet18cloud.CodeFull {
		c.stats.refused()
	}
	switch e.Code {
	case resnet18cloud.CodeFull, resnet18cloud.CodeUnavailable, resnet18cloud.CodeRateLimited, resnet18cloud.CodeInternal:
		c.tally.Refused()
	}
	c.metrics.refused.WithLabelValues(string(e.Code)).Inc()
	if l, ok := errors.AsType[limit](err); ok {
		c.metrics.limited.WithLabelValues(string(l)).Inc()
	}
}

// ended counts the end of a request, of whose trace ctx knows.
func (c *recorder) ended(ctx context.Context, r store.Record) {
	c.stats.ended(r)
	c.metrics.ended(ctx, r)
	switch {
	case unusable(r):
		c.tally.Unusable()
	case r.Status == resnet18cloud.StatusFailed:
		c.tally.Failed()
	case r.Status == resnet18cloud.StatusCompleted && r.Result != nil:
		c.tally.Completed(r.FromCache, r.CompletedAt.Sub(r.QueuedAt), r.Result.Timing)
	}
}

// retried counts a job returned to the queue because replicas failed or had no free slot.
func (c *recorder) retried() { c.metrics.retries.Inc() }

// attempted counts an attempt to classify an image on a replica.
func (c *recorder) attempted(outcome string) { c.metrics.attempts.WithLabelValues(outcome).Inc() }

// storageFailed counts an operation of queue or results that failed.
func (c *recorder) storageFailed(operation string) {
	c.metrics.storage.WithLabelValues(operation).Inc()
}

// answered counts a replica's response and its duration.
func (c *recorder) answered(r resnet18cloud.Result, took time.Duration) {
	c.stats.served(took)
	c.stats.answered(r, took)
	c.tally.Answered(r.Replica, busyTime(r, took), took)
}

// addUnconfirmed notes that a record that starts or ends a request may or may not have been written.
func (c *recorder) addUnconfirmed(r store.Record) { c.add(r.ID, unconfirmed{record: r}) }

// addUnconfirmedRollback notes that a restart may or may not have been rolled back.
func (c *recorder) addUnconfirmedRollback(restart, back store.Record) {
	c.add(restart.ID, unconfirmed{record: restart, rollback: markOf(back)})
}

func (c *recorder) add(id string, unconfirmed ...unconfirmed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(unconfirmed) > 0 && len(c.unconfirmed) < maxUnconfirmed {
		c.unconfirmed[id] = append(c.unconfirmed[id], unconfirmed...)
	}
}

// unconfirmedIDs returns the IDs of requests with unconfirmed writes.
func (c *recorder) unconfirmedIDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.unconfirmed))
}

// takeUnconfirmed removes and returns the unconfirmed writes of a request. The caller then reads the record, and
// resolves the writes or adds them again.
func (c *recorder) takeUnconfirmed(id string) []unconfirmed {
	c.mu.Lock()
	defer c.mu.Unlock()
	unconfirmed := c.unconfirmed[id]
	delete(c.unconfirmed, id)
	return unconfirmed
}

// resolve counts the writes that the current record shows to have succeeded.
func (c *recorder) resolve(ctx context.Context, unconfirmed []unconfirmed, present store.Record, waiting queue.Depth) {
	for _, d := range unconfirmed {
		switch {
		case !hasMark(present, markOf(d.record)) || hasMark(present, d.rollback):
		case d.record.Status.Final():
			c.ended(ctx, d.record)
		default:
			c.accepted(d.record, waiting)
		}
	}
}
