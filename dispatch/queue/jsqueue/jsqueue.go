// Package jsqueue implements a queue on a NATS JetStream work-queue stream. A job is one message: the image is its
// body, its class and ID are in its subject, and the rest is in its headers. Each class has one durable consumer, shared
// by all dispatchers. The number of deliveries is not limited, because a message that reaches
// MaxDeliver stays in the stream forever; package dispatch counts attempts instead.
package jsqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
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

// Connection provides the current JetStream context. See natsconn.Conn.
type Connection interface{ JetStream() jetstream.JetStream }

// Config configures a [Queue].
type Config struct {
	// Prefix is the prefix of the names of the stream and its subjects. Empty means natsconn.DefaultPrefix.
	Prefix string
	// Capacity is the maximum number of waiting jobs. Jobs that have been taken do not count. If dispatchers share a
	// queue, each counts locally between two checks of the stream, so the capacity may be exceeded by what the others
	// accept in half a second.
	Capacity int
	// MaxBytes limits the size of all jobs, waiting and taken.
	MaxBytes int64
	// AckWait is the time without a heartbeat before a job is delivered again.
	AckWait time.Duration
	// PullWait is how long a request for a job stays on the server; Run takes as long to end. Zero means 1 s.
	PullWait time.Duration
	// MaxAge is the age at which JetStream drops a job.
	MaxAge time.Duration
	// Replicas is the number of NATS servers that store each message: 1, 3 or 5.
	Replicas int
	// Policy controls changes to an existing stream. With Policy.Exclusive, jobs that an earlier process had taken
	// are delivered again immediately, without waiting for AckWait.
	Policy natsconn.StreamPolicy
	// PublishTimeout limits Publish if its context has no deadline: Publish retries while the stream has no leader or
	// the connection is down. Zero means 20 s.
	PublishTimeout time.Duration
	// Problem, if not nil, returns why the storage is known to be broken, or nil. If it is broken, Publish fails
	// immediately instead of retrying.
	Problem func() error
	// OnOpenError, if not nil, is called after each failed attempt to open the queue.
	OnOpenError func(error)
	// Redelivered, if not nil, is called for each job of Next that was delivered before. It must be fast.
	Redelivered func()
	// Log receives warnings. Nil discards them.
	Log *slog.Logger
}

const (
	// maxTaken is the maximum number of jobs taken and not acknowledged; a cluster of 500 replicas with two cores
	// each takes 1500.
	maxTaken = 4096
	// holdLimit is how long a job is held for a call of Next before it is returned for others.
	holdLimit = 100 * time.Millisecond
)

// Queue implements queue.Queue on JetStream. Create it with [New].
type Queue struct {
	conn      Connection
	cfg       Config
	ready     chan struct{}
	lanes     [queue.Classes]lane         // by number of the class
	any       [queue.Lanes]chan *delivery // receive the jobs of the first 1, 2... lanes while none was ready
	chooser   chan chooser                // holds the one value; empty while Next is choosing
	choosing  atomic.Int32                // number of lanes from which Next is choosing
	lastWrite natsconn.LastWrite
}

// Bytes returns the size of all jobs in the queue.
func (q *Queue) Bytes(ctx context.Context) (int64, error) {
	return natsconn.StreamBytes(ctx, q.conn.JetStream(), q.streamName())
}

// lane has the jobs of one class.
type lane struct {
	class   queue.Class
	next    chan *delivery
	any     [queue.Lanes]chan *delivery // those of the queue that receive the lane's jobs; others are nil
	wanted  chan struct{}               // receives a value when Next is called
	waiting atomic.Int64                // jobs in the stream that were never delivered, and the one held for Next
	held    atomic.Int64                // 1 while a job that was never delivered before is held for Next
	changes atomic.Uint64               // number of changes to waiting by this process, to detect outdated checks
	removed *removedJobs                // need not be held for Next any longer
}

