package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// This file has the spans of a dispatcher, apart from those of requests, which package httpx has, and of attempts at replicas,
// which package forward has. docs/tracing.md describes them for users.

// startJob starts the span of an operation on a job, with attributes by OpenTelemetry's conventions for messages
// (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/).
func (d *Dispatcher) startJob(ctx context.Context, name string, kind tracing.Kind, job resnet18cloud.Job) (context.Context, *tracing.Span) {
	if d.cfg.Tracer == nil {
		return ctx, nil
	}
	return d.cfg.Tracer.Start(ctx, name, kind,
		slog.String("messaging.system", "nats"), slog.String("messaging.message.id", job.ID), slog.Int("messaging.message.body.size", len(job.Image.Bytes)),
		slog.String(tracing.RequestID, job.ID), slog.String("resnet18.priority", string(job.Priority)))
}

// itemAttr is the place of an image in a request with several.
func itemAttr(i int) slog.Attr { return slog.Int("resnet18.item", i) }

// submitItem is submit for an image of a batch.
func (d *Dispatcher) submitItem(ctx context.Context, i int, image resnet18cloud.Image, o submitOptions) (store.Record, error) {
	ctx, span := d.cfg.Tracer.Start(ctx, "item", tracing.Internal, itemAttr(i))
	defer span.End()
	r, err := d.submit(ctx, image, o)
	span.Fail(err)
	return r, err
}

// recordCache records that the cache was asked, since start.
func (d *Dispatcher) recordCache(ctx context.Context, start time.Time, hit bool) {
	d.cfg.Tracer.Record(ctx, "cache", start, time.Now(), slog.Bool("resnet18.cache.hit", hit))
}

// waitingSince returns since when a job has waited: since it was stored, or since the last attempt began. The spans of all its
// waits follow each other.
func waitingSince(r store.Record, job resnet18cloud.Job) time.Time {
	switch {
	case r.Attempts > 0:
		return r.StartedAt
	case !job.StoredAt.IsZero():
		return job.StoredAt
	}
	return job.QueuedAt
}

// recordQueue records a job's wait until an attempt, beside the span in which the attempt is made. Clocks of other machines may be
// ahead.
func (d *Dispatcher) recordQueue(ctx context.Context, job resnet18cloud.Job, since, until time.Time, attempt int) {
	if since.After(until) {
		since = until
	}
	d.cfg.Tracer.Record(resnet18cloud.WithTrace(ctx, job.Trace), "queue", since, until,
		slog.String(tracing.RequestID, job.ID), slog.Int("resnet18.attempt", attempt))
}

// recordStages records the stages of a result from a classifier in this process. Replicas record their own.
func (d *Dispatcher) recordStages(ctx context.Context, r resnet18cloud.Result) {
	if r.Replica == "" {
		d.cfg.Tracer.RecordStages(ctx, time.Now(), r.Timing.Inner()...)
	}
}
