// Package storetest tests implementations of store.Store. A test of an implementation calls [Run] with a function
// that creates a store.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// Run runs the suite. open returns a new, empty store with the given time to live that is not running yet.
func Run(t *testing.T, open func(t *testing.T, ttl time.Duration) store.Store) {
	tests := map[string]func(*testing.T, store.Store){
		"stores all fields":             keeps,
		"creates once":                  creates,
		"updates the current version":   updates,
		"ends once":                     endsOnce,
		"notifies waiters":              wakes,
		"returns when the context ends": timeUp,
		"lists unfinished records":      unfinished,
		"lists recent records":          recent,
		"rejects invalid IDs":           foreignIDs,
		"Wait for an expired record":    waitsForNothing,
		"has a secret":                  secret,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, time.Hour)
			Start(t, s)
			test(t, s)
		})
	}
	t.Run("forgets", func(t *testing.T) {
		t.Parallel()
		s := open(t, 300*time.Millisecond)
		Start(t, s)
		forgets(t, s)
	})
}

// Start runs the store until the end of the test.
func Start(t *testing.T, s store.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() { defer close(ended); done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatalf("Run: %v", err)
	}
}

// record returns a record of a file with the name. Its ID is testutil.ID(name).
func record(name string) store.Record {
	return store.Record{ID: testutil.ID(name), Filename: name, Status: resnet18cloud.StatusQueued, QueuedAt: time.Now().Round(0).UTC()}
}

func create(t *testing.T, s store.Store, r store.Record) store.Record {
	t.Helper()
	revision, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatalf("Create(%s): %v", r.Filename, err)
	}
	r.Revision = revision
	return r
}

func keeps(t *testing.T, s store.Store) {
	now := time.Now().Round(0).UTC()
	r := record("a")
	r.Owner = "owner"
	r.Digest, r.Priority, r.Deadline, r.Estimate = "00ff", resnet18cloud.PriorityBulk, now.Add(time.Hour), time.Second
	r.StartedAt, r.CompletedAt, r.Attempts, r.FromCache, r.Replica = now, now, 2, true, "http://a:5000"
	r.Status = resnet18cloud.StatusCompleted
	r.Want = resnet18cloud.Want{TopK: 7}
	probability := float32(0.75)
	r.Result = &resnet18cloud.Result{Filename: "ü.jpg", InferenceTime: 0.25, Predictions: []string{"junco"},
		Scores: []resnet18cloud.Prediction{{Index: 13, Label: "junco", Logit: 9.5, Probability: &probability}},
		Timing: resnet18cloud.Timing{Queue: time.Second}, Model: "m", Precision: "fp32", Warning: "w", Embedding: []float32{0.5, 0}, Unknown: true, UnknownScore: &probability,
		ModelInfo: &resnet18cloud.ModelInfo{Name: "n", Version: "v", Classes: 2}}
	r.Failure = &store.Failure{Code: resnet18cloud.CodeFull, Message: "m", Hint: "h"}
	r = create(t, s, r)
	got, err := s.Get(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Errorf("Get (-created +got):\n%s", diff)
	}
}

func creates(t *testing.T, s store.Store) {
	create(t, s, record("a"))
	if _, err := s.Create(t.Context(), record("a")); !errors.Is(err, store.ErrExists) {
		t.Errorf("second Create: %v, want ErrExists", err)
	}
	if n, err := s.Count(t.Context()); n != 1 || err != nil {
		t.Errorf("Count = %d, %v, want 1", n, err)
	}
}

func updates(t *testing.T, s store.Store) {
	old := create(t, s, record("a"))
	changed := old
	changed.Status = resnet18cloud.StatusProcessing
	var err error
	if changed.Revision, err = s.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), old); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Update of an old revision: %v, want ErrConflict", err)
	}
	if got, err := s.Get(t.Context(), testutil.ID("a")); err != nil || !cmp.Equal(got, changed) {
		t.Errorf("Get = %+v, %v, want the update", got, err)
	}
	if _, err := s.Update(t.Context(), store.Record{ID: testutil.ID("never"), Revision: 7}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Update of nothing: %v, want ErrConflict", err)
	}
}

// endsOnce ends the same version several times concurrently.
func endsOnce(t *testing.T, s store.Store) {
	r := create(t, s, record("a"))
	r.Status = resnet18cloud.StatusCompleted
	var won atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch _, err := s.Update(t.Context(), r); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d updates of the same version succeeded, want 1", won.Load())
	}
}

