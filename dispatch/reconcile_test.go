package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/queuetest"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// reconcileBench is a bench whose queue may have faults, with a method that runs one comparison, two seconds after
// the last.
type reconcileBench struct {
	*bench
	queue *queuetest.Faulty
	state reconcileState
	calls map[string]int // of the queue, by method
}

func newReconcileBench(t *testing.T) *reconcileBench {
	a := &reconcileBench{bench: newBench(t, answering), queue: &queuetest.Faulty{Queue: memqueue.New(5000, time.Minute)}, calls: map[string]int{}}
	var mu sync.Mutex
	a.queue.Decide = func(method string) queuetest.Fault {
		mu.Lock()
		defer mu.Unlock()
		a.calls[method]++
		return queuetest.None
	}
	a.bench.Dispatcher.queue = a.queue
	return a
}

// failing makes calls of the method fail, of queue or store.
func (a *reconcileBench) failing(method string) {
	a.queue.Decide = func(m string) queuetest.Fault {
		if m == method {
			return queuetest.Refused
		}
		return queuetest.None
	}
	a.store.Decide = func(m string) storetest.Fault {
		if m == method {
			return storetest.Refused
		}
		return storetest.None
	}
}

func (a *reconcileBench) pass(t *testing.T) error {
	t.Helper()
	time.Sleep(reconcileInterval)
	return a.reconcile(t.Context(), &a.state, false)
}

func (a *reconcileBench) passes(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := a.pass(t); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *reconcileBench) publish(t *testing.T, job resnet18cloud.Job) {
	t.Helper()
	if err := a.queue.Publish(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

func jobNamed(name string) resnet18cloud.Job {
	job := benchJob()
	job.ID = testutil.ID(name)
	return job
}

// TestReconcileLost checks that a record without a job ends as lost after the second comparison that finds it.
func TestReconcileLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newReconcileBench(t)
		lost, balanced, held := jobNamed("lost"), jobNamed("balanced"), jobNamed("held")
		for _, job := range []resnet18cloud.Job{lost, balanced, held} {
			a.put(t, newRecord(job))
		}
		a.publish(t, balanced)
		a.inFlight.add(held, nil)
		a.passes(t, 2) // at 2 s it is too young, at 4 s it is missing
		if r := a.get(t, lost.ID); r.Status != resnet18cloud.StatusQueued {
			t.Errorf("after one comparison: %s", r.Status)
		}
		a.passes(t, 3)
		r := a.get(t, lost.ID)
		if r.Status != resnet18cloud.StatusFailed || r.Failure.Code != resnet18cloud.CodeLost || r.Failure.Hint == "" {
			t.Errorf("after two: %s %v", r.Status, r.Failure)
		}
		if got := counted(t, a.Dispatcher); got.Failed != 1 {
			t.Errorf("%d counted, want 1", got.Failed)
		}
		if got, want := a.log.String(), `level=WARN msg="request failed" request_id=`+lost.ID+` code=lost`; strings.Count(got, want) != 1 {
			t.Errorf("log %q, want %q once", got, want)
		}
		for _, job := range []resnet18cloud.Job{balanced, held} {
			if r := a.get(t, job.ID); r.Status != resnet18cloud.StatusQueued {
				t.Errorf("another request is %s", r.Status)
			}
		}
	})
}

