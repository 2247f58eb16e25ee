package resnet18cloud

import "time"

// Status is the state of a job. It only moves forward, and the last three values are final.
type Status string

// The states of a job, as returned by the result endpoint.
const (
	StatusQueued     Status = "queued"     // accepted and stored, not yet started
	StatusProcessing Status = "processing" // sent to a replica, or about to be sent
	StatusCompleted  Status = "completed"  // has a Result
	StatusFailed     Status = "failed"     // has an Error and will never have a Result
	StatusCancelled  Status = "cancelled"  // cancelled by the client before it completed
)

// Final reports whether the state is final.
func (s Status) Final() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// Priority orders waiting jobs: interactive jobs leave the queue before bulk jobs. Bulk jobs are never starved.
type Priority string

// The priorities. The empty string means PriorityInteractive.
const (
	PriorityInteractive Priority = "interactive"
	PriorityBulk        Priority = "bulk"
)

// Job is an accepted image in the dispatcher.
type Job struct {
	ID       string    // UUID; the result is stored under the same ID
	Owner    string    // name of the client that sent it; empty if clients have no keys
	Client   string    // who sent it: its owner, or without keys an address or network
	Image    Image     // what to classify, and what the client wants to know
	Digest   [32]byte  // SHA-256 of Image.Bytes, the cache's key
	QueuedAt time.Time // when the client's request arrived
	StoredAt time.Time // when the queue stored the job, by its clock; set when it is delivered
	Deadline time.Time // when the result is no longer useful; zero means never
	Priority Priority
	// Lane is the job's place among those of its priority: a lower lane leaves the queue first. The dispatcher chooses
	// it by what the client has waiting, so that a client with many jobs does not delay those with few.
	Lane int
	// Generation counts how often the request was restarted under the same ID after it had ended. Zero is the first
	// run.
	Generation int
	// Webhook is the URL to send the outcome to; empty if the client wants none.
	Webhook string
	// Batch, with Webhook, is the ID of the first job of a batch whose outcomes are sent in one message; empty if the job has
	// a message of its own.
	Batch string
	// Trace is that of the client's request, for logs and replicas. RequestID is empty unless the client chose it.
	Trace Trace
}
