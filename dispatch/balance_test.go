package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/queuetest"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
)

// world is a set of dispatchers on one in-memory queue and store, with faults, in virtual time.
type world struct {
	t           *testing.T
	queue       *queuetest.Faulty
	store       *storetest.Faulty
	dispatchers []*Dispatcher

	mu       sync.Mutex
	random   *rand.Rand                 // guarded by mu
	faulty   bool                       // guarded by mu
	ends     map[string]int             // guarded by mu: final records written, by ID and generation
	accepted map[string]struct{}        // guarded by mu: IDs of submissions that returned no error
	losses   int                        // guarded by mu
	codes    map[resnet18cloud.Code]int // guarded by mu: how requests ended
}

// chance returns true with the given probability.
func (w *world) chance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.Float64() < p
}

func (w *world) pick(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

// decide makes one call in ten fail while the world is faulty, in one of several ways. It returns 0 for the others.
func (w *world) decide(ways int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.faulty || w.random.Float64() >= 0.1 {
		return 0
	}
	return 1 + w.random.IntN(ways)
}

// written records ends. A restart that is rolled back has an end of its own.
func (w *world) written(r store.Record) {
	if !r.Status.Final() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[fmt.Sprint(r.ID, ".", r.Generation)]++
	if r.Failure != nil {
		w.codes[r.Failure.Code]++
	}
}

// Classify acts as the replica of all dispatchers: slow, busy, unreachable, broken, or rejecting the image.
func (w *world) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	select {
	case <-time.After(time.Duration(w.pick(200)) * time.Millisecond):
	case <-ctx.Done():
		return resnet18cloud.Result{}, context.Cause(ctx)
	}
	failures := []error{
		&resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "busy"},
		&resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "absent"},
		&resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "broken"},
		&resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "not an image"},
		errors.New("no words for it"),
	}
	if i := w.pick(3 * len(failures)); i < len(failures) {
		return resnet18cloud.Result{}, failures[i]
	}
	return resnet18cloud.Result{Filename: image.Name, Predictions: []string{"junco"}, Model: "m", Precision: "fp32"}, nil
}

// newWorld starts n dispatchers without their HTTP servers. They stop at the end of the test.
func newWorld(t *testing.T, seed uint64, n int) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 0)), faulty: true,
		ends: map[string]int{}, accepted: map[string]struct{}{}, codes: map[resnet18cloud.Code]int{},
		queue: &queuetest.Faulty{Queue: memqueue.New(12, 2*time.Second)}, store: &storetest.Faulty{Store: memstore.New(24*time.Hour, 100_000)}}
	w.queue.Decide = func(string) queuetest.Fault {
		return []queuetest.Fault{queuetest.None, queuetest.Refused, queuetest.Unacknowledged}[w.decide(2)]
	}
	w.store.Decide = func(string) storetest.Fault {
		return []storetest.Fault{storetest.None, storetest.Refused, storetest.Unacknowledged, storetest.Repeated}[w.decide(3)]
	}
	w.store.Written = w.written
	life, end := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	t.Cleanup(func() { end(); parts.Wait() })
	parts.Go(func() { _ = w.queue.Run(life) })
	parts.Go(func() { _ = w.store.Run(life) })
	for range n {
		d, err := New(Config{Queue: w.queue, Store: w.store, Classifier: w, ClassifierSlots: 2, Attempts: 3,
			QueueCapacity: 12, CacheSize: -1, RedeliverAfter: 2 * time.Second, SubmitTimeout: 5 * time.Second, ResultTTL: 4 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		w.dispatchers = append(w.dispatchers, d)
		close(d.ready)
		parts.Go(func() { d.work(life, life) })
		parts.Go(func() { d.reconcileLoop(life) })
	}
	return w
}

// client submits, reads and cancels requests, at any dispatcher.
func (w *world) client(requests int) {
	var known []string
	for range requests {
		time.Sleep(time.Duration(w.pick(200)) * time.Millisecond)
		d := w.dispatchers[w.pick(len(w.dispatchers))]
		o := submitOptions{arrived: time.Now(), priority: resnet18cloud.PriorityInteractive}
		content := fmt.Sprint("image ", w.pick(1e9))
		if w.chance(0.5) { // one of a few keys, each with its own image
			o.key = fmt.Sprint("key ", w.pick(20))
			content = o.key
		}
		if w.chance(0.3) {
			o.deadline = o.arrived.Add(time.Duration(w.pick(500)) * time.Millisecond)
		}
		if w.chance(0.3) {
			o.priority = resnet18cloud.PriorityBulk
		}
		r, err := d.submit(w.t.Context(), resnet18cloud.Image{Name: "a.jpg", Bytes: []byte(content)}, o)
		if err == nil {
			known = append(known, r.ID)
			w.mu.Lock()
			w.accepted[r.ID] = struct{}{}
			w.mu.Unlock()
		}
		if len(known) == 0 {
			continue
		}
		id := known[w.pick(len(known))]
		switch w.pick(6) {
		case 0:
			_, _ = d.cancel(w.t.Context(), id)
		case 1:
			if r, err := d.lookup(w.t.Context(), id); err == nil {
				_, _ = d.wait(w.t.Context(), r, time.Second)
			}
		case 2:
			if w.chance(0.3) {
				w.queue.Lose(id)
				w.mu.Lock()
				w.losses++
				w.mu.Unlock()
			}
		}
	}
}

// TestCountsBalance checks that, whatever fails, every accepted request ends, each generation ends once, and the
// counts add up: accepted = completed + failed + cancelled.
func TestCountsBalance(t *testing.T) {
	t.Parallel()
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, uint64(seed), 1+seed%3)
			var clients sync.WaitGroup
			for range 8 {
				clients.Go(func() { w.client(60) })
			}
			clients.Wait()
			w.mu.Lock()
			w.faulty = false
			w.mu.Unlock()
			time.Sleep(10 * time.Minute) // longer than any request may take
			w.check(seed)
		})
	}
}

