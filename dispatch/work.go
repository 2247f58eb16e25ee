package dispatch

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// desk is what a dispatcher is working on.
type desk struct {
	mu    sync.Mutex
	jobs  map[string]context.CancelCauseFunc // guarded by mu: how to stop each, by id
	freed chan struct{}                      // has an element when a job has ended
	empty sync.WaitGroup                     // the loop that takes jobs, and each job
}

func newDesk() *desk {
	d := &desk{jobs: map[string]context.CancelCauseFunc{}, freed: make(chan struct{}, 1)}
	d.empty.Add(1) // for the loop, until it has started its last job
	return d
}

func (k *desk) size() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.jobs)
}

func (k *desk) put(id string, stop context.CancelCauseFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.jobs[id] = stop
}

func (k *desk) remove(id string) {
	k.mu.Lock()
	delete(k.jobs, id)
	k.mu.Unlock()
	select {
	case k.freed <- struct{}{}:
	default:
	}
}

// errCancelled stops a job that its client has withdrawn.
var errCancelled = errors.New("cancelled by the client")

// cancel stops the job if it is on this desk.
func (k *desk) cancel(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if stop := k.jobs[id]; stop != nil {
		stop(errCancelled)
	}
}

// work takes jobs from the queue, as many at a time as replicas have room for, until stop ends; with
// DrainQueue until then and the queue is empty. Jobs run until they have ended, or working has.
func (d *Dispatcher) work(stop, working context.Context) {
	defer d.desk.empty.Done()
	taking, cancel := context.WithCancel(working)
	defer cancel()
	d.desk.empty.Go(func() { d.stopTaking(stop, taking, cancel) })
	for d.room(taking) {
		delivery, err := d.queue.Next(taking)
		if err != nil {
			if taking.Err() == nil {
				d.cfg.Log.ErrorContext(working, "no job from the queue", "error", err)
				pause(taking, time.Second)
			}
			continue
		}
		id := delivery.Job().ID
		ctx, stopJob := context.WithCancelCause(forward.WithRequestID(working, id))
		d.desk.put(id, stopJob)
		d.desk.empty.Go(func() {
			defer d.desk.remove(id)
			defer stopJob(nil)
			d.process(ctx, delivery)
		})
	}
}

