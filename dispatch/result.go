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

// result tells where a request stands: GET /result/{id}, with ?wait=20s as soon as it has ended or the time
// is up.
func (d *Dispatcher) result(w http.ResponseWriter, r *http.Request) error {
	id, ok := resnet18cloud.ParseID(r.PathValue("id"))
	if !ok {
		d.writeForeignID(w)
		return nil
	}
	record, err := d.lookup(r.Context(), id)
	if err != nil {
		return err
	}
	if text := r.URL.Query().Get("wait"); text != "" {
		wait, err := parseSeconds(text)
		if err != nil || wait < 0 {
			return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "wait is not a time", Hint: "say ?wait=20s"}
		}
		ctx, done := httpx.Yielding(r.Context())
		defer done()
		if record, err = d.wait(ctx, record, min(wait, d.cfg.MaxWait)); err != nil {
			return err
		}
	}
	d.writeResult(w, record)
	return nil
}

// writeForeignID answers for an id that is not a UUID. No request has such an id, and the text is the client's, so
// neither the store nor the log gets it.
func (d *Dispatcher) writeForeignID(w http.ResponseWriter) { httpx.WriteError(w, d.notFound()) }

func (d *Dispatcher) notFound() *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "Request ID not found",
		Hint: "results are kept for " + d.cfg.ResultTTL.String()}
}

// lookup finds a record, and ends it when its time is up: a job that waits for a replica is not looked at
// before one has room.
func (d *Dispatcher) lookup(ctx context.Context, id string) (store.Record, error) {
	due := d.salvageDue() // asked first: it may be over by the time the store has answered
	record, err := d.store.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		lost, ending := d.salvaged(ctx, id)
		switch {
		case ending != nil:
			return record, d.unavailable(ctx, "Results are", ending)
		case lost:
			record, err = d.store.Get(ctx, id)
		case due:
			return record, &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "Results are being compared with the accepted requests after a fault",
				Hint: "ask again in a moment", RetryAfter: time.Second}
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return record, d.notFound()
	case err != nil:
		return record, d.unavailable(ctx, "Results are", err)
	}
	return d.expire(ctx, record)
}

// expire ends the record when its time is up, and returns it as it is then.
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
			d.recorder.doubt(end)
			return r, d.unavailable(ctx, "Results are", err)
		}
		d.leaveQueue(ctx, r, present)
		r = present
	}
	return r, nil
}

// leaveQueue takes the job of a request that has ended before its turn out of the queue, where it would keep others out until
// a replica is free. It reports no error: the job leaves when its turn comes.
func (d *Dispatcher) leaveQueue(ctx context.Context, before, now store.Record) {
	if before.Status != resnet18cloud.StatusQueued || !now.Status.Final() || now.Generation != before.Generation {
		return
	}
	if err := d.queue.Remove(ctx, now.ID, now.Generation); err != nil {
		d.cfg.Log.InfoContext(ctx, "ended job stays in the queue until its turn", "request_id", now.ID, "error", err)
	}
}

// wait returns the record when it is final, when its deadline has passed, when limit has, or when this
// dispatcher is stopping.
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

// cancelResult withdraws a request: DELETE /result/{id}. One that has ended stays as it is, which the answer
// shows.
func (d *Dispatcher) cancelResult(w http.ResponseWriter, r *http.Request) error {
	id, ok := resnet18cloud.ParseID(r.PathValue("id"))
	if !ok {
		d.writeForeignID(w)
		return nil
	}
	record, err := d.lookup(r.Context(), id)
	if err != nil {
		return err
	}
	if record, err = d.cancel(r.Context(), record.ID); err != nil {
		return err
	}
	if record.Status != resnet18cloud.StatusCancelled {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeConflict,
			Message: "Request has ended already: it is " + string(record.Status)}
	}
	d.writeResult(w, record)
	return nil
}

// cancel ends the request unless it has ended, and returns how it did. A job that waits leaves the queue; a replica that
// works on one is stopped if this dispatcher had sent it.
func (d *Dispatcher) cancel(ctx context.Context, id string) (store.Record, error) {
	r, err := d.store.Get(ctx, id)
	if err != nil {
		return r, d.unavailable(ctx, "Results are", err)
	}
	for !r.Status.Final() {
		end := cancelled(r, time.Now())
		present, err := d.finish(ctx, end, nil)
		if err != nil {
			d.recorder.doubt(end)
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
