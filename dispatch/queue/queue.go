// Package queue holds accepted images until a replica has room for them. Jobs go in by Publish, come out by
// Next, and stay the queue's until the taker has acknowledged them: a taker that dies gives its job back by
// doing nothing. The one thing to know: a job may be delivered more than once, so whoever ends it must be
// able to see that it has ended already. Package jsqueue keeps jobs in NATS JetStream, memqueue in memory;
// queuetest holds both to what is written here.
package queue

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// ErrFull is returned by Publish when as many jobs wait as the queue takes, in number or in bytes.
var ErrFull = errors.New("queue is full")

// ErrTooLarge is returned by Publish for an image larger than the queue's transport can carry.
var ErrTooLarge = errors.New("job is too large for the queue")

// ErrNotFound is returned by Find for a job that is not in the queue.
var ErrNotFound = errors.New("no such job")

// Queue is a bounded queue of jobs with two priorities. Interactive jobs are delivered before bulk ones, but
// of [BulkShare] deliveries one is a bulk job where one waits, so that these are never starved. All methods
// are safe for concurrent use. Methods that wait end with the context's error when ctx does.
type Queue interface {
	// Run opens the queue and keeps it working until ctx ends. Other methods may be called once Ready is
	// closed, and until Run returns. Jobs taken and neither acknowledged nor given back then are delivered
	// again, by this queue when it is opened anew or by another on the same storage.
	Run(ctx context.Context) error
	// Ready is closed when the queue is open.
	Ready() <-chan struct{}
	// Publish stores the job; when it returns nil the job survives whatever the queue promises to survive.
	// Publishing an ID of the same generation again within two minutes is no error and stores nothing. A
	// later generation may take the place of an earlier one that waits. Errors are ErrFull, ErrTooLarge, resnet18cloud.ErrID for an ID that is not a UUID, and those of the storage, after which
	// the job may or may not have been stored.
	Publish(ctx context.Context, job resnet18cloud.Job) error
	// Next waits for a job and takes it. It is delivered again, to anybody, unless its taker says one of
	// Ack, Nak and InProgress within the time the queue was made with.
	Next(ctx context.Context) (Delivery, error)
	// Waiting counts the jobs that nobody has taken. Where several dispatchers share a queue it may lag
	// behind by half a second.
	Waiting() Depth
	// Jobs returns the IDs of all jobs that the queue holds: those that wait, those that are taken, and those
	// given back. A job is in it from the time Publish returned until Ack.
	Jobs(ctx context.Context) (map[string]struct{}, error)
	// Find returns a job that the queue holds, without its image's bytes, or ErrNotFound. It does not take
	// the job. Of several generations it returns any.
	Find(ctx context.Context, id string) (resnet18cloud.Job, error)
	// Remove takes a waiting job of that generation out of the queue, because its request has ended. It is no
	// error when there is none. A job that was taken may go too; its taker can still say Ack.
	Remove(ctx context.Context, id string, generation int) error
	// Probe proves that the storage takes a write, and makes what is missing there again. It returns nil at
	// once when a write succeeded within the last second.
	Probe(ctx context.Context) error
}

// Delivery is one job in a taker's hands.
type Delivery interface {
	// Job is what was published. The image's bytes are the taker's to read until it says Ack or Nak.
	Job() resnet18cloud.Job
	// Ack says that the job has ended; it is removed for good.
	Ack(ctx context.Context) error
	// Nak gives the job back; it is delivered again after delay, to anybody.
	Nak(ctx context.Context, delay time.Duration) error
	// InProgress says that the taker is alive; its time starts anew.
	InProgress(ctx context.Context) error
}

// DedupID is the name by which a queue recognizes a job that is published again: its ID, and from the second
// generation on also the generation, as in "f18d7c0a-e37f-4f6c-b214-542dd751b0e3.1".
func DedupID(job resnet18cloud.Job) string {
	if job.Generation == 0 {
		return job.ID
	}
	return job.ID + "." + strconv.Itoa(job.Generation)
}

// BulkShare is the reciprocal of what bulk jobs get when interactive ones are always waiting: one in eight.
const BulkShare = 8

// Depth is a number of jobs by priority.
type Depth struct {
	Interactive, Bulk int
}

// Total is the number of jobs of both priorities.
func (d Depth) Total() int { return d.Interactive + d.Bulk }

// Turns decides which priority goes next when both have a job; the zero value is ready. Not for concurrent
// use.
type Turns struct{ interactive int }

// Bulk reports whether it is a bulk job's turn. Call Took with what was then taken.
func (t *Turns) Bulk() bool { return t.interactive >= BulkShare-1 }

// Took notes that a job of the priority was delivered.
func (t *Turns) Took(p resnet18cloud.Priority) {
	if p == resnet18cloud.PriorityBulk {
		t.interactive = 0
		return
	}
	t.interactive++
}
