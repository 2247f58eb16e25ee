package dispatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// noon is the time of these tests.
var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

var testLimits = limits{attempts: 3, wait: 30 * time.Minute, submit: 20 * time.Second, heartbeatTimeout: 10 * time.Second}

// codeOf returns the code of an error, empty for nil.
func codeOf(e *resnet18cloud.Error) resnet18cloud.Code {
	if e == nil {
		return ""
	}
	return e.Code
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		queued   time.Duration // before noon
		deadline time.Duration // from noon; 0 means none
		want     resnet18cloud.Code
		readers  resnet18cloud.Code // for code that does not process the request
	}{
		"new":                               {0, 0, "", ""},
		"before the deadline":               {time.Second, 1, "", ""},
		"at the deadline":                   {time.Second, -1, "deadline", ""},
		"a grace period after the deadline": {time.Second, -250 * time.Millisecond, "deadline", "deadline"},
		"just within the grace period":      {time.Second, -250*time.Millisecond + 1, "deadline", ""},
		"no replica for half an hour":       {30 * time.Minute, 0, "", ""},
		"no replica for longer":             {30*time.Minute + 1, 0, "unavailable", ""},
		"no replica for longer and grace":   {30*time.Minute + 250*time.Millisecond + 1, 0, "unavailable", "unavailable"},
		"both":                              {time.Hour, -time.Minute, "deadline", "deadline"},
		"a deadline does not extend it":     {time.Hour, time.Hour, "unavailable", "unavailable"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := store.Record{QueuedAt: noon.Add(-test.queued), Status: resnet18cloud.StatusQueued}
			if test.deadline != 0 {
				r.Deadline = noon.Add(test.deadline)
			}
			if got := codeOf(testLimits.overdue(r, noon)); got != test.want {
				t.Errorf("overdue = %q, want %q", got, test.want)
			}
			if got := codeOf(testLimits.overdueForReaders(r, noon)); got != test.readers {
				t.Errorf("overdueForReaders = %q, want %q", got, test.readers)
			}
		})
	}
	if got := codeOf(testLimits.overdue(store.Record{QueuedAt: noon, Deadline: noon}, noon)); got != "deadline" {
		t.Errorf("overdue at the deadline itself = %q, want deadline", got)
	}
}

// TestLimits checks that a dispatcher with its own queue need not wait for others.
func TestLimits(t *testing.T) {
	t.Parallel()
	want := limits{attempts: 5, wait: 30 * time.Minute, submit: 20 * time.Second, heartbeatTimeout: 10 * time.Second}
	alone := want
	alone.heartbeatTimeout = 0
	if got := (Config{}).withDefaults().limits(); got != alone {
		t.Errorf("limits of an embedded NATS server = %+v, want %+v", got, alone)
	}
	for name, c := range map[string]Config{
		"NATS outside": {NATS: natsconn.Config{URL: "nats://nats:4222"}},
		"another":      {Queue: memqueue.New(1, time.Second), Store: memstore.New(time.Second, 1)},
	} {
		if got := c.withDefaults().limits(); got != want {
			t.Errorf("limits with %s queue = %+v, want %+v", name, got, want)
		}
	}
}

func TestWaitLimit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		deadline time.Time
		limit    time.Duration
		want     time.Duration
	}{
		"no deadline":       {time.Time{}, 20 * time.Second, 20 * time.Second},
		"deadline is later": {noon.Add(time.Minute), 20 * time.Second, 20 * time.Second},
		// At the deadline the worker ends it; a reader may do so a grace period later, and waits until then.
		"deadline is earlier": {noon.Add(5 * time.Second), 20 * time.Second, 5250 * time.Millisecond},
		"deadline has passed": {noon.Add(-time.Second), 20 * time.Second, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := waitLimit(store.Record{Deadline: test.deadline}, noon, test.limit); got != test.want {
				t.Errorf("waitLimit = %s, want %s", got, test.want)
			}
		})
	}
}

