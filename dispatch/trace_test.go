package dispatch_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// TestTraceIsInEveryLog follows a client's IDs through the dispatcher's log, the queue and the replica's log, for an
// image that is classified, one that fails and one that is refused.
func TestTraceIsInEveryLog(t *testing.T) {
	t.Parallel()
	var front, back testutil.Log
	url := serveReplica(t, replica.Config{Concurrency: 1, Log: logs.New(&back, slog.LevelInfo, "text"),
		Model: func() replica.Model { return replica.Model{Weights: "test", Precision: "fp32"} }}, opened())
	c := start(t, dispatch.Config{Endpoints: []string{url}, Log: logs.New(&front, slog.LevelInfo, "text")})
	c.eventually("replica is healthy", func() bool { return c.get("/health/ready").status == http.StatusOK })

	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	const ids = "request_id=from-gateway"
	headers := []string{"X-Request-Id", "from-gateway", "Traceparent", parent}
	for name, content := range map[string]string{"good.jpg": "good", "bad.jpg": "broken"} {
		a := c.post("/predict", name, content, headers...)
		if got, ok := resnet18cloud.ParseTraceparent(a.header.Get("Traceparent")); a.header.Get("X-Request-Id") != "from-gateway" ||
			!ok || !strings.Contains(parent, got.ID) {
			t.Errorf("%s: headers %v lack the client's IDs", name, a.header)
		}
	}
	c.post("/predict", "a.jpg", "x", append(headers, "X-Priority", "highest")...)
	for what, log := range map[string]struct {
		log  *testutil.Log
		text string
	}{
		"the replica classified the image":         {&back, "Prediction completed"},
		"the replica refused the broken image":     {&back, "code=undecodable"},
		"the dispatcher's request failed":          {&front, `msg="request failed" request_id=`},
		"the dispatcher answered the broken image": {&front, `msg="requests refused" requests=1 code=undecodable`},
		"the dispatcher refused a header":          {&front, `msg="requests refused" requests=1 code=invalid`},
	} {
		c.eventually(what, func() bool { return len(log.log.Lines(log.text)) == 1 })
		for _, line := range log.log.Lines(log.text) {
			if !strings.Contains(line, ids) || !strings.Contains(line, "trace_id=4bf92f3577b34da6a3ce929d0e0e4736") {
				t.Errorf("%s: line %q lacks the client's IDs", what, line)
			}
		}
	}
}

// TestFloodOfFailuresIsBoundedInLogs sends many images that cannot be decoded, some with deadlines that have passed.
func TestFloodOfFailuresIsBoundedInLogs(t *testing.T) {
	t.Parallel()
	var log testutil.Log
	c := startServing(t, dispatch.Config{Log: logs.New(&log, slog.LevelInfo, "text"), CacheSize: -1}, 4, opened())
	const n = 60
	began := time.Now()
	for i := range n {
		c.post("/predict", "a.jpg", fmt.Sprint("broken", i))
		c.post("/predict", "a.jpg", fmt.Sprint("late", i), "X-Request-Timeout", "1ns")
	}
	took := time.Since(began)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	most := 2 * 12 * (int(took/time.Second) + 2) // two codes, each with ten lines a second, and two that count
	if got := len(log.Lines("code=")); got == 0 || got > most {
		t.Errorf("%d lines about %d failed requests in %s, want at most %d:\n%s", got, 2*n, took, most, log.String())
	}
}

// TestRequestIDIsThatOfTheRecord checks the header that a client reads if it sends none.
func TestRequestIDIsThatOfTheRecord(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, opened())
	a := c.post("/predict_async", "a.jpg", "x")
	id := a.json(t)["request_id"]
	if got := a.header.Get("X-Request-Id"); got != id {
		t.Errorf("POST /predict_async: X-Request-Id %q, want %q", got, id)
	}
	if got := c.get("/result/" + id.(string)).header.Get("X-Request-Id"); got != id {
		t.Errorf("GET /result: X-Request-Id %q, want %q", got, id)
	}
	for path, status := range map[string]int{"/result/none": 404, "/nowhere": 404, "/status": 200} {
		if a := c.get(path); a.status != status || a.header.Get("X-Request-Id") == "" || a.header.Get("Traceparent") == "" {
			t.Errorf("GET %s: %d %v, want %d with IDs", path, a.status, a.header, status)
		}
	}
}
