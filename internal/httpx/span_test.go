package httpx

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing/tracingtest"
)

// TestSpansOfRequests checks which requests have a span, its name, and what it says about the outcome.
func TestSpansOfRequests(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	silent := strings.TrimSuffix(parent, "1") + "0"
	log := slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	add := func(pattern string, h HandlerFunc) { mux.Handle(pattern, Handler(log, h)) }
	add("POST /ok", func(w http.ResponseWriter, _ *http.Request) error { _, err := io.WriteString(w, "ok"); return err })
	add("POST /accepted", func(w http.ResponseWriter, _ *http.Request) error {
		WriteJSON(w, http.StatusAccepted, "ok")
		return nil
	})
	add("POST /flushes", func(w http.ResponseWriter, _ *http.Request) error { return http.NewResponseController(w).Flush() })
	add("POST /fails", func(http.ResponseWriter, *http.Request) error { return errors.New("disk") })
	add("POST /panics", func(http.ResponseWriter, *http.Request) error { panic("bug") })
	add("POST /aborts", func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) })
	add("POST /items/{id}", func(http.ResponseWriter, *http.Request) error {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "no"}
	})
	add("GET /status", func(w http.ResponseWriter, _ *http.Request) error { WriteJSON(w, http.StatusOK, "ok"); return nil })
	mux.Handle("POST /package.Service/Method", GRPC(log, func(w http.ResponseWriter, _ *http.Request) error { return nil }))
	for name, test := range map[string]struct {
		method, path, parent string
		span                 string // name; empty: there is none
		status, code, route  string
		failed               bool
	}{
		"ok":                      {"POST", "/ok", "", "POST /ok", "200", "", "/ok", false},
		"in a client's trace":     {"POST", "/ok", parent, "POST /ok", "200", "", "/ok", false},
		"client records nothing":  {"POST", "/ok", silent, "", "", "", "", false},
		"accepted":                {"POST", "/accepted", "", "POST /accepted", "202", "", "/accepted", false},
		"flushes":                 {"POST", "/flushes", "", "POST /flushes", "", "", "/flushes", false},
		"fails":                   {"POST", "/fails", "", "POST /fails", "500", "internal", "/fails", true},
		"panics":                  {"POST", "/panics", "", "POST /panics", "500", "internal", "/panics", true},
		"aborts":                  {"POST", "/aborts", "", "POST /aborts", "", "", "/aborts", false},
		"mistake of the client":   {"POST", "/items/7", "", "POST /items/{id}", "404", "not_found", "/items/{id}", false},
		"no route":                {"POST", "/nowhere", "", "POST", "404", "not_found", "", false},
		"strange method":          {"BREW", "/ok", "", "_OTHER", "405", "invalid", "", false},
		"reads":                   {"GET", "/status", "", "", "", "", "", false},
		"reads, traced":           {"GET", "/status", parent, "GET /status", "200", "", "/status", false},
		"reads, malformed":        {"GET", "/status", "00-x", "", "", "", "", false},
		"call that is none":       {"POST", "/package.Service/Method", "", "package.Service/Method", "200", "unsupported", "", false},
		"path is clipped to size": {"POST", "/" + strings.Repeat("x", 5000), "", "POST", "404", "not_found", "", false},
	} {
		receiver := tracingtest.Start(t)
		s := &Server{Handler: JSONErrors(mux), Tracer: receiver.Tracer(t, "part")}
		r := httptest.NewRequest(test.method, test.path, nil)
		if test.parent != "" {
			r.Header.Set(HeaderTraceparent, test.parent)
		}
		w := httptest.NewRecorder()
		func() {
			defer func() { _ = recover() }() // of the handler that aborts
			s.handler().ServeHTTP(w, r)
		}()
		spans := receiver.Spans("")
		answered, ok := resnet18cloud.ParseTraceparent(w.Header().Get(HeaderTraceparent))
		if !ok {
			t.Errorf("%s: traceparent %q of the response", name, w.Header().Get(HeaderTraceparent))
		}
		if test.span == "" {
			if len(spans) != 0 {
				t.Errorf("%s: spans\n%s, want none", name, tracingtest.Tree(spans))
			}
			continue
		}
		if len(spans) != 1 {
			t.Errorf("%s: %d spans, want one", name, len(spans))
			continue
		}
		got := spans[0]
		if got.Name != test.span || got.Kind != "server" || got.Failed != test.failed || got.ID != answered.Span || got.Trace != answered.ID || !answered.Sampled() {
			t.Errorf("%s: span %+v, want %+v, in the trace of the response %+v", name, got, test, answered)
		}
		if path := got.Attrs["url.path"]; len(path) > 600 || !strings.HasPrefix(test.path, path[:min(len(path), 500)]) {
			t.Errorf("%s: path %q", name, path)
		}
		if a := got.Attrs; a["http.response.status_code"] != test.status || a["error.type"] != test.code || a["http.route"] != test.route {
			t.Errorf("%s: attributes %v, want %+v", name, a, test)
		}
	}
}
