package dispatch

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/queuetest"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
)

func TestReadOptions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		timeout, priority, key string
		deadline               time.Duration // from arrival; 0 means none
		target                 string        // path and query without the first slash; empty means predict
		want                   resnet18cloud.Priority
		asks                   resnet18cloud.Want
		refused                bool
	}{
		"nothing":           {want: "bulk"},
		"seconds":           {timeout: "2.5", deadline: 2500 * time.Millisecond, want: "bulk"},
		"a duration":        {timeout: "300ms", deadline: 300 * time.Millisecond, want: "bulk"},
		"the longest":       {timeout: "1000000", deadline: 1e6 * time.Second, want: "bulk"},
		"longer":            {timeout: "1000001", refused: true},
		"no time":           {timeout: "0", refused: true},
		"negative":          {timeout: "-1", refused: true},
		"negative duration": {timeout: "-1s", refused: true},
		"not a duration":    {timeout: "soon", refused: true},
		"interactive":       {priority: "interactive", want: "interactive"},
		"bulk":              {priority: "bulk", want: "bulk"},
		"another priority":  {priority: "vip", refused: true},
		"the longest key":   {key: strings.Repeat("k", 255), want: "bulk"},
		"three classes":     {target: "predict_batch?top_k=3", want: "bulk", asks: resnet18cloud.Want{TopK: 3}},
		"no classes":        {target: "predict?top_k=0", refused: true},
		"features":          {target: "embed_async?normalize=true", want: "bulk", asks: resnet18cloud.Want{Embedding: true, Normalize: true}},
		"key too long":      {key: strings.Repeat("k", 256), refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.target == "" {
				test.target = "predict"
			}
			r := httptest.NewRequest(http.MethodPost, "/"+test.target, http.NoBody)
			r.Header.Set(headerTimeout, test.timeout)
			r.Header.Set(headerPriority, test.priority)
			r.Header.Set(headerKey, test.key)
			before := time.Now()
			o, err := readOptions(r, resnet18cloud.PriorityBulk)
			if test.refused {
				if resnet18cloud.AsError(err).Code != resnet18cloud.CodeInvalid {
					t.Errorf("error %v, want one that is invalid", err)
				}
				return
			}
			if err != nil || o.priority != test.want || o.key != test.key || o.want != test.asks || o.arrived.Before(before) {
				t.Errorf("options %+v, %v", o, err)
			}
			if test.deadline == 0 != o.deadline.IsZero() || test.deadline != 0 && o.deadline.Sub(o.arrived) != test.deadline {
				t.Errorf("deadline %s, want %s after %s", o.deadline, test.deadline, o.arrived)
			}
		})
	}
}

// TestNewID checks that a key gives the same UUID at every dispatcher and in every version, and another one for another
// client and with another secret.
func TestNewID(t *testing.T) {
	t.Parallel()
	secret := store.Secret{1, 2, 3}
	o := submitOptions{key: "order 66", owner: "shop"}
	id, err := o.newID(secret)
	const want = "379de000-7bb6-8da0-b85f-41674971bce7"
	if err != nil || id != want {
		t.Errorf("newID with a key = %s, %v, want %s", id, err, want)
	}
	seen := map[string]bool{id: true}
	for _, other := range []submitOptions{{key: "order 66"}, {key: "order 66", owner: "sho"}, {key: "order 67", owner: "shop"}, {key: "porder 66", owner: "sho"}} {
		id, err := other.newID(secret)
		if err != nil || resnet18cloud.CheckID(id) != nil || seen[id] {
			t.Errorf("newID(%+v) = %s, %v", other, id, err)
		}
		seen[id] = true
	}
	if id, err := o.newID(store.Secret{}); err != nil || seen[id] {
		t.Errorf("newID with another secret = %s, %v", id, err)
	}
	for range 100 {
		id, err := submitOptions{}.newID(secret)
		if err != nil || resnet18cloud.CheckID(id) != nil || seen[id] {
			t.Fatalf("newID = %s, %v", id, err)
		}
		seen[id] = true
	}
}

// keyed is a bench with a request that ended by its deadline, and the options to restart it.
func keyed(t *testing.T) (*bench, *queuetest.Faulty, store.Record, resnet18cloud.Image, submitOptions) {
	t.Helper()
	b := newBench(t, answering)
	q := &queuetest.Faulty{Queue: memqueue.New(10, time.Minute)}
	b.Dispatcher.queue = q
	image := resnet18cloud.Image{Name: "a.jpg", Bytes: []byte("x")}
	o := submitOptions{arrived: time.Now(), key: "k", priority: resnet18cloud.PriorityInteractive}
	id, err := o.newID(b.Dispatcher.store.Secret())
	if err != nil {
		t.Fatal(err)
	}
	job := resnet18cloud.Job{ID: id, Image: image, Digest: sha256.Sum256(image.Bytes), QueuedAt: noon, Deadline: noon}
	known := b.put(t, failed(newRecord(job), &resnet18cloud.Error{Code: resnet18cloud.CodeDeadline, Message: "m"}, noon))
	return b, q, known, image, o
}

