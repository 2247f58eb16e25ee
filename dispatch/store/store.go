// Package store keeps what became of each request, by its ID, for a limited time. Records are created when a
// request is accepted, change by compare-and-swap, and are read by whoever asks for the result. The one
// thing to know: a request ends exactly once because the change to its final state succeeds exactly once.
// Package jsstore keeps records in a NATS key-value bucket, memstore in memory; storetest holds both to what
// is written here.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Expected outcomes.
var (
	ErrExists   = errors.New("record exists")
	ErrNotFound = errors.New("no such record")
	ErrConflict = errors.New("record was changed by somebody else")
)

// Record is what is known of one request.
type Record struct {
	ID          string                 `json:"id"`
	Generation  int                    `json:"generation,omitempty"` // times the request was started again after an end
	Filename    string                 `json:"filename"`
	Digest      string                 `json:"digest"` // SHA-256 of the image, hexadecimal
	Status      resnet18cloud.Status   `json:"status"`
	Priority    resnet18cloud.Priority `json:"priority,omitempty"`
	QueuedAt    time.Time              `json:"queued_at"`
	Deadline    time.Time              `json:"deadline,omitzero"`
	Estimate    time.Duration          `json:"estimate,omitempty"` // from QueuedAt to the result, as told to the client
	StartedAt   time.Time              `json:"started_at,omitzero"`
	CompletedAt time.Time              `json:"completed_at,omitzero"`
	Attempts    int                    `json:"attempts,omitempty"` // times a dispatcher began to work on it
	FromCache   bool                   `json:"from_cache,omitempty"`
	Replica     string                 `json:"replica,omitempty"` // URL of the replica that answered
	Result      *resnet18cloud.Result  `json:"result,omitempty"`
	Failure     *Failure               `json:"failure,omitempty"`

	// Marks are random texts, one for each start and each end of the request, the last ones at the end. A writer
	// that was not told whether its write succeeded recognizes it by its mark, also after others have changed the
	// record.
	Marks []string `json:"marks,omitempty"`

	// Revision is the store's mark of this version, for Update.
	Revision uint64 `json:"-"`
}

// Failure says why a request has no result.
type Failure struct {
	Code    resnet18cloud.Code `json:"code"`
	Message string             `json:"message"`
	Hint    string             `json:"hint,omitempty"`
}

// Store keeps records for the time, and within the bytes, it was made with; when these are used up the
// oldest go first. All methods are safe for concurrent use.
type Store interface {
	// Run opens the store and keeps it working until ctx ends. Other methods may be called once Ready is
	// closed, and until Run returns.
	Run(ctx context.Context) error
	// Ready is closed when the store is open.
	Ready() <-chan struct{}
	// Create adds a record and returns its revision, or ErrExists. Create and Update refuse IDs that are not
	// UUIDs with resnet18cloud.ErrID; other methods find nothing under them.
	Create(ctx context.Context, r Record) (uint64, error)
	// Get returns the record, or ErrNotFound.
	Get(ctx context.Context, id string) (Record, error)
	// Update replaces the version that r.Revision marks and returns the new revision. It fails with
	// ErrConflict when that is not the present version; the record has not changed then.
	Update(ctx context.Context, r Record) (uint64, error)
	// Wait returns the record once its state is final. When ctx ends before, it returns the record as it
	// is then, without an error.
	Wait(ctx context.Context, id string) (Record, error)
	// Unfinished returns the records whose state is not final, in no order. It answers from what the store
	// has seen so far: records of earlier processes may be missing for some seconds after Ready, and changes
	// by other processes may be missing for about a second. Update tells whether a record is still the
	// present one.
	Unfinished(ctx context.Context) ([]Record, error)
	// Recent returns at most n records, the last changed first.
	Recent(ctx context.Context, n int) ([]Record, error)
	// Count is the number of records.
	Count(ctx context.Context) (int, error)
	// Probe proves that the storage takes a write, and makes what is missing there again. It returns nil at
	// once when a write succeeded within the last second.
	Probe(ctx context.Context) error
}
