package dispatch_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// askedStore counts how often each record is read.
type askedStore struct {
	store.Store
	asked atomic.Int64
}

func (s *askedStore) Get(ctx context.Context, id string) (store.Record, error) {
	s.asked.Add(1)
	return s.Store.Get(ctx, id)
}

func (s *askedStore) Wait(ctx context.Context, id string) (store.Record, error) {
	s.asked.Add(1)
	return s.Store.Wait(ctx, id)
}

// TestInvalidIDs checks that an ID that is not a UUID gives 404, and that neither store nor log sees it.
func TestInvalidIDs(t *testing.T) {
	t.Parallel()
	s, log := &askedStore{Store: memstore.New(time.Minute, 100)}, &testutil.Log{}
	c := start(t, dispatch.Config{Classifier: opened(), Queue: memqueue.New(10, time.Second), Store: s,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	const id = "f18d7c0a-e37f-4f6c-b214-542dd751b0e3"
	for name, text := range map[string]string{
		"long":             strings.Repeat("client-text", 400),
		"wildcards":        "client-text.*.>",
		"line break":       "client-text\r\nPUB resnet18 0",
		"escaped slash":    "client-text/x",
		"a UUID and more":  id + ".client-text",
		"36 characters":    strings.Repeat("client-text.", 3),
		"braces":           "{" + id + "}client-text",
		"without hyphens":  strings.ReplaceAll(id, "-", "") + "client-text",
		"not UTF-8":        "client-text\xff\xfe",
		"a byte of zero":   "client-text\x00",
		"spaces around it": " client-text ",
	} {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			for _, query := range []string{"", "?wait=1ms"} {
				a := c.do(http.NewRequest(method, c.url+"/result/"+url.PathEscape(text)+query, nil))
				if a.status != http.StatusNotFound || a.json(t)["code"] != string(resnet18cloud.CodeNotFound) || a.json(t)["error"] != "Request ID not found" {
					t.Errorf("%s: %s = %d %s, want 404", name, method, a.status, a.body)
				}
			}
		}
	}
	if n := s.asked.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	if strings.Contains(log.String(), "client-text") {
		t.Error("the log repeats ids that are not ours")
	}
	known := c.submit("a.jpg", "x")
	c.wait(known)
	if a := c.get("/result/" + strings.ToUpper(known)); a.status != http.StatusOK || a.json(t)["request_id"] != known {
		t.Errorf("GET of the id in upper case = %d %s, want the request", a.status, a.body)
	}
}

// TestLongIDLeavesTheQueue checks that an ID longer than a NATS subject may be does not close the connection to NATS.
func TestLongIDLeavesTheQueue(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, opened())
	if a := c.get("/result/" + strings.Repeat("a", 4200)); a.status != http.StatusNotFound {
		t.Errorf("GET /result of 4200 bytes = %d %s, want 404", a.status, a.body)
	}
	if got := c.wait(c.submit("a.jpg", "x")); got["status"] != "completed" {
		t.Errorf("a request after it: %v", got)
	}
}

// publishedQueue collects what is published.
type publishedQueue struct {
	queue.Queue
	mu   sync.Mutex
	jobs []resnet18cloud.Job // guarded by mu
}

func (q *publishedQueue) Publish(ctx context.Context, job resnet18cloud.Job) error {
	q.mu.Lock()
	q.jobs = append(q.jobs, job)
	q.mu.Unlock()
	return q.Queue.Publish(ctx, job)
}

// TestClientTextInJobs checks that, whatever a client sends, jobs have UUIDs as IDs and one of two priorities. Both
// are used in NATS subjects.
func TestClientTextInJobs(t *testing.T) {
	t.Parallel()
	q := &publishedQueue{Queue: memqueue.New(100, time.Second)}
	c := start(t, dispatch.Config{Classifier: opened(), Queue: q, Store: memstore.New(time.Minute, 100)})
	for i, text := range []string{"resnet18.jobs.>", strings.Repeat("k", 255), "*", "a b\tc", "\u00fc"} {
		if a := c.post("/predict_async", text+".jpg", text, "Idempotency-Key", text); a.status != http.StatusAccepted {
			t.Errorf("key %d: %d %s", i, a.status, a.body)
		}
		contentType, body := form("a.jpg", "batch "+text)
		req, err := http.NewRequest(http.MethodPost, c.url+"/predict_batch", body)
		if err == nil {
			req.Header.Set("Content-Type", contentType)
			req.Header.Set("Idempotency-Key", text)
		}
		if a := c.do(req, err); a.status != http.StatusAccepted {
			t.Errorf("batch with key %d: %d %s", i, a.status, a.body)
		}
		if a := c.post("/predict_async", "a.jpg", text, "X-Priority", text); a.status != http.StatusBadRequest {
			t.Errorf("priority %d: %d %s, want 400", i, a.status, a.body)
		}
	}
	if len(q.jobs) != 10 {
		t.Errorf("%d jobs were published, want 10", len(q.jobs))
	}
	for _, job := range q.jobs {
		if err := resnet18cloud.CheckID(job.ID); err != nil {
			t.Error(err)
		}
		if job.Priority != resnet18cloud.PriorityInteractive && job.Priority != resnet18cloud.PriorityBulk {
			t.Errorf("priority %q", job.Priority)
		}
	}
}