// TestRestart checks restarts whose record or job cannot be written, or whose write is not acknowledged.
func TestRestart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		update  []storetest.Fault // of the restart, and of its rollback
		publish queuetest.Fault
		taken   bool // a worker takes the job before the rollback
		refused bool
		status  resnet18cloud.Status
		counts  int // immediately
		settled int // after the store has recovered
	}{
		"well":                          {nil, queuetest.None, false, false, "queued", 1, 1},
		"record refused":                {[]storetest.Fault{storetest.Refused}, queuetest.None, false, true, "failed", 0, 0},
		"record unheard":                {[]storetest.Fault{storetest.Unacknowledged}, queuetest.None, false, true, "queued", 0, 1},
		"record repeated":               {[]storetest.Fault{storetest.Repeated}, queuetest.None, false, false, "queued", 1, 1},
		"job refused":                   {nil, queuetest.Refused, false, true, "failed", 0, 0},
		"job unheard":                   {nil, queuetest.Unacknowledged, false, true, "failed", 0, 0},
		"job unacknowledged, but taken": {nil, queuetest.Unacknowledged, true, false, "processing", 1, 1},
		"not rolled back":               {[]storetest.Fault{storetest.None, storetest.Refused}, queuetest.Refused, false, true, "queued", 0, 1},
		"rolled back, unacknowledged":   {[]storetest.Fault{storetest.None, storetest.Unacknowledged}, queuetest.Refused, false, true, "failed", 0, 0},
		"rolled back, and retried":      {[]storetest.Fault{storetest.None, storetest.Repeated}, queuetest.Refused, false, true, "failed", 0, 0},
		"taken, and rollback fails":     {[]storetest.Fault{storetest.None, storetest.Refused}, queuetest.Unacknowledged, true, true, "processing", 0, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, q, known, image, o := keyed(t)
				well, updates := false, 0
				b.store.Decide = func(method string) storetest.Fault {
					if well || method != "Update" || updates >= len(test.update) {
						return storetest.None
					}
					updates++
					return test.update[updates-1]
				}
				q.Decide = func(method string) queuetest.Fault {
					if well || method != "Publish" {
						return queuetest.None
					}
					if test.taken {
						if _, err := b.store.Store.Update(t.Context(), started(b.get(t, known.ID), time.Now())); err != nil {
							t.Error(err)
						}
					}
					return test.publish
				}
				r, err := b.submit(t.Context(), image, o)
				if test.refused != (err != nil) || err == nil && (r.ID != known.ID || r.Generation != 1 || r.Status.Final()) {
					t.Errorf("submit = %+v, %v", r, err)
				}
				if err != nil && resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable {
					t.Errorf("refused with %v", err)
				}
				if got := b.get(t, known.ID); got.Status != test.status || got.Status == "failed" && got.Failure.Code != "deadline" {
					t.Errorf("record is %s %v, want %s", got.Status, got.Failure, test.status)
				}
				if got := counted(t, b.Dispatcher).Accepted; got != test.counts {
					t.Errorf("%d counted as accepted, want %d", got, test.counts)
				}
				well = true
				if err := b.reconcile(t.Context(), &reconcileState{}, false); err != nil {
					t.Fatal(err)
				}
				if got := counted(t, b.Dispatcher); got.Accepted != test.settled || got.Failed != 0 {
					t.Errorf("%+v counted after recovery, want %d accepted", got, test.settled)
				}
			})
		})
	}
}

// TestRestartWithoutRoom checks that a restart writes no record if the queue is full or the client has its share, and
// that the request does not count as the client's then.
func TestRestartWithoutRoom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		capacity int
		client   client
		code     resnet18cloud.Code
	}{
		"full":      {1, client{name: "c"}, resnet18cloud.CodeFull},
		"in flight": {10, client{name: "c", inFlight: 1}, resnet18cloud.CodeRateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _, known, image, o := keyed(t)
				b.cfg.QueueCapacity, o.client = test.capacity, test.client
				other := submitOptions{arrived: time.Now(), client: test.client}
				if _, err := b.submit(t.Context(), resnet18cloud.Image{Bytes: []byte("other")}, other); err != nil {
					t.Fatal(err)
				}
				b.store.Written = func(r store.Record) { t.Errorf("a record was written: %+v", r) }
				if _, err := b.submit(t.Context(), image, o); err == nil || resnet18cloud.AsError(err).Code != test.code {
					t.Errorf("submit: %v, want %s", err, test.code)
				}
				if got := b.get(t, known.ID); got.Revision != known.Revision || got.Generation != known.Generation {
					t.Errorf("the record is %+v, want it unchanged", got)
				}
				if got := b.holdings.clients["c"].unfinished; got != 1 {
					t.Errorf("the client has %d requests, want 1", got)
				}
			})
		})
	}
}

// TestRestartRecord checks that the restarted request has the options of the new submission and nothing of the old
// one.
func TestRestartRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, q, known, image, o := keyed(t)
		time.Sleep(time.Minute) // of upload
		image.Name, o.deadline, o.priority = "b.jpg", time.Now().Add(time.Minute), resnet18cloud.PriorityBulk
		if _, err := b.submit(t.Context(), image, o); err != nil {
			t.Fatal(err)
		}
		got := b.get(t, known.ID)
		want := store.Record{ID: known.ID, Generation: 1, Filename: "b.jpg", Digest: known.Digest, Status: resnet18cloud.StatusQueued,
			Priority: resnet18cloud.PriorityBulk, QueuedAt: time.Now(), Deadline: o.deadline, Bytes: 1, Revision: got.Revision}
		wantRecord(t, got, want, 3)
		job, err := q.Find(t.Context(), known.ID)
		wantJob := resnet18cloud.Job{ID: known.ID, Generation: 1, Image: resnet18cloud.Image{Name: "b.jpg"}, Digest: sha256.Sum256(image.Bytes),
			QueuedAt: time.Now(), Deadline: o.deadline, Priority: resnet18cloud.PriorityBulk}
		if diff := cmp.Diff(wantJob, job); diff != "" || err != nil {
			t.Errorf("job: %v (-want +got):\n%s", err, diff)
		}
	})
}
