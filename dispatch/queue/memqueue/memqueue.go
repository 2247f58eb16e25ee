// Package memqueue implements a queue in memory, for tests and for runs whose jobs need not survive the process.
package memqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

var _ queue.Queue = (*Queue)(nil)

// dedupWindow is how long an ID is remembered, as in JetStream by default.
const dedupWindow = 2 * time.Minute

// Queue implements queue.Queue in memory. Create it with [New].
type Queue struct {
	capacity int
	ackWait  time.Duration
	ready    chan struct{}

	mu      sync.Mutex
	changed chan struct{}                      // guarded by mu: closed and replaced when a job is added or returned
	waiting [queue.Classes][]resnet18cloud.Job // by number of the class
	turns   queue.Turns
	held    map[string][]resnet18cloud.Job // by ID: published and not acknowledged, one per generation or repetition
	seen    map[string]time.Time           // when each job was published, by queue.DedupID
	pruned  time.Time                      // when old entries of seen were last removed
}

// New creates a queue for at most capacity waiting jobs. A job is delivered again after ackWait without a heartbeat.
func New(capacity int, ackWait time.Duration) *Queue {
	return &Queue{
		capacity: capacity, ackWait: ackWait, ready: make(chan struct{}),
		changed: make(chan struct{}),
		held:    map[string][]resnet18cloud.Job{},
		seen:    map[string]time.Time{},
	}
}

// Run waits until ctx ends.
func (q *Queue) Run(ctx context.Context) error {
	close(q.ready)
	<-ctx.Done()
	return nil
}

// Ready implements queue.Queue.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// Probe implements queue.Queue. Memory always accepts writes.
func (q *Queue) Probe(context.Context) error { return nil }

// Publish implements queue.Queue. It stores a copy of the image.
func (q *Queue) Publish(_ context.Context, job resnet18cloud.Job) error {
	if err := resnet18cloud.CheckID(job.ID); err != nil {
		return fmt.Errorf("publish job: %w", err)
	}
	now := time.Now()
	job.Image.Bytes = bytes.Clone(job.Image.Bytes)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forget(now)
	name := queue.DedupID(job)
	if at, known := q.seen[name]; known && now.Sub(at) < dedupWindow {
		return nil
	}
	if q.depth().Total() >= q.capacity {
		return queue.ErrFull
	}
	q.seen[name] = now
	q.held[job.ID] = append(q.held[job.ID], job)
	job.StoredAt = now
	q.put(job, false)
	return nil
}

// forget removes expired names, once per window. The caller holds mu.
func (q *Queue) forget(now time.Time) {
	if now.Sub(q.pruned) < dedupWindow {
		return
	}
	q.pruned = now
	for name, at := range q.seen {
		if now.Sub(at) >= dedupWindow {
			delete(q.seen, name)
		}
	}
}

// put adds a waiting job, at the front if it was returned. The caller holds mu.
func (q *Queue) put(job resnet18cloud.Job, first bool) {
	jobs := &q.waiting[queue.ClassOf(job).Index()]
	if first {
		*jobs = append([]resnet18cloud.Job{job}, *jobs...)
	} else {
		*jobs = append(*jobs, job)
	}
	close(q.changed)
	q.changed = make(chan struct{})
}

// Next implements queue.Queue.
func (q *Queue) Next(ctx context.Context, lanes int) (queue.Delivery, error) {
	for {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		d, changed := q.take(lanes)
		if d != nil {
			return d, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take removes and returns the next job of the first lanes, or a channel to wait on.
func (q *Queue) take(lanes int) (queue.Delivery, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, class := range q.turns.Order() {
		if jobs := q.waiting[class.Index()]; class.Lane < lanes && len(jobs) > 0 {
			q.waiting[class.Index()] = jobs[1:]
			q.turns.Took(class)
			d := &delivery{queue: q, job: jobs[0]}
			d.mu.Lock() // the timer may fire before it is assigned
			defer d.mu.Unlock()
			d.timer = time.AfterFunc(q.ackWait, func() { _ = d.Nak(context.Background(), 0) })
			return d, nil
		}
	}
	return nil, q.changed
}

// Waiting implements queue.Queue.
func (q *Queue) Waiting() queue.Depth {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.depth()
}

func (q *Queue) depth() queue.Depth {
	var depth queue.Depth
	for i, jobs := range q.waiting {
		depth.Add(queue.ClassAt(i), len(jobs))
	}
	return depth
}

// Jobs implements queue.Queue.
func (q *Queue) Jobs(context.Context) (map[string]struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := make(map[string]struct{}, len(q.held))
	for id := range q.held {
		ids[id] = struct{}{}
	}
	return ids, nil
}

// Find implements queue.Queue.
func (q *Queue) Find(_ context.Context, id string) (resnet18cloud.Job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := q.held[id]
	if len(jobs) == 0 {
		return resnet18cloud.Job{}, queue.ErrNotFound
	}
	job := jobs[len(jobs)-1]
	job.Image.Bytes = nil
	return job, nil
}

// Remove implements queue.Queue.
func (q *Queue) Remove(_ context.Context, id string, generation int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for class, jobs := range q.waiting {
		for i, job := range jobs {
			if job.ID == id && job.Generation == generation {
				q.waiting[class] = slices.Delete(slices.Clone(jobs), i, i+1)
				q.remove(job)
				return nil
			}
		}
	}
	return nil
}

// remove removes one of the jobs with the job's ID and generation. The caller holds mu.
func (q *Queue) remove(job resnet18cloud.Job) {
	jobs := q.held[job.ID]
	i := slices.IndexFunc(jobs, func(j resnet18cloud.Job) bool { return j.Generation == job.Generation })
	if jobs = slices.Delete(jobs, i, i+1); len(jobs) > 0 {
		q.held[job.ID] = jobs
		return
	}
	delete(q.held, job.ID)
}

type delivery struct {
	queue *Queue
	job   resnet18cloud.Job

	mu    sync.Mutex
	timer *time.Timer // guarded by mu: returns the job
	done  bool        // guarded by mu: acknowledged or returned
}

var errDone = errors.New("delivery was already acknowledged or returned")

func (d *delivery) Job() resnet18cloud.Job { return d.job }

func (d *delivery) finish() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		return errDone
	}
	d.done = true
	d.timer.Stop()
	return nil
}

func (d *delivery) Ack(context.Context) error {
	if err := d.finish(); err != nil {
		return err
	}
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	d.queue.remove(d.job)
	return nil
}

func (d *delivery) Nak(_ context.Context, delay time.Duration) error {
	if err := d.finish(); err != nil {
		return err
	}
	if delay > 0 {
		time.AfterFunc(delay, d.giveBack)
		return nil
	}
	d.giveBack()
	return nil
}

func (d *delivery) giveBack() {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	d.queue.put(d.job, true)
}

func (d *delivery) InProgress(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		return errDone
	}
	d.timer.Reset(d.queue.ackWait)
	return nil
}
