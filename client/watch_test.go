package client_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// held answers when it is told to.
type held struct {
	labeller
	open chan struct{}
}

func (h held) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	select {
	case <-h.open:
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	return h.labeller.Classify(ctx, image)
}

// TestWatchOverRestart follows two requests while their dispatcher is replaced by another one with the same data.
func TestWatchOverRestart(t *testing.T) {
	t.Parallel()
	h := held{open: make(chan struct{})}
	cfg := dispatch.Config{Addr: "127.0.0.1:0", NATS: natsconn.Config{DataDir: t.TempDir()}, Classifier: h, DrainTimeout: 200 * time.Millisecond}
	c, stop := run(t, cfg)
	a, erra := c.Submit(t.Context(), picture("a.jpg"), client.Options{})
	b, errb := c.Submit(t.Context(), picture("broken.jpg"), client.Options{})
	if erra != nil || errb != nil {
		t.Fatal(erra, errb)
	}
	cfg.Addr = strings.Trim(strings.TrimPrefix(c.BaseURL, "http:"), "/")
	restarted := false
	var ends []string
	for o, err := range c.Watch(t.Context(), a.RequestID, b.RequestID, testutil.ID("none")) {
		switch {
		case codeOf(err) == resnet18cloud.CodeNotFound && o.RequestID == testutil.ID("none"):
			ends = append(ends, "missing")
		case err != nil:
			t.Fatal(err)
		case o.Status.Final():
			ends = append(ends, o.Filename+" "+string(o.Status))
		}
		if !restarted && len(ends) == 1 {
			restarted = true
			stop()
			_, _ = run(t, cfg)
			close(h.open)
		}
	}
	slices.Sort(ends)
	if want := []string{"a.jpg completed", "broken.jpg failed", "missing"}; !slices.Equal(ends, want) {
		t.Errorf("ends %q, want %q", ends, want)
	}
	outcomes, err := c.WaitAll(t.Context(), b.RequestID, strings.ToUpper(a.RequestID))
	if err != nil || outcomes[0].Status != resnet18cloud.StatusFailed || outcomes[1].Status != resnet18cloud.StatusCompleted {
		t.Errorf("WaitAll = %+v, %v", outcomes, err)
	}
	if outcomes, err := c.WaitAll(t.Context(), testutil.ID("none")); codeOf(err) != resnet18cloud.CodeNotFound || outcomes[0].RequestID != testutil.ID("none") {
		t.Errorf("WaitAll of an unknown request = %+v, %v", outcomes, err)
	}
}

// TestWatchEnds checks what ends a stream: errors that stay, too many attempts, the caller, and silence.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	event := func(name, data string) string { return "id: 00\nevent: " + name + "\ndata: " + data + "\n\n" }
	for name, test := range map[string]struct {
		answer   func(w http.ResponseWriter, r *http.Request)
		requests int
		want     string
	}{
		"forbidden":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, 1, "403"},
		"always full":      {func(w http.ResponseWriter, _ *http.Request) { full(w, "2") }, 12, "Queue is full"},
		"no stream":        {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }, 1, "not a stream"},
		"nothing but ends": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/event-stream") }, 12, "ended too early"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, event("result", "{"))
		}, 1, "not the JSON"},
		"unknown events": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, event("weather", "{"), event("end", "{}"))
		}, 1, ""},
		"nothing left": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, 1, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			c := inMemory(func(w http.ResponseWriter, r *http.Request) { requests++; test.answer(w, r) })
			var got error
			for _, err := range c.Watch(t.Context(), "x") {
				got = err
			}
			if requests != test.requests || (got == nil) != (test.want == "") || got != nil && !strings.Contains(got.Error(), test.want) {
				t.Errorf("%s: %d requests, %v; want %d and %q", name, requests, got, test.requests, test.want)
			}
		})
	}
}

// TestWatchContinues checks that a client names the last event that it received.
func TestWatchContinues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last []string
		c := inMemory(func(w http.ResponseWriter, r *http.Request) {
			last = append(last, r.Header.Get("Last-Event-ID"))
			w.Header().Set("Content-Type", "text/event-stream")
			if len(last) == 1 {
				fmt.Fprint(w, "id: 01\nevent: result\ndata: {\"request_id\":\"a\",\"status\":\"completed\"}\n\n")
				return
			}
			fmt.Fprint(w, "id: 03\nevent: result\ndata: {\"request_id\":\"b\",\"status\":\"failed\",\"code\":\"lost\"}\n\nid: 03\nevent: end\ndata: {}\n\n")
		})
		o, err := c.WaitAll(t.Context(), "a", "b")
		if err != nil || o[0].Status != resnet18cloud.StatusCompleted || o[1].Err == nil || !slices.Equal(last, []string{"", "01"}) {
			t.Errorf("WaitAll = %+v, %v with Last-Event-ID %q", o, err, last)
		}
	})
}