func (w *world) check(seed int) {
	t := w.t
	t.Helper()
	synctest.Wait() // no goroutine changes the world any more
	var total, ended int
	var metricsAccepted, metricsEnded float64
	for _, d := range w.dispatchers {
		s := d.recorder.stats.body(time.Now())
		total += s.TotalRequests
		ended += s.SuccessfulRequests + s.FailedRequests + s.CancelledRequests
		metricsAccepted += sum(t, d, "resnet18_dispatcher_requests_accepted_total")
		metricsEnded += sum(t, d, "resnet18_dispatcher_requests_ended_total")
		if ids := d.recorder.unconfirmedIDs(); len(ids) != 0 {
			t.Errorf("seed %d: unconfirmed at the end: %v", seed, ids)
		}
		if n := d.inFlight.size(); n != 0 {
			t.Errorf("seed %d: %d jobs in flight at rest", seed, n)
		}
	}
	if total != ended || total == 0 || metricsAccepted != float64(total) || metricsEnded != float64(ended) {
		t.Errorf("seed %d: %d accepted, %d ended; metrics are %g and %g", seed, total, ended, metricsAccepted, metricsEnded)
	}
	if left, err := w.store.Unfinished(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("seed %d: unfinished at rest: %v, %v", seed, left, err)
	}
	if jobs, err := w.queue.Jobs(t.Context()); err != nil || len(jobs) != 0 || w.queue.Waiting().Total() != 0 {
		t.Errorf("seed %d: jobs at rest: %v, %v; %d waiting", seed, jobs, err, w.queue.Waiting().Total())
	}
	for id := range w.accepted {
		if r, err := w.store.Get(t.Context(), id); err != nil || !r.Status.Final() {
			t.Errorf("seed %d: an accepted request is %s, %v", seed, r.Status, err)
		}
	}
	for request, n := range w.ends {
		if n != 1 {
			t.Errorf("seed %d: %s ended %d times", seed, request, n)
		}
	}
	t.Logf("seed %d: %d accepted, %d generations, %d jobs lost, failures %v", seed, total, len(w.ends), w.losses, w.codes)
}

// sum adds up the values of a counter over its labels.
func sum(t *testing.T, d *Dispatcher, name string) (total float64) {
	t.Helper()
	families, err := prometheus.Gatherers{d.recorder.metrics.Registry}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total
}
