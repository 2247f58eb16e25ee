package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// The books of a dispatcher are the records of unfinished requests on one side and the jobs in the queue on the other.
// Each record has a job and each job a record, except for moments: a job is stored before its record, a record is final
// before its job is acknowledged, and a restarted request has its record before its job. A lasting difference means that
// storage was damaged, or that a dispatcher died between the two writes. It must not leave a request without an end.

const (
	// auditInterval is the time between two comparisons.
	auditInterval = 2 * time.Second
	// lostGrace is the age from which on a record without a job counts as lost.
	lostGrace = 3 * time.Second
	// maxRepairs bounds what one comparison changes.
	maxRepairs = 1000
)

// books remember what the last comparison found. A difference is acted upon when two comparisons in a row find it, so
// that one incomplete answer of the storage does no harm.
type books struct {
	missing  map[string]struct{} // ids of records whose job was missing
	orphaned map[string]bool     // ids of jobs whose record was missing; true: it is not, it is final
}

// view is what a comparison sees. The records are read before the jobs, and the jobs before held.
type view struct {
	unfinished []store.Record
	jobs       map[string]struct{} // ids of the jobs in the queue
	held       map[string]struct{} // ids of the jobs in this dispatcher's hands
	now        time.Time
}

// suspicious reports whether a record's job must be looked for: it is not in this dispatcher's hands, and the record is
// old enough to have one.
//
// A restarted request may be without a job while that is being queued. A request at another dispatcher may be without one while
// that dispatcher is heard of; afterwards the job would have been delivered again.
func (l limits) suspicious(r store.Record, now time.Time) bool {
	switch {
	case r.Status == resnet18cloud.StatusProcessing:
		return now.Sub(r.StartedAt) >= lostGrace+l.silence
	case r.Generation > 0:
		return now.Sub(r.QueuedAt) >= lostGrace+l.submit
	}
	return now.Sub(r.QueuedAt) >= lostGrace
}

// compare returns the records whose jobs are lost, the oldest first, and the ids of jobs that have no unfinished record.
func (b *books) compare(v view, l limits) (lost []store.Record, orphans []string) {
	missing, recorded := map[string]struct{}{}, make(map[string]struct{}, len(v.unfinished))
	for _, r := range v.unfinished {
		recorded[r.ID] = struct{}{}
		if has(v.jobs, r.ID) || has(v.held, r.ID) || !l.suspicious(r, v.now) {
			continue
		}
		missing[r.ID] = struct{}{}
		if has(b.missing, r.ID) {
			lost = append(lost, r)
		}
	}
	b.missing = missing
	slices.SortFunc(lost, func(x, y store.Record) int { return x.QueuedAt.Compare(y.QueuedAt) })

	orphaned := map[string]bool{}
	for id := range v.jobs {
		if has(recorded, id) {
			continue
		}
		final, before := b.orphaned[id]
		orphaned[id] = final
		if before && !final {
			orphans = append(orphans, id)
		}
	}
	b.orphaned = orphaned
	slices.SortFunc(orphans, cmp.Compare)
	return lost, orphans
}

func has(ids map[string]struct{}, id string) bool {
	_, ok := ids[id]
	return ok
}

// audit compares the books at once and then regularly, until ctx ends.
func (d *Dispatcher) audit(ctx context.Context) {
	var b books
	ticker := time.NewTicker(auditInterval)
	defer ticker.Stop()
	healthy := true
	for first := true; ; first = false {
		err := d.reconcile(ctx, &b, first)
		if err != nil && ctx.Err() == nil && healthy {
			d.cfg.Log.WarnContext(ctx, "records and jobs not compared", "error", err)
		}
		healthy = err == nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// reconcile compares the books once. It ends requests whose time is up or whose job is lost, and creates records that
// jobs lack. Several dispatchers may do so at the same time: each change is a compare-and-swap.
func (d *Dispatcher) reconcile(ctx context.Context, b *books, always bool) error {
	for _, id := range d.recorder.doubtful() {
		if _, err := d.read(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	unfinished, err := d.store.Unfinished(ctx)
	if err != nil {
		return err
	}
	if unfinished, err = d.endOverdue(ctx, unfinished); err != nil {
		return err
	}
	now := time.Now()
	old := slices.ContainsFunc(unfinished, func(r store.Record) bool { return d.limits.suspicious(r, now) })
	if !always && !old && d.queue.Waiting().Total() == 0 {
		*b = books{} // nothing to compare
		return nil
	}
	// In a cluster, a leader that was cut off goes on answering for some seconds. It cannot take a write.
	if err := d.queue.Probe(ctx); err != nil {
		return err
	}
	v := view{unfinished: unfinished, now: now}
	if v.jobs, err = d.queue.Jobs(ctx); err != nil {
		return err
	}
	v.held = d.inFlight.ids()
	lost, orphans := b.compare(v, d.limits)
	for _, r := range lost[:min(len(lost), maxRepairs)] {
		if err := d.endOnce(ctx, r, errLost()); err != nil {
			return err
		}
	}
	for _, id := range orphans[:min(len(orphans), maxRepairs)] {
		if err := d.adopt(ctx, b, id); err != nil {
			return err
		}
	}
	return nil
}

// endOverdue ends requests whose time is up, and returns the others. Nobody else ends them while no replica takes their
// jobs and no client asks.
func (d *Dispatcher) endOverdue(ctx context.Context, unfinished []store.Record) ([]store.Record, error) {
	now, repairs := time.Now(), 0
	others := unfinished[:0]
	for _, r := range unfinished {
		e := d.limits.overdueForReaders(r, now)
		if e == nil || repairs == maxRepairs {
			others = append(others, r)
			continue
		}
		repairs++
		if err := d.endOnce(ctx, r, e); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// endOnce ends a request unless its record has changed.
func (d *Dispatcher) endOnce(ctx context.Context, r store.Record, e *resnet18cloud.Error) error {
	end := failed(r, e, time.Now())
	present, err := d.finish(ctx, end, e)
	if err != nil {
		d.recorder.doubt(end)
		return err
	}
	d.leaveQueue(ctx, r, present)
	return nil
}

// adopt creates the record of a job that has none.
func (d *Dispatcher) adopt(ctx context.Context, b *books, id string) error {
	switch r, err := d.store.Get(ctx, id); {
	case err == nil:
		b.orphaned[id] = r.Status.Final()
		return nil
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	job, err := d.queue.Find(ctx, id)
	switch {
	case errors.Is(err, queue.ErrNotFound): // it has left the queue since
		return nil
	case err != nil:
		return err
	}
	r, err := d.create(ctx, newRecord(job))
	switch {
	case errors.Is(err, store.ErrConflict):
		return nil
	case err != nil:
		return fmt.Errorf("create the record of a job: %w", err)
	}
	d.recorder.accepted(r, d.queue.Waiting())
	d.cfg.Log.WarnContext(ctx, "job without a record has one again", "request_id", id)
	return nil
}