// stopTaking decides when the loop has taken its last job.
func (d *Dispatcher) stopTaking(stop, taking context.Context, cancel context.CancelFunc) {
	defer cancel()
	select {
	case <-stop.Done():
	case <-taking.Done():
		return
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for d.cfg.DrainQueue && d.queue.Waiting().Total() > 0 {
		select {
		case <-look.C:
		case <-taking.Done():
			return
		}
	}
}

// room waits until replicas can take another image. It reports false when ctx has ended.
func (d *Dispatcher) room(ctx context.Context) bool {
	for ctx.Err() == nil {
		slots, changed := d.backend.Slots()
		if d.desk.size() < slots {
			return true
		}
		select {
		case <-changed:
		case <-d.desk.freed:
		case <-ctx.Done():
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// process does one job, whatever its end: it is acknowledged when its record is final, and given back
// otherwise.
func (d *Dispatcher) process(ctx context.Context, delivery queue.Delivery) {
	job := delivery.Job()
	log := d.cfg.Log.With("request_id", job.ID)
	stop := d.keepAlive(ctx, delivery)
	defer stop()

	record, err := d.begin(ctx, job)
	if err == nil {
		err = d.run(ctx, job, record)
	}
	var again retry
	switch {
	case err == nil, errors.Is(err, errEnded):
		err = delivery.Ack(ctx)
	case errors.As(err, &again):
		log.InfoContext(ctx, "job given back", "delay", again.after, "error", again.cause)
		d.metrics.retries.Inc()
		err = delivery.Nak(context.WithoutCancel(ctx), again.after)
	default: // the store is away, or we are leaving
		log.WarnContext(ctx, "job given back", "error", err)
		err = delivery.Nak(context.WithoutCancel(ctx), time.Second)
	}
	if err != nil { // it will be delivered again, and nothing is lost
		log.WarnContext(ctx, "job not acknowledged", "error", err)
	}
}

// keepAlive tells the queue that the job is in good hands until stop is called.
func (d *Dispatcher) keepAlive(ctx context.Context, delivery queue.Delivery) (stop func()) {
	interval := d.cfg.RedeliverAfter / 3
	var timer *time.Timer
	var mu sync.Mutex // held while timer is being set
	mu.Lock()
	timer = time.AfterFunc(interval, func() {
		mu.Lock()
		defer mu.Unlock()
		if err := delivery.InProgress(ctx); err != nil {
			d.cfg.Log.WarnContext(ctx, "queue not told of progress", "request_id", delivery.Job().ID, "error", err)
		}
		timer.Reset(interval)
	})
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
	}
}

// retry is the outcome of a job that should be taken from the queue again.
type retry struct {
	after time.Duration
	cause error
}

func (r retry) Error() string { return fmt.Sprintf("retry after %s: %v", r.after, r.cause) }

// errEnded says that a record was final already: another delivery of the job has ended it.
var errEnded = errors.New("request has ended before")

// begin marks the job as being worked on. It returns errEnded when there is nothing left to do.
func (d *Dispatcher) begin(ctx context.Context, job resnet18cloud.Job) (store.Record, error) {
	for {
		record, err := d.store.Get(ctx, job.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			record = newRecord(job) // taken before the submitter had created it
		case err != nil:
			return record, err
		case record.Status.Final():
			return record, errEnded
		}
		now := time.Now()
		if over := d.overdue(record, now); over != nil {
			return record, errors.Join(d.fail(ctx, record, over), errEnded)
		}
		record.Status, record.StartedAt = resnet18cloud.StatusProcessing, now
		record.Attempts++
		if record.Revision == 0 {
			record.Revision, err = d.store.Create(ctx, record)
		} else {
			record.Revision, err = d.store.Update(ctx, record)
		}
		if !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrConflict) {
			return record, err
		}
	}
}

func newRecord(job resnet18cloud.Job) store.Record {
	return store.Record{
		ID: job.ID, Filename: job.Image.Name, Digest: hex.EncodeToString(job.Digest[:]),
		Status: resnet18cloud.StatusQueued, Priority: job.Priority,
		QueuedAt: job.QueuedAt, Deadline: job.Deadline,
	}
}

// overdue says why a request that has not ended can only fail; nil when it need not.
func (d *Dispatcher) overdue(r store.Record, now time.Time) *resnet18cloud.Error {
	switch {
	case !r.Deadline.IsZero() && !now.Before(r.Deadline):
		return &resnet18cloud.Error{Code: resnet18cloud.CodeDeadline, Message: "Deadline passed before the image was classified",
			Hint: "grant more time, or send fewer images at a time"}
	case now.Sub(r.QueuedAt) > d.cfg.ResultTTL/2:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "No replica took the image in time",
			Hint: "see the endpoints in /status"}
	case r.Attempts >= d.cfg.Attempts && r.Status == resnet18cloud.StatusProcessing:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeInternal,
			Message: fmt.Sprintf("Gave up after %d attempts", r.Attempts), Hint: "the dispatcher's log has the causes"}
	}
	return nil
}

// run has the image classified and ends the request, or says why it must be tried again.
func (d *Dispatcher) run(ctx context.Context, job resnet18cloud.Job, record store.Record) error {
	attempt := ctx
	if !job.Deadline.IsZero() {
		var cancel context.CancelFunc
		attempt, cancel = context.WithDeadline(ctx, job.Deadline)
		defer cancel()
	}
	result, known, err := d.classify(attempt, job)
	if err != nil {
		return d.failed(ctx, record, err)
	}
	record.Status, record.CompletedAt = resnet18cloud.StatusCompleted, time.Now()
	record.Replica, record.FromCache = result.Replica, known
	result.Timing.Queue = record.StartedAt.Sub(record.QueuedAt)
	record.Result = &result
	return d.end(ctx, record)
}

