package forward

import (
	"cmp"
	"context"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

type requestIDKey struct{}

// WithRequestID returns a context that passes the request ID to the replica, for the replica's log. An X-Request-Id in
// the context's [resnet18cloud.Trace] comes first.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// setTrace sets the headers that identify the request in the replica's log. Each attempt is a span of its own.
func setTrace(ctx context.Context, h http.Header) {
	trace := resnet18cloud.TraceFrom(ctx)
	id, _ := ctx.Value(requestIDKey{}).(string)
	if id = cmp.Or(trace.RequestID, id); id != "" {
		h.Set(httpx.HeaderRequestID, id)
	}
	if trace.ID != "" {
		h.Set(httpx.HeaderTraceparent, trace.Child().Traceparent())
	}
	if trace.State != "" {
		h.Set(httpx.HeaderTracestate, trace.State)
	}
}
