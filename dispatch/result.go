package dispatch

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// result returns the state of a request: GET /result/{id}. With ?wait=20s it waits until the request has ended, or
// until the time has passed.
func (d *Dispatcher) result(w http.ResponseWriter, r *http.Request) error {
	id, ok := resnet18cloud.ParseID(r.PathValue("id"))
	if !ok {
		d.writeInvalidID(w, r)
		return nil
	}
	if err := httpx.CheckQuery(r, "wait"); err != nil {
		return err
	}
	record, err := d.lookup(r.Context(), id)
	if err != nil {
		return err
	}
	httpx.SetRequestID(w, r, record.ID)
	if text := r.URL.Query().Get("wait"); text != "" {
		wait, err := parseSeconds(text)
		if err != nil || wait < 0 {
			return errInvalid("wait is not a duration", "for example ?wait=20s")
		}
		ctx, done := httpx.Yielding(r.Context())
		defer done()
		if record, err = d.wait(ctx, record, min(wait, d.cfg.MaxWait)); err != nil {
			return err
		}
	}
	d.writeResult(w, d.shown(d.caller(r.Context()), record))
	return nil
}

// writeInvalidID responds to an ID that is not a UUID. No request has such an ID, and the text comes from the client,
// so it is passed neither to the store nor to the log.
func (d *Dispatcher) writeInvalidID(w http.ResponseWriter, r *http.Request) {
	httpx.WriteError(w, r, d.notFound())
}

func (d *Dispatcher) notFound() *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "Request ID not found",
		Hint: "results are kept for " + d.cfg.ResultTTL.String()}
}

// lookup returns a record of the calling client, and ends the request if it is overdue: no worker sees a waiting job
// before a replica has a free slot. To other clients the request does not exist.
func (d *Dispatcher) lookup(ctx context.Context, id string) (store.Record, error) {
	due := d.recoveryPending() // checked first, because recovery may finish before the store responds
	record, err := d.store.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		if ending := d.endIfLost(ctx, id); ending != nil {
			return record, d.unavailable(ctx, "Results are", ending)
		}
		// Read again even if this call has not ended it: the background may have done so since the first read.
		record, err = d.store.Get(ctx, id)
	}
	switch {
	case errors.Is(err, store.ErrNotFound) && due:
		return record, errUnavailable("Results are being checked after a storage failure", "try again in a moment", time.Second)
	case errors.Is(err, store.ErrNotFound):
		return record, d.notFound()
	case err != nil:
		return record, d.unavailable(ctx, "Results are", err)
	case !owns(d.caller(ctx), record):
		return store.Record{}, d.notFound()
	}
	return d.expire(ctx, record)
}

// expire ends the request if it is overdue, and returns the current record.
func (d *Dispatcher) expire(ctx context.Context, r store.Record) (store.Record, error) {
	for !r.Status.Final() {
		now := time.Now()
		over := d.limits.overdueForReaders(r, now)
		if over == nil {
			break
		}
		end := failed(r, over, now)
		present, err := d.finish(ctx, end, over)
		if err != nil {
			d.recorder.addUnconfirmed(end)
			return r, d.unavailable(ctx, "Results are", err)
		}
		d.leaveQueue(ctx, r, present)
		r = present
	}
	return r, nil
}

// leaveQueue removes the job of a request that has ended while it was waiting. Otherwise the job would take a place in
// the queue until a replica is free. On an error it stays until then.
func (d *Dispatcher) leaveQueue(ctx context.Context, before, now store.Record) {
	if before.Status != resnet18cloud.StatusQueued || !now.Status.Final() || now.Generation != before.Generation {
		return
	}
	if err := d.queue.Remove(ctx, now.ID, now.Generation); err != nil {
		d.cfg.Log.InfoContext(ctx, "job of an ended request stays in the queue", "request_id", now.ID, "error", err)
	}
}

// wait returns the record when it is final, when its deadline or the limit has passed, or when this dispatcher is
// stopping.
func (d *Dispatcher) wait(ctx context.Context, r store.Record, limit time.Duration) (store.Record, error) {
	if r.Status.Final() {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(ctx, waitLimit(r, time.Now(), limit))
	defer cancel()
	defer context.AfterFunc(d.stopping, cancel)()
	r, err := d.store.Wait(ctx, r.ID)
	if err != nil {
		return r, d.unavailable(ctx, "Results are", err)
	}
	return d.expire(context.WithoutCancel(ctx), r)
}

// cancelResult cancels a request: DELETE /result/{id}. A request that has already ended is not changed, and the
// response says so.
func (d *Dispatcher) cancelResult(w http.ResponseWriter, r *http.Request) error {
	id, ok := resnet18cloud.ParseID(r.PathValue("id"))
	if !ok {
		d.writeInvalidID(w, r)
		return nil
	}
	record, err := d.lookup(r.Context(), id)
	if err != nil {
		return err
	}
	httpx.SetRequestID(w, r, record.ID)
	if record, err = d.cancel(r.Context(), record.ID); err != nil {
		return err
	}
	if record.Status != resnet18cloud.StatusCancelled {
		return errConflict("Request has already ended: it is "+string(record.Status), "")
	}
	d.writeResult(w, d.shown(d.caller(r.Context()), record))
	return nil
}

// cancel ends the request unless it has already ended, and returns the final record. A waiting job leaves the queue; if
// this dispatcher has sent it to a replica, that attempt is cancelled.
func (d *Dispatcher) cancel(ctx context.Context, id string) (store.Record, error) {
	r, err := d.store.Get(ctx, id)
	if err != nil {
		return r, d.unavailable(ctx, "Results are", err)
	}
	for !r.Status.Final() {
		end := cancelled(r, time.Now())
		present, err := d.finish(ctx, end, nil)
		if err != nil {
			d.recorder.addUnconfirmed(end)
			return r, d.unavailable(ctx, "Results are", err)
		}
		if hasMark(present, markOf(end)) {
			d.inFlight.cancel(id, end.Generation)
		}
		d.leaveQueue(ctx, r, present)
		r = present
	}
	return r, nil
}
