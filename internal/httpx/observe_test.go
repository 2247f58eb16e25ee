package httpx_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// TestObserved checks what is observed of requests: those of an endpoint, those refused before it is known, and those that no
// endpoint handles.
func TestObserved(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	mux.Handle("POST /predict", httpx.Handler(log, func(_ http.ResponseWriter, r *http.Request) error {
		if r.URL.RawQuery == "" {
			return nil // an empty response
		}
		return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full"}
	}))
	mux.Handle("GET /result/{id}", httpx.Handler(log, func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(http.StatusEarlyHints)
		httpx.WriteJSON(w, http.StatusAccepted, r.PathValue("id"))
		return nil
	}))
	mux.Handle("GET /gone", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	mux.Handle("POST /broken", httpx.Handler(log, func(http.ResponseWriter, *http.Request) error { panic("a mistake") }))
	mux.Handle("POST /inference.Service/Infer", httpx.GRPC(log, func(http.ResponseWriter, *http.Request) error {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full"}
	}))
	var got httpx.Served
	server := httpx.Observed(httpx.Guard{}.Handler(log, httpx.Prefix{Base: "/photos"}.Handler(httpx.JSONErrors(mux))),
		func(_ context.Context, s httpx.Served) { got = s })

	for name, test := range map[string]struct {
		method, path, origin string
		want                 httpx.Served
	}{
		"answered":         {"POST", "/predict", "", httpx.Served{Route: "POST /predict", Status: 200}},
		"refused":          {"POST", "/predict?full", "", httpx.Served{Route: "POST /predict", Status: 503, Code: resnet18cloud.CodeFull}},
		"with a parameter": {"GET", "/result/secret", "", httpx.Served{Route: "GET /result/{id}", Status: 202}},
		"below a path":     {"GET", "/photos/result/secret", "", httpx.Served{Route: "GET /result/{id}", Status: 202}},
		"of another site":  {"POST", "/predict", "https://evil.example", httpx.Served{Status: 403, Code: resnet18cloud.CodeForbidden}},
		"unknown path":     {"GET", "/secret", "", httpx.Served{Status: 404, Code: resnet18cloud.CodeNotFound}},
		"wrong method":     {"PUT", "/predict", "", httpx.Served{Status: 405, Code: resnet18cloud.CodeInvalid}},
		"panicked":         {"POST", "/broken", "", httpx.Served{Route: "POST /broken", Status: 500, Code: resnet18cloud.CodeInternal}},
		"refused by gRPC":  {"POST", "/inference.Service/Infer", "", httpx.Served{Route: "POST /inference.Service/Infer", Status: 503, Code: resnet18cloud.CodeFull}},
		"aborted":          {"GET", "/gone", "", httpx.Served{Route: "GET /gone", Status: 200}},
	} {
		t.Run(name, func(t *testing.T) { // not parallel: got is shared
			r := httptest.NewRequest(test.method, test.path, nil)
			r.ProtoMajor = 2
			r.Header.Set("Content-Type", "application/grpc")
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			func() {
				defer func() { _ = recover() }()
				server.ServeHTTP(httptest.NewRecorder(), r)
			}()
			test.want.Method = test.method
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(httpx.Served{}, "Took")); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
			if got.Took <= 0 {
				t.Errorf("it took %v", got.Took)
			}
		})
	}
}
