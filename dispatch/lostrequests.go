package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/ledger"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/jsstore"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// lostRequests ends requests for which a damaged store has neither a record nor a job. It knows their IDs from the
// ledger. If other dispatchers share the store, NATS has copies, and there is no ledger.
//
// It first determines which requests are lost, which is fast, and then writes their final records in the background,
// which takes seconds if there are many. If a client asks for a lost request in the meantime, it is ended
// immediately.
type lostRequests struct {
	ledger  *ledger.Ledger
	records interface {
		Create(ctx context.Context, r store.Record) (uint64, error)
		Unfinished(ctx context.Context) ([]store.Record, error)
		IDs(ctx context.Context) (ids map[string]struct{}, complete time.Time, err error)
	}
	jobs interface {
		Jobs(ctx context.Context) (map[string]struct{}, error)
		Find(ctx context.Context, id string) (resnet18cloud.Job, error)
	}
	kept time.Duration // how long records are kept

	due     atomic.Bool    // the store may have lost records that are not known yet
	writing sync.WaitGroup // goroutines that write final records

	mu      sync.Mutex
	pending map[string]ledger.Entry // guarded by mu: lost requests without a final record yet, by ID
}

// find determines what the store has lost, and creates missing records of jobs. It returns the IDs of the requests to
// end, newest first, because clients still wait for these.
func (s *lostRequests) find(ctx context.Context, now time.Time) ([]string, error) {
	entries, err := s.ledger.Entries(now.Add(-s.kept))
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	jobs, err := s.jobs.Jobs(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare the ledger with the queue: %w", err)
	}
	recorded, complete, err := s.records.IDs(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare the ledger with the results: %w", err)
	}
	// Requests known to be unfinished are left to reconciliation, which has more information about them.
	unfinished, err := s.records.Unfinished(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare the ledger with the results: %w", err)
	}
	for _, r := range unfinished {
		recorded[r.ID] = struct{}{}
	}
	for id := range jobs {
		if _, ok := recorded[id]; !ok {
			if err := s.createRecord(ctx, id); err != nil {
				return nil, err
			}
		}
	}
	pending := map[string]ledger.Entry{}
	var ids []string
	for _, e := range slices.Backward(missing(entries, recorded, jobs, complete)) {
		if _, twice := pending[e.ID]; !twice {
			pending[e.ID] = e
			ids = append(ids, e.ID)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = pending
	return ids, nil
}

// createRecord creates the record of a job that has none.
func (s *lostRequests) createRecord(ctx context.Context, id string) error {
	job, err := s.jobs.Find(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err == nil {
		_, err = s.records.Create(ctx, newRecord(job))
	}
	if err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("create missing record: %w", err)
	}
	return nil
}

// end ends a request if it is lost and has not been ended yet. The end is not counted: either the request had ended
// before and was counted then, or an earlier process had accepted it.
func (s *lostRequests) end(ctx context.Context, id string, now time.Time) error {
	s.mu.Lock()
	e, lost := s.pending[id]
	s.mu.Unlock()
	if !lost {
		return nil
	}
	_, err := s.records.Create(ctx, lostRecord(e, now))
	if err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("end a lost request: %w", err)
	}
	s.mu.Lock()
	delete(s.pending, id)
	s.mu.Unlock()
	return nil
}

// endAll ends the requests, a few at a time, so that the store can serve other work.
func (s *lostRequests) endAll(ctx context.Context, ids []string, now time.Time) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, id := range ids {
		g.Go(func() error { return s.end(ctx, id, now) })
	}
	return g.Wait()
}

// missing returns the requests that have neither a record nor a job. Records from before the time complete may have
// been dropped to make room.
func missing(entries []ledger.Entry, records, jobs map[string]struct{}, complete time.Time) []ledger.Entry {
	var list []ledger.Entry
	for _, e := range entries {
		_, recorded := records[e.ID]
		_, queued := jobs[e.ID]
		if !recorded && !queued && !e.At.Before(complete) {
			list = append(list, e)
		}
	}
	return list
}

