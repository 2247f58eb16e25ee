package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// replicaFunc is the replica of a dispatcher under test.
type replicaFunc func(context.Context) error

func (f replicaFunc) Classify(ctx context.Context, _ resnet18cloud.Image) (resnet18cloud.Result, error) {
	if err := f(ctx); err != nil {
		return resnet18cloud.Result{}, err
	}
	return resnet18cloud.Result{Predictions: []string{"junco"}, Model: "m", Precision: "fp32"}, nil
}

func answering(context.Context) error { return nil }

func failingWith(code resnet18cloud.Code) replicaFunc {
	return func(context.Context) error { return &resnet18cloud.Error{Code: code, Message: string(code)} }
}

// bench is a dispatcher that does not run, and its store.
type bench struct {
	*Dispatcher
	store *storetest.Faulty
	log   *strings.Builder
}

func newBench(t *testing.T, replica replicaFunc) *bench {
	t.Helper()
	b := &bench{store: &storetest.Faulty{Store: memstore.New(24*time.Hour, 5000)}, log: &strings.Builder{}}
	var err error
	b.Dispatcher, err = New(Config{Queue: memqueue.New(10, time.Second), Store: b.store, Classifier: replica, Attempts: 3, CacheSize: -1,
		RedeliverAfter: 9 * time.Second, Log: slog.New(slog.NewTextHandler(b.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// put stores a record.
func (b *bench) put(t *testing.T, r store.Record) store.Record {
	t.Helper()
	r.Revision = 0
	revision, err := b.store.Store.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Revision = revision
	return r
}

func (b *bench) get(t *testing.T, id string) store.Record {
	t.Helper()
	r, err := b.store.Store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// benchJob is a job that was queued just now.
func benchJob() resnet18cloud.Job {
	return resnet18cloud.Job{ID: testutil.ID("a"), Image: resnet18cloud.Image{Name: "a.jpg", Bytes: []byte("x")}, QueuedAt: time.Now(),
		Priority: resnet18cloud.PriorityInteractive}
}

func TestDo(t *testing.T) {
	t.Parallel()
	queued := func(job resnet18cloud.Job) *store.Record { r := newRecord(job); return &r }
	final := func(job resnet18cloud.Job) *store.Record { r := failed(newRecord(job), errLostJob(), noon); return &r }
	tests := map[string]struct {
		job      func(*resnet18cloud.Job)
		record   func(resnet18cloud.Job) *store.Record // nil if there is none
		replica  replicaFunc
		ended    bool
		after    time.Duration
		retry    bool
		status   resnet18cloud.Status
		code     resnet18cloud.Code
		attempts int
		accepted int // by this call
	}{
		"queued": {
			record: queued, replica: answering, ended: true, status: "completed", attempts: 1},
		"without a record": {
			replica: answering, ended: true, status: "completed", attempts: 1, accepted: 1},
		"without a record, overdue": {
			job:     func(j *resnet18cloud.Job) { j.Deadline = j.QueuedAt },
			replica: answering, ended: true, status: "failed", code: "deadline", accepted: 1},
		"ended": {
			record: final, replica: answering, ended: true, status: "failed", code: "lost"},
		"left from before a restart": {
			record:  func(j resnet18cloud.Job) *store.Record { j.Generation = 1; return queued(j) },
			replica: answering, ended: true, status: "queued"},
		"the restart's record was lost": {
			job:     func(j *resnet18cloud.Job) { j.Generation = 2 },
			record:  func(j resnet18cloud.Job) *store.Record { j.Generation = 1; return final(j) },
			replica: answering, ended: true, status: "completed", attempts: 1, accepted: 1},
		"overdue": {
			record:  func(j resnet18cloud.Job) *store.Record { j.Deadline = j.QueuedAt; return queued(j) },
			replica: answering, ended: true, status: "failed", code: "deadline"},
		"the record's deadline applies": {
			job:     func(j *resnet18cloud.Job) { j.Deadline = j.QueuedAt.Add(-time.Second) },
			record:  func(j resnet18cloud.Job) *store.Record { j.Deadline = time.Time{}; return queued(j) },
			replica: answering, ended: true, status: "completed", attempts: 1},
		"deadline passes at the replica": {
			record:  func(j resnet18cloud.Job) *store.Record { j.Deadline = j.QueuedAt.Add(time.Second); return queued(j) },
			replica: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, ended: true, status: "failed", code: "deadline", attempts: 1},
		"replica is busy": {
			record: queued, replica: failingWith("full"), after: 100 * time.Millisecond, retry: true, status: "processing"},
		"no replica": {
			record: queued, replica: failingWith("unavailable"), after: 100 * time.Millisecond, retry: true, status: "processing"},
		"replica fails": {
			record: queued, replica: failingWith("internal"), after: 200 * time.Millisecond, retry: true, status: "processing", attempts: 1},
		"replica fails for the last time": {
			record:  func(j resnet18cloud.Job) *store.Record { r := queued(j); r.Attempts = 2; return r },
			replica: failingWith("internal"), ended: true, status: "failed", code: "internal", attempts: 3},
		"dispatchers died while processing it": {
			record:  func(j resnet18cloud.Job) *store.Record { r := started(*queued(j), noon); r.Attempts = 3; return &r },
			replica: answering, ended: true, status: "failed", code: "internal", attempts: 3},
		"invalid image": {
			record: queued, replica: failingWith("undecodable"), ended: true, status: "failed", code: "undecodable", attempts: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, test.replica)
				job := benchJob()
				if test.job != nil {
					test.job(&job)
				}
				if test.record != nil {
					b.put(t, *test.record(job))
				}
				o := b.do(t.Context(), job)
				if o.ended != test.ended || o.after != test.after || o.retry != test.retry || (o.err == nil) != test.ended {
					t.Errorf("do = %+v, want ended %t, after %s, retry %t", o, test.ended, test.after, test.retry)
				}
				r := b.get(t, job.ID)
				if r.Status != test.status || r.Attempts != test.attempts || r.Failure != nil != (test.code != "") ||
					r.Failure != nil && r.Failure.Code != test.code {
					t.Errorf("record %+v, want %s %s, %d attempts", r, test.status, test.code, test.attempts)
				}
				if r.Status == resnet18cloud.StatusCompleted && (r.Generation != job.Generation || r.Result.Filename != "a.jpg" || r.FromCache) {
					t.Errorf("completed as %+v", r)
				}
				if got := counted(t, b.Dispatcher).Accepted; got != test.accepted {
					t.Errorf("%d counted as accepted, want %d", got, test.accepted)
				}
			})
		})
	}
}

// TestDoStopped checks that a cancelled request has ended, and that an unfinished one returns to the queue if the
// dispatcher stops.
func TestDoStopped(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cause error
		ended bool
	}{"rolledBack": {errCancelled, true}, "stopping": {context.Canceled, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
				ctx, stop := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { stop(test.cause) })
				job := benchJob()
				b.put(t, newRecord(job))
				o := b.do(ctx, job)
				if o.ended != test.ended || o.retry || !test.ended && (o.after != storageRetry || o.err == nil) {
					t.Errorf("do = %+v, want ended %t", o, test.ended)
				}
				if r := b.get(t, job.ID); r.Status != resnet18cloud.StatusProcessing {
					t.Errorf("record is %s: it is not the worker's to change", r.Status)
				}
			})
		})
	}
}

