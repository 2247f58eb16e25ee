package jsqueue

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

// delivery is one message that this process has taken.
type delivery struct {
	msg   *nats.Msg
	job   resnet18cloud.Job
	first bool      // never delivered before, so it was counted as waiting
	taken time.Time // when it was received
}

func newDelivery(msg *nats.Msg, c queue.Class) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	job, err := readJob(msg.Subject, msg.Header, c)
	if err != nil {
		return nil, err
	}
	job.Image.Bytes, job.StoredAt = msg.Data, meta.Timestamp
	return &delivery{msg: msg, job: job, first: meta.NumDelivered == 1, taken: time.Now()}, nil
}

// readJob decodes a job from a message's subject and headers, without the image's bytes.
func readJob(subject string, h nats.Header, c queue.Class) (resnet18cloud.Job, error) {
	job := resnet18cloud.Job{ID: jobID(subject), Priority: c.Priority, Lane: c.Lane}
	if err := resnet18cloud.CheckID(job.ID); err != nil {
		return job, fmt.Errorf("read job: %w", err)
	}
	var err error
	if job.Image.Name, err = url.QueryUnescape(h.Get(headerName)); err != nil {
		return job, fmt.Errorf("read job %s: %s: %w", job.ID, headerName, err)
	}
	if job.Owner, err = url.QueryUnescape(h.Get(headerOwner)); err != nil {
		return job, fmt.Errorf("read job %s: %s: %w", job.ID, headerOwner, err)
	}
	if job.Client, err = url.QueryUnescape(h.Get(headerClient)); err != nil {
		return job, fmt.Errorf("read job %s: %s: %w", job.ID, headerClient, err)
	}
	job.Client = cmp.Or(job.Client, job.Owner)
	digest := h.Get(headerDigest)
	if n, err := hex.Decode(job.Digest[:], []byte(digest[:min(len(digest), 64)])); err != nil || n != len(job.Digest) {
		return job, fmt.Errorf("read job %s: %s %q is not a SHA-256", job.ID, headerDigest, digest)
	}
	if job.QueuedAt, err = time.Parse(time.RFC3339Nano, h.Get(headerQueued)); err != nil {
		return job, fmt.Errorf("read job %s: %s: %w", job.ID, headerQueued, err)
	}
	if deadline := h.Get(headerDeadline); deadline != "" {
		if job.Deadline, err = time.Parse(time.RFC3339Nano, deadline); err != nil {
			return job, fmt.Errorf("read job %s: %s: %w", job.ID, headerDeadline, err)
		}
	}
	if generation := h.Get(headerGeneration); generation != "" {
		if job.Generation, err = strconv.Atoi(generation); err != nil {
			return job, fmt.Errorf("read job %s: %s: %w", job.ID, headerGeneration, err)
		}
	}
	if want := h.Get(headerWant); want != "" {
		if job.Image.Want, err = resnet18cloud.WantFrom(want); err != nil {
			return job, fmt.Errorf("read job %s: %s: %w", job.ID, headerWant, err)
		}
	}
	job.Webhook, job.Batch, job.Trace = h.Get(headerWebhook), h.Get(headerBatch), readTrace(h)
	return job, nil
}

// readTrace decodes the trace. One that is malformed is none: a job must not fail because of it.
func readTrace(h nats.Header) resnet18cloud.Trace {
	t, ok := resnet18cloud.ParseTraceparent(h.Get(headerTrace))
	if state, fine := resnet18cloud.ParseTracestate(h.Get(headerTracestate)); ok && fine {
		t.State = state
	}
	if id := h.Get(headerRequestID); resnet18cloud.ValidRequestID(id) {
		t.RequestID, t.Given = id, true
	}
	return t
}

// Job implements queue.Delivery.
func (d *delivery) Job() resnet18cloud.Job { return d.job }

// Ack implements queue.Delivery. It does not wait for the server: if the acknowledgment is lost, the job is delivered
// again, found to be final, and acknowledged again.
func (d *delivery) Ack(context.Context) error { return d.msg.Ack() }

// Nak implements queue.Delivery.
func (d *delivery) Nak(_ context.Context, delay time.Duration) error {
	if delay > 0 {
		return d.msg.NakWithDelay(delay)
	}
	return d.msg.Nak()
}

// InProgress implements queue.Delivery.
func (d *delivery) InProgress(context.Context) error { return d.msg.InProgress() }
