// Package jsqueue is a queue in a NATS JetStream work-queue stream. A job is one message: the image is its
// body, the rest its headers, its priority part of its subject. Each priority has one durable consumer,
// shared by all dispatchers. The one thing to know: deliveries are not limited in number here, because a
// message that JetStream has given up stays in the stream for ever; package dispatch counts attempts.
package jsqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

var _ queue.Queue = (*Queue)(nil)

// Connection is the way to JetStream of now. See natsconn.Conn.
type Connection interface{ JetStream() jetstream.JetStream }

// Config says how much a queue holds.
type Config struct {
	// Prefix is what the stream and its subjects are named after. Empty means natsconn.DefaultPrefix.
	Prefix string
	// Capacity is how many jobs may wait. Jobs in takers' hands do not count. Where dispatchers share a
	// queue, each counts for itself between two looks at the stream, so that it may be exceeded by what
	// the others accept in half a second.
	Capacity int
	// MaxBytes bounds all jobs, waiting and taken.
	MaxBytes int64
	// AckWait is how long a taker may be silent before its job is delivered again.
	AckWait time.Duration
	// MaxAge is when JetStream drops a job that nobody took.
	MaxAge time.Duration
	// Replicas is the number of NATS servers that keep each message: 1, 3 or 5.
	Replicas int
	// Policy says what may be done to a stream that exists. With Policy.Exclusive, jobs that an earlier
	// process had taken are delivered again at once, without waiting for AckWait.
	Policy natsconn.StreamPolicy
	// PublishTimeout bounds Publish where its context does not: it tries again while the stream has no
	// leader or the connection is away. Zero means 20 s.
	PublishTimeout time.Duration
	// Problem, when not nil, says why the storage is known to be out of order, nil while it is not:
	// Publish then fails at once instead of trying again.
	Problem func() error
	// Opening, when not nil, is told why the queue cannot be opened yet, at each try.
	Opening func(error)
	// Log receives what is wrong. Nil discards it.
	Log *slog.Logger
}

const (
	// maxTaken is how many jobs may be in takers' hands beyond those that wait; a cluster of 500 replicas
	// of two cores each takes 1500.
	maxTaken = 4096
	// holdLimit is how long a job is held for a Next that does not come before others may have it.
	holdLimit = 100 * time.Millisecond
)

var priorities = [...]resnet18cloud.Priority{resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk}

// Queue is a queue.Queue on JetStream. Make it with [New].
type Queue struct {
	conn     Connection
	cfg      Config
	ready    chan struct{}
	lanes    [len(priorities)]lane // by index in priorities
	turn     chan queue.Turns      // holds the one value; empty while a Next is choosing
	choosing atomic.Bool           // a Next is choosing
	proof    natsconn.Proof
}

// lane is the jobs of one priority.
type lane struct {
	priority resnet18cloud.Priority
	next     chan *delivery
	wanted   chan struct{} // has an element when a Next has come
	waiting  atomic.Int64  // jobs in the stream that were never delivered, and the one held for Next
	held     atomic.Int64  // 1 while a job that was never delivered before is held for Next
	changes  atomic.Uint64 // counts what this process did to waiting, to tell old looks from new
	drop     chan string   // takes the queue.DedupID of a job that need not be held for Next any longer
}