// TestDoCancelledAtOnce checks that a request that is cancelled while its job is being marked as taken has ended: the job
// does not return to the queue, and no line says that the store has failed.
func TestDoCancelledAtOnce(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Get", "Update"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, answering)
			job := benchJob()
			b.put(t, newRecord(job))
			ctx, stop := context.WithCancelCause(t.Context())
			b.store.Decide = func(m string) storetest.Fault {
				if m != method {
					return storetest.None
				}
				stop(errCancelled)
				return storetest.Refused
			}
			if o := b.do(ctx, job); !o.ended || o.err != nil {
				t.Errorf("cancelled in %s: do = %+v, want ended", method, o)
			}
		})
	}
}

// TestDoWithoutStore checks that a job returns to the queue while the store is unavailable, and no attempt is
// counted.
func TestDoWithoutStore(t *testing.T) {
	t.Parallel()
	for method, replica := range map[string]replicaFunc{"Get": answering, "Update": answering} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, replica)
			job := benchJob()
			b.put(t, newRecord(job))
			b.store.Decide = func(m string) storetest.Fault {
				if m == method {
					return storetest.Refused
				}
				return storetest.None
			}
			if o := b.do(t.Context(), job); o.ended || o.retry || o.after != storageRetry || !errors.Is(o.err, storetest.ErrInjected) {
				t.Errorf("%s fails: do = %+v", method, o)
			}
		})
	}
}