// TestReconcileOrphan checks that a job without a record gets one after the second comparison that finds it.
func TestReconcileOrphan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newReconcileBench(t)
		orphan, ended := jobNamed("orphan"), jobNamed("ended")
		a.publish(t, orphan)
		a.publish(t, ended)
		a.put(t, cancelled(newRecord(ended), time.Now()))
		a.passes(t, 1)
		if _, err := a.store.Store.Get(t.Context(), orphan.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after one comparison: %v", err)
		}
		a.passes(t, 1)
		want := newRecord(orphan)
		want.Bytes = 0 // not known
		want.Revision = a.get(t, orphan.ID).Revision
		wantRecord(t, a.get(t, orphan.ID), want, 1)
		asked := 0
		a.store.Decide = func(method string) storetest.Fault {
			if method == "Get" {
				asked++
			}
			return storetest.None
		}
		a.passes(t, 3)
		if got := counted(t, a.Dispatcher); got.Accepted != 1 || got.Peak != 2 || asked != 0 {
			t.Errorf("%+v counted, records asked for %d times, want 1 accepted, with two waiting, and 0", got, asked)
		}
		if got := a.log.String(); strings.Count(got, `level=WARN msg="created missing record for a job" request_id=`+orphan.ID) != 1 {
			t.Errorf("log %q", got)
		}
	})
}

// TestReconcileOrphanTaken checks that a job that has gone or has its record by the time it is read is left alone.
func TestReconcileOrphanTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newReconcileBench(t)
		if err := a.adopt(t.Context(), &a.state, testutil.ID("gone")); err != nil {
			t.Errorf("a job that has left: %v", err)
		}
		job := jobNamed("created")
		a.publish(t, job)
		a.state.orphaned = map[string]bool{}
		a.store.Decide = func(method string) storetest.Fault {
			if method == "Create" { // by another dispatcher, at this moment
				if _, err := a.store.Store.Create(t.Context(), newRecord(job)); err != nil {
					t.Error(err)
				}
			}
			return storetest.None
		}
		if err := a.adopt(t.Context(), &a.state, job.ID); err != nil {
			t.Errorf("a job whose record comes: %v", err)
		}
		if got := counted(t, a.Dispatcher); got.Accepted != 0 {
			t.Errorf("%d counted, want 0: its creator counts it", got.Accepted)
		}
	})
}

// TestReconcileFails checks that an incomplete comparison ends nothing, and reports why.
func TestReconcileFails(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Unfinished", "Probe", "Jobs", "Update", "Get", "Find", "Create"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newReconcileBench(t)
				lost, orphan, late := jobNamed("lost"), jobNamed("orphan"), jobNamed("late")
				a.put(t, newRecord(lost))
				a.publish(t, orphan)
				if method == "Update" {
					late.Deadline = time.Now()
				}
				a.put(t, newRecord(late))
				a.publish(t, late)
				a.failing(method)
				var err error
				for range 4 {
					err = a.pass(t)
				}
				if !errors.Is(err, queuetest.ErrInjected) && !errors.Is(err, storetest.ErrInjected) {
					t.Errorf("comparison with failing %s: %v", method, err)
				}
				ended := 0
				if method == "Find" || method == "Create" || method == "Get" { // after the lost request has ended
					ended = 1
				}
				if got := counted(t, a.Dispatcher); got.Failed != ended || got.Accepted != 0 {
					t.Errorf("%+v counted, want %d failed", got, ended)
				}
				a.failing("nothing")
				a.passes(t, 4)
				want := figures{Accepted: 1, Failed: 1}
				if method == "Update" {
					want.Failed = 2
				}
				if got := counted(t, a.Dispatcher); got.Failed != want.Failed || got.Accepted != want.Accepted {
					t.Errorf("%+v counted after recovery, want %+v", got, want)
				}
			})
		})
	}
}

// TestReconcileIdle checks that the queue is not read if nothing waits and nothing is old.
func TestReconcileIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newReconcileBench(t)
		a.passes(t, 3)
		young := jobNamed("young")
		young.QueuedAt = time.Now().Add(reconcileInterval)
		a.put(t, newRecord(young))
		a.passes(t, 1)
		if n := a.calls["Jobs"]; n != 0 {
			t.Errorf("asked for jobs %d times, want 0", n)
		}
		if err := a.reconcile(t.Context(), &a.state, true); err != nil || a.calls["Jobs"] != 1 {
			t.Errorf("the first comparison asked %d times, %v, want once in any case", a.calls["Jobs"], err)
		}
		a.publish(t, young)
		a.passes(t, 1)
		if n := a.calls["Jobs"]; n != 2 {
			t.Errorf("asked for jobs %d times while one waits, want twice", n)
		}
	})
}

