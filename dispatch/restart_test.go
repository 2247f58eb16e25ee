package dispatch_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/queuetest"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
)

// TestKeyAfterDeadline checks that a request whose deadline has passed can be retried with the same idempotency key
// and more time, and is classified under the same ID.
func TestKeyAfterDeadline(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{CacheSize: -1}, 1, opened())
	first := c.submit("a.jpg", "x", "Idempotency-Key", "order 66", "X-Request-Timeout", "1ms")
	if got := c.wait(first); got["code"] != "deadline" {
		t.Fatalf("with a deadline of 1 ms: %v", got)
	}
	again := c.submit("b.jpg", "x", "Idempotency-Key", "order 66")
	got := c.wait(again)
	if again != first || got["status"] != "completed" || got["filename"] != "b.jpg" || got["deadline"] != nil || got["attempts"] != 1.0 {
		t.Errorf("retry without a deadline: %s after %s: %v", again, first, got)
	}
	status := c.get("/status").json(t)
	if status["total_requests"] != 2.0 || status["failed_requests"] != 1.0 || status["successful_requests"] != 1.0 {
		t.Errorf("counts after a restart: %v", status)
	}
	// The second retry gets the result, as always.
	if a := c.post("/predict_async", "c.jpg", "x", "Idempotency-Key", "order 66"); a.status != http.StatusOK || a.json(t)["result"] == nil {
		t.Errorf("retry after completion = %d %s", a.status, a.body)
	}
}

// TestKeyAfterEnd checks after which outcomes a request is restarted, and the response.
func TestKeyAfterEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status   resnet18cloud.Status
		code     resnet18cloud.Code
		restarts bool
	}{
		"completed":   {resnet18cloud.StatusCompleted, "", false},
		"cancelled":   {resnet18cloud.StatusCancelled, "", true},
		"deadline":    {resnet18cloud.StatusFailed, resnet18cloud.CodeDeadline, true},
		"unavailable": {resnet18cloud.StatusFailed, resnet18cloud.CodeUnavailable, true},
		"lost":        {resnet18cloud.StatusFailed, resnet18cloud.CodeLost, true},
		"undecodable": {resnet18cloud.StatusFailed, resnet18cloud.CodeUndecodable, false},
		"internal":    {resnet18cloud.StatusFailed, resnet18cloud.CodeInternal, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New(time.Hour, 100)
			g := newGate()
			c := start(t, dispatch.Config{Classifier: g, Queue: memqueue.New(10, time.Minute), Store: s, CacheSize: -1})
			id := c.submit("a.jpg", "x", "Idempotency-Key", "k")
			<-g.arrived
			c.end(s, id, test.status, test.code)
			g.open <- struct{}{} // the worker's result is too late
			c.eventually("the job has left the queue", func() bool { return c.get("/status").json(t)["processing"] == 0.0 })

			a := c.post("/predict_async", "a.jpg", "x", "Idempotency-Key", "k")
			if got := a.json(t); got["request_id"] != id {
				t.Fatalf("the key gave %v, want %s", got["request_id"], id)
			}
			if test.restarts {
				<-g.arrived
				g.open <- struct{}{}
				if got := c.wait(id); got["status"] != "completed" || got["code"] != nil || got["error"] != nil {
					t.Errorf("after a restart: %v", got)
				}
				return
			}
			got := c.get("/result/" + id).json(t)
			if got["status"] != string(test.status) || test.code != "" && got["code"] != string(test.code) {
				t.Errorf("the earlier end is now %v", got)
			}
			if n := g.runs("x"); n != 1 {
				t.Errorf("the image was classified %d times, want once", n)
			}
		})
	}
}

