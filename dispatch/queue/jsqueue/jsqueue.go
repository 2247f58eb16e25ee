// Package jsqueue is a queue in a NATS JetStream work-queue stream. A job is one message: the image is its
// body, the rest its headers, its priority part of its subject. Each priority has one durable consumer,
// shared by all dispatchers. The one thing to know: deliveries are not limited in number here, because a
// message that JetStream has given up stays in the stream for ever; package dispatch counts attempts.
package jsqueue

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

var _ queue.Queue = (*Queue)(nil)

// Config says how much a queue holds.
type Config struct {
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
	// Exclusive says that nobody else uses the stream. Jobs that an earlier process had taken are then
	// delivered again at once, without waiting for AckWait.
	Exclusive bool
}

const (
	streamName    = "RESNET18_JOBS"
	subjectPrefix = "resnet18.jobs."
	// maxTaken is how many jobs may be in takers' hands beyond those that wait; a cluster of 500 replicas
	// of two cores each takes 1500.
	maxTaken = 4096
	// pullWait is how long a request for a job stays with the server; also how long Run takes to end.
	pullWait = time.Second
	// holdLimit is how long a job is held for a Next that does not come before others may have it.
	holdLimit = 100 * time.Millisecond
	// lookInterval is the time between two looks at the stream, for what other dispatchers did.
	lookInterval = 500 * time.Millisecond
)

var priorities = [...]resnet18cloud.Priority{resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk}

// Queue is a queue.Queue on JetStream. Make it with [New].
type Queue struct {
	js    jetstream.JetStream
	cfg   Config
	ready chan struct{}
	lines [len(priorities)]line // by index in priorities
	turn  chan queue.Turns      // holds the one value; empty while a Next is choosing
}

// line is the jobs of one priority.
type line struct {
	priority resnet18cloud.Priority
	consumer jetstream.Consumer
	next     chan *delivery
	wanted   chan struct{} // has an element when a Next has come since pull last gave a job back
	waiting  atomic.Int64  // jobs in the stream that were never delivered, and the one held for Next
	changes  atomic.Uint64 // counts what this process did to waiting, to tell old looks from new
}

// New makes a queue on the connection that js stands for. It does nothing until Run.
func New(js jetstream.JetStream, cfg Config) *Queue {
	q := &Queue{js: js, cfg: cfg, ready: make(chan struct{}), turn: make(chan queue.Turns, 1)}
	q.turn <- queue.Turns{}
	for i, p := range priorities {
		q.lines[i].priority = p
		q.lines[i].next = make(chan *delivery)
		q.lines[i].wanted = make(chan struct{}, 1)
	}
	return q
}

// Run implements queue.Queue.
func (q *Queue) Run(ctx context.Context) error {
	if err := q.open(ctx); err != nil {
		return fmt.Errorf("open queue: %w", err)
	}
	var pullers [len(priorities)]*puller
	for i := range pullers {
		p, err := newPuller(q.js.Conn(), streamName, string(priorities[i]))
		if err != nil {
			return fmt.Errorf("open queue: %w", err)
		}
		defer p.close()
		pullers[i] = p
	}
	close(q.ready)
	var g errgroup.Group
	for i, p := range pullers {
		g.Go(func() error { q.pull(ctx, &q.lines[i], p); return nil })
	}
	g.Go(func() error { q.look(ctx); return nil })
	return g.Wait()
}

// Ready implements queue.Queue.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