func TestOnDelivery(t *testing.T) {
	t.Parallel()
	const queued, processing = resnet18cloud.StatusQueued, resnet18cloud.StatusProcessing
	tests := map[string]struct {
		record     store.Record
		generation int // of the job
		work       bool
		end        resnet18cloud.Code
	}{
		"queued":                                  {store.Record{Status: queued}, 0, true, ""},
		"queued again":                            {store.Record{Status: queued, Generation: 2}, 2, true, ""},
		"given back":                              {store.Record{Status: processing, Attempts: 2}, 0, true, ""},
		"attempts used up":                        {store.Record{Status: processing, Attempts: 3}, 0, false, "internal"},
		"attempts used up in an earlier version":  {store.Record{Status: processing, Attempts: 4}, 0, false, "internal"},
		"queued with attempts used up":            {store.Record{Status: queued, Attempts: 3}, 0, true, ""},
		"completed":                               {store.Record{Status: resnet18cloud.StatusCompleted}, 0, false, ""},
		"failed":                                  {store.Record{Status: resnet18cloud.StatusFailed}, 0, false, ""},
		"cancelled":                               {store.Record{Status: resnet18cloud.StatusCancelled}, 0, false, ""},
		"overdue":                                 {store.Record{Status: queued, Deadline: noon}, 0, false, "deadline"},
		"overdue, taken before":                   {store.Record{Status: processing, Attempts: 1, Deadline: noon}, 0, false, "deadline"},
		"overdue and attempts used up":            {store.Record{Status: processing, Attempts: 3, Deadline: noon}, 0, false, "deadline"},
		"completed, deadline passed":              {store.Record{Status: resnet18cloud.StatusCompleted, Deadline: noon}, 0, false, ""},
		"job left from before a restart":          {store.Record{Status: queued, Generation: 1}, 0, false, ""},
		"job left from before a restart, overdue": {store.Record{Status: queued, Generation: 1, Deadline: noon}, 0, false, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.record.QueuedAt = noon.Add(-time.Minute)
			got := testLimits.onDelivery(test.record, resnet18cloud.Job{Generation: test.generation}, noon)
			if got.work != test.work || codeOf(got.end) != test.end {
				t.Errorf("onDelivery = work %t, end %q, want %t, %q", got.work, codeOf(got.end), test.work, test.end)
			}
		})
	}
}

func TestOnFailure(t *testing.T) {
	t.Parallel()
	fault := func(code resnet18cloud.Code) error { return &resnet18cloud.Error{Code: code, Message: "m", Hint: "h"} }
	busy := func(after time.Duration) error {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, RetryAfter: after}
	}
	tests := map[string]struct {
		attempts int // including this one
		overdue  bool
		err      error
		end      resnet18cloud.Code
		after    time.Duration
		uncount  bool
	}{
		"first of three":                           {1, false, fault("internal"), "", 200 * time.Millisecond, false},
		"second of three":                          {2, false, fault("internal"), "", 400 * time.Millisecond, false},
		"last of three":                            {3, false, fault("internal"), "internal", 0, false},
		"more than three":                          {4, false, fault("internal"), "internal", 0, false},
		"an error without a code":                  {1, false, errors.New("oops"), "", 200 * time.Millisecond, false},
		"attempt timed out":                        {1, false, context.DeadlineExceeded, "", 200 * time.Millisecond, false},
		"attempt cancelled":                        {1, false, context.Canceled, "", 200 * time.Millisecond, false},
		"last attempt timed out":                   {3, false, fault("deadline"), "internal", 0, false},
		"last attempt cancelled":                   {3, false, fault("cancelled"), "internal", 0, false},
		"busy does not count as an attempt":        {3, false, busy(0), "", 100 * time.Millisecond, true},
		"busy, soon":                               {1, false, busy(10 * time.Millisecond), "", 100 * time.Millisecond, true},
		"busy for a time":                          {1, false, busy(300 * time.Millisecond), "", 300 * time.Millisecond, true},
		"busy for long":                            {1, false, busy(time.Hour), "", time.Second, true},
		"unavailable does not count as an attempt": {3, false, fault("unavailable"), "", 100 * time.Millisecond, true},
		"invalid image":                            {1, false, fault("undecodable"), "undecodable", 0, false},
		"image too large":                          {1, false, fault("too_large"), "too_large", 0, false},
		"unsupported image":                        {1, false, fault("unsupported"), "unsupported", 0, false},
		"rejected as malformed":                    {1, false, fault("invalid"), "invalid", 0, false},
		"deadline passed during the attempt":       {1, true, fault("internal"), "deadline", 0, false},
		"deadline passed while busy":               {1, true, busy(0), "deadline", 0, false},
		"deadline passed, and invalid image":       {1, true, fault("undecodable"), "deadline", 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := store.Record{Status: resnet18cloud.StatusProcessing, Attempts: test.attempts, QueuedAt: noon.Add(-time.Minute)}
			if test.overdue {
				r.Deadline = noon
			}
			got := testLimits.onFailure(r, test.err, noon)
			if codeOf(got.end) != test.end || got.after != test.after || got.uncount != test.uncount {
				t.Errorf("onFailure = end %q, after %s, uncount %t, want %q, %s, %t",
					codeOf(got.end), got.after, got.uncount, test.end, test.after, test.uncount)
			}
			if test.end == "" {
				return
			}
			if test.overdue && got.end.Err != test.err {
				t.Errorf("cause %v, want %v: it must be logged", got.end.Err, test.err)
			}
			if !test.overdue && (got.end.Message != "m" || got.end.Hint != "h") {
				t.Errorf("end = %q, %q, want the replica's message", got.end.Message, got.end.Hint)
			}
		})
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	for attempts, want := range []time.Duration{200, 200, 400, 800, 1600, 3200, 6400, 6400, 6400} {
		if got := retryDelay(attempts); got != want*time.Millisecond {
			t.Errorf("retryDelay(%d) = %s, want %s", attempts, got, want*time.Millisecond)
		}
	}
	if got := retryDelay(1 << 40); got != 6400*time.Millisecond {
		t.Errorf("retryDelay of many = %s, want 6.4s", got)
	}
}

