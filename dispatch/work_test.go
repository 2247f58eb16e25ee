package dispatch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/queuetest"
)

// working is a bench whose worker loop runs, with jobs that take a second each on a replica with two slots.
type working struct {
	*reconcileBench
	most int // maximum number of concurrent jobs at the replica
	stop context.CancelFunc
	kill context.CancelFunc
	done chan struct{} // closed when the loop and its jobs have ended
}

func newWorking(t *testing.T, jobs int, drainQueue bool) *working {
	w := &working{reconcileBench: newReconcileBench(t), done: make(chan struct{})}
	var mu sync.Mutex
	atReplica := 0
	w.backend = inProcess{replicaFunc(func(ctx context.Context) error {
		mu.Lock()
		atReplica++
		w.most = max(w.most, atReplica)
		mu.Unlock()
		defer func() { mu.Lock(); defer mu.Unlock(); atReplica-- }()
		select {
		case <-time.After(time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}), 2}
	w.cfg.DrainQueue = drainQueue
	for i := range jobs {
		job := jobNamed(fmt.Sprint(i))
		job.Digest[0] = byte(i)
		w.publish(t, job)
	}
	var stop, kill context.Context
	stop, w.stop = context.WithCancel(t.Context())
	kill, w.kill = context.WithCancel(t.Context())
	go func() {
		defer close(w.done)
		w.work(stop, kill)
		w.inFlight.done.Wait()
	}()
	return w
}

// TestWork checks that as many jobs are taken at a time as replicas have slots.
func TestWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorking(t, 5, false)
		for second, want := range []struct{ waiting, taken int }{{3, 2}, {1, 2}, {0, 1}, {0, 0}} {
			synctest.Wait()
			if waiting, taken := w.queue.Waiting().Total(), w.inFlight.size(); waiting != want.waiting || taken != want.taken {
				t.Errorf("after %d s: %d waiting, %d taken, want %+v", second, waiting, taken, want)
			}
			time.Sleep(time.Second)
		}
		w.stop()
		<-w.done
		if got := counted(t, w.Dispatcher); w.most != 2 || got.Completed != 5 || got.Accepted != 5 {
			t.Errorf("%d at a time, counted %+v, want 2 and 5 completed", w.most, got)
		}
	})
}

// TestWorkStops checks that jobs in flight are finished; with DrainQueue also the waiting ones.
func TestWorkStops(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		drain     bool
		completed int
		took      time.Duration
	}{"leaves what waits": {false, 2, time.Second}, "drains the queue": {true, 5, 3 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorking(t, 5, test.drain)
				begun := time.Now()
				synctest.Wait()
				w.stop()
				<-w.done
				if got, took := counted(t, w.Dispatcher).Completed, time.Since(begun).Truncate(time.Second); got != test.completed || took != test.took {
					t.Errorf("%d completed after %s, want %d after %s", got, took, test.completed, test.took)
				}
				if jobs, _ := w.queue.Jobs(t.Context()); len(jobs) != 5-test.completed {
					t.Errorf("%d jobs left, want %d", len(jobs), 5-test.completed)
				}
			})
		})
	}
}

// TestWorkKilled checks that jobs return to the queue when the drain timeout has passed.
func TestWorkKilled(t *testing.T) {
	t.Parallel()
	for name, drain := range map[string]bool{"without draining": false, "while draining": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorking(t, 5, drain)
				synctest.Wait()
				w.stop()
				begun := time.Now()
				time.AfterFunc(500*time.Millisecond, w.kill)
				<-w.done
				if took := time.Since(begun); took != 500*time.Millisecond {
					t.Errorf("it took %s, want 500ms", took)
				}
				if jobs, _ := w.queue.Jobs(t.Context()); len(jobs) != 5 || counted(t, w.Dispatcher).Completed != 0 {
					t.Errorf("%d jobs left, want all 5", len(jobs))
				}
				time.Sleep(2 * time.Second) // until the returned jobs wait again
				if n := w.queue.Waiting().Total(); n != 5 {
					t.Errorf("%d jobs wait, want 5", n)
				}
			})
		})
	}
}

// TestWorkWithoutQueue checks that a queue that returns errors is tried once a second.
func TestWorkWithoutQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newReconcileBench(t)
		a.queue = &queuetest.Faulty{Queue: memqueue.New(1, time.Second)}
		a.bench.Dispatcher.queue = a.queue
		var asked []time.Duration
		begun := time.Now()
		a.queue.Decide = func(string) queuetest.Fault {
			asked = append(asked, time.Since(begun))
			return queuetest.Refused
		}
		stop, end := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer end()
		a.work(stop, t.Context())
		a.inFlight.done.Wait()
		for i, at := range asked {
			if at != time.Duration(i)*time.Second {
				t.Errorf("asked after %v, want once a second", asked)
				break
			}
		}
		if len(asked) != 4 || strings.Count(a.log.String(), `level=ERROR msg="taking a job from the queue failed"`) != 4 {
			t.Errorf("asked %d times, want 4:\n%s", len(asked), a.log)
		}
	})
}
