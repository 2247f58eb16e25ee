package httpx

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestWantsProblem(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"*/*"}, false},
		{[]string{"application/*"}, false},
		{[]string{"application/json"}, false},
		{[]string{"application/problem+json"}, true},
		{[]string{"Application/Problem+JSON"}, true},
		{[]string{"application/json, application/problem+json"}, true},
		{[]string{"application/json", "application/problem+json"}, true},
		{[]string{"application/problem+json;q=0.5, application/json"}, false},
		{[]string{"application/problem+json, application/json;q=0.9, */*;q=0.1"}, true},
		{[]string{"application/problem+json; charset=utf-8; q=0.2"}, true},
		{[]string{"application/problem+json;q=0"}, false},
		{[]string{"application/problem+json;q=none"}, false},
		{[]string{"application/problem+json;q=nan"}, false},
		{[]string{"application/problem+xml"}, false},
		{[]string{"text/html,application/problem+json;Q=1"}, true},
		{[]string{",;,=;q=,"}, false},
	} {
		if got := wantsProblem(http.Header{"Accept": test.accept}); got != test.want {
			t.Errorf("Accept %q: %t, want %t", test.accept, got, test.want)
		}
	}
}

// TestProblems checks the body of each kind of error, with and without problem details.
func TestProblems(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	fails := func(err error) http.Handler {
		return Handler(log, func(http.ResponseWriter, *http.Request) error { return err })
	}
	mux := http.NewServeMux()
	mux.Handle("GET /status", http.NotFoundHandler())
	for name, test := range map[string]struct {
		handler http.Handler
		want    ProblemBody
	}{
		"error of a handler": {fails(&resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full", Hint: "add replicas", RetryAfter: 1500 * time.Millisecond}),
			ProblemBody{problemBase + "full", "No capacity", 503, "Queue is full", "add replicas", "full", 1.5}},
		"foreign error": {fails(errors.New("disk /dev/x")),
			ProblemBody{problemBase + "internal", "Server error", 500, "Internal error", "see the server's log for the cause", "internal", 0}},
		"panic": {Handler(log, func(http.ResponseWriter, *http.Request) error { panic("oops") }),
			ProblemBody{problemBase + "internal", "Server error", 500, "Internal error", "the server's log has the cause", "internal", 0}},
		"method": {JSONErrors(mux),
			ProblemBody{problemBase + "invalid", "Request is malformed", 405, "POST is not allowed here", "allowed: GET, HEAD", "invalid", 0}},
		"file": {TextErrors(http.NotFoundHandler()),
			ProblemBody{problemBase + "not_found", "Not found", 404, "No such file: /status", "", "not_found", 0}},
		"page of another site": {Guard{}.Handler(log, mux),
			ProblemBody{problemBase + "forbidden", "Not permitted", 403, `Web pages of "https://other.example" may not use this server`,
				"to allow them, start the server with --cors-origin and the origin", "forbidden", 0}},
	} {
		for accept, mediaType := range map[string]string{"": "application/json", "application/problem+json": problemType} {
			r := httptest.NewRequest(http.MethodPost, "/status", nil)
			r.Header.Set("Accept", accept)
			r.Header.Set("Origin", "https://other.example")
			w := httptest.NewRecorder()
			test.handler.ServeHTTP(w, r)
			if got := w.Header().Get("Content-Type"); got != mediaType || w.Code != test.want.Status {
				t.Errorf("%s, Accept %q: %d %s, want %d %s", name, accept, w.Code, got, test.want.Status, mediaType)
			}
			var plain ErrorBody
			var problem ProblemBody
			if err := errors.Join(json.Unmarshal(w.Body.Bytes(), &plain), json.Unmarshal(w.Body.Bytes(), &problem)); err != nil {
				t.Fatal(err)
			}
			if accept == "" {
				want := ErrorBody{test.want.Detail, test.want.Hint, test.want.Code, test.want.RetryAfter}
				if diff := cmp.Diff(want, plain); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				continue
			}
			if diff := cmp.Diff(test.want, problem); diff != "" {
				t.Errorf("%s as a problem (-want +got):\n%s", name, diff)
			}
		}
	}
}

// TestEachCodeHasATitle checks that codes with a status have a title, and the reverse.
func TestEachCodeHasATitle(t *testing.T) {
	t.Parallel()
	for code := range statusOf {
		if titleOf[code] == "" {
			t.Errorf("code %s has no title", code)
		}
	}
	if len(titleOf) != len(statusOf) {
		t.Errorf("%d titles of %d codes", len(titleOf), len(statusOf))
	}
}
