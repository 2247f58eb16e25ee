package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/ledger"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/jsstore"
)

// salvage ends requests of which a damaged store has neither a record nor a job. It knows of them from the
// ledger. Where other dispatchers share the store, NATS has copies, and there is no ledger.
type salvage struct {
	ledger  *ledger.Ledger
	records interface {
		Create(ctx context.Context, r store.Record) (uint64, error)
		Unfinished(ctx context.Context) ([]store.Record, error)
		IDs(ctx context.Context) (ids map[string]struct{}, complete time.Time, err error)
	}
	jobs interface {
		Jobs(ctx context.Context) (map[string]struct{}, error)
	}
	kept  time.Duration      // how long records are kept
	ended func(store.Record) // counts what has ended

	due atomic.Bool // the store may have lost records that were not looked for yet
}

// run ends what the store has lost, and returns how many requests that were.
func (s *salvage) run(ctx context.Context, now time.Time) (int, error) {
	entries, err := s.ledger.Entries(now.Add(-s.kept))
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	jobs, err := s.jobs.Jobs(ctx)
	if err != nil {
		return 0, fmt.Errorf("compare the ledger with the queue: %w", err)
	}
	ids, complete, err := s.records.IDs(ctx)
	if err != nil {
		return 0, fmt.Errorf("compare the ledger with the results: %w", err)
	}
	// Those that this process knows to be unfinished are the books' to end: they know more of them.
	unfinished, err := s.records.Unfinished(ctx)
	if err != nil {
		return 0, fmt.Errorf("compare the ledger with the results: %w", err)
	}
	for _, r := range unfinished {
		ids[r.ID] = struct{}{}
	}
	missing := missing(entries, ids, jobs, complete)
	var g errgroup.Group
	g.SetLimit(64)
	for _, e := range slices.Backward(missing) { // clients still wait for the newest
		g.Go(func() error {
			r := lostRecord(e, now)
			_, err := s.records.Create(ctx, r)
			if err == nil {
				s.ended(r)
			} else if errors.Is(err, store.ErrExists) { // another entry of the same request
				err = nil
			}
			return err
		})
	}
	return len(missing), g.Wait()
}

// missing are the requests that neither have a record nor a job. Those accepted before the time since when
// records are complete may have been dropped to make room.
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

// lostRecord is the end of a request of which only its id is known.
func lostRecord(entry ledger.Entry, now time.Time) store.Record {
	e := errForgotten()
	return store.Record{ID: entry.ID, Status: resnet18cloud.StatusFailed, QueuedAt: entry.At, CompletedAt: now,
		Failure: &store.Failure{Code: e.Code, Message: e.Message, Hint: e.Hint}}
}

// errForgotten ends a request whose record is gone.
func errForgotten() *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeLost,
		Message: "The image was accepted, but it or its result was lost: the storage was damaged or removed",
		Hint:    "send it again; the same Idempotency-Key may be used"}
}

// resultBytes is about what a record takes in the store, so that the ledger has room for as many.
const resultBytes = 1200

// openLedger opens the ledger in the data folder.
func (d *Dispatcher) openLedger(dir string, sizes storeSizes, results *jsstore.Store) error {
	l, err := ledger.Open(dir, d.cfg.QueueCapacity+int(sizes.results/resultBytes))
	if err != nil {
		return err
	}
	d.salvage = &salvage{ledger: l, records: results, jobs: d.queue, kept: d.cfg.ResultTTL, ended: d.recorder.ended}
	return nil
}

// note has the ledger know of an accepted request. Only damage to the store makes it matter, so a ledger that
// cannot be written refuses nothing.
func (d *Dispatcher) note(r store.Record) {
	if d.salvage == nil {
		return
	}
	if err := d.salvage.ledger.Add(ledger.Entry{ID: r.ID, At: time.Now()}); err != nil {
		d.cfg.Log.Warn("accepted request not noted in the ledger", "request_id", r.ID, "error", err)
	}
}

// salvageNow ends what the store has lost, and says so.
func (d *Dispatcher) salvageNow(ctx context.Context) {
	if d.salvage == nil {
		return
	}
	lost, err := d.salvage.run(ctx, time.Now())
	if lost > 0 {
		d.cfg.Log.WarnContext(ctx, "the store has lost requests: they end as failed", "requests", lost)
	}
	if err != nil {
		d.cfg.Log.ErrorContext(ctx, "ledger not compared with the store", "error", err)
	}
}

// salvageAgain does so after the NATS server in this process was restarted.
func (d *Dispatcher) salvageAgain(ctx context.Context) {
	if err := d.salvage.ledger.Restore(); err != nil {
		d.cfg.Log.WarnContext(ctx, "ledger not restored", "error", err)
	}
	d.salvageNow(ctx)
	d.salvage.due.Store(false)
}

// salvageDue reports whether a record that is missing may be one that the store has lost and that is not ended yet.
func (d *Dispatcher) salvageDue() bool { return d.salvage != nil && d.salvage.due.Load() }

func (d *Dispatcher) closeLedger() error {
	if d.salvage == nil {
		return nil
	}
	return d.salvage.ledger.Close()
}