// TestReconcileIsBounded checks that one comparison changes at most a thousand records of each kind, and later ones
// the rest.
func TestReconcileIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newReconcileBench(t)
		const n = maxRepairs + 10
		for i := range n {
			a.put(t, newRecord(jobNamed(fmt.Sprint("lost ", i))))
			a.publish(t, jobNamed(fmt.Sprint("orphan ", i)))
		}
		for i, want := range []figures{{}, {Accepted: maxRepairs}, {Accepted: n, Failed: maxRepairs}, {Accepted: n, Failed: n}} {
			a.passes(t, 1)
			if got := counted(t, a.Dispatcher); got.Failed != want.Failed || got.Accepted != want.Accepted {
				t.Errorf("after comparison %d, %d lost and %d adopted, want %d and %d", i, got.Failed, got.Accepted, want.Failed, want.Accepted)
			}
		}
		for i := range n {
			late := jobNamed(fmt.Sprint("late ", i))
			late.Deadline = time.Now()
			a.put(t, newRecord(late))
		}
		a.passes(t, 1)
		if got := counted(t, a.Dispatcher).Failed; got != n+maxRepairs {
			t.Errorf("%d late ones ended immediately, want %d", got-n, maxRepairs)
		}
		a.passes(t, 1)
		if got := counted(t, a.Dispatcher).Failed; got != 2*n {
			t.Errorf("%d late ones ended, want %d", got-n, n)
		}
	})
}

// TestReconcileOverdue checks that overdue requests end, whether they have a job or not.
func TestReconcileOverdue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newReconcileBench(t)
		for i := range 90 {
			job := jobNamed(fmt.Sprint(i))
			job.Deadline = time.Now()
			a.put(t, newRecord(job))
		}
		all, err := a.store.Unfinished(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(readerGrace - 1)
		if left, err := a.endOverdue(t.Context(), all); err != nil || len(left) != 90 {
			t.Errorf("before the grace is over: %d left, %v", len(left), err)
		}
		time.Sleep(time.Nanosecond)
		if left, err := a.endOverdue(t.Context(), all); err != nil || len(left) != 0 {
			t.Errorf("afterwards: %d left, %v", len(left), err)
		}
		if got := counted(t, a.Dispatcher).Failed; got != 90 {
			t.Errorf("%d counted, want 90", got)
		}
	})
}

// TestReconcileLoop checks that comparisons run immediately and every two seconds, and that a series of failures is
// logged once.
func TestReconcileLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newReconcileBench(t)
		a.publish(t, jobNamed("a"))
		a.put(t, newRecord(jobNamed("a")))
		var times []time.Duration
		begun := time.Now()
		var fail atomic.Bool
		a.queue.Decide = func(method string) queuetest.Fault {
			if method == "Jobs" {
				times = append(times, time.Since(begun))
				if fail.Load() {
					return queuetest.Refused
				}
			}
			return queuetest.None
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); a.reconcileLoop(ctx) }()
		for _, failing := range []bool{false, true, true, false, true} {
			fail.Store(failing)
			time.Sleep(2 * reconcileInterval)
			synctest.Wait()
		}
		stop()
		<-done
		for i, got := range times {
			if got != time.Duration(i)*2*time.Second {
				t.Fatalf("compared after %v, want immediately and every 2 s", times)
			}
		}
		if len(times) != 11 {
			t.Errorf("compared %d times in 20 s, want 11", len(times))
		}
		if n := strings.Count(a.log.String(), `level=WARN msg="comparing records with jobs failed" error="injected fault"`); n != 2 {
			t.Errorf("%d warnings for two series of failures:\n%s", n, a.log)
		}
	})
}