func wakes(t *testing.T, s store.Store) {
	r := create(t, s, record("a"))
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			got, err := s.Wait(t.Context(), testutil.ID("a"))
			if err != nil || got.Status != resnet18cloud.StatusFailed {
				t.Errorf("Wait = %s, %v, want failed", got.Status, err)
			}
		})
	}
	for _, status := range []resnet18cloud.Status{resnet18cloud.StatusProcessing, resnet18cloud.StatusFailed} {
		r.Status = status
		var err error
		if r.Revision, err = s.Update(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if got, err := s.Wait(t.Context(), testutil.ID("a")); err != nil || !got.Status.Final() {
		t.Errorf("Wait for what has ended = %s, %v", got.Status, err)
	}
}

func timeUp(t *testing.T, s store.Store) {
	create(t, s, record("a"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := s.Wait(ctx, testutil.ID("a")); err != nil || got.Status != resnet18cloud.StatusQueued {
		t.Errorf("Wait = %s, %v, want queued when time is up", got.Status, err)
	}
}

func unfinished(t *testing.T, s store.Store) {
	want := map[string]store.Record{}
	for i, end := range []resnet18cloud.Status{"", resnet18cloud.StatusProcessing, resnet18cloud.StatusCompleted,
		resnet18cloud.StatusFailed, resnet18cloud.StatusCancelled} {
		r := create(t, s, record(fmt.Sprint("r", i)))
		if end != "" {
			r.Status, r.Attempts = end, 1
			var err error
			if r.Revision, err = s.Update(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if !r.Status.Final() {
			want[r.ID] = r
		}
	}
	ended := record("ended when it was created")
	ended.Status = resnet18cloud.StatusCompleted
	ended = create(t, s, ended)
	WantUnfinished(t, s, want)

	// A request may be restarted after its end.
	ended.Status, ended.Generation = resnet18cloud.StatusQueued, 1
	var err error
	if ended.Revision, err = s.Update(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	want[ended.ID] = ended
	WantUnfinished(t, s, want)
}

// WantUnfinished waits until Unfinished returns exactly the records in want, which are indexed by ID.
func WantUnfinished(t *testing.T, s store.Store, want map[string]store.Record) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		list, err := s.Unfinished(t.Context())
		if err != nil {
			t.Fatalf("Unfinished: %v", err)
		}
		got := map[string]store.Record{}
		for _, r := range list {
			got[r.ID] = r
		}
		diff := cmp.Diff(want, got)
		if diff == "" && len(list) == len(got) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("Unfinished returns %d records (-want +got):\n%s", len(list), diff)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func recent(t *testing.T, s store.Store) {
	if got, err := s.Recent(t.Context(), 3); err != nil || len(got) != 0 {
		t.Errorf("Recent of nothing = %v, %v", got, err)
	}
	first := create(t, s, record("r0"))
	for i := range 4 {
		create(t, s, record(fmt.Sprint("r", i+1)))
	}
	if _, err := s.Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	got, err := s.Recent(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got {
		names = append(names, r.Filename)
	}
	if diff := cmp.Diff([]string{"r0", "r4", "r3"}, names); diff != "" {
		t.Errorf("Recent(3) (-want +got):\n%s", diff)
	}
}

// foreign are invalid IDs: not UUIDs in canonical form.
var foreign = []string{"", "never", "a b", "a.*", ">", "../x", strings.Repeat("a", 4200),
	strings.ToUpper(testutil.ID("a")), testutil.ID("a") + ".x", testutil.ID("a")[:35] + "*"}

func foreignIDs(t *testing.T, s store.Store) {
	for _, id := range foreign {
		r := record("a")
		r.ID = id
		if _, err := s.Get(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get(%.50q): %v, want ErrNotFound", id, err)
		}
		if _, err := s.Wait(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Wait(%.50q): %v, want ErrNotFound", id, err)
		}
		if _, err := s.Create(t.Context(), r); !errors.Is(err, resnet18cloud.ErrID) {
			t.Errorf("Create(%.50q): %v, want ErrID", id, err)
		}
		if _, err := s.Update(t.Context(), r); !errors.Is(err, resnet18cloud.ErrID) {
			t.Errorf("Update(%.50q): %v, want ErrID", id, err)
		}
	}
	if n, err := s.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("Count = %d, %v, want 0", n, err)
	}
	create(t, s, record("a"))
}

func waitsForNothing(t *testing.T, s store.Store) {
	if _, err := s.Wait(t.Context(), testutil.ID("never")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Wait for nothing: %v, want ErrNotFound", err)
	}
}

// secret checks that the secret is there from the start, is no record, and stays.
func secret(t *testing.T, s store.Store) {
	first := s.Secret()
	if first == (store.Secret{}) {
		t.Error("the secret is zero")
	}
	create(t, s, record("a"))
	if n, err := s.Count(t.Context()); n != 1 || err != nil {
		t.Errorf("Count = %d, %v, want 1", n, err)
	}
	if got, err := s.Recent(t.Context(), 10); len(got) != 1 || err != nil {
		t.Errorf("Recent = %d records, %v, want 1", len(got), err)
	}
	WantUnfinished(t, s, map[string]store.Record{testutil.ID("a"): get(t, s, testutil.ID("a"))})
	if s.Secret() != first {
		t.Error("the secret has changed")
	}
}

func get(t *testing.T, s store.Store, id string) store.Record {
	t.Helper()
	r, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func forgets(t *testing.T, s store.Store) {
	create(t, s, record("a"))
	for deadline := time.After(10 * time.Second); ; {
		if _, err := s.Get(t.Context(), testutil.ID("a")); errors.Is(err, store.ErrNotFound) {
			return
		}
		select {
		case <-deadline:
			t.Fatal("a record outlives its time to live by seconds")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
