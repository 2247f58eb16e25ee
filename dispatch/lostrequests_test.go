package dispatch

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/ledger"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/storetest"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// remains is a store in which damage has left only some records.
type remains struct {
	store.Store
	ids      map[string]struct{}
	complete time.Time
}

func (r remains) IDs(context.Context) (map[string]struct{}, time.Time, error) {
	return r.ids, r.complete, nil
}

type jobs map[string]struct{}

func (j jobs) Jobs(context.Context) (map[string]struct{}, error) { return j, nil }
func (j jobs) Find(_ context.Context, id string) (resnet18cloud.Job, error) {
	return resnet18cloud.Job{ID: id}, nil
}

func set(names ...string) map[string]struct{} {
	ids := map[string]struct{}{}
	for _, name := range names {
		ids[testutil.ID(name)] = struct{}{}
	}
	return ids
}

// TestFindLost checks which requests of the ledger end as lost: those without record and job, unless they are older
// than records are kept, or may have been dropped to make room.
func TestFindLost(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	l, err := ledger.Open(t.TempDir(), 100)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, e := range []struct {
		name string
		age  time.Duration
	}{{"too old", 61 * time.Minute}, {"dropped", 40 * time.Minute}, {"lost", 20 * time.Minute}, {"recorded", 10 * time.Minute},
		{"queued", 10 * time.Minute}, {"unfinished", 10 * time.Minute}, {"lost lately", time.Second}, {"lost lately", time.Second}} {
		if err := l.Add(ledger.Entry{ID: testutil.ID(e.name), At: now.Add(-e.age)}); err != nil {
			t.Fatal(err)
		}
	}
	records := memstore.New(time.Hour, 100)
	storetest.Start(t, records)
	if _, err := records.Create(t.Context(), store.Record{ID: testutil.ID("unfinished"), Status: "queued", Filename: "a.jpg"}); err != nil {
		t.Fatal(err)
	}
	s := lostRequests{ledger: l, kept: time.Hour, jobs: jobs(set("queued")),
		records: remains{records, set("recorded"), now.Add(-30 * time.Minute)}}
	lost, err := s.find(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{testutil.ID("lost lately"), testutil.ID("lost")}, lost); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
	for _, name := range []string{"lost", "lost", "recorded", "dropped"} {
		if err := s.end(t.Context(), testutil.ID(name), now); err != nil {
			t.Errorf("end of %q: %v", name, err)
		}
		_, err := records.Get(t.Context(), testutil.ID(name))
		if ended := err == nil; ended != (name == "lost") {
			t.Errorf("request %q ended: %t, %v", name, ended, err)
		}
	}
	if err := s.endAll(t.Context(), lost, now); err != nil {
		t.Fatal(err)
	}
	if r, err := records.Get(t.Context(), testutil.ID("queued")); err != nil || r.Status != "queued" {
		t.Errorf("record of a job without one: %+v, %v, want it created", r, err)
	}
	for _, name := range []string{"lost", "lost lately"} {
		r, err := records.Get(t.Context(), testutil.ID(name))
		if err != nil || r.Status != "failed" || r.Failure == nil || r.Failure.Code != "lost" || !restartable(r) {
			t.Errorf("record of request %q: %+v, %v, want one that failed as lost and may be restarted", name, r, err)
		}
	}
}

// TestMissingWhileRecoveryIsPending checks that, after a restart of the storage, a client that asks for an unknown ID
// is told to retry until it is known whether the store has lost it.
func TestMissingWhileRecoveryIsPending(t *testing.T) {
	t.Parallel()
	records := memstore.New(time.Hour, 100)
	storetest.Start(t, records)
	d, err := New(Config{Queue: memqueue.New(1, time.Second), Store: records})
	if err != nil {
		t.Fatal(err)
	}
	d.lost = &lostRequests{}
	for _, test := range []struct {
		due  bool
		code resnet18cloud.Code
	}{{true, resnet18cloud.CodeUnavailable}, {false, resnet18cloud.CodeNotFound}} {
		d.lost.due.Store(test.due)
		_, err := d.lookup(t.Context(), testutil.ID("unknown"))
		if e := resnet18cloud.AsError(err); e == nil || e.Code != test.code || test.due != (e.RetryAfter > 0) {
			t.Errorf("lookup while recovery is pending (%t): %v, want %s", test.due, err, test.code)
		}
	}
}

// brokenOnce fails the first comparison with the queue.
type brokenOnce struct {
	jobs
	failed atomic.Bool
}

func (b *brokenOnce) Jobs(ctx context.Context) (map[string]struct{}, error) {
	if !b.failed.Swap(true) {
		return nil, errors.New("no answer")
	}
	return b.jobs.Jobs(ctx)
}

// TestRecoverLostRetries: a comparison that fails is repeated, and until then a lost request is not an unknown ID.
func TestRecoverLostRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := memstore.New(time.Hour, 100)
		storetest.Start(t, records)
		d, err := New(Config{Queue: memqueue.New(1, time.Second), Store: records})
		if err != nil {
			t.Fatal(err)
		}
		l, err := ledger.Open(t.TempDir(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Add(ledger.Entry{ID: testutil.ID("lost"), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		d.lost = &lostRequests{ledger: l, kept: time.Hour, jobs: &brokenOnce{jobs: jobs(set())},
			records: remains{records, set(), time.Time{}}}
		d.recoverLost(t.Context())
		if _, err := d.lookup(t.Context(), testutil.ID("lost")); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable {
			t.Errorf("lookup before the comparison succeeded: %v, want unavailable", err)
		}
		if err := d.closeLedger(); err != nil {
			t.Fatal(err)
		}
		if r, err := d.lookup(t.Context(), testutil.ID("lost")); err != nil || r.Failure == nil || r.Failure.Code != resnet18cloud.CodeLost {
			t.Errorf("lookup after it: %+v, %v, want a request that is lost", r, err)
		}
	})
}

// overtaken is a store that calls meanwhile between finding no record and returning.
type overtaken struct {
	store.Store
	meanwhile func()
}

func (o *overtaken) Get(ctx context.Context, id string) (store.Record, error) {
	r, err := o.Store.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) && o.meanwhile != nil {
		o.meanwhile()
	}
	return r, err
}

// TestLookupWhileLostRequestsEnd: a lost request that the background ends while a client asks for it is no unknown ID.
func TestLookupWhileLostRequestsEnd(t *testing.T) {
	t.Parallel()
	records := &overtaken{Store: memstore.New(time.Hour, 100)}
	storetest.Start(t, records)
	d, err := New(Config{Queue: memqueue.New(1, time.Second), Store: records})
	if err != nil {
		t.Fatal(err)
	}
	id, now := testutil.ID("lost"), time.Now()
	d.lost = &lostRequests{records: remains{Store: records}, pending: map[string]ledger.Entry{id: {ID: id, At: now}}}
	records.meanwhile = func() {
		if err := d.lost.endAll(t.Context(), []string{id}, now); err != nil {
			t.Error(err)
		}
	}
	if r, err := d.lookup(t.Context(), id); err != nil || r.Failure == nil || r.Failure.Code != resnet18cloud.CodeLost {
		t.Errorf("lookup: %+v, %v, want a request that is lost", r, err)
	}
}
