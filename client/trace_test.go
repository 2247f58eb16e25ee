package client_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
)

// TestRequestsHaveTheTraceOfTheirContext checks the headers by which a server continues the caller's trace.
func TestRequestsHaveTheTraceOfTheirContext(t *testing.T) {
	t.Parallel()
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	c := client.Client{BaseURL: server.URL, HTTP: server.Client()}
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	trace, _ := resnet18cloud.ParseTraceparent(parent)
	trace.RequestID, trace.State = "mine", "a=1"
	for _, test := range []struct {
		trace             resnet18cloud.Trace
		parent, state, id string
	}{{trace, parent, "a=1", "mine"}, {resnet18cloud.Trace{}, "", "", ""}} {
		_, _ = c.Submit(resnet18cloud.WithTrace(t.Context(), test.trace), resnet18cloud.Image{Name: "a.jpg", Bytes: []byte("a")}, client.Options{}) // 404
		if got.Get("Traceparent") != test.parent || got.Get("Tracestate") != test.state || got.Get("X-Request-Id") != test.id {
			t.Errorf("headers of a request in trace %+v: %v", test.trace, got)
		}
	}
}