// TestDoUncountFails checks that a failure to uncount an attempt is not counted as a retry.
func TestDoUncountFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, failingWith("full"))
		job := benchJob()
		b.put(t, newRecord(job))
		updates := 0
		b.store.Decide = func(m string) storetest.Fault {
			if m == "Update" {
				if updates++; updates == 2 {
					return storetest.Refused
				}
			}
			return storetest.None
		}
		if o := b.do(t.Context(), job); o.ended || o.retry || o.after != storageRetry || o.err == nil {
			t.Errorf("do = %+v", o)
		}
		if r := b.get(t, job.ID); r.Attempts != 1 {
			t.Errorf("%d attempts, want 1", r.Attempts)
		}
	})
}

// TestConclude checks that a result is stored once the store recovers.
func TestConclude(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storetest.Fault{"refused": storetest.Refused, "unheard": storetest.Unacknowledged, "repeated": storetest.Repeated} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, answering)
				r := b.put(t, started(newRecord(benchJob()), time.Now()))
				faults := 8
				b.store.Decide = func(string) storetest.Fault {
					if faults--; faults < 0 {
						return storetest.None
					}
					return fault
				}
				if o := b.conclude(t.Context(), completed(r, resnet18cloud.Result{}, false, time.Now()), nil); !o.ended {
					t.Errorf("conclude = %+v", o)
				}
				if got := b.get(t, r.ID); got.Status != resnet18cloud.StatusCompleted {
					t.Errorf("record is %s", got.Status)
				}
				if got := counted(t, b.Dispatcher).Completed; got != 1 {
					t.Errorf("counted %d times, want once", got)
				}
			})
		})
	}
}

// TestConcludeBackoff checks that the delays between attempts double from 50 ms to 2 s.
func TestConcludeBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, answering)
		r := b.put(t, started(newRecord(benchJob()), time.Now()))
		var tries []time.Duration
		last := time.Now()
		b.store.Decide = func(string) storetest.Fault {
			tries = append(tries, time.Since(last))
			last = time.Now()
			if len(tries) > 8 {
				return storetest.None
			}
			return storetest.Refused
		}
		b.conclude(t.Context(), completed(r, resnet18cloud.Result{}, false, time.Now()), nil)
		want := []time.Duration{0, 50, 100, 200, 400, 800, 1600, 2000, 2000}
		for i, w := range want {
			if i >= len(tries) || tries[i] != w*time.Millisecond {
				t.Fatalf("pauses %v, want %v ms", tries, want)
			}
		}
	})
}

// TestConcludeGivesUp checks that a stopping dispatcher returns the job, and counts the end once it is confirmed.
func TestConcludeGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, answering)
		r := b.put(t, started(newRecord(benchJob()), time.Now()))
		var away atomic.Bool
		away.Store(true)
		first := true
		b.store.Decide = func(method string) storetest.Fault {
			switch {
			case !away.Load():
				return storetest.None
			case first:
				first = false
				return storetest.Unacknowledged
			}
			return storetest.Refused
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if o := b.conclude(ctx, completed(r, resnet18cloud.Result{}, false, time.Now()), nil); o.ended || o.retry || o.after != storageRetry || o.err == nil {
			t.Errorf("conclude = %+v", o)
		}
		if got := counted(t, b.Dispatcher).Completed; got != 0 {
			t.Errorf("counted %d times before it was known", got)
		}
		away.Store(false)
		for range 2 {
			if err := b.reconcile(t.Context(), &reconcileState{}, false); err != nil {
				t.Fatal(err)
			}
		}
		if got := counted(t, b.Dispatcher).Completed; got != 1 {
			t.Errorf("counted %d times, want once", got)
		}
	})
}