func TestRestartable(t *testing.T) {
	t.Parallel()
	for status, want := range map[resnet18cloud.Status]bool{
		resnet18cloud.StatusQueued: false, resnet18cloud.StatusProcessing: false, resnet18cloud.StatusCompleted: false,
		resnet18cloud.StatusCancelled: true, resnet18cloud.StatusFailed: false,
	} {
		if got := restartable(store.Record{Status: status}); got != want {
			t.Errorf("restartable(%s) = %t, want %t", status, got, want)
		}
	}
	for code, want := range map[resnet18cloud.Code]bool{
		resnet18cloud.CodeDeadline: true, resnet18cloud.CodeUnavailable: true, resnet18cloud.CodeLost: true,
		resnet18cloud.CodeInternal: false, resnet18cloud.CodeUndecodable: false, resnet18cloud.CodeTooLarge: false,
		resnet18cloud.CodeUnsupported: false, resnet18cloud.CodeInvalid: false,
	} {
		r := store.Record{Status: resnet18cloud.StatusFailed, Failure: &store.Failure{Code: code}}
		if got := restartable(r); got != want {
			t.Errorf("restartable(failed, %s) = %t, want %t", code, got, want)
		}
	}
}

func TestSendAgainAfter(t *testing.T) {
	t.Parallel()
	for code, want := range map[resnet18cloud.Code]time.Duration{
		resnet18cloud.CodeUnavailable: time.Second, resnet18cloud.CodeLost: time.Second,
		resnet18cloud.CodeDeadline: 0, resnet18cloud.CodeUndecodable: 0, resnet18cloud.CodeInternal: 0,
	} {
		if got := sendAgainAfter(code); got != want {
			t.Errorf("sendAgainAfter(%s) = %s, want %s", code, got, want)
		}
	}
}

func TestSuperseded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status     resnet18cloud.Status
		generation int
		want       bool
	}{
		"unfinished":         {resnet18cloud.StatusProcessing, 2, false},
		"ended":              {resnet18cloud.StatusFailed, 2, true},
		"restarted":          {resnet18cloud.StatusQueued, 3, true},
		"earlier generation": {resnet18cloud.StatusFailed, 1, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := superseded(store.Record{Status: test.status, Generation: test.generation}, 2); got != test.want {
				t.Errorf("superseded = %t, want %t", got, test.want)
			}
		})
	}
}
