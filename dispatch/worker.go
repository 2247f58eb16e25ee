package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// work takes jobs from the queue, as many at a time as replicas have slots, until stop ends; with DrainQueue until
// the queue is empty too. Jobs run until they have ended, or until working ends.
func (d *Dispatcher) work(stop, working context.Context) {
	defer d.inFlight.done.Done()
	taking, cancel := context.WithCancel(working)
	defer cancel()
	d.inFlight.done.Go(func() { d.stopTaking(stop, taking, cancel) })
	for {
		lanes := d.awaitSlot(taking)
		if lanes == 0 {
			return
		}
		delivery, err := d.next(taking, lanes)
		if err != nil {
			if taking.Err() == nil && !errors.Is(err, errDecideAgain) {
				d.recorder.storageFailed(storageTake)
				d.cfg.Log.ErrorContext(working, "taking a job from the queue failed", "error", err)
				pause.For(taking, time.Second)
			}
			continue
		}
		now := time.Now()
		done, admitted := d.admitLarge(delivery.Job(), now)
		if admitted {
			d.holdings.taken(delivery.Job(), d.inTime(delivery.Job(), now), now)
		} else {
			d.holdings.giveBack(delivery.Job())
		}
		ctx, stopJob := context.WithCancelCause(traced(working, delivery.Job()))
		taken := d.inFlight.add(delivery.Job(), stopJob)
		d.inFlight.done.Go(func() {
			defer d.inFlight.remove(taken)
			defer stopJob(nil)
			defer done()
			if admitted {
				d.process(ctx, delivery)
			} else {
				d.returnLarge(ctx, delivery)
			}
		})
	}
}

// traced returns the context of a job, with its IDs for logs and replicas.
func traced(ctx context.Context, job resnet18cloud.Job) context.Context {
	return resnet18cloud.WithTrace(forward.WithRequestID(ctx, job.ID), job.Trace)
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
	for d.cfg.DrainQueue && d.waiting().Total() > 0 {
		select {
		case <-look.C:
		case <-taking.Done():
			return
		}
	}
}

// awaitSlot waits until replicas can take another image, and there is memory for one of any size. It returns the number
// of lanes from which the image may come, or 0 if ctx has ended.
func (d *Dispatcher) awaitSlot(ctx context.Context) (lanes int) {
	away := false // there was no replica meanwhile
	for ctx.Err() == nil {
		slots, changed := d.backend.Slots()
		images, bytes := d.inFlight.load()
		if images < slots && bytes <= d.cfg.MaxWorkingBytes-d.cfg.MaxImageBytes {
			if away {
				d.holdings.resume(time.Now())
			}
			u := usage{slots: slots, workers: d.backend.Workers(), inFlight: images}
			return d.holdings.usage(u, time.Now()).lanes()
		}
		away = away || slots == 0
		select {
		case <-changed:
		case <-d.inFlight.freed:
		case <-ctx.Done():
		}
	}
	return 0
}

// process processes one job and reports the outcome to the queue.
func (d *Dispatcher) process(ctx context.Context, delivery queue.Delivery) {
	ctx, span := d.startJob(ctx, "process", tracing.Consumer, delivery.Job())
	defer span.End()
	stop := d.keepAlive(ctx, delivery)
	defer stop()
	d.settle(ctx, delivery, d.do(ctx, delivery.Job()))
}

// keepAlive sends heartbeats for the job to the queue until stop is called.
func (d *Dispatcher) keepAlive(ctx context.Context, delivery queue.Delivery) (stop func()) {
	interval := d.cfg.RedeliverAfter / 3
	var mu sync.Mutex // guards timer and stopped
	var timer *time.Timer
	stopped := false
	mu.Lock()
	timer = time.AfterFunc(interval, func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped { // stop was called as the timer fired
			return
		}
		if err := delivery.InProgress(ctx); err != nil {
			d.cfg.Log.WarnContext(ctx, "sending a heartbeat to the queue failed", "request_id", delivery.Job().ID, "error", err)
		}
		timer.Reset(interval)
	})
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// outcome is the outcome of a delivered job.
type outcome struct {
	ended bool          // nothing is left to do; the job leaves the queue
	after time.Duration // otherwise, the delay before it is delivered again
	retry bool          // replicas failed or had no free slot
	err   error         // why the job is returned to the queue
}

// settle reports the outcome to the queue, the log and the metrics.
func (d *Dispatcher) settle(ctx context.Context, delivery queue.Delivery, o outcome) {
	log := d.cfg.Log.With("request_id", delivery.Job().ID)
	ctx = context.WithoutCancel(ctx)
	tracing.Current(ctx).Fail(o.err)
	var err error
	switch {
	case o.ended:
		d.holdings.ended(delivery.Job().ID, delivery.Job().Generation)
		err = delivery.Ack(ctx)
	case o.retry:
		log.InfoContext(ctx, "job returned to the queue", "delay", o.after, "error", o.err)
		d.recorder.retried()
		err = delivery.Nak(ctx, o.after)
	default: // the store is unavailable, or the dispatcher is stopping
		log.WarnContext(ctx, "job returned to the queue", "error", o.err)
		err = delivery.Nak(ctx, o.after)
	}
	if err != nil { // it will be delivered again, and nothing is lost
		log.WarnContext(ctx, "acknowledging the job failed", "error", err)
	}
}

