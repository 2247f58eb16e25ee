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

// Reconciliation compares the records of unfinished requests with the jobs in the queue. Each record has a job and
// each job a record, with short exceptions: a job is stored before its record, a record becomes final before its job
// is acknowledged, and a restarted request has its record before its job. A lasting difference means that storage was
// damaged, or that a dispatcher died between the two writes. Reconciliation makes sure that such a request still
// ends.

const (
	// reconcileInterval is the time between two comparisons.
	reconcileInterval = 2 * time.Second
	// lostGrace is the minimum age at which a record without a job counts as lost.
	lostGrace = 3 * time.Second
	// maxRepairs limits the number of changes per comparison.
	maxRepairs = 1000
)

// reconcileState holds the findings of the last comparison. A difference is repaired only if two comparisons in a row
// find it, so that one incomplete response from storage does no harm.
type reconcileState struct {
	missing  map[string]struct{} // IDs of records whose job was missing
	orphaned map[string]bool     // IDs of jobs without an unfinished record; true if the record exists and is final
}

// snapshot is the input of a comparison. The records are read before the jobs, and the jobs before held.
type snapshot struct {
	unfinished []store.Record
	jobs       map[string]struct{} // IDs of the jobs in the queue
	held       map[string]struct{} // IDs of the jobs that this dispatcher is processing
	now        time.Time
}

// needsJobCheck reports whether to check that a record's job exists: the record is old enough to have one.
//
// While a restarted request is being queued it may have no job. The job of a request that another dispatcher is
// processing may be missing as long as that dispatcher sends heartbeats; after that, the queue would have delivered
// the job again.
func (l limits) needsJobCheck(r store.Record, now time.Time) bool {
	switch {
	case r.Status == resnet18cloud.StatusProcessing:
		return now.Sub(r.StartedAt) >= lostGrace+l.heartbeatTimeout
	case r.Generation > 0:
		return now.Sub(r.QueuedAt) >= lostGrace+l.submit
	}
	return now.Sub(r.QueuedAt) >= lostGrace
}

// compare returns the records whose jobs are lost, oldest first, and the IDs of jobs that have no record.
func (s *reconcileState) compare(v snapshot, l limits) (lost []store.Record, orphans []string) {
	missing, recorded := map[string]struct{}{}, make(map[string]struct{}, len(v.unfinished))
	for _, r := range v.unfinished {
		recorded[r.ID] = struct{}{}
		if has(v.jobs, r.ID) || has(v.held, r.ID) || !l.needsJobCheck(r, v.now) {
			continue
		}
		missing[r.ID] = struct{}{}
		if has(s.missing, r.ID) {
			lost = append(lost, r)
		}
	}
	s.missing = missing
	slices.SortFunc(lost, func(x, y store.Record) int { return x.QueuedAt.Compare(y.QueuedAt) })

	orphaned := map[string]bool{}
	for id := range v.jobs {
		if has(recorded, id) {
			continue
		}
		final, before := s.orphaned[id]
		orphaned[id] = final
		if before && !final {
			orphans = append(orphans, id)
		}
	}
	s.orphaned = orphaned
	slices.SortFunc(orphans, cmp.Compare)
	return lost, orphans
}

func has(ids map[string]struct{}, id string) bool {
	_, ok := ids[id]
	return ok
}

// reconcileLoop compares immediately and then at regular intervals until ctx ends.
func (d *Dispatcher) reconcileLoop(ctx context.Context) {
	var s reconcileState
	ticker := time.NewTicker(reconcileInterval)
	defer ticker.Stop()
	healthy := true
	for first := true; ; first = false {
		err := d.reconcile(ctx, &s, first)
		if err != nil && ctx.Err() == nil && healthy {
			d.cfg.Log.WarnContext(ctx, "comparing records with jobs failed", "error", err)
		}
		healthy = err == nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// reconcile compares once. It ends requests that are overdue or whose job is lost, and creates records that jobs
// lack. Several dispatchers may do so at the same time: each change is a compare-and-swap.
func (d *Dispatcher) reconcile(ctx context.Context, s *reconcileState, always bool) error {
	for _, id := range d.recorder.unconfirmedIDs() {
		if _, err := d.read(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	reading := time.Now()
	unfinished, err := d.store.Unfinished(ctx)
	if err != nil {
		return err
	}
	d.holdings.sweep(unfinished, reading)
	if unfinished, err = d.endOverdue(ctx, unfinished); err != nil {
		return err
	}
	now := time.Now()
	old := slices.ContainsFunc(unfinished, func(r store.Record) bool { return d.limits.needsJobCheck(r, now) })
	if !always && !old && d.waiting().Total() == 0 {
		*s = reconcileState{} // nothing to compare
		return nil
	}
	// In a cluster, a leader that was cut off keeps answering for some seconds, but it cannot accept a write.
	if err := d.queue.Probe(ctx); err != nil {
		return err
	}
	v := snapshot{unfinished: unfinished, now: now}
	if v.jobs, err = d.queue.Jobs(ctx); err != nil {
		return err
	}
	v.held = d.inFlight.ids()
	lost, orphans := s.compare(v, d.limits)
	for _, r := range lost[:min(len(lost), maxRepairs)] {
		if err := d.endOnce(ctx, r, errLostJob()); err != nil {
			return err
		}
	}
	for _, id := range orphans[:min(len(orphans), maxRepairs)] {
		if err := d.adopt(ctx, s, id); err != nil {
			return err
		}
	}
	return nil
}

// endOverdue ends overdue requests and returns the others. Nothing else ends them while no replica takes their jobs
// and no client asks for them.
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
		d.recorder.addUnconfirmed(end)
		return err
	}
	d.leaveQueue(ctx, r, present)
	return nil
}

// adopt creates the record of a job that has none.
func (d *Dispatcher) adopt(ctx context.Context, s *reconcileState, id string) error {
	switch r, err := d.store.Get(ctx, id); {
	case err == nil:
		s.orphaned[id] = r.Status.Final()
		return nil
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	job, err := d.queue.Find(ctx, id)
	switch {
	case errors.Is(err, queue.ErrNotFound): // it has left the queue in the meantime
		return nil
	case err != nil:
		return err
	}
	r, err := d.create(ctx, newRecord(job))
	switch {
	case errors.Is(err, store.ErrConflict):
		return nil
	case err != nil:
		return fmt.Errorf("create missing record: %w", err)
	}
	d.recorder.accepted(r, d.waiting())
	d.cfg.Log.WarnContext(ctx, "created missing record for a job", "request_id", id)
	return nil
}