// New creates a queue on the connection. It does nothing until Run.
func New(conn Connection, cfg Config) *Queue {
	cfg.Prefix = cmp.Or(cfg.Prefix, natsconn.DefaultPrefix)
	cfg.PullWait = cmp.Or(cfg.PullWait, time.Second)
	cfg.PublishTimeout = cmp.Or(cfg.PublishTimeout, 20*time.Second)
	if cfg.Problem == nil {
		cfg.Problem = func() error { return nil }
	}
	if cfg.Redelivered == nil {
		cfg.Redelivered = func() {}
	}
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	q := &Queue{conn: conn, cfg: cfg, ready: make(chan struct{}), chooser: make(chan chooser, 1)}
	q.chooser <- chooser{}
	for i := range q.any {
		q.any[i] = make(chan *delivery)
	}
	for i := range q.lanes {
		q.lanes[i].class = queue.ClassAt(i)
		copy(q.lanes[i].any[q.lanes[i].class.Lane:], q.any[q.lanes[i].class.Lane:])
		q.lanes[i].next = make(chan *delivery)
		q.lanes[i].wanted = make(chan struct{}, 1)
		q.lanes[i].removed = newRemovedJobs()
	}
	return q
}

// Run implements queue.Queue. If the stream cannot be opened it retries, unless the error is permanent.
func (q *Queue) Run(ctx context.Context) error {
	if err := natsconn.Retry(ctx, q.cfg.OnOpenError, q.open); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to stop
		}
		return fmt.Errorf("open queue: %w", err)
	}
	close(q.ready)
	var g errgroup.Group
	for i := range q.lanes {
		g.Go(func() error { q.pull(ctx, &q.lanes[i]); return nil })
	}
	g.Go(func() error { q.recountLoop(ctx); return nil })
	return g.Wait()
}

// Ready implements queue.Queue.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// The names in JetStream.
func (q *Queue) streamName() string { return strings.ToUpper(q.cfg.Prefix) + "_JOBS" }

func (q *Queue) subject(c queue.Class, id string) string {
	return q.cfg.Prefix + ".jobs." + className(c) + "." + id
}

// className returns the name of a class in subjects, and of its consumer: "bulk", "bulk-1", "bulk-2". The first lane has
// the name of the priority, as when there was one lane, so that a stream of that time needs no change.
func className(c queue.Class) string {
	if c.Lane == 0 {
		return string(c.Priority)
	}
	return string(c.Priority) + "-" + strconv.Itoa(c.Lane)
}

func (q *Queue) probeSubject() string { return q.cfg.Prefix + ".jobs.probe" }

// open creates the stream and its consumers, and counts the waiting jobs.
func (q *Queue) open(ctx context.Context) error {
	if err := q.ensureStream(ctx); err != nil {
		return err
	}
	for i := range q.lanes {
		l := &q.lanes[i]
		name := className(l.class)
		if q.cfg.Policy.Exclusive {
			// The processes that had taken jobs are gone. A new consumer delivers everything in the stream.
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

// ensure creates the stream and consumers if they are missing.
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
		// A job that is published again replaces the waiting one.
		MaxMsgsPerSubject: 1,
		Storage:           jetstream.FileStorage,
		Replicas:          q.cfg.Replicas,
	}, policy)
	return err
}

func (q *Queue) ensureConsumer(ctx context.Context, l *lane) error {
	cfg := jetstream.ConsumerConfig{
		Durable:       className(l.class),
		FilterSubject: q.subject(l.class, "*"),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       q.cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: maxTaken,
	}
	create := q.conn.JetStream().CreateOrUpdateConsumer
	if !q.cfg.Policy.Exclusive {
		// Do not change a consumer that another dispatcher has created.
		if _, err := q.conn.JetStream().Consumer(ctx, q.streamName(), cfg.Durable); err == nil {
			return nil
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("look up consumer %s: %w", cfg.Durable, err)
		}
	}
	if _, err := create(ctx, q.streamName(), cfg); err != nil {
		return fmt.Errorf("create consumer %s: %w", cfg.Durable, err)
	}
	return nil
}

// pending returns how many jobs of the lane were never delivered.
func (q *Queue) pending(ctx context.Context, l *lane) (int64, error) {
	name := className(l.class)
	consumer, err := q.conn.JetStream().Consumer(ctx, q.streamName(), name)
	if err != nil {
		return 0, fmt.Errorf("look up consumer %s: %w", name, err)
	}
	return int64(consumer.CachedInfo().NumPending), nil
}

func (q *Queue) lane(job resnet18cloud.Job) *lane { return &q.lanes[queue.ClassOf(job).Index()] }

// add changes the number of waiting jobs.
func (l *lane) add(n int64) {
	l.changes.Add(1)
	l.waiting.Add(n)
}

// Waiting implements queue.Queue.
func (q *Queue) Waiting() queue.Depth {
	var depth queue.Depth
	for i := range q.lanes {
		depth.Add(q.lanes[i].class, int(max(0, q.lanes[i].waiting.Load())))
	}
	return depth
}
