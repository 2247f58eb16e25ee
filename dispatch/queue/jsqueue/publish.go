package jsqueue

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// The headers of a job.
const (
	headerName     = "Resnet18-Filename" // URL-escaped
	headerOwner    = "Resnet18-Owner"    // absent if clients have no keys
	headerClient   = "Resnet18-Client"   // absent if it is the owner
	headerDigest   = "Resnet18-Digest"
	headerQueued   = "Resnet18-Queued-At"
	headerDeadline = "Resnet18-Deadline"
	// headerGeneration is absent from jobs of generation 0.
	headerGeneration = "Resnet18-Generation"
	// headerWant is absent from jobs that ask for the usual classes.
	headerWant = "Resnet18-Want"
	// headerWebhook is absent from jobs without one.
	headerWebhook = "Resnet18-Webhook"
	headerBatch   = "Resnet18-Webhook-Batch" // likewise
	// headerTrace, headerTracestate and headerRequestID are the client's, if there are any.
	headerTrace      = "Resnet18-Traceparent"
	headerTracestate = "Resnet18-Tracestate"
	headerRequestID  = "Resnet18-X-Request-Id"
)

// Publish implements queue.Queue. It retries until its deadline while the stream has no leader or the connection is
// down. The stream drops duplicates.
func (q *Queue) Publish(ctx context.Context, job resnet18cloud.Job) error {
	if err := resnet18cloud.CheckID(job.ID); err != nil {
		return fmt.Errorf("publish job: %w", err)
	}
	l := q.lane(job)
	// Count it before it is stored: it may be delivered before Publish returns.
	if l.add(1); q.Waiting().Total() > q.cfg.Capacity {
		l.add(-1)
		return queue.ErrFull
	}
	ctx, cancel := natsconn.WithDefaultTimeout(ctx, q.cfg.PublishTimeout)
	defer cancel()
	ack, err := q.publish(ctx, q.message(l, job), queue.DedupID(job))
	switch {
	case err != nil:
		l.add(-1)
	case ack.Duplicate:
		l.add(-1)
	}
	return err
}

// message encodes the job.
func (q *Queue) message(l *lane, job resnet18cloud.Job) *nats.Msg {
	msg := &nats.Msg{
		Subject: q.subject(l.class, job.ID),
		Data:    job.Image.Bytes,
		Header: nats.Header{
			headerName:   {url.QueryEscape(job.Image.Name)},
			headerDigest: {hex.EncodeToString(job.Digest[:])},
			headerQueued: {job.QueuedAt.Format(time.RFC3339Nano)},
		},
	}
	if job.Owner != "" {
		msg.Header.Set(headerOwner, url.QueryEscape(job.Owner))
	}
	if job.Client != job.Owner {
		msg.Header.Set(headerClient, url.QueryEscape(job.Client))
	}
	if !job.Deadline.IsZero() {
		msg.Header.Set(headerDeadline, job.Deadline.Format(time.RFC3339Nano))
	}
	if job.Generation > 0 {
		msg.Header.Set(headerGeneration, strconv.Itoa(job.Generation))
	}
	if want := job.Image.Want; want != (resnet18cloud.Want{}) {
		msg.Header.Set(headerWant, want.String())
	}
	if job.Webhook != "" {
		msg.Header.Set(headerWebhook, job.Webhook)
	}
	if job.Batch != "" {
		msg.Header.Set(headerBatch, job.Batch)
	}
	if parent := job.Trace.Traceparent(); parent != "" {
		msg.Header.Set(headerTrace, parent)
	}
	if job.Trace.State != "" {
		msg.Header.Set(headerTracestate, job.Trace.State)
	}
	if job.Trace.RequestID != "" {
		msg.Header.Set(headerRequestID, job.Trace.RequestID)
	}
	return msg
}

// publish stores the message once. The stream recognizes duplicates by the ID for two minutes.
func (q *Queue) publish(ctx context.Context, msg *nats.Msg, id string) (*jetstream.PubAck, error) {
	for {
		ack, err := natsconn.Publish(ctx, q.conn.JetStream(), msg, id)
		switch {
		case err == nil:
			q.lastWrite.Record(q.conn.JetStream())
			return ack, nil
		case isFull(err):
			return nil, queue.ErrFull
		case errors.Is(err, nats.ErrMaxPayload):
			return nil, queue.ErrTooLarge
		}
		if problem := q.cfg.Problem(); problem != nil || !natsconn.IsTemporary(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("publish job: %w", errors.Join(problem, err))
		}
		pause.For(ctx, 100*time.Millisecond)
	}
}

// isFull reports whether the stream rejected a message because it is full. The error code only says that the message
// was not stored (nats-server, server/errors.json: JSStreamStoreFailedF); the reason is in the text, and may also be
// a full disk.
func isFull(err error) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (strings.Contains(apiErr.Description, "maximum messages exceeded") || strings.Contains(apiErr.Description, "maximum bytes exceeded"))
}

// Probe implements queue.Queue. Unless the stream accepted a message within the last second, it publishes a probe
// message that no consumer reads and that replaces the previous one. It recreates a missing stream.
func (q *Queue) Probe(ctx context.Context) error {
	if q.lastWrite.Recent(q.conn.JetStream()) {
		return nil
	}
	if err := natsconn.Probe(ctx, q.conn.JetStream, q.probeSubject(), q.ensure); err != nil && !isFull(err) {
		return fmt.Errorf("write to the queue: %w", err)
	}
	q.lastWrite.Record(q.conn.JetStream())
	return nil
}