// lostRecord returns the final record of a request of which only the ID is known.
func lostRecord(entry ledger.Entry, now time.Time) store.Record {
	e := errLostRecord()
	return store.Record{ID: entry.ID, Status: resnet18cloud.StatusFailed, QueuedAt: entry.At, CompletedAt: now,
		Failure: &store.Failure{Code: e.Code, Message: e.Message, Hint: e.Hint}}
}

// resultBytes is the approximate size of a record in the store, used to size the ledger.
const resultBytes = 1200

// openLedger opens the ledger in the data folder.
func (d *Dispatcher) openLedger(dir string, sizes storeSizes, results *jsstore.Store) error {
	l, err := ledger.Open(dir, d.cfg.QueueCapacity+int(sizes.results/resultBytes))
	if err != nil {
		return err
	}
	d.lost = &lostRequests{ledger: l, records: results, jobs: d.queue, kept: d.cfg.ResultTTL}
	return nil
}

// addToLedger adds an accepted request to the ledger. The ledger matters only if the store is damaged, so a failed write
// does not reject the request.
func (d *Dispatcher) addToLedger(r store.Record) {
	if d.lost == nil {
		return
	}
	if err := d.lost.ledger.Add(ledger.Entry{ID: r.ID, At: time.Now()}); err != nil {
		d.cfg.Log.Warn("writing the ledger failed", "request_id", r.ID, "error", err)
	}
}

// recoverLost determines what the store has lost, and ends those requests in the background. If the comparison fails, it
// is repeated in the background; until it succeeds, a missing record is not reported as an unknown ID.
func (d *Dispatcher) recoverLost(ctx context.Context) {
	s := d.lost
	if s == nil {
		return
	}
	s.due.Store(true)
	err := d.tryRecoverLost(ctx)
	if err == nil {
		return
	}
	d.cfg.Log.ErrorContext(ctx, "comparing the ledger with the store failed", "error", err)
	s.writing.Go(func() {
		for err != nil && ctx.Err() == nil {
			pause.For(ctx, time.Second)
			err = d.tryRecoverLost(ctx)
		}
	})
}

func (d *Dispatcher) tryRecoverLost(ctx context.Context) error {
	s, now := d.lost, time.Now()
	lost, err := s.find(ctx, now)
	if err != nil {
		return err
	}
	s.due.Store(false)
	if len(lost) == 0 {
		return nil
	}
	d.cfg.Log.WarnContext(ctx, "the store has lost requests; ending them as failed", "requests", len(lost))
	s.writing.Go(func() {
		if err := s.endAll(ctx, lost, now); err != nil && ctx.Err() == nil {
			d.cfg.Log.WarnContext(ctx, "ending lost requests failed; the rest end when a client asks for them", "error", err)
		}
	})
	return nil
}

// recoverAfterRestart runs recoverLost after a restart of the embedded NATS server.
func (d *Dispatcher) recoverAfterRestart(ctx context.Context) {
	if err := d.lost.ledger.Restore(); err != nil {
		d.cfg.Log.WarnContext(ctx, "restoring the ledger failed", "error", err)
	}
	d.recoverLost(ctx)
}

// recoveryPending reports whether a missing record may be one that the store has lost and that is not known yet.
func (d *Dispatcher) recoveryPending() bool { return d.lost != nil && d.lost.due.Load() }

// endIfLost ends a request without a record if the store has lost it.
func (d *Dispatcher) endIfLost(ctx context.Context, id string) error {
	if d.lost == nil {
		return nil
	}
	return d.lost.end(ctx, id, time.Now())
}

func (d *Dispatcher) closeLedger() error {
	if d.lost == nil {
		return nil
	}
	d.lost.writing.Wait()
	return d.lost.ledger.Close()
}
