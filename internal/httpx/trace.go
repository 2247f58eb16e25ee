package httpx

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// The headers that identify a request, in requests and responses.
const (
	HeaderRequestID   = "X-Request-Id"
	HeaderTraceparent = "Traceparent"
	HeaderTracestate  = "Tracestate" // only in requests
)

// received returns the trace of a request as its client sent it. Without a well-formed traceparent it has no ID. A tracestate
// belongs to a traceparent. A request ID is made if there is none.
func received(h http.Header) resnet18cloud.Trace {
	t, ok := resnet18cloud.ParseTraceparent(only(h, HeaderTraceparent))
	if ok {
		if state, ok := resnet18cloud.ParseTracestate(strings.Join(h[HeaderTracestate], ",")); ok {
			t.State = state
		}
	}
	t.RequestID = only(h, HeaderRequestID)
	if t.Given = resnet18cloud.ValidRequestID(t.RequestID); !t.Given {
		t.RequestID = uuid.NewString()
	}
	return t
}

// own returns the trace of this server's work for a trace that was received: it has a span of its own, and an ID.
func own(t resnet18cloud.Trace) resnet18cloud.Trace {
	if t.ID == "" {
		t.ID = resnet18cloud.NewTrace().ID
	}
	return t.Child()
}

// only returns the value of a header, or "" if there are several.
func only(h http.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// traced puts the request's trace into its context, for logs and for requests to other servers, and into the headers of
// the response. It starts the request's span, to be ended by done, if there is to be one.
func traced(t *tracing.Tracer, w http.ResponseWriter, r *http.Request) (out http.ResponseWriter, in *http.Request, done func()) {
	out, done = w, func() {}
	ctx, trace := r.Context(), received(r.Header)
	if t != nil && wantsSpan(r.Method, trace) {
		var span *tracing.Span
		if ctx, span = t.Root(resnet18cloud.WithTrace(ctx, trace), methodOf(r), tracing.Server, requestAttrs(r)...); span != nil {
			s := &spanWriter{ResponseWriter: w, span: span}
			out, done = s, s.end
		}
		trace = resnet18cloud.TraceFrom(ctx)
	} else {
		trace = own(trace)
		ctx = resnet18cloud.WithTrace(ctx, trace)
	}
	w.Header().Set(HeaderRequestID, trace.RequestID)
	w.Header().Set(HeaderTraceparent, trace.Traceparent())
	return out, r.WithContext(ctx), done
}

// SetRequestID sets the response's X-Request-Id to the ID of the record that the response is about, unless the client
// has chosen another.
func SetRequestID(w http.ResponseWriter, r *http.Request, id string) {
	if !resnet18cloud.TraceFrom(r.Context()).Given {
		w.Header().Set(HeaderRequestID, id)
	}
	tracing.Current(r.Context()).Set(slog.String(tracing.RequestID, id))
}
