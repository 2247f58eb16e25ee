// Package tracing records the work on a request as spans of OpenTelemetry. The IDs are those of the [resnet18cloud.Trace] in the
// context, which logs and requests to other servers have too: a span replaces it by its own.
//
// This package and package otlp, which sends spans, are the only ones that know OpenTelemetry.
package tracing

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// Tracer starts spans. A nil Tracer starts none and costs nothing. It is safe for concurrent use.
type Tracer struct{ tracer trace.Tracer }

// New returns a Tracer whose spans the provider records.
func New(p trace.TracerProvider) *Tracer {
	return &Tracer{p.Tracer("github.com/resnet18cloud/resnet18cloud")}
}

// RequestID is the attribute with the ID of the record that the work is for, as in the log.
const RequestID = "resnet18.request_id"

// Kind says which part of a call or message a span is.
type Kind int

// The kinds. The zero value is work within a process.
const (
	Internal Kind = iota
	Server        // of a request from outside
	Client        // of a request to another server
	Producer      // sends a message
	Consumer      // works on a message
)

var kindOf = [...]trace.SpanKind{trace.SpanKindInternal, trace.SpanKindServer, trace.SpanKindClient, trace.SpanKindProducer, trace.SpanKindConsumer}

// Root starts the first span of this process in a trace: the client's, or a new one if the context has none. The sampler decides
// whether it is recorded; the returned context's Trace has the decision in its flags, for all that follows.
func (t *Tracer) Root(ctx context.Context, name string, kind Kind, attrs ...slog.Attr) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return t.start(ctx, name, kind, time.Time{}, attrs)
}

// Start starts a span of the context's trace if that is recorded. Otherwise it returns the same context and nil.
func (t *Tracer) Start(ctx context.Context, name string, kind Kind, attrs ...slog.Attr) (context.Context, *Span) {
	if !t.records(ctx) {
		return ctx, nil
	}
	return t.start(ctx, name, kind, time.Time{}, attrs)
}

// Record records work that is over, such as a stage of a [resnet18cloud.Timing].
func (t *Tracer) Record(ctx context.Context, name string, start, end time.Time, attrs ...slog.Attr) {
	if !t.records(ctx) {
		return
	}
	_, s := t.start(ctx, name, Internal, start, attrs)
	s.EndAt(end)
}

// RecordStages records consecutive stages of which the last ended at end.
func (t *Tracer) RecordStages(ctx context.Context, end time.Time, stages ...resnet18cloud.Stage) {
	if !t.records(ctx) {
		return
	}
	for _, s := range stages {
		end = end.Add(-s.Duration)
	}
	for _, s := range stages {
		start := end
		end = start.Add(s.Duration)
		if s.Duration > 0 {
			t.Record(ctx, s.Name, start, end)
		}
	}
}

// records reports whether spans of the context's trace are recorded.
func (t *Tracer) records(ctx context.Context) bool {
	return t != nil && resnet18cloud.TraceFrom(ctx).Sampled()
}

func (t *Tracer) start(ctx context.Context, name string, kind Kind, at time.Time, attrs []slog.Attr) (context.Context, *Span) {
	in := resnet18cloud.TraceFrom(ctx)
	options := []trace.SpanStartOption{trace.WithSpanKind(kindOf[kind]), trace.WithAttributes(keyValues(attrs)...)}
	if !at.IsZero() {
		options = append(options, trace.WithTimestamp(at))
	}
	ctx, s := t.tracer.Start(trace.ContextWithSpanContext(ctx, parent(ctx, in)), name, options...)
	c := s.SpanContext()
	in.ID, in.Span, in.Flags = c.TraceID().String(), c.SpanID().String(), byte(c.TraceFlags())
	ctx = resnet18cloud.WithTrace(ctx, in)
	if !s.IsRecording() {
		return ctx, nil
	}
	return ctx, &Span{s}
}

// parent returns the trace as OpenTelemetry's type, which is not valid if there is no trace. A span is remote unless it is the
// context's.
func parent(ctx context.Context, in resnet18cloud.Trace) trace.SpanContext {
	if own := trace.SpanContextFromContext(ctx); own.IsValid() && own.SpanID().String() == in.Span {
		return own
	}
	id, idErr := trace.TraceIDFromHex(in.ID)
	span, spanErr := trace.SpanIDFromHex(in.Span)
	if idErr != nil || spanErr != nil {
		return trace.SpanContext{}
	}
	state, _ := trace.ParseTraceState(in.State) // empty if OpenTelemetry is stricter than we are
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(in.Flags), TraceState: state, Remote: true})
}

// Span is work that is being recorded. A nil Span ignores everything. It must be ended, and by one goroutine.
type Span struct{ span trace.Span }

// Current returns the span of the context; nil if there is none.
func Current(ctx context.Context) *Span {
	if s := trace.SpanFromContext(ctx); s.IsRecording() {
		return &Span{s}
	}
	return nil
}

// Set adds attributes.
func (s *Span) Set(attrs ...slog.Attr) {
	if s != nil {
		s.span.SetAttributes(keyValues(attrs)...)
	}
}

// Rename replaces the name, for a span whose name is not known when it starts.
func (s *Span) Rename(name string) {
	if s != nil {
		s.span.SetName(name)
	}
}

// Fail notes that the work failed: the code of the error is the attribute error.type.
func (s *Span) Fail(err error) {
	if s == nil || err == nil {
		return
	}
	e := resnet18cloud.AsError(err)
	s.SetCode(e.Code)
	s.span.SetStatus(codes.Error, logs.Clip(e.Error()))
}

// SetCode notes an error that is no failure of this process, such as a mistake of the client.
func (s *Span) SetCode(c resnet18cloud.Code) {
	s.Set(slog.String("error.type", string(c)))
}

// End ends the span now.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// EndAt ends the span at a time.
func (s *Span) EndAt(end time.Time) {
	if s != nil {
		s.span.End(trace.WithTimestamp(end))
	}
}

// keyValues converts attributes. Values other than numbers and truth values become text.
func keyValues(attrs []slog.Attr) []attribute.KeyValue {
	all := make([]attribute.KeyValue, len(attrs))
	for i, a := range attrs {
		all[i].Key = attribute.Key(a.Key)
		switch v := a.Value.Resolve(); v.Kind() {
		case slog.KindInt64:
			all[i].Value = attribute.Int64Value(v.Int64())
		case slog.KindFloat64:
			all[i].Value = attribute.Float64Value(v.Float64())
		case slog.KindBool:
			all[i].Value = attribute.BoolValue(v.Bool())
		default:
			all[i].Value = attribute.StringValue(v.String())
		}
	}
	return all
}
