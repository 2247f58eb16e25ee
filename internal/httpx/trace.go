package httpx

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/resnet18cloud/resnet18cloud"
)

// The headers that identify a request, in requests and responses.
const (
	HeaderRequestID   = "X-Request-Id"
	HeaderTraceparent = "Traceparent"
	HeaderTracestate  = "Tracestate" // only in requests
)

// traceOf returns the trace of a request: from its headers, and made where one is missing, malformed or repeated. The
// span is new: it is that of this server's work. A tracestate belongs to a traceparent.
func traceOf(h http.Header) resnet18cloud.Trace {
	t, ok := resnet18cloud.ParseTraceparent(only(h, HeaderTraceparent))
	if ok {
		t = t.Child()
		if state, ok := resnet18cloud.ParseTracestate(strings.Join(h[HeaderTracestate], ",")); ok {
			t.State = state
		}
	} else {
		t = resnet18cloud.NewTrace()
	}
	t.RequestID = only(h, HeaderRequestID)
	if t.Given = resnet18cloud.ValidRequestID(t.RequestID); !t.Given {
		t.RequestID = uuid.NewString()
	}
	return t
}

// only returns the value of a header, or "" if there are several.
func only(h http.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// traced puts the request's trace into its context, for logs and for requests to other servers, and into the headers of
// the response.
func traced(w http.ResponseWriter, r *http.Request) *http.Request {
	t := traceOf(r.Header)
	w.Header().Set(HeaderRequestID, t.RequestID)
	w.Header().Set(HeaderTraceparent, t.Traceparent())
	return r.WithContext(resnet18cloud.WithTrace(r.Context(), t))
}

// SetRequestID sets the response's X-Request-Id to the ID of the record that the response is about, unless the client
// has chosen another.
func SetRequestID(w http.ResponseWriter, r *http.Request, id string) {
	if !resnet18cloud.TraceFrom(r.Context()).Given {
		w.Header().Set(HeaderRequestID, id)
	}
}
