package dispatch

import (
	"context"
	"errors"
	"log/slog"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// read returns a record, and counts what it shows of earlier writes whose success was unknown.
func (d *Dispatcher) read(ctx context.Context, id string) (store.Record, error) {
	doubts := d.recorder.takeDoubts(id)
	r, err := d.store.Get(ctx, id)
	switch {
	case err == nil:
		d.recorder.settle(doubts, r, d.queue.Waiting())
	case !errors.Is(err, store.ErrNotFound):
		d.recorder.addDoubts(id, doubts...)
	}
	return r, err
}

// write stores the record: as a new one if it has no revision, and otherwise in place of that revision. It returns the
// record with its new revision, or store.ErrConflict when another record is there.
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

// create writes the record that starts a request, or starts it again. It returns store.ErrConflict when somebody else
// has written one, and counts nothing: the caller does when the request is accepted. After another error it is not known
// whether the record was written; if it was, it is counted when that turns out.
func (d *Dispatcher) create(ctx context.Context, r store.Record) (store.Record, error) {
	written, err := d.write(ctx, r)
	if errors.Is(err, store.ErrConflict) {
		// A store that is not told of its success tries again, and then finds its own record.
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
		d.recorder.doubt(r)
		return r, err
	}
	return written, nil
}

// finish writes a final record and returns the record that the store then has. It has r's last mark when
// this call ended the request; otherwise the request had ended before, was started again since, or, when the returned
// record is not final, was changed and the call may be repeated. cause is for the log, nil for a completed or cancelled request.
//
// After an error it is not known whether the record was written. The caller calls finish again with the same r, or hands
// r to recorder.doubt.
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
		case hasMark(present, markOf(r)): // an earlier call wrote it and was not told
			d.ended(ctx, r, cause)
		}
		return present, nil
	}
}

// ended reports a request that has just ended.
func (d *Dispatcher) ended(ctx context.Context, r store.Record, cause error) {
	d.recorder.ended(r)
	if r.Failure == nil {
		return
	}
	level := slog.LevelInfo
	if r.Failure.Code == resnet18cloud.CodeLost {
		level = slog.LevelWarn
	}
	d.cfg.Log.Log(ctx, level, "request failed", "request_id", r.ID, "code", string(r.Failure.Code), "error", cause)
}
