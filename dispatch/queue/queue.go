// Package queue defines the queue that holds accepted images until a replica has a free slot. Jobs are added with
// Publish and taken with Next, and stay in the queue until they are acknowledged: if a process dies, its jobs are
// delivered again. A job may be delivered more than once, so its handler must be able to detect that it has already
// ended. Package jsqueue stores jobs in NATS JetStream, memqueue in memory; queuetest tests that both implement this
// contract.
package queue

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// ErrFull is returned by Publish if the queue is full, by number of jobs or by bytes.
var ErrFull = errors.New("queue is full")

// ErrTooLarge is returned by Publish for a job that exceeds the queue's message size limit.
var ErrTooLarge = errors.New("job is too large for the queue")

// ErrNotFound is returned by Find for a job that is not in the queue.
var ErrNotFound = errors.New("no such job")

// Queue is a bounded queue of jobs with two priorities, and [Lanes] lanes in each. Interactive jobs are delivered before
// bulk jobs, and within a priority the jobs of a lower lane before those of a higher one, but one in [Share] deliveries
// is for those that come later, so that none is starved. Within a lane, jobs are delivered in the order of Publish. All
// methods are safe for concurrent use. Methods that wait return the context's error when ctx ends.
type Queue interface {
	// Run opens the queue and keeps it working until ctx ends. Other methods may be called after Ready is closed and
	// until Run returns. Jobs that are neither acknowledged nor returned by then are delivered again, by this queue
	// when it is reopened or by another one on the same storage.
	Run(ctx context.Context) error
	// Ready is closed when the queue is open.
	Ready() <-chan struct{}
	// Publish stores the job; after it returns nil the job survives whatever the queue promises to survive.
	// Publishing the same ID and generation again within two minutes stores nothing and returns nil. A later
	// generation may replace an earlier one that is waiting. Errors are ErrFull, ErrTooLarge, resnet18cloud.ErrID for
	// an ID that is not a UUID, and storage errors, after which the job may or may not have been stored.
	Publish(ctx context.Context, job resnet18cloud.Job) error
	// Next waits for a job of the first lanes of a priority, [Lanes] for any job, and takes it. The job is delivered
	// again unless Ack, Nak or InProgress is called within the queue's ack wait.
	Next(ctx context.Context, lanes int) (Delivery, error)
	// Waiting returns the number of jobs not yet taken. If several dispatchers share a queue it may be half a second
	// out of date, and leave out a few jobs that were offered to a dispatcher without a free slot and returned.
	Waiting() Depth
	// Jobs returns the IDs of all jobs in the queue: waiting, taken, and returned with a delay. A job is included
	// from the return of Publish until Ack.
	Jobs(ctx context.Context) (map[string]struct{}, error)
	// Find returns a job in the queue, without its image's bytes, or ErrNotFound. It does not take the job. If there
	// are several generations it returns any of them.
	Find(ctx context.Context, id string) (resnet18cloud.Job, error)
	// Remove removes a waiting job of the given generation, because its request has ended. It is not an error if there
	// is none. A job that was taken may be removed too; its taker can still call Ack.
	Remove(ctx context.Context, id string, generation int) error
	// Probe checks that the storage accepts writes, and recreates missing parts of it. It returns nil immediately if
	// a write succeeded within the last second.
	Probe(ctx context.Context) error
}

// Delivery is one job that has been taken from the queue.
type Delivery interface {
	// Job returns the published job. The image's bytes may be read until Ack or Nak is called.
	Job() resnet18cloud.Job
	// Ack removes the job from the queue.
	Ack(ctx context.Context) error
	// Nak returns the job to the queue; it is delivered again after delay.
	Nak(ctx context.Context, delay time.Duration) error
	// InProgress is a heartbeat; it restarts the ack wait.
	InProgress(ctx context.Context) error
}

// DedupID returns the name by which a queue detects duplicates: the job's ID, and for later generations also the
// generation, as in "f18d7c0a-e37f-4f6c-b214-542dd751b0e3.1".
func DedupID(job resnet18cloud.Job) string {
	if job.Generation == 0 {
		return job.ID
	}
	return job.ID + "." + strconv.Itoa(job.Generation)
}

// Depth is the number of jobs by priority.
type Depth struct {
	Interactive, Bulk int
}

// Total returns the number of jobs of both priorities.
func (d Depth) Total() int { return d.Interactive + d.Bulk }

// Add adds n jobs of a class.
func (d *Depth) Add(c Class, n int) {
	if c.Priority == resnet18cloud.PriorityBulk {
		d.Bulk += n
	} else {
		d.Interactive += n
	}
}
