package dispatch

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestPace checks the wait that follows from the jobs measured.
func TestPace(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	after := func(gaps ...time.Duration) pace {
		p, now := pace{}, noon
		p.begin(now)
		for _, gap := range gaps {
			now = now.Add(gap)
			p.took(now)
		}
		return p
	}
	steady := func(n int, gap time.Duration) (gaps []time.Duration) {
		for range n {
			gaps = append(gaps, gap)
		}
		return gaps
	}
	const s = time.Second
	for name, test := range map[string]struct {
		pace   pace
		behind int
		least  time.Duration
		later  time.Duration // since the last job
		want   time.Duration
	}{
		"nothing measured":       {pace{}, 100, 0, 0, 0},
		"three jobs":             {after(s, s, s), 100, 0, 0, 0},
		"four jobs":              {after(s, s, s, s), 100, 0, 0, 100 * s},
		"nothing waits":          {after(s, s, s, s), 0, 0, time.Hour, 0},
		"the mean of the first":  {after(s, 3*s, 2*s, 2*s), 10, 0, 0, 20 * s},
		"slower since":           {after(append(steady(16, s), 17*s)...), 10, 0, 0, 20 * s},
		"a pause":                {after(steady(16, s)...), 10, 0, 17 * s, 20 * s},
		"a short pause":          {after(steady(16, s)...), 10, 0, s / 2, 10 * s},
		"replicas are slower":    {after(steady(16, s)...), 10, 2 * s, 0, 20 * s},
		"a clock that went back": {func() pace { p := after(s, s, s); p.took(noon); return p }(), 4, 0, 0, 3 * s},
	} {
		if got := test.pace.wait(test.behind, test.least, test.pace.since.Add(test.later)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	p := after(steady(16, s)...)
	p.begin(noon.Add(time.Hour)) // nothing waited for an hour: that is no pause
	p.took(noon.Add(time.Hour + s))
	if got := p.wait(10, 0, p.since); got != 10*s {
		t.Errorf("after an idle hour: %s, want 10s", got)
	}
}

func TestBacklogRefuses(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, test := range map[string]struct {
		own, queue, patience time.Duration
		want                 limit
		retryAfter           time.Duration
	}{
		"nothing known":         {patience: 10 * s},
		"in time":               {own: 10 * s, queue: 10 * s, patience: 10 * s},
		"any time":              {own: time.Hour, queue: time.Hour},
		"the client's own":      {own: 13 * s, queue: 5 * s, patience: 10 * s, want: limitWait, retryAfter: 3 * s},
		"all":                   {own: 5 * s, queue: 12 * s, patience: 10 * s, want: limitQueue, retryAfter: 2 * s},
		"all, the own one more": {own: 14 * s, queue: 12 * s, patience: 10 * s, want: limitQueue, retryAfter: 4 * s},
	} {
		l, retryAfter := backlog{test.own, test.queue}.refuses(test.patience)
		if l != test.want || retryAfter != test.retryAfter {
			t.Errorf("%s: %q after %s, want %q after %s", name, l, retryAfter, test.want, test.retryAfter)
		}
	}
	if got := (Config{ResultTTL: time.Hour}).limits().patience(); got != 15*time.Minute {
		t.Errorf("patience of a result kept for an hour: %s, want a quarter", got)
	}
}

// TestAcceptedInTime lets a flood, alone and beside a client with few images, and a batch send more than the replicas can
// classify before the requests end: what is accepted is answered, and the rest is refused with a time to come back.
func TestAcceptedInTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rates map[string]float64
		batch int
	}{
		"a flood":               {rates: map[string]float64{"flood": 100}},
		"beside another client": {rates: map[string]float64{"flood": 100, "good": 4}},
		"a batch":               {rates: map[string]float64{"good": 4}, batch: 150},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(1)
				c.open(t)
				c.d.limits.wait = 4 * time.Second // at 20 images a second, less than half of the queue
				batch := make(chan *outcomes, 1)
				go func() {
					time.Sleep(5 * time.Second)
					o := &outcomes{}
					if test.batch > 0 {
						c.send(t, client{name: "batch"}, test.batch, o)
					}
					batch <- o
				}()
				got := c.run(t, test.rates, 30*time.Second, nil)
				if good := got["good"]; good != nil && good.refused > 0 {
					t.Errorf("%d images of the other client were refused", good.refused)
				}
				if flood := got["flood"]; flood != nil && (flood.refused == 0 || len(flood.latencies) < 300) {
					t.Errorf("%d images of the flood were accepted, %d refused, want most of 600, and the rest", len(flood.latencies), flood.refused)
				}
				if o := <-batch; test.batch > 0 && (o.refused == 0 || len(o.latencies) < 10) {
					t.Errorf("%d images of the batch were accepted, %d refused, want some of both", len(o.latencies), o.refused)
				}
			})
		})
	}
}