// TestConcludeAmongOthers checks that a worker's result prevails over others that began to process the request, but
// not over an end or a restart.
func TestConcludeAmongOthers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(store.Record) store.Record
		status resnet18cloud.Status
		counts int
	}{
		"another began":    {func(r store.Record) store.Record { return started(r, noon) }, "completed", 1},
		"another ended it": {func(r store.Record) store.Record { return cancelled(r, noon) }, "cancelled", 0},
		"it was restarted": {func(r store.Record) store.Record { return restarted(r, newRecord(benchJob()), noon) }, "queued", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, answering)
				r := b.put(t, started(newRecord(benchJob()), time.Now()))
				if _, err := b.store.Update(t.Context(), test.change(r)); err != nil {
					t.Fatal(err)
				}
				if o := b.conclude(t.Context(), completed(r, resnet18cloud.Result{}, false, time.Now()), nil); !o.ended {
					t.Errorf("conclude = %+v, want ended: the job is obsolete", o)
				}
				if got := b.get(t, r.ID); got.Status != test.status {
					t.Errorf("record is %s, want %s", got.Status, test.status)
				}
				if got := counted(t, b.Dispatcher).Completed; got != test.counts {
					t.Errorf("counted %d times, want %d", got, test.counts)
				}
			})
		})
	}
}

// TestConcludeDropped checks that a record that the store has dropped is written again.
func TestConcludeDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, answering)
		r := started(newRecord(benchJob()), time.Now())
		r.Revision = 99
		if o := b.conclude(t.Context(), completed(r, resnet18cloud.Result{}, false, time.Now()), nil); !o.ended {
			t.Errorf("conclude = %+v", o)
		}
		if got := b.get(t, r.ID); got.Status != resnet18cloud.StatusCompleted {
			t.Errorf("record is %s", got.Status)
		}
	})
}

// handedJob records the calls of a delivery.
type handedJob struct {
	said     []string
	progress []time.Time
	err      error
}

func (j *handedJob) Job() resnet18cloud.Job { return resnet18cloud.Job{ID: "id"} }
func (j *handedJob) Ack(ctx context.Context) error {
	j.said = append(j.said, "ack")
	return errors.Join(j.err, ctx.Err())
}
func (j *handedJob) Nak(ctx context.Context, delay time.Duration) error {
	j.said = append(j.said, "nak "+delay.String())
	return errors.Join(j.err, ctx.Err())
}
func (j *handedJob) InProgress(context.Context) error {
	j.progress = append(j.progress, time.Now())
	return j.err
}

func TestSettle(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		outcome outcome
		err     error // of the queue
		said    string
		retries float64
		log     string
	}{
		"ended":                 {outcome{ended: true}, nil, "ack", 0, ""},
		"ended, unacknowledged": {outcome{ended: true}, errors.New("away"), "ack", 0, `level=WARN msg="acknowledging the job failed" request_id=id error=away`},
		"replica failed":        {outcome{after: 400 * time.Millisecond, retry: true, err: errors.New("hung up")}, nil, "nak 400ms", 1, `level=INFO msg="job returned to the queue" request_id=id delay=400ms error="hung up"`},
		"store is unavailable":  {outcome{after: time.Second, err: errors.New("store unavailable")}, nil, "nak 1s", 0, `level=WARN msg="job returned to the queue" request_id=id error="store unavailable"`},
		"everything fails":      {outcome{after: time.Second, err: errors.New("store unavailable")}, errors.New("queue away"), "nak 1s", 0, `error="queue away"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, answering)
			j := &handedJob{err: test.err}
			over, cancel := context.WithCancel(t.Context())
			cancel() // the queue is told even if the work was cancelled
			b.settle(over, j, test.outcome)
			if len(j.said) != 1 || j.said[0] != test.said {
				t.Errorf("said %q, want %q", j.said, test.said)
			}
			if got := sum(t, b.Dispatcher, "resnet18_dispatcher_retries_total"); got != test.retries {
				t.Errorf("%g retries counted, want %g", got, test.retries)
			}
			if got := b.log.String(); !strings.Contains(got, test.log) || test.log == "" && got != "" {
				t.Errorf("log %q, want %q", got, test.log)
			}
		})
	}
}

// TestKeepAlive checks that the queue gets three heartbeats per ack wait until the job is settled.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, answering)
		j := &handedJob{err: errors.New("away")} // heartbeats continue
		begun := time.Now()
		stop := b.keepAlive(t.Context(), j)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stop()
		time.Sleep(10 * time.Second)
		for i, want := range []time.Duration{3, 6, 9} {
			if i >= len(j.progress) || j.progress[i].Sub(begun) != want*time.Second {
				t.Fatalf("heartbeats %v after %s, want after 3, 6 and 9 s", j.progress, begun)
			}
		}
		if len(j.progress) != 3 {
			t.Errorf("%d heartbeats, want 3: it was settled after 10 s", len(j.progress))
		}
	})
}
