package dispatch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
)

// TestExpire checks that a reader ends an overdue request, a grace period later than its worker would.
func TestExpire(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		late  time.Duration // after the deadline
		fault storetest.Fault
		code  resnet18cloud.Code
		err   bool
	}{
		"in time":                 {-time.Second, storetest.None, "", false},
		"within the grace period": {200 * time.Millisecond, storetest.None, "", false},
		"late":                    {250 * time.Millisecond, storetest.None, "deadline", false},
		"late, store unavailable": {250 * time.Millisecond, storetest.Refused, "", true},
		"late, store unsure":      {250 * time.Millisecond, storetest.Repeated, "deadline", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, answering)
				r := newRecord(benchJob())
				r.Deadline = time.Now().Add(-test.late)
				r = b.put(t, r)
				b.store.Decide = func(method string) storetest.Fault {
					if method == "Update" {
						return test.fault
					}
					return storetest.None
				}
				got, err := b.lookup(t.Context(), r.ID)
				if (err != nil) != test.err || err != nil && resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable {
					t.Errorf("lookup: %v", err)
				}
				if failed := got.Status == resnet18cloud.StatusFailed; failed != (test.code != "") || failed && got.Failure.Code != test.code {
					t.Errorf("record is %s %v, want %q", got.Status, got.Failure, test.code)
				}
				counts := 0
				if test.code != "" {
					counts = 1
				}
				if got := counted(t, b.Dispatcher).Failed; got != counts {
					t.Errorf("%d counted as failed, want %d", got, counts)
				}
			})
		})
	}
}

// TestWait checks that a client waits until the request ends, its deadline passes, or the dispatcher stops.
func TestWait(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		deadline, limit, end, drain time.Duration // from now; 0 means none
		took                        time.Duration
		status                      resnet18cloud.Status
	}{
		"until the end":      {0, time.Minute, 10 * time.Second, 0, 10 * time.Second, "cancelled"},
		"until the limit":    {0, time.Minute, 0, 0, time.Minute, "queued"},
		"until the deadline": {20 * time.Second, time.Minute, 0, 0, 20*time.Second + readerGrace, "failed"},
		"until it stops":     {0, time.Minute, 0, 5 * time.Second, 5 * time.Second, "queued"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, answering)
				begun := time.Now()
				r := newRecord(benchJob())
				if test.deadline > 0 {
					r.Deadline = begun.Add(test.deadline)
				}
				r = b.put(t, r)
				if test.end > 0 {
					time.AfterFunc(test.end, func() { _, _ = b.cancel(t.Context(), r.ID) })
				}
				if test.drain > 0 {
					time.AfterFunc(test.drain, b.drain)
				}
				got, err := b.wait(t.Context(), r, test.limit)
				if took := time.Since(begun); err != nil || took != test.took || got.Status != test.status {
					t.Errorf("wait = %s, %v after %s, want %s after %s", got.Status, err, took, test.status, test.took)
				}
				if again, err := b.wait(t.Context(), got, time.Minute); got.Status.Final() && (err != nil || again.Status != got.Status || time.Since(begun) != test.took) {
					t.Errorf("wait for what has ended = %s, %v", again.Status, err)
				}
				b.drain() // otherwise it would remain in the bubble
			})
		})
	}
}

// TestCancel checks the outcome of a cancellation, and what it stops.
func TestCancel(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		record  func(store.Record) store.Record
		fault   storetest.Fault
		err     bool
		status  resnet18cloud.Status
		counts  int
		settled int
		stops   bool
	}{
		"queued":         {nil, storetest.None, false, "cancelled", 1, 1, true},
		"ended":          {func(r store.Record) store.Record { return failed(r, errLostJob(), noon) }, storetest.None, false, "failed", 0, 0, false},
		"store away":     {nil, storetest.Refused, true, "queued", 0, 0, false},
		"store unheard":  {nil, storetest.Unacknowledged, true, "cancelled", 0, 1, false},
		"store repeated": {nil, storetest.Repeated, false, "cancelled", 1, 1, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, answering)
				job := benchJob()
				r := newRecord(job)
				if test.record != nil {
					r = test.record(r)
				}
				b.put(t, r)
				var stopped error
				b.inFlight.add(job, func(cause error) { stopped = cause })
				fault := test.fault
				b.store.Decide = func(method string) storetest.Fault {
					if method == "Update" {
						return fault
					}
					return storetest.None
				}
				got, err := b.cancel(t.Context(), job.ID)
				if (err != nil) != test.err || err == nil && got.Status != test.status {
					t.Errorf("cancel = %s, %v", got.Status, err)
				}
				if errors.Is(stopped, errCancelled) != test.stops {
					t.Errorf("the job was cancelled with %v, want %t", stopped, test.stops)
				}
				if got := counted(t, b.Dispatcher).Cancelled; got != test.counts {
					t.Errorf("%d counted, want %d", got, test.counts)
				}
				fault = storetest.None
				if err := b.reconcile(t.Context(), &reconcileState{}, false); err != nil {
					t.Fatal(err)
				}
				if got := b.get(t, job.ID).Status; got != test.status {
					t.Errorf("record is %s, want %s", got, test.status)
				}
				if got := counted(t, b.Dispatcher).Cancelled; got != test.settled {
					t.Errorf("%d counted after recovery, want %d", got, test.settled)
				}
			})
		})
	}
}