// send sends images at once and waits for the results of those that are accepted.
func (c *crowd) send(t *testing.T, who client, n int, o *outcomes) {
	var ids []string
	for i := range n {
		sent := submitOptions{arrived: time.Now(), priority: resnet18cloud.PriorityBulk, client: who}
		r, err := c.d.submit(t.Context(), resnet18cloud.Image{Name: "b.jpg", Bytes: fmt.Append(nil, who.name, i)}, sent)
		if err != nil {
			if e := resnet18cloud.AsError(err); e.RetryAfter < minRetryAfter {
				t.Errorf("refused without a time to come back: %v", e)
			}
			o.refused++
			continue
		}
		ids = append(ids, r.ID)
	}
	for _, id := range ids {
		r, err := c.d.store.Wait(t.Context(), id)
		if err != nil || r.Status != resnet18cloud.StatusCompleted {
			t.Errorf("an image of the batch ended as %s, %v", r.Status, err)
		}
		o.latencies = append(o.latencies, r.CompletedAt.Sub(r.QueuedAt))
	}
}

// awayBackend has replicas unless they are away.
type awayBackend struct {
	crowdBackend
	mu      sync.Mutex
	away    bool          // guarded by mu
	changed chan struct{} // guarded by mu
}

func (b *awayBackend) Slots() (int, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slots, _ := b.crowdBackend.Slots()
	if b.away {
		slots = 0
	}
	return slots, b.changed
}

func (b *awayBackend) set(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
	close(b.changed)
	b.changed = make(chan struct{})
}

// TestPaceAfterOutage checks that the time without replicas, although images wait, is not measured as their pace.
func TestPaceAfterOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(1)
		c.open(t)
		c.d.limits.wait = 10 * time.Minute
		b := &awayBackend{crowdBackend: c.d.backend.(crowdBackend), changed: make(chan struct{})}
		c.d.backend = b
		end := c.start()
		defer end()
		send := func(name string, n int) error {
			image := resnet18cloud.Image{Name: "a.jpg", Bytes: fmt.Append(nil, name, n)}
			_, err := c.d.submit(t.Context(), image, submitOptions{arrived: time.Now(), priority: resnet18cloud.PriorityInteractive, client: client{name: name}})
			return err
		}
		for i := range 100 {
			if err := send("a", i); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		b.set(true)
		time.Sleep(9 * time.Minute)
		b.set(false)
		time.Sleep(300 * time.Millisecond) // until some were taken
		if waiting := c.d.waiting().Total(); waiting < 50 || waiting > 80 {
			t.Fatalf("%d images wait, want about 70", waiting)
		}
		for _, name := range []string{"a", "b"} {
			if err := send(name, 100); err != nil {
				t.Errorf("after an outage, with 4 s of work waiting, client %s is refused: %v", name, err)
			}
		}
	})
}

