package dispatch

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// This file has the changes of a record. Each function returns the changed record and writes nothing.

// newRecord returns the first record of a job's generation.
func newRecord(job resnet18cloud.Job) store.Record {
	r := store.Record{
		ID: job.ID, Owner: job.Owner, Generation: job.Generation, Filename: job.Image.Name, Digest: hex.EncodeToString(job.Digest[:]), Want: job.Image.Want,
		Status: resnet18cloud.StatusQueued, Priority: job.Priority,
		QueuedAt: job.QueuedAt, Deadline: job.Deadline, Marks: []string{newMark()},
		Lane: job.Lane, Bytes: int64(len(job.Image.Bytes)),
	}
	if job.Client != job.Owner {
		r.Client = job.Client
	}
	if job.Webhook != "" {
		r.Webhook = &store.Webhook{URL: job.Webhook, Batch: job.Batch}
	}
	return r
}

// ending returns the record of a request that ends now with what only unfinished requests have removed, and with a mark.
// The dispatcher that ends it sends its webhook.
func ending(r store.Record, now time.Time) store.Record {
	r.Client, r.Lane, r.Bytes = "", 0, 0
	if r.Webhook != nil {
		r.Webhook = &store.Webhook{URL: r.Webhook.URL, Batch: r.Webhook.Batch, Next: now.Add(hookClaim)}
	}
	return marked(r)
}

// started returns the record of a request whose processing begins. The attempt counts from now on, so that an image
// that crashes dispatchers uses up its attempts.
func started(r store.Record, now time.Time) store.Record {
	r.Status, r.StartedAt = resnet18cloud.StatusProcessing, now
	r.Attempts++
	return r
}

// completed returns the record with its result. fromCache reports that no replica was used.
func completed(r store.Record, result resnet18cloud.Result, fromCache bool, now time.Time) store.Record {
	if !r.StartedAt.IsZero() {
		result.Timing.Queue = r.StartedAt.Sub(r.QueuedAt)
	}
	r = ending(r, now)
	r.Status, r.CompletedAt = resnet18cloud.StatusCompleted, now
	r.Replica, r.FromCache, r.Result = result.Replica, fromCache, &result
	return r
}

// failed returns the record of a request that ends without a result.
func failed(r store.Record, e *resnet18cloud.Error, now time.Time) store.Record {
	r = ending(r, now)
	r.Status, r.CompletedAt = resnet18cloud.StatusFailed, now
	r.Failure = &store.Failure{Code: e.Code, Message: e.Message, Hint: e.Hint}
	return r
}

// cancelled returns the record of a request that its client cancelled.
func cancelled(r store.Record, now time.Time) store.Record {
	r = ending(r, now)
	r.Status, r.CompletedAt = resnet18cloud.StatusCancelled, now
	return r
}

// restarted returns the record of a request that is restarted after it ended as in known. fresh is the record of the
// new submission. QueuedAt is now, however long the upload took, because reconciliation decides by this time whether
// a job must exist.
func restarted(known, fresh store.Record, now time.Time) store.Record {
	fresh.Generation, fresh.Revision, fresh.QueuedAt = known.Generation+1, known.Revision, now
	fresh.Marks = known.Marks
	return marked(fresh)
}

// rolledBack undoes a restart whose job could not be queued: the request returns to its earlier outcome. It keeps the
// new generation, so that the job finds an ended request in case it was queued after all.
func rolledBack(restart, known store.Record) store.Record {
	known.Generation, known.Revision, known.Marks = restart.Generation, restart.Revision, restart.Marks
	return marked(known)
}

// maxMarks is the number of marks kept in a record: those of the last 32 generations. A count is lost if a request is
// restarted more often before an unconfirmed write of it is resolved, which takes seconds while storage fails. A restart
// that finds the queue full is a generation too, so a few are not enough.
const maxMarks = 64

// marked adds a mark to the record.
func marked(r store.Record) store.Record {
	marks := r.Marks[max(0, len(r.Marks)-(maxMarks-1)):]
	r.Marks = append(slices.Clone(marks), newMark())
	return r
}

// markOf returns the mark of the record's last start or end.
func markOf(r store.Record) string {
	if len(r.Marks) == 0 {
		return "" // written by a version without marks
	}
	return r.Marks[len(r.Marks)-1]
}

// hasMark reports whether the record or an earlier version of it was written with the mark.
func hasMark(r store.Record, mark string) bool { return mark != "" && slices.Contains(r.Marks, mark) }

// newMark returns a random unique string of at most 13 characters.
func newMark() string { return strconv.FormatUint(rand.Uint64(), 36) }
