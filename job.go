package resnet18cloud

import "time"

// Status is where a job stands. It only moves forward, and ends in one of the last three.
type Status string

// The states of a job, as the result endpoint names them.
const (
	StatusQueued     Status = "queued"     // accepted and stored, no forwarder has it
	StatusProcessing Status = "processing" // a forwarder has sent it to a replica, or is about to
	StatusCompleted  Status = "completed"  // has a Result
	StatusFailed     Status = "failed"     // has an Error and will never have a Result
	StatusCancelled  Status = "cancelled"  // the client withdrew it before it ended
)

// Final reports whether a job in this state has reached its end.
func (s Status) Final() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// Priority orders waiting jobs: interactive ones leave the queue before bulk ones, which are never starved.
type Priority string

// The priorities. The empty one means PriorityInteractive.
const (
	PriorityInteractive Priority = "interactive"
	PriorityBulk        Priority = "bulk"
)

// Job is an accepted image on its way through the dispatcher.
type Job struct {
	ID       string    // UUID, also the name under which the result is found
	Image    Image     // what to classify
	Digest   [32]byte  // SHA-256 of Image.Bytes, the cache's key
	QueuedAt time.Time // when the dispatcher had stored it
	Deadline time.Time // when the answer loses its value; zero means never
	Priority Priority
	// Generation counts how often the request has been started again under its ID after an end. Zero is the first time.
	Generation int
}
