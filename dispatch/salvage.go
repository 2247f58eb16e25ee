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
)

// salvage ends requests of which a damaged store has neither a record nor a job. It knows of them from the
// ledger. Where other dispatchers share the store, NATS has copies, and there is no ledger.
//
// It first finds out which requests these are, which is quick, and then writes their ends, which for many
// takes seconds. A client that asks for one meanwhile has it ended at that moment.
type salvage struct {
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

	due     atomic.Bool    // the store may have lost records that were not looked for yet
	writing sync.WaitGroup // goroutines that write ends

	mu      sync.Mutex
	pending map[string]ledger.Entry // guarded by mu: lost requests whose end is not written, by id
}

// find finds out what the store has lost. Jobs that have lost their records get new ones. It returns the ids
// of the requests that are to be ended, the newest first, because clients still wait for these.
func (s *salvage) find(ctx context.Context, now time.Time) ([]string, error) {
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
	// Those that this process knows to be unfinished are the books' to end: they know more of them.
	unfinished, err := s.records.Unfinished(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare the ledger with the results: %w", err)
	}
	for _, r := range unfinished {
		recorded[r.ID] = struct{}{}
	}
	for id := range jobs {
		if _, ok := recorded[id]; !ok {
			if err := s.record(ctx, id); err != nil {
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

// record makes the record of a job that has none.
func (s *salvage) record(ctx context.Context, id string) error {
	job, err := s.jobs.Find(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err == nil {
		_, err = s.records.Create(ctx, newRecord(job))
	}
	if err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("make the record of a job: %w", err)
	}
	return nil
}

// end ends a request that the store has lost, unless that was done. It reports whether the request was one. Such an end is
// not counted: the request had ended before and was counted then, or an earlier process had accepted it.
func (s *salvage) end(ctx context.Context, id string, now time.Time) (bool, error) {
	s.mu.Lock()
	e, lost := s.pending[id]
	s.mu.Unlock()
	if !lost {
		return false, nil
	}
	_, err := s.records.Create(ctx, lostRecord(e, now))
	if err != nil && !errors.Is(err, store.ErrExists) {
		return true, fmt.Errorf("end a lost request: %w", err)
	}
	s.mu.Lock()
	delete(s.pending, id)
	s.mu.Unlock()
	return true, nil
}

// endAll ends the requests, a few at a time, so that the store has time for others.
func (s *salvage) endAll(ctx context.Context, ids []string, now time.Time) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, id := range ids {
		g.Go(func() error {
			_, err := s.end(ctx, id, now)
			return err
		})
	}
	return g.Wait()
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
	d.salvage = &salvage{ledger: l, records: results, jobs: d.queue, kept: d.cfg.ResultTTL}
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

// salvageNow finds out what the store has lost, and goes on to end it in the background.
func (d *Dispatcher) salvageNow(ctx context.Context) {
	s := d.salvage
	if s == nil {
		return
	}
	now := time.Now()
	lost, err := s.find(ctx, now)
	if err != nil {
		d.cfg.Log.ErrorContext(ctx, "ledger not compared with the store", "error", err)
		return
	}
	if len(lost) == 0 {
		return
	}
	d.cfg.Log.WarnContext(ctx, "the store has lost requests: they end as failed", "requests", len(lost))
	s.writing.Go(func() {
		if err := s.endAll(ctx, lost, now); err != nil && ctx.Err() == nil {
			d.cfg.Log.WarnContext(ctx, "not all lost requests are ended; those left end when a client asks", "error", err)
		}
	})
}

// salvageAgain does so after the NATS server in this process was restarted.
func (d *Dispatcher) salvageAgain(ctx context.Context) {
	if err := d.salvage.ledger.Restore(); err != nil {
		d.cfg.Log.WarnContext(ctx, "ledger not restored", "error", err)
	}
	d.salvageNow(ctx)
	d.salvage.due.Store(false)
}

// salvageDue reports whether a record that is missing may be one that the store has lost without our knowing yet.
func (d *Dispatcher) salvageDue() bool { return d.salvage != nil && d.salvage.due.Load() }

// salvaged ends a request whose record is missing if the store has lost it, and reports whether it has.
func (d *Dispatcher) salvaged(ctx context.Context, id string) (bool, error) {
	if d.salvage == nil {
		return false, nil
	}
	return d.salvage.end(ctx, id, time.Now())
}

func (d *Dispatcher) closeLedger() error {
	if d.salvage == nil {
		return nil
	}
	d.salvage.writing.Wait()
	return d.salvage.ledger.Close()
}