// classify gets the answer from the cache, from an equal image in flight, or from a replica. known reports
// that no replica worked for it.
func (d *Dispatcher) classify(ctx context.Context, job resnet18cloud.Job) (result resnet18cloud.Result, known bool, err error) {
	start := time.Now()
	if result, known = d.cache.Peek(job.Digest, d.models.now()); !known {
		result, known, err = d.cache.Once(ctx, job.Digest, func(ctx context.Context) (resnet18cloud.Result, error) {
			began := time.Now()
			r, err := d.backend.Classify(ctx, job.Image)
			if err == nil {
				d.stats.served(time.Since(began))
				d.stats.answered(r, time.Since(began))
				d.cache.Put(cacheKey(job.Digest, d.models.answered(r)), r)
			}
			return r, err
		})
	}
	result.Filename = job.Image.Name
	if known {
		result.Timing = resnet18cloud.Timing{Cache: time.Since(start)}
	}
	return result, known, err
}

// failed ends the request when another attempt would not help, or has run out of them.
func (d *Dispatcher) failed(ctx context.Context, record store.Record, err error) error {
	if context.Cause(ctx) != nil {
		if errors.Is(context.Cause(ctx), errCancelled) {
			return errEnded
		}
		return fmt.Errorf("dispatcher is stopping: %w", err)
	}
	if over := d.overdue(store.Record{Deadline: record.Deadline, QueuedAt: record.QueuedAt}, time.Now()); over != nil {
		over.Err = err
		return d.fail(ctx, record, over)
	}
	switch e := resnet18cloud.AsError(err); e.Code {
	case resnet18cloud.CodeFull, resnet18cloud.CodeUnavailable:
		// No replica has tried, so this was no attempt. Should the update fail, it counts as one.
		record.Attempts--
		if _, err := d.store.Update(ctx, record); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
		return retry{min(max(e.RetryAfter, 100*time.Millisecond), time.Second), err}
	case resnet18cloud.CodeInternal, resnet18cloud.CodeCancelled, resnet18cloud.CodeDeadline:
		if record.Attempts < d.cfg.Attempts {
			return retry{100 * time.Millisecond << min(record.Attempts, 6), err}
		}
		return d.fail(ctx, record, e)
	default: // the image is to blame
		return d.fail(ctx, record, e)
	}
}

// fail ends the request without a result.
func (d *Dispatcher) fail(ctx context.Context, record store.Record, e *resnet18cloud.Error) error {
	record.Status, record.CompletedAt = resnet18cloud.StatusFailed, time.Now()
	record.Failure = &store.Failure{Code: e.Code, Message: e.Message, Hint: e.Hint}
	d.cfg.Log.InfoContext(ctx, "request failed", "request_id", record.ID, "code", string(e.Code), "error", e.Error())
	return d.end(ctx, record)
}

// end makes a final record the truth, once: it returns errEnded when the request had ended otherwise. It
// keeps trying while the store is away, because the work is done and only needs writing down.
func (d *Dispatcher) end(ctx context.Context, record store.Record) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := d.tryEnd(ctx, record)
		if err == nil {
			d.ended(record)
			return nil
		}
		if errors.Is(err, errEnded) || ctx.Err() != nil {
			return err
		}
		d.cfg.Log.WarnContext(ctx, "result not stored yet", "request_id", record.ID, "error", err)
		pause(ctx, wait)
	}
}

func (d *Dispatcher) tryEnd(ctx context.Context, record store.Record) error {
	for {
		_, err := d.store.Update(ctx, record)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		present, err := d.store.Get(ctx, record.ID)
		switch {
		case errors.Is(err, store.ErrNotFound): // pushed out by newer ones
			_, err = d.store.Create(ctx, record)
			if !errors.Is(err, store.ErrExists) {
				return err
			}
		case err != nil:
			return err
		case present.Status.Final():
			return errEnded
		default:
			record.Revision = present.Revision
		}
	}
}

// ended counts a request that has just ended.
func (d *Dispatcher) ended(r store.Record) {
	d.stats.ended(r)
	d.metrics.ended(r)
}