// New makes a queue on the connection. It does nothing until Run.
func New(conn Connection, cfg Config) *Queue {
	if cfg.Prefix == "" {
		cfg.Prefix = natsconn.DefaultPrefix
	}
	if cfg.PublishTimeout == 0 {
		cfg.PublishTimeout = 20 * time.Second
	}
	if cfg.Problem == nil {
		cfg.Problem = func() error { return nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{conn: conn, cfg: cfg, ready: make(chan struct{}), turn: make(chan queue.Turns, 1)}
	q.turn <- queue.Turns{}
	for i, p := range priorities {
		q.lanes[i].priority = p
		q.lanes[i].next = make(chan *delivery)
		q.lanes[i].wanted = make(chan struct{}, 1)
		q.lanes[i].drop = make(chan string)
	}
	return q
}

// Run implements queue.Queue. While the stream cannot be opened it tries again, unless time does not mend
// the cause.
func (q *Queue) Run(ctx context.Context) error {
	if err := natsconn.Retry(ctx, q.cfg.Opening, q.open); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("open queue: %w", err)
	}
	close(q.ready)
	var g errgroup.Group
	for i := range q.lanes {
		g.Go(func() error { q.pull(ctx, &q.lanes[i]); return nil })
	}
	g.Go(func() error { q.look(ctx); return nil })
	return g.Wait()
}

// Ready implements queue.Queue.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// The names of what the queue has in JetStream.
func (q *Queue) streamName() string { return strings.ToUpper(q.cfg.Prefix) + "_JOBS" }

func (q *Queue) subject(p resnet18cloud.Priority, id string) string {
	return q.cfg.Prefix + ".jobs." + string(p) + "." + id
}

func (q *Queue) probeSubject() string { return q.cfg.Prefix + ".jobs.probe" }

// open makes the stream and its consumers, and counts what waits.
func (q *Queue) open(ctx context.Context) error {
	if err := q.ensureStream(ctx); err != nil {
		return err
	}
	for i := range q.lanes {
		l := &q.lanes[i]
		name := string(l.priority)
		if q.cfg.Policy.Exclusive {
			// Those who had taken jobs are dead. A new consumer delivers all that the stream holds.
			err := q.conn.JetStream().DeleteConsumer(ctx, q.streamName(), name)
			if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return fmt.Errorf("delete consumer %s: %w", name, err)
			}
		}
		if err := q.ensureConsumer(ctx, l); err != nil {
			return err
		}
		pending, err := q.pending(ctx, l)
		if err != nil {
			return err
		}
		l.waiting.Store(pending)
	}
	return nil
}

// ensure makes what is missing of stream and consumers.
func (q *Queue) ensure(ctx context.Context) error {
	if err := q.ensureStream(ctx); err != nil {
		return err
	}
	for i := range q.lanes {
		if err := q.ensureConsumer(ctx, &q.lanes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) ensureStream(ctx context.Context) error {
	const own = maxTaken + 1 // one for the probe
	policy := q.cfg.Policy
	policy.Settings.OwnMessages = own
	_, err := natsconn.EnsureStream(ctx, q.conn.JetStream(), jetstream.StreamConfig{
		Name:        q.streamName(),
		Description: "images that resnet18cloud has accepted and not yet classified",
		Subjects:    []string{q.cfg.Prefix + ".jobs.>"},
		Retention:   jetstream.WorkQueuePolicy,
		Discard:     jetstream.DiscardNew,
		MaxMsgs:     int64(q.cfg.Capacity) + own,
		MaxBytes:    q.cfg.MaxBytes,
		MaxAge:      q.cfg.MaxAge,
		// A job that is published again takes the place of the one that waits.
		MaxMsgsPerSubject: 1,
		Storage:           jetstream.FileStorage,
		Replicas:          q.cfg.Replicas,
	}, policy)
	return err
}

func (q *Queue) ensureConsumer(ctx context.Context, l *lane) error {
	cfg := jetstream.ConsumerConfig{
		Durable:       string(l.priority),
		FilterSubject: q.subject(l.priority, "*"),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       q.cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: maxTaken,
	}
	create := q.conn.JetStream().CreateOrUpdateConsumer
	if !q.cfg.Policy.Exclusive {
		// One that another dispatcher has made stays as it is.
		if _, err := q.conn.JetStream().Consumer(ctx, q.streamName(), cfg.Durable); err == nil {
			return nil
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("ask for consumer %s: %w", cfg.Durable, err)
		}
	}
	if _, err := create(ctx, q.streamName(), cfg); err != nil {
		return fmt.Errorf("create consumer %s: %w", cfg.Durable, err)
	}
	return nil
}

// pending asks how many jobs of the lane were never delivered.
func (q *Queue) pending(ctx context.Context, l *lane) (int64, error) {
	consumer, err := q.conn.JetStream().Consumer(ctx, q.streamName(), string(l.priority))
	if err != nil {
		return 0, fmt.Errorf("ask for consumer %s: %w", l.priority, err)
	}
	return int64(consumer.CachedInfo().NumPending), nil
}

func (q *Queue) lane(p resnet18cloud.Priority) *lane {
	if p == resnet18cloud.PriorityBulk {
		return &q.lanes[1]
	}
	return &q.lanes[0]
}

// add changes the count of waiting jobs.
func (l *lane) add(n int64) {
	l.changes.Add(1)
	l.waiting.Add(n)
}

// Waiting implements queue.Queue.
func (q *Queue) Waiting() queue.Depth {
	return queue.Depth{
		Interactive: int(max(0, q.lanes[0].waiting.Load())),
		Bulk:        int(max(0, q.lanes[1].waiting.Load())),
	}
}