// end ends a request as another dispatcher would.
func (c *client) end(s store.Store, id string, status resnet18cloud.Status, code resnet18cloud.Code) {
	c.t.Helper()
	r, err := s.Get(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Status, r.CompletedAt = status, time.Now()
	switch status {
	case resnet18cloud.StatusCompleted:
		r.Result = &resnet18cloud.Result{Predictions: []string{"junco"}}
	case resnet18cloud.StatusFailed:
		r.Failure = &store.Failure{Code: code, Message: string(code)}
	}
	if _, err := s.Update(c.t.Context(), r); err != nil {
		c.t.Fatal(err)
	}
}

// TestKeyRestartedByMany checks that one of several concurrent retries restarts the request, and that all get it.
func TestKeyRestartedByMany(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{CacheSize: -1}, 4, g)
	id := c.submit("a.jpg", "x", "Idempotency-Key", "k")
	<-g.arrived
	if a := c.do(http.NewRequest(http.MethodDelete, c.url+"/result/"+id, nil)); a.status != http.StatusOK {
		t.Fatalf("DELETE = %d %s", a.status, a.body)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			a := c.post("/predict_async", "a.jpg", "x", "Idempotency-Key", "k")
			if got := a.json(t); a.status != http.StatusAccepted || got["request_id"] != id {
				t.Errorf("retry = %d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	close(g.open)
	if got := c.wait(id); got["status"] != "completed" {
		t.Errorf("after the restart: %v", got)
	}
	if n := g.runs("x"); n != 2 {
		t.Errorf("the image was classified %d times, want twice", n)
	}
	c.eventually("counts add up", func() bool {
		s := c.get("/status").json(t)
		return s["total_requests"] == 2.0 && s["cancelled_requests"] == 1.0 && s["successful_requests"] == 1.0
	})
}

// TestKeyNotRestarted checks that a restart whose job cannot be stored leaves the request with its earlier outcome,
// and that the next one succeeds.
func TestKeyNotRestarted(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]queuetest.Fault{"refused": queuetest.Refused, "unheard": queuetest.Unacknowledged} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var publish atomic.Int64
			q := &queuetest.Faulty{Queue: memqueue.New(10, time.Minute), Decide: func(method string) queuetest.Fault {
				if method != "Publish" {
					return queuetest.None
				}
				return queuetest.Fault(publish.Load())
			}}
			// Without replicas a stored job stays where it is.
			c := start(t, dispatch.Config{Queue: q, Store: memstore.New(time.Hour, 100)})
			id := c.submit("a.jpg", "x", "Idempotency-Key", "k")
			c.do(http.NewRequest(http.MethodDelete, c.url+"/result/"+id, nil))

			publish.Store(int64(fault))
			a := c.post("/predict_async", "a.jpg", "x", "Idempotency-Key", "k")
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
				t.Errorf("retry = %d %s, want 503", a.status, a.body)
			}
			if got := c.get("/result/" + id).json(t); got["status"] != "cancelled" {
				t.Errorf("after it: %v, want the earlier end", got)
			}
			publish.Store(0)
			c.submit("a.jpg", "x", "Idempotency-Key", "k")
			s := c.get("/status").json(t)
			if s["total_requests"] != 2.0 || s["cancelled_requests"] != 1.0 {
				t.Errorf("counts: %v accepted, %v cancelled, want 2 and 1", s["total_requests"], s["cancelled_requests"])
			}
			if err := c.d.SetEndpoints([]string{startReplica(t, 1, opened())}); err != nil {
				t.Fatal(err)
			}
			if got := c.wait(id); got["status"] != "completed" {
				t.Errorf("the next retry: %v", got)
			}
			c.eventually("all jobs have left", func() bool {
				jobs, err := q.Jobs(t.Context())
				return err == nil && len(jobs) == 0
			})
		})
	}
}

// TestAcceptedIsCountedOnce checks that a submission whose record cannot be stored gets a 503 and is not counted as
// accepted until its record exists.
func TestAcceptedIsCountedOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storetest.Fault{"refused": storetest.Refused, "unheard": storetest.Unacknowledged} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var create atomic.Int64
			s := &storetest.Faulty{Store: memstore.New(time.Hour, 100), Decide: func(method string) storetest.Fault {
				if method == "Create" {
					return storetest.Fault(create.Load())
				}
				return storetest.None
			}}
			create.Store(int64(fault))
			c := start(t, dispatch.Config{Queue: memqueue.New(10, time.Minute), Store: s})
			if a := c.post("/predict_async", "a.jpg", "x"); a.status != http.StatusServiceUnavailable {
				t.Errorf("POST = %d %s, want 503", a.status, a.body)
			}
			if got := c.get("/status").json(t)["total_requests"]; got != 0.0 {
				t.Errorf("total_requests %v, want 0", got)
			}
			create.Store(0)
			// The image is in the queue: it gets a record, and counts.
			c.eventually("the job has a record", func() bool {
				s := c.get("/status").json(t)
				return s["total_requests"] == 1.0 && s["stored_results"] == 1.0
			})
			a := c.get("/metrics")
			if !strings.Contains(a.body, `resnet18_dispatcher_requests_accepted_total{priority="interactive"} 1`) {
				t.Error("metrics do not count one accepted request")
			}
		})
	}
}
