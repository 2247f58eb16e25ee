package dispatch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
)

// newTestDispatcher creates a dispatcher with in-memory storage that does not run.
func newTestDispatcher(t *testing.T) *Dispatcher {
	t.Helper()
	d, err := New(Config{Queue: memqueue.New(10, time.Second), Store: memstore.New(time.Hour, 100), QueueCapacity: 10})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// figures are the counts of a recorder.
type figures struct {
	Accepted, Completed, Failed, Cancelled int
	Offered, Refused                       int64
	Peak                                   int
	MetricsAccepted, MetricsEnded          float64
}

func counted(t *testing.T, d *Dispatcher) figures {
	t.Helper()
	b := d.recorder.stats.body(time.Now())
	return figures{b.TotalRequests, b.SuccessfulRequests, b.FailedRequests, b.CancelledRequests, b.Scaling.Offered, b.Scaling.Refused,
		b.QueueMetrics.PeakQueueSize, sum(t, d, "resnet18_dispatcher_requests_accepted_total"), sum(t, d, "resnet18_dispatcher_requests_ended_total")}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	d := newTestDispatcher(t)
	c := d.recorder
	queued := newRecord(testJob)
	cached := queued
	cached.FromCache = true
	c.accepted(queued, queue.Depth{Interactive: 2, Bulk: 1})
	c.accepted(cached, queue.Depth{Interactive: 1})
	c.refused(&resnet18cloud.Error{Code: resnet18cloud.CodeFull})
	c.refused(&resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable})
	c.refused(errors.New("internal"))
	c.ended(t.Context(), completed(started(queued, noon), resnet18cloud.Result{}, false, noon))
	c.ended(t.Context(), completed(queued, resnet18cloud.Result{}, true, noon))
	c.ended(t.Context(), failed(queued, errLostJob(), noon))
	c.ended(t.Context(), cancelled(queued, noon))
	want := figures{Accepted: 2, Completed: 2, Failed: 1, Cancelled: 1, Offered: 2, Refused: 1, Peak: 3, MetricsAccepted: 2, MetricsEnded: 4}
	if diff := cmp.Diff(want, counted(t, d)); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	if got := sum(t, d, "resnet18_dispatcher_requests_refused_total"); got != 3 {
		t.Errorf("refused %g, want 3", got)
	}
	c.retried()
	c.attempted("completed")
	c.attempted("internal")
	if got := sum(t, d, "resnet18_dispatcher_retries_total"); got != 1 {
		t.Errorf("retries %g, want 1", got)
	}
	if got := sum(t, d, "resnet18_dispatcher_forward_attempts_total"); got != 2 {
		t.Errorf("attempts %g, want 2", got)
	}
}

// TestUnconfirmed checks that a write whose success is unknown is counted if and only if the record shows it.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	start := newRecord(testJob)
	end := failed(start, errLostJob(), noon)
	restart := restarted(end, newRecord(testJob), noon)
	back := rolledBack(restart, end)
	other := failed(restart, errLostJob(), noon)
	tests := map[string]struct {
		doubt   func(*recorder)
		present store.Record
		want    figures
	}{
		"started":                        {func(c *recorder) { c.addUnconfirmed(start) }, start, figures{Accepted: 1}},
		"started, and ended":             {func(c *recorder) { c.addUnconfirmed(start) }, end, figures{Accepted: 1}},
		"started, and restarted":         {func(c *recorder) { c.addUnconfirmed(start) }, restart, figures{Accepted: 1}},
		"not started":                    {func(c *recorder) { c.addUnconfirmed(start) }, newRecord(testJob), figures{}},
		"ended":                          {func(c *recorder) { c.addUnconfirmed(end) }, end, figures{Failed: 1}},
		"ended, and restarted":           {func(c *recorder) { c.addUnconfirmed(end) }, restart, figures{Failed: 1}},
		"not ended":                      {func(c *recorder) { c.addUnconfirmed(end) }, start, figures{}},
		"ended by another":               {func(c *recorder) { c.addUnconfirmed(end) }, failed(start, errLostJob(), noon), figures{}},
		"started and ended":              {func(c *recorder) { c.addUnconfirmed(start); c.addUnconfirmed(end) }, end, figures{Accepted: 1, Failed: 1}},
		"restart rolled back":            {func(c *recorder) { c.addUnconfirmedRollback(restart, back) }, back, figures{}},
		"restart not rolled back":        {func(c *recorder) { c.addUnconfirmedRollback(restart, back) }, restart, figures{Accepted: 1}},
		"restart ended by another":       {func(c *recorder) { c.addUnconfirmedRollback(restart, back) }, other, figures{Accepted: 1}},
		"nothing":                        {func(*recorder) {}, start, figures{}},
		"record without marks":           {func(c *recorder) { c.addUnconfirmed(start) }, store.Record{ID: "id"}, figures{}},
		"another request is unconfirmed": {func(c *recorder) { r := start; r.ID = "x"; c.addUnconfirmed(r) }, start, figures{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestDispatcher(t)
			test.doubt(d.recorder)
			for range 2 { // the second time there is nothing left to resolve
				d.recorder.resolve(t.Context(), d.recorder.takeUnconfirmed("id"), test.present, queue.Depth{})
			}
			got := counted(t, d)
			got = figures{Accepted: got.Accepted, Failed: got.Failed}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("figures (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDoubtsAreBounded(t *testing.T) {
	t.Parallel()
	c := newRecorder(noon)
	for i := range maxUnconfirmed + 10 {
		c.addUnconfirmed(store.Record{ID: fmt.Sprint(i)})
	}
	if n := len(c.unconfirmedIDs()); n != maxUnconfirmed {
		t.Errorf("%d unconfirmed, want %d", n, maxUnconfirmed)
	}
	c.takeUnconfirmed("0")
	c.add("none")
	if n := len(c.unconfirmedIDs()); n != maxUnconfirmed-1 {
		t.Errorf("%d unconfirmed after one was resolved, want %d", n, maxUnconfirmed-1)
	}
}
