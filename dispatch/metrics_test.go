package dispatch_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
)

// metric reads one series from /metrics, without the dispatcher's prefix; -1 if it does not exist.
func (c *client) metric(series string) float64 {
	for line := range strings.Lines(c.get("/metrics").body) {
		if value, ok := strings.CutPrefix(line, "resnet18_dispatcher_"+series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				c.t.Fatal(err)
			}
			return f
		}
	}
	return -1
}

// failsFirst fails the first image that it gets.
type failsFirst struct{ calls atomic.Int64 }

func (f *failsFirst) Classify(_ context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	if image.Name != "warm-up.jpg" && f.calls.Add(1) == 1 {
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "no room", RetryAfter: 1}
	}
	return resnet18cloud.Result{Predictions: []string{"junco"}}, nil
}

// TestStorageMetrics checks the metrics of queue and results in NATS: sizes, a job that is delivered again, and an embedded
// server that has lost its folder and is restarted.
func TestStorageMetrics(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/data"
	c := startServing(t, dispatch.Config{NATS: natsconn.Config{DataDir: dir}}, 1, &failsFirst{})
	for series, want := range map[string]float64{
		"nats_connected": 1, "nats_disconnects_total": 0, "storage_writable": 1, "storage_restarts_total": 0, "queue_redeliveries_total": 0,
		`storage_errors_total{operation="probe"}`: 0, `storage_capacity_bytes{store="queue"}`: 1 << 30, `storage_capacity_bytes{store="results"}`: 256 << 20,
		"upload_capacity_bytes": 256 << 20, "uploads": 0,
	} {
		if got := c.metric(series); got != want && !strings.HasPrefix(series, "storage_capacity") || got <= 0 && want > 0 { // a small disk lowers capacities
			t.Errorf("at first %s = %v, want %v", series, got, want)
		}
	}
	if c.metric("storage_free_bytes") <= 0 || c.metric("connections") < 1 || c.metric("connections_capacity") < 16 || c.metric("startup_duration_seconds") <= 0 {
		t.Errorf("free space %v, connections %v of %v, start after %v s", c.metric("storage_free_bytes"), c.metric("connections"), c.metric("connections_capacity"),
			c.metric("startup_duration_seconds"))
	}
	c.wait(c.submit("a.jpg", "first"))
	c.eventually("a job is delivered again", func() bool { return c.metric("queue_redeliveries_total") == 1 })
	c.eventually("results have a size", func() bool { return c.metric(`storage_bytes{store="results"}`) > 0 })

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	c.eventually("the server is restarted", func() bool {
		return c.metric("storage_restarts_total") > 0 && c.metric("storage_writable") == 1 && c.metric("nats_connected") == 1
	})
	if c.metric("nats_disconnects_total") == 0 {
		t.Error("no lost connection was counted")
	}
}

// TestQueueInfo checks that dispatchers with different queues say so, and that those with the same one have the same label.
func TestQueueInfo(t *testing.T) {
	t.Parallel()
	label := func(cfg dispatch.Config) string {
		c := start(t, cfg)
		c.get("/status") // waits until the queue is open
		_, rest, _ := strings.Cut(c.get("/metrics").body, `resnet18_dispatcher_queue_info{queue="`)
		id, _, _ := strings.Cut(rest, `"`)
		return id
	}
	url := natstest.Serve(t, server.Options{JetStream: true, StoreDir: t.TempDir(), MaxPayload: 12 << 20}).ClientURL()
	a, b, other := label(dispatch.Config{NATS: natsconn.Config{URL: url}}), label(dispatch.Config{NATS: natsconn.Config{URL: url}}), label(dispatch.Config{})
	if a == "" || a != b || a == other || other == "" {
		t.Errorf("queues %q and %q of one NATS, %q of another", a, b, other)
	}
}

// TestSubmitLatency checks that submissions are measured by route and class of status, and that an error has its code.
func TestSubmitLatency(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{ClientInFlight: 1}, 1, newGate())
	c.submit("a.jpg", "first")
	if a := c.post("/predict_async", "a.jpg", "second"); a.status != http.StatusTooManyRequests {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for class, want := range map[string]float64{"2xx": 1, "4xx": 1, "5xx": 0} {
		if got := c.metric(fmt.Sprintf(`http_request_duration_seconds_count{method="POST",route="/predict_async",status="%s"}`, class)); got != want {
			t.Errorf("%v submissions answered %s, want %v", got, class, want)
		}
	}
	if got := c.metric(`http_errors_total{code="rate_limited",method="POST"}`); got != 1 {
		t.Errorf("%v errors of rate, want 1", got)
	}
}