func (q *Queue) open(ctx context.Context) error {
	_, err := q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        streamName,
		Description: "images that resnet18cloud has accepted and not yet classified",
		Subjects:    []string{subjectPrefix + ">"},
		Retention:   jetstream.WorkQueuePolicy,
		Discard:     jetstream.DiscardNew,
		MaxMsgs:     int64(q.cfg.Capacity) + maxTaken,
		MaxBytes:    q.cfg.MaxBytes,
		MaxAge:      q.cfg.MaxAge,
		Storage:     jetstream.FileStorage,
		Replicas:    q.cfg.Replicas,
	})
	if err != nil {
		return fmt.Errorf("create stream %s: %w", streamName, err)
	}
	for i := range q.lines {
		if err := q.openLine(ctx, &q.lines[i]); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) openLine(ctx context.Context, l *line) error {
	name := string(l.priority)
	if q.cfg.Exclusive {
		// Who had taken jobs is dead. A consumer made anew delivers all that the stream holds.
		err := q.js.DeleteConsumer(ctx, streamName, name)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("delete consumer %s: %w", name, err)
		}
	}
	var err error
	l.consumer, err = q.js.CreateOrUpdateConsumer(ctx, streamName, jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: subjectPrefix + name + ".*",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       q.cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: maxTaken,
	})
	if err != nil {
		return fmt.Errorf("create consumer %s: %w", name, err)
	}
	info, err := l.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for consumer %s: %w", name, err)
	}
	l.waiting.Store(int64(info.NumPending))
	return nil
}

func (q *Queue) line(p resnet18cloud.Priority) *line {
	if p == resnet18cloud.PriorityBulk {
		return &q.lines[1]
	}
	return &q.lines[0]
}

// The headers of a job.
const (
	headerName     = "Resnet18-Filename" // URL-escaped
	headerDigest   = "Resnet18-Digest"
	headerQueued   = "Resnet18-Queued-At"
	headerDeadline = "Resnet18-Deadline"
	// headerGeneration is absent from jobs of generation 0.
	headerGeneration = "Resnet18-Generation"
)

// Publish implements queue.Queue.
func (q *Queue) Publish(ctx context.Context, job resnet18cloud.Job) error {
	if err := resnet18cloud.CheckID(job.ID); err != nil {
		return fmt.Errorf("publish job: %w", err)
	}
	l := q.line(job.Priority)
	// Counted before it is stored: it may be delivered before Publish hears of it.
	if l.add(1); q.Waiting().Total() > q.cfg.Capacity {
		l.add(-1)
		return queue.ErrFull
	}
	err := q.publish(ctx, l, job)
	if err != nil {
		l.add(-1)
	}
	return err
}

func (q *Queue) publish(ctx context.Context, l *line, job resnet18cloud.Job) error {
	msg := &nats.Msg{
		Subject: subject(l.priority, job.ID),
		Data:    job.Image.Bytes,
		Header: nats.Header{
			headerName:   {url.QueryEscape(job.Image.Name)},
			headerDigest: {hex.EncodeToString(job.Digest[:])},
			headerQueued: {job.QueuedAt.Format(time.RFC3339Nano)},
		},
	}
	if !job.Deadline.IsZero() {
		msg.Header.Set(headerDeadline, job.Deadline.Format(time.RFC3339Nano))
	}
	if job.Generation > 0 {
		msg.Header.Set(headerGeneration, strconv.Itoa(job.Generation))
	}
	ack, err := q.js.PublishMsg(ctx, msg, jetstream.WithMsgID(queue.DedupID(job)), jetstream.WithRetryAttempts(0))
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok && (apiErr.ErrorCode == errTooManyMessages || apiErr.ErrorCode == errTooManyBytes) {
		return queue.ErrFull
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return queue.ErrTooLarge
	case err != nil:
		return fmt.Errorf("publish job: %w", err)
	case ack.Duplicate:
		l.add(-1)
	}
	return nil
}

// What JetStream says of a full stream (nats-server, server/errors.json: JSStreamStoreFailedF with the
// store's reason). nats.go names neither.
const (
	errTooManyMessages jetstream.ErrorCode = 10077
	errTooManyBytes    jetstream.ErrorCode = 10054
)

// add changes the count of waiting jobs.
func (l *line) add(n int64) {
	l.changes.Add(1)
	l.waiting.Add(n)
}

