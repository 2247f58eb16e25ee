// Package store defines the store that keeps the record of each request, by ID, for a limited time. A record is
// created when a request is accepted, changes by compare-and-swap, and is read when a client asks for the result. A
// request ends exactly once because the change to its final state succeeds exactly once. Package jsstore stores
// records in a NATS key-value bucket, memstore in memory; storetest tests that both implement this contract.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Expected errors.
var (
	ErrExists   = errors.New("record exists")
	ErrNotFound = errors.New("no such record")
	ErrConflict = errors.New("record was changed concurrently")
)

// Record is the state of one request.
type Record struct {
	ID          string                 `json:"id"`
	Generation  int                    `json:"generation,omitempty"` // number of restarts after an end
	Owner       string                 `json:"owner,omitempty"`      // name of the client that sent it; empty if clients have no keys
	Filename    string                 `json:"filename"`
	Digest      string                 `json:"digest"`        // SHA-256 of the image, hexadecimal
	Want        resnet18cloud.Want     `json:"want,omitzero"` // what the client asks about the image
	Status      resnet18cloud.Status   `json:"status"`
	Priority    resnet18cloud.Priority `json:"priority,omitempty"`
	QueuedAt    time.Time              `json:"queued_at"`
	Deadline    time.Time              `json:"deadline,omitzero"`
	Estimate    time.Duration          `json:"estimate,omitempty"` // from QueuedAt to the result, as returned to the client
	StartedAt   time.Time              `json:"started_at,omitzero"`
	CompletedAt time.Time              `json:"completed_at,omitzero"`
	Attempts    int                    `json:"attempts,omitempty"` // how often a dispatcher started to process it
	FromCache   bool                   `json:"from_cache,omitempty"`
	Replica     string                 `json:"replica,omitempty"` // URL of the replica that answered
	Result      *resnet18cloud.Result  `json:"result,omitempty"`
	Failure     *Failure               `json:"failure,omitempty"`

	// Client, Lane and Bytes are what the request counts for its client, until it has ended: who sent it if it has no
	// owner (an address or network), where its job waits, and the size of its image.
	Client string `json:"client,omitempty"`
	Lane   int    `json:"lane,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`

	// Webhook is nil if the client wants none.
	Webhook *Webhook `json:"webhook,omitempty"`

	// Marks are random strings, one for each start and each end of the request, in order. A writer that did not
	// receive an acknowledgment recognizes its write by its mark, even after others have changed the record.
	Marks []string `json:"marks,omitempty"`

	// Revision is the store's version of the record, for Update.
	Revision uint64 `json:"-"`
}

// Secret is a random number that clients do not know. Request IDs are derived from it.
type Secret [32]byte

// Webhook is the state of a message about the end of a request. Values are not changed, but replaced.
type Webhook struct {
	URL string `json:"url"`
	// Batch is the ID of the first request of a batch whose outcomes are sent in one message. The state of the message is in
	// that request's record. Empty means a message about this request.
	Batch    string       `json:"batch,omitempty"`
	State    WebhookState `json:"state,omitempty"` // empty while it is to be sent
	Attempts int          `json:"attempts,omitempty"`
	Problem  string       `json:"problem,omitempty"` // of the last attempt
	// Next is when any dispatcher may send it, because the one that wanted to has not.
	Next time.Time `json:"next,omitzero"`
}

// WebhookState says that a webhook is not to be sent any more.
type WebhookState string

// The states.
const (
	WebhookDelivered WebhookState = "delivered"
	WebhookFailed    WebhookState = "failed"
)

// Failure is the reason why a request has no result.
type Failure struct {
	Code    resnet18cloud.Code `json:"code"`
	Message string             `json:"message"`
	Hint    string             `json:"hint,omitempty"`
}

// Store keeps records for a limited time and up to a limited size; when it is full it drops the oldest. All methods
// are safe for concurrent use.
type Store interface {
	// Run opens the store and keeps it working until ctx ends. Other methods may be called after Ready is closed and
	// until Run returns.
	Run(ctx context.Context) error
	// Ready is closed when the store is open.
	Ready() <-chan struct{}
	// Create adds a record and returns its revision, or ErrExists. Create and Update return resnet18cloud.ErrID for
	// IDs that are not UUIDs; other methods find no record for them.
	Create(ctx context.Context, r Record) (uint64, error)
	// Get returns the record, or ErrNotFound.
	Get(ctx context.Context, id string) (Record, error)
	// Update replaces the version r.Revision and returns the new revision. If that is not the current version it
	// returns ErrConflict and changes nothing.
	Update(ctx context.Context, r Record) (uint64, error)
	// Wait returns the record once it is final. If ctx ends first, it returns the current record without an error.
	Wait(ctx context.Context, id string) (Record, error)
	// Unfinished returns the records that are not final, in no particular order. It returns what the store has seen
	// so far: records of earlier processes may be missing for some seconds after Ready, and changes by other
	// processes may be missing for about a second. Update detects whether a record is current.
	Unfinished(ctx context.Context) ([]Record, error)
	// Recent returns at most n records, most recently changed first.
	Recent(ctx context.Context, n int) ([]Record, error)
	// Count returns the number of records.
	Count(ctx context.Context) (int, error)
	// Secret returns the secret that all processes on the same storage share. It is kept as long as the records: a
	// storage that was emptied has another one.
	Secret() Secret
	// Probe checks that the storage accepts writes, and recreates missing parts of it. It returns nil immediately if
	// a write succeeded within the last second.
	Probe(ctx context.Context) error
}
