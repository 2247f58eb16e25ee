package forward

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

type requestIDKey struct{}

// WithRequestID returns a context that passes the request ID to the replica, for the replica's log. An X-Request-Id in
// the context's [resnet18cloud.Trace] comes first.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// setTrace sets the headers that identify the request in the replica's log. Each attempt is a span of its own, recorded or not.
func setTrace(ctx context.Context, h http.Header) {
	trace := resnet18cloud.TraceFrom(ctx)
	id, _ := ctx.Value(requestIDKey{}).(string)
	if id = cmp.Or(trace.RequestID, id); id != "" {
		h.Set(httpx.HeaderRequestID, id)
	}
	if tracing.Current(ctx) == nil && trace.ID != "" {
		trace = trace.Child()
	}
	if trace.ID != "" {
		h.Set(httpx.HeaderTraceparent, trace.Traceparent())
	}
	if trace.State != "" {
		h.Set(httpx.HeaderTracestate, trace.State)
	}
}

// startSpan starts the span of an attempt at an endpoint, the one after tried others, with the attributes that OpenTelemetry's
// conventions for clients of HTTP name.
func (p *Pool) startSpan(ctx context.Context, endpoint string, want resnet18cloud.Want, tried int) (context.Context, *tracing.Span) {
	if p.cfg.Tracer == nil {
		return ctx, nil
	}
	attrs := []slog.Attr{slog.String("http.request.method", http.MethodPost), slog.String("url.full", endpoint+want.Path())}
	if u, err := url.Parse(endpoint); err == nil {
		attrs = append(attrs, slog.String("server.address", u.Hostname()))
		if port, err := strconv.Atoi(u.Port()); err == nil {
			attrs = append(attrs, slog.Int("server.port", port))
		}
	}
	if tried > 0 {
		attrs = append(attrs, slog.Int("http.request.resend_count", tried))
	}
	return p.cfg.Tracer.Start(ctx, "forward", tracing.Client, attrs...)
}