// TestPaceAfterRestart checks that the time for which images of an earlier process have waited is not measured as pace.
func TestPaceAfterRestart(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	h := newHoldings()
	h.begin(began)
	var unfinished []store.Record
	for i := range 50 {
		unfinished = append(unfinished, store.Record{ID: testutil.ID(fmt.Sprint(i)), Client: "a", Status: resnet18cloud.StatusQueued, QueuedAt: began.Add(-time.Hour)})
	}
	now := began.Add(time.Second)
	h.sweep(unfinished, now)
	for i := range minPaceJobs {
		now = now.Add(time.Second)
		h.taken(resnet18cloud.Job{ID: unfinished[i].ID, Client: "a"}, true, now)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	got := h.backlog(h.clients["a"], queue.ClassOf(resnet18cloud.Job{}), 0, now)
	if want := (backlog{own: 46 * time.Second, queue: 46 * time.Second}); got != want {
		t.Errorf("after 4 of 50 images, one a second, the others are expected to take %v, want %v", got, want)
	}
}

// forbiddenBody is a body that must not be read.
type forbiddenBody struct{ t *testing.T }

func (u forbiddenBody) Read([]byte) (int, error) {
	u.t.Error("the image of a client at its limit was read")
	return 0, io.EOF
}

// TestRefusedUnread checks that a client at its limit is refused before its image is read, unless an idempotency key may
// name a request that is known.
func TestRefusedUnread(t *testing.T) {
	t.Parallel()
	c := newCrowd(1)
	c.open(t)
	c.d.cfg.ClientInFlight = 1
	close(c.d.ready)
	held := resnet18cloud.Job{ID: testutil.ID("held")}
	if _, refused := c.d.holdings.add(client{name: "192.0.2.1"}, held, room{capacity: 200, maxBytes: 1 << 30}); refused != "" {
		t.Fatal(refused)
	}
	send := func(path, contentType string, major int) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, forbiddenBody{t})
		r.Header.Set("Content-Type", contentType)
		r.ProtoMajor = major
		w := httptest.NewRecorder()
		c.d.handler.ServeHTTP(w, r)
		return w
	}
	const resourceExhausted = "8"
	if w := send("/inference.GRPCInferenceService/ModelInfer", "application/grpc", 2); w.Header().Get("Grpc-Status") != resourceExhausted {
		t.Errorf("gRPC: status %s, %s", w.Header().Get("Grpc-Status"), w.Header().Get("Grpc-Message"))
	}
	for _, path := range []string{"/predict", "/predict_async", "/predict_batch", "/v2/models/resnet18/infer", "/v1/models/resnet18:predict"} {
		w := send(path, "image/jpeg", 1)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: status %d, %s", path, w.Code, w.Body)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/predict_async", strings.NewReader(""))
	r.Header.Set(headerKey, "known")
	r.Header.Set("Content-Type", "image/jpeg")
	w := httptest.NewRecorder()
	c.d.handler.ServeHTTP(w, r)
	if w.Code == http.StatusTooManyRequests {
		t.Errorf("a request with a key was refused before it was read: %s", w.Body)
	}
}

// TestLongQueueAnswersFromCache checks that a queue that is too long for its pace refuses jobs of all clients, but those of
// a client that has nothing here only once it is known that the cache has no answer.
func TestLongQueueAnswersFromCache(t *testing.T) {
	t.Parallel()
	c := newCrowd(1)
	c.open(t)
	d, class := c.d, queue.ClassOf(resnet18cloud.Job{})
	d.limits.wait = time.Minute
	held := resnet18cloud.Job{ID: testutil.ID("held")}
	if _, refused := d.holdings.add(client{name: "first"}, held, room{capacity: 200, maxBytes: 1 << 30}); refused != "" {
		t.Fatal(refused)
	}
	for i := class.Index(); i < len(d.holdings.paces); i++ {
		d.holdings.paces[i] = pace{interval: time.Hour, jobs: paceJobs, since: time.Now()}
	}
	code := func(err error) resnet18cloud.Code {
		if err == nil {
			return ""
		}
		return resnet18cloud.AsError(err).Code
	}
	for name, early := range map[string]resnet18cloud.Code{"first": resnet18cloud.CodeFull, "other": ""} {
		if got := code(d.admissible(t.Context(), client{name: name}, "")); got != early {
			t.Errorf("%s: %q before the image is read, want %q", name, got, early)
		}
		_, err := d.admit(t.Context(), client{name: name}, resnet18cloud.Job{ID: testutil.ID("next " + name)})
		if e := resnet18cloud.AsError(err); err == nil || e.Code != resnet18cloud.CodeFull || e.RetryAfter < resnet18cloud.Seconds(50*60) {
			t.Errorf("%s: %v, want full, and to retry after most of an hour", name, err)
		}
	}
}
