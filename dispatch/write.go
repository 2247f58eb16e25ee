package dispatch

import (
	"context"
	"errors"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// read returns a record, and resolves earlier unconfirmed writes of it.
func (d *Dispatcher) read(ctx context.Context, id string) (store.Record, error) {
	unconfirmed := d.recorder.takeUnconfirmed(id)
	r, err := d.store.Get(ctx, id)
	switch {
	case err == nil:
		d.recorder.resolve(ctx, unconfirmed, r, d.waiting())
	case !errors.Is(err, store.ErrNotFound):
		d.recorder.add(id, unconfirmed...)
	}
	return r, err
}

// write stores the record: as a new one if it has no revision, and otherwise in place of that revision. It returns
// the record with its new revision, or store.ErrConflict if the store has another one.
func (d *Dispatcher) write(ctx context.Context, r store.Record) (store.Record, error) {
	var revision uint64
	var err error
	if r.Revision == 0 {
		revision, err = d.store.Create(ctx, r)
	} else {
		revision, err = d.store.Update(ctx, r)
	}
	switch {
	case errors.Is(err, store.ErrExists):
		return r, store.ErrConflict
	case err != nil:
		return r, err
	}
	r.Revision = revision
	return r, nil
}

// create writes the record that starts or restarts a request. It returns store.ErrConflict if another process has
// written one. It counts nothing: the caller does so when the request is accepted. After any other error it is
// unknown whether the record was written; if it was, it is counted once this is confirmed.
func (d *Dispatcher) create(ctx context.Context, r store.Record) (store.Record, error) {
	written, err := d.write(ctx, r)
	if errors.Is(err, store.ErrConflict) {
		// A store that did not receive the acknowledgment retries, and then finds its own record.
		present, getErr := d.store.Get(ctx, r.ID)
		switch {
		case getErr == nil && hasMark(present, markOf(r)):
			return present, nil
		case getErr == nil || errors.Is(getErr, store.ErrNotFound):
			return r, err
		}
		err = getErr
	}
	if err != nil {
		d.recorder.addUnconfirmed(r)
		return r, err
	}
	return written, nil
}

// finish writes a final record and returns the store's current record. If that has r's last mark, this call ended the
// request. Otherwise the request had ended before, or has been restarted, or, if the returned record is not final, it
// has changed and the call may be repeated. cause is logged; it is nil for a completed or cancelled request.
//
// After an error it is unknown whether the record was written. The caller calls finish again with the same r, or
// passes r to recorder.addUnconfirmed.
func (d *Dispatcher) finish(ctx context.Context, r store.Record, cause error) (store.Record, error) {
	for {
		written, err := d.write(ctx, r)
		if err == nil {
			d.ended(ctx, written, cause)
			return written, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return r, err
		}
		present, err := d.store.Get(ctx, r.ID)
		switch {
		case errors.Is(err, store.ErrNotFound): // the store dropped it, because it was full or damaged
			r.Revision = 0
			continue
		case err != nil:
			return r, err
		case hasMark(present, markOf(r)): // an earlier call wrote it without receiving the acknowledgment
			d.ended(ctx, r, cause)
		}
		return present, nil
	}
}

// ended reports a request that has just ended.
func (d *Dispatcher) ended(ctx context.Context, r store.Record, cause error) {
	d.recorder.ended(ctx, r)
	d.holdings.ended(r.ID, r.Generation)
	d.hooks.ended(r)
	if r.Failure == nil {
		return
	}
	d.failures.add(ctx, r, cause)
}
