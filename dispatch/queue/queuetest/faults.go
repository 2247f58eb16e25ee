package queuetest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

// Fault is the fault of a call to a faulty queue.
type Fault int

// The faults.
const (
	None           Fault = iota
	Refused              // the call does nothing and returns ErrInjected
	Unacknowledged       // the call does its work and returns ErrInjected
)

// ErrInjected is the error of a fault.
var ErrInjected = errors.New("injected fault")

// Faulty is a queue with injected faults. The embedded queue does the work.
type Faulty struct {
	queue.Queue
	// Decide returns the fault for a call of Publish, Next, Jobs, Find, Probe, Ack, Nak or InProgress. Nil means
	// None.
	Decide func(method string) Fault

	mu   sync.Mutex
	lost map[string]struct{} // guarded by mu: IDs of jobs that the storage has lost
}

var _ queue.Queue = (*Faulty)(nil)

// Lose makes the queue lose a job, as if its storage were damaged: it is neither delivered nor listed any more.
func (q *Faulty) Lose(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lost == nil {
		q.lost = map[string]struct{}{}
	}
	q.lost[id] = struct{}{}
}

// take reports whether a delivered job is lost. It is lost once.
func (q *Faulty) take(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, lost := q.lost[id]
	delete(q.lost, id)
	return lost
}

// fault applies the fault to the call do.
func (q *Faulty) fault(method string, do func() error) error {
	fault := None
	if q.Decide != nil {
		fault = q.Decide(method)
	}
	if fault == Refused {
		return ErrInjected
	}
	if err := do(); err != nil {
		return err
	}
	if fault == Unacknowledged {
		return ErrInjected
	}
	return nil
}

// Publish implements queue.Queue.
func (q *Faulty) Publish(ctx context.Context, job resnet18cloud.Job) error {
	return q.fault("Publish", func() error { return q.Queue.Publish(ctx, job) })
}

// Next implements queue.Queue.
func (q *Faulty) Next(ctx context.Context, lanes int) (queue.Delivery, error) {
	for {
		var d queue.Delivery
		err := q.fault("Next", func() (err error) { d, err = q.Queue.Next(ctx, lanes); return err })
		if err != nil {
			return nil, err
		}
		if !q.take(d.Job().ID) {
			return faultyDelivery{d, q}, nil
		}
		if err := d.Ack(ctx); err != nil {
			return nil, err
		}
	}
}

// Jobs implements queue.Queue.
func (q *Faulty) Jobs(ctx context.Context) (ids map[string]struct{}, err error) {
	err = q.fault("Jobs", func() error { ids, err = q.Queue.Jobs(ctx); return err })
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	maps.DeleteFunc(ids, func(id string, _ struct{}) bool { _, lost := q.lost[id]; return lost })
	return ids, nil
}

// Find implements queue.Queue.
func (q *Faulty) Find(ctx context.Context, id string) (job resnet18cloud.Job, err error) {
	q.mu.Lock()
	_, lost := q.lost[id]
	q.mu.Unlock()
	if lost {
		return job, queue.ErrNotFound
	}
	err = q.fault("Find", func() error { job, err = q.Queue.Find(ctx, id); return err })
	return job, err
}

// Probe implements queue.Queue.
func (q *Faulty) Probe(ctx context.Context) error {
	return q.fault("Probe", func() error { return q.Queue.Probe(ctx) })
}

type faultyDelivery struct {
	queue.Delivery
	queue *Faulty
}

func (d faultyDelivery) Ack(ctx context.Context) error {
	return d.queue.fault("Ack", func() error { return d.Delivery.Ack(ctx) })
}

func (d faultyDelivery) Nak(ctx context.Context, delay time.Duration) error {
	return d.queue.fault("Nak", func() error { return d.Delivery.Nak(ctx, delay) })
}

func (d faultyDelivery) InProgress(ctx context.Context) error {
	return d.queue.fault("InProgress", func() error { return d.Delivery.InProgress(ctx) })
}