// pull asks for one job at a time and offers it to Next.
func (q *Queue) pull(ctx context.Context, l *line, p *puller) {
	// Requests outlive ctx for up to pullWait: a job that came in answer to a request that nobody waits
	// for would be lost for AckWait.
	for ctx.Err() == nil {
		msg, err := p.next()
		if err != nil {
			if !errors.Is(err, nats.ErrTimeout) {
				pause(ctx, 100*time.Millisecond) // the server is away
			}
			continue
		}
		d, err := newDelivery(msg, l.priority)
		if err != nil {
			_ = msg.Term() // not ours: somebody else writes to our subjects
			continue
		}
		q.offer(ctx, l, d)
	}
}

// offer holds a job until Next wants it, but not for long where others could take it: then it gives the
// job back, and waits for a Next before another is asked for.
func (q *Queue) offer(ctx context.Context, l *line, d *delivery) {
	limit := holdLimit
	if q.cfg.Exclusive {
		limit = q.cfg.AckWait / 3
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case l.next <- d:
			return
		case <-ctx.Done():
			_ = d.Nak(context.WithoutCancel(ctx), 0)
			return
		case <-timer.C:
		}
		if q.cfg.Exclusive {
			_ = d.InProgress(ctx) // should it be lost, Next sees that the job is stale
			d.taken = time.Now()
			timer.Reset(limit)
			continue
		}
		_ = d.Nak(ctx, 0)
		if d.first {
			l.add(-1)
		}
		select {
		case <-l.wanted:
		case <-ctx.Done():
		}
		return
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// look corrects the counts by what the stream says, for what other dispatchers did.
func (q *Queue) look(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for i := range q.lines {
			q.lines[i].look(ctx)
		}
	}
}

// look replaces the count when it differs by more than this process's own changes, and the job it holds,
// can explain. Without other dispatchers it therefore never does.
func (l *line) look(ctx context.Context) {
	before := l.changes.Load()
	info, err := l.consumer.Info(ctx)
	if err != nil {
		return
	}
	counted := l.waiting.Load()
	tolerance := int64(l.changes.Load()-before) + 1
	if diff := int64(info.NumPending) - counted; diff > tolerance || -diff > tolerance {
		l.waiting.Add(diff)
	}
}

// Next implements queue.Queue.
func (q *Queue) Next(ctx context.Context) (queue.Delivery, error) {
	var turns queue.Turns
	select {
	case turns = <-q.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { q.turn <- turns }()
	for i := range q.lines {
		select {
		case q.lines[i].wanted <- struct{}{}:
		default:
		}
	}
	for {
		d, err := q.choose(ctx, &turns)
		if err != nil {
			return nil, err
		}
		if d.first {
			q.line(d.job.Priority).add(-1)
		}
		if !stale(d.taken, time.Now(), q.cfg.AckWait) {
			turns.Took(d.job.Priority)
			return d, nil
		}
		// This process was asleep. The server may have given the job to somebody else already; if not, it
		// will.
		_ = d.Nak(ctx, 0)
	}
}

// choose waits for a job, and takes the one whose turn it is when both lines have one.
func (q *Queue) choose(ctx context.Context, turns *queue.Turns) (*delivery, error) {
	first, second := q.lines[0].next, q.lines[1].next
	if turns.Bulk() {
		first, second = second, first
	}
	select {
	case d := <-first:
		return d, nil
	default:
	}
	select {
	case d := <-first:
		return d, nil
	case d := <-second:
		return d, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Waiting implements queue.Queue.
func (q *Queue) Waiting() queue.Depth {
	return queue.Depth{
		Interactive: int(max(0, q.lines[0].waiting.Load())),
		Bulk:        int(max(0, q.lines[1].waiting.Load())),
	}
}

// Healthy implements queue.Queue.
func (q *Queue) Healthy(ctx context.Context) error {
	if _, err := q.js.Stream(ctx, streamName); err != nil {
		return fmt.Errorf("ask for stream %s: %w", streamName, err)
	}
	return nil
}
