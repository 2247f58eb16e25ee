package dispatch_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/board"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/sse"
)

// dashboardEvent is an event of the stream, of either kind.
type dashboardEvent struct {
	Columns []string
	Rows    [][]*float64
	Row     []*float64
	Events  []struct{ Kind, Text string }
	State   *struct {
		Replicas []struct {
			URL     string
			Healthy bool
		}
		Stopping bool
		Scaling  *struct {
			Summary json.RawMessage
			Problem string
		}
	}
}

// watch opens the stream of a dispatcher.
func (c *client) watch(query, token string) (*http.Response, func() (string, dashboardEvent, error)) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+"/dashboard/stream"+query, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = response.Body.Close() })
	events := sse.NewReader(response.Body, 4<<20)
	return response, func() (string, dashboardEvent, error) {
		e, err := events.Next()
		if err != nil {
			return "", dashboardEvent{}, err
		}
		var d dashboardEvent
		if err := json.Unmarshal(e.Data, &d); err != nil {
			c.t.Fatalf("%v in %s", err, e.Data)
		}
		return e.Name, d, nil
	}
}

// TestStream follows a dispatcher from its first second to its end.
func TestStream(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{Scaling: func(context.Context) (json.RawMessage, error) { return json.RawMessage(`{"policy":"p"}`), nil }}, 2, opened())
	response, next := c.watch("?seconds=10", "")
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("status %d, Content-Type %q", response.StatusCode, got)
	}
	name, history, err := next()
	if err != nil || name != "history" || len(history.Columns) != len(board.Columns()) || len(history.Rows) > 10 {
		t.Fatalf("first event %q, %d columns, %d rows, %v", name, len(history.Columns), len(history.Rows), err)
	}
	if response := c.post("/predict", "a.jpg", "image"); response.status != http.StatusOK {
		t.Fatalf("predict: %d %s", response.status, response.body)
	}
	completed, healthy, scaling := 0.0, false, false
	for completed == 0 || !healthy || !scaling {
		name, frame, err := next()
		if err != nil || name != "frame" || len(frame.Row) != len(history.Columns) {
			t.Fatalf("event %q with %d values: %v", name, len(frame.Row), err)
		}
		completed += *frame.Row[2]
		healthy = len(frame.State.Replicas) == 1 && frame.State.Replicas[0].Healthy && frame.State.Replicas[0].URL != ""
		scaling = frame.State.Scaling != nil && string(frame.State.Scaling.Summary) == `{"policy":"p"}`
	}
	stopped := make(chan error, 1)
	go func() { stopped <- c.stop() }()
	stopping := false
	for {
		_, frame, err := next()
		if err != nil {
			break
		}
		for _, e := range frame.Events {
			stopping = stopping || strings.Contains(e.Text, "stopping")
		}
	}
	if !stopping {
		t.Error("the stream ends without saying that the dispatcher stops")
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestStreamNeedsKey checks who sees addresses of replicas and the autoscaler.
func TestStreamNeedsKey(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{Access: accesstest.Guard(t), Scaling: func(context.Context) (json.RawMessage, error) { return nil, errors.New("it is away") }}, 2, opened())
	for token, want := range map[string]struct {
		status  int
		address bool
	}{
		"": {status: http.StatusUnauthorized}, accesstest.Shop: {status: http.StatusForbidden}, accesstest.Monitor: {status: http.StatusOK},
		accesstest.Ops: {http.StatusOK, true},
	} {
		response, next := c.watch("", token)
		if response.StatusCode != want.status {
			t.Errorf("token %q: status %d, want %d", token, response.StatusCode, want.status)
		}
		if response.StatusCode != http.StatusOK {
			continue
		}
		for name, e := "", (dashboardEvent{}); name != "frame"; {
			var err error
			if name, e, err = next(); err != nil {
				t.Fatal(err)
			}
			if name != "frame" {
				continue
			}
			if address := strings.HasPrefix(e.State.Replicas[0].URL, "http"); address != want.address {
				t.Errorf("token %q sees replica %q", token, e.State.Replicas[0].URL)
			}
			if (e.State.Scaling != nil) != want.address {
				t.Errorf("token %q sees autoscaler %+v", token, e.State.Scaling)
			}
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, opened())
	for _, query := range []string{"?seconds=x", "?seconds=-1"} {
		if response, _ := c.watch(query, ""); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, response.StatusCode)
		}
	}
	var last *http.Response
	for range board.MaxViewers + 1 {
		last, _ = c.watch("?seconds=0", "")
	}
	body, err := io.ReadAll(bufio.NewReader(last.Body))
	if last.StatusCode != http.StatusServiceUnavailable || last.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "viewers") {
		t.Errorf("one viewer too many: %d %s, %v", last.StatusCode, body, err)
	}
	began := time.Now()
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("shutdown with %d viewers took %s", board.MaxViewers, took)
	}
}
