package httpx

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestTraceOfARequest(t *testing.T) {
	t.Parallel()
	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, test := range map[string]struct {
		header    http.Header
		requestID string // empty: made
		traceID   string // empty: made
	}{
		"nothing":               {http.Header{}, "", ""},
		"both":                  {http.Header{HeaderRequestID: {"from-gateway"}, HeaderTraceparent: {parent}}, "from-gateway", id},
		"malformed":             {http.Header{HeaderRequestID: {"two words"}, HeaderTraceparent: {parent + "x"}}, "", ""},
		"too long":              {http.Header{HeaderRequestID: {strings.Repeat("x", 60_000)}}, "", ""},
		"line break":            {http.Header{HeaderRequestID: {"a\nlevel=ERROR"}}, "", ""},
		"repeated":              {http.Header{HeaderRequestID: {"a", "b"}, HeaderTraceparent: {parent, parent}}, "", ""},
		"only one is malformed": {http.Header{HeaderRequestID: {""}, HeaderTraceparent: {parent}}, "", id},
	} {
		got := own(received(test.header))
		if got.Given != (test.requestID != "") || got.Given && got.RequestID != test.requestID || !resnet18cloud.ValidRequestID(got.RequestID) {
			t.Errorf("%s: request ID %q, given %t, want %q", name, got.RequestID, got.Given, test.requestID)
		}
		if test.traceID != "" && (got.ID != test.traceID || got.Flags != 1 || got.Span == "00f067aa0ba902b7") {
			t.Errorf("%s: trace %+v, want ID %s with a span of its own", name, got, test.traceID)
		}
		if _, ok := resnet18cloud.ParseTraceparent(got.Traceparent()); !ok {
			t.Errorf("%s: traceparent %q is malformed", name, got.Traceparent())
		}
	}
}

// TestTracestate checks that a tracestate is taken over with its traceparent only, joined from its lines, and if it is
// well-formed.
func TestTracestate(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, test := range map[string]struct {
		parents, states []string
		want            string
	}{
		"one line":                {[]string{parent}, []string{"a=1, b=2"}, "a=1,b=2"},
		"two lines":               {[]string{parent}, []string{"a=1", "b=2"}, "a=1,b=2"},
		"none":                    {[]string{parent}, nil, ""},
		"malformed":               {[]string{parent}, []string{"a=1", "b"}, ""},
		"too long":                {[]string{parent}, []string{"a=" + strings.Repeat("1", 60_000)}, ""},
		"without a traceparent":   {nil, []string{"a=1"}, ""},
		"malformed traceparent":   {[]string{parent + "x"}, []string{"a=1"}, ""},
		"traceparent comes twice": {[]string{parent, parent}, []string{"a=1"}, ""},
	} {
		if got := own(received(http.Header{HeaderTraceparent: test.parents, HeaderTracestate: test.states})).State; got != test.want {
			t.Errorf("%s: tracestate %.60q, want %q", name, got, test.want)
		}
	}
}

// TestResponsesHaveTheTrace checks that each response has the IDs that the handler sees, and that a record's ID replaces
// only one that was made.
func TestResponsesHaveTheTrace(t *testing.T) {
	t.Parallel()
	var seen resnet18cloud.Trace
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = resnet18cloud.TraceFrom(r.Context())
		if r.URL.Path == "/record" {
			SetRequestID(w, r, "record")
		}
	})}
	for name, test := range map[string]struct{ path, given, want string }{
		"given":                 {"/", "from-gateway", "from-gateway"},
		"given, of a record":    {"/record", "from-gateway", "from-gateway"},
		"made, of a record":     {"/record", "", "record"},
		"made":                  {"/", "", ""},
		"malformed is replaced": {"/", "a b", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, test.path, nil)
		if test.given != "" {
			r.Header.Set(HeaderRequestID, test.given)
		}
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, r)
		want := test.want
		if want == "" {
			want = seen.RequestID
		}
		if got := w.Header().Get(HeaderRequestID); got != want || got == "a b" {
			t.Errorf("%s: X-Request-Id %q, want %q", name, got, want)
		}
		if got := w.Header().Get(HeaderTraceparent); got == "" || got != seen.Traceparent() {
			t.Errorf("%s: traceparent %q, want %q", name, got, seen.Traceparent())
		}
	}
}