// do processes one job and returns the outcome.
func (d *Dispatcher) do(ctx context.Context, job resnet18cloud.Job) outcome {
	r, duty, err := d.begin(ctx, job)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errCancelled): // as below; the job was being marked as taken
		return outcome{ended: true}
	case err != nil:
		return outcome{after: storageRetry, err: err}
	case duty.end != nil:
		return d.conclude(ctx, failed(r, duty.end, time.Now()), duty.end)
	case !duty.work:
		return outcome{ended: true}
	}
	result, fromCache, err := d.classify(ctx, job, r.Deadline)
	switch {
	case err == nil:
		return d.conclude(ctx, completed(r, result, fromCache, time.Now()), nil)
	case errors.Is(context.Cause(ctx), errCancelled): // the record is already final
		return outcome{ended: true}
	case ctx.Err() != nil:
		return outcome{after: storageRetry, err: fmt.Errorf("dispatcher is stopping: %w", err)}
	}
	next := d.limits.onFailure(r, err, time.Now())
	if next.end != nil {
		return d.conclude(ctx, failed(r, next.end, time.Now()), next.end)
	}
	if next.uncount { // if this write fails, the attempt counts
		r.Attempts--
		if _, err := d.write(ctx, r); err != nil && !errors.Is(err, store.ErrConflict) {
			return outcome{after: storageRetry, err: err}
		}
	}
	return outcome{after: next.after, retry: true, err: err}
}

// begin determines what to do with the job, and marks its request as being processed if that is to happen.
func (d *Dispatcher) begin(ctx context.Context, job resnet18cloud.Job) (store.Record, duty, error) {
	for {
		r, first, err := d.recordOf(ctx, job)
		if err != nil {
			return r, duty{}, err
		}
		now := time.Now()
		duty := d.limits.onDelivery(r, job, now)
		waited := waitingSince(r, job)
		switch {
		case duty.work:
			r = started(r, now)
		case !first:
			return r, duty, nil
		} // otherwise the request must exist before it can end
		write := d.write
		if first {
			write = d.create
		}
		r, err = write(ctx, r)
		switch {
		case errors.Is(err, store.ErrConflict):
			continue
		case err != nil:
			return r, duty, err
		case first:
			d.recorder.accepted(r, d.waiting())
		}
		if duty.work {
			d.recordQueue(ctx, job, waited, now, r.Attempts)
			return r, duty, nil
		}
	}
}

// recordOf returns the record of the job's request. first reports that the store has none of the job's generation:
// the worker was faster than the submitter, or the record was lost. In this case the record is new and must be
// written.
func (d *Dispatcher) recordOf(ctx context.Context, job resnet18cloud.Job) (r store.Record, first bool, err error) {
	r, err = d.store.Get(ctx, job.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return newRecord(job), true, nil
	case err == nil && r.Generation < job.Generation:
		fresh := newRecord(job)
		fresh.Revision = r.Revision
		return fresh, true, nil
	}
	return r, false, err
}

// classify gets the result from the cache, from an identical image in flight, or from a replica, by the deadline if
// there is one. fromCache reports that no replica was used.
func (d *Dispatcher) classify(ctx context.Context, job resnet18cloud.Job, deadline time.Time) (result resnet18cloud.Result, fromCache bool, err error) {
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	start := time.Now()
	model := job.Image.Want.Model
	models := d.models.now(model)
	if result, fromCache = d.cache.Peek(question(job), models); !fromCache {
		flight := cache.Flight{Question: question(job), Models: strings.Join(append(models, model), "\n")}
		result, fromCache, err = d.cache.Once(ctx, flight, func(ctx context.Context) (resnet18cloud.Result, error) {
			began := time.Now()
			r, err := d.backend.Classify(ctx, job.Image)
			if err == nil {
				d.recorder.answered(r, time.Since(began))
				d.recordStages(ctx, r)
				d.cache.Put(cache.Key{Question: question(job), Model: d.models.answered(r)}, r)
			}
			return r, err
		})
	}
	result.Filename = job.Image.Name
	if fromCache {
		result.Timing = resnet18cloud.Timing{Cache: time.Since(start)}
		d.recordCache(ctx, start, true)
	}
	return result, fromCache, err
}

// conclude ends the request that this worker has processed. It retries while the store is unavailable, because only
// the result remains to be stored, and also if another worker has started to process the request.
func (d *Dispatcher) conclude(ctx context.Context, r store.Record, cause error) outcome {
	tracing.Current(ctx).Fail(cause)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		present, err := d.finish(ctx, r, cause)
		for err == nil && !superseded(present, r.Generation) {
			r.Revision = present.Revision
			present, err = d.finish(ctx, r, cause)
		}
		switch {
		case err == nil:
			return outcome{ended: true}
		case ctx.Err() != nil:
			d.recorder.addUnconfirmed(r)
			return outcome{after: storageRetry, err: err}
		}
		d.recorder.storageFailed(storageResult)
		d.cfg.Log.WarnContext(ctx, "storing the result failed; retrying", "request_id", r.ID, "error", err)
		pause.For(ctx, wait)
	}
}
