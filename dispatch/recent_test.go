package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// everyone is a client that sees all results.
var everyone = access.Client{Scopes: access.Admin}

// slowStore lists records slowly, and counts the reads.
type slowStore struct {
	store.Store
	takes time.Duration

	mu    sync.Mutex
	reads []time.Time // when each began
	fails error
}

func (s *slowStore) Recent(ctx context.Context, n int) ([]store.Record, error) {
	s.mu.Lock()
	s.reads = append(s.reads, time.Now())
	fails := s.fails
	s.mu.Unlock()
	time.Sleep(s.takes)
	if fails != nil {
		return nil, fails
	}
	return s.Store.Recent(ctx, n)
}

func newSlowStore(t *testing.T, takes time.Duration, records int) *slowStore {
	t.Helper()
	s := &slowStore{Store: memstore.New(time.Hour, 10000), takes: takes}
	for i := range records {
		if _, err := s.Create(t.Context(), store.Record{ID: testutil.ID(fmt.Sprint(i)), Status: resnet18cloud.StatusQueued}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestPauseAfter(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		0: 0, time.Millisecond: 9 * time.Millisecond, 100 * time.Millisecond: 900 * time.Millisecond, time.Second: 2 * time.Second, 10 * time.Second: 2 * time.Second,
	} {
		if got := pauseAfter(took); got != want {
			t.Errorf("pauseAfter(%s) = %s, want %s", took, got, want)
		}
	}
}

// TestListsAreShared checks that, however many clients ask for lists, the store reads one list at a time, at most a
// tenth of the time, and that each list was read after the request.
func TestListsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStore(t, 20*time.Millisecond, 3)
		l := newRecent()
		start := time.Now()
		var all sync.WaitGroup
		for i := range 400 { // one per millisecond
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				id := testutil.ID(fmt.Sprint("after ", i))
				if _, err := s.Create(t.Context(), store.Record{ID: id, QueuedAt: time.Now()}); err != nil {
					t.Error(err)
				}
				got, err := l.get(t.Context(), s, everyone, 1000)
				if err != nil || got.total < i+4 {
					t.Errorf("list asked for after %d records has %d, %v", i+4, got.total, err)
				}
			})
		}
		all.Wait()
		if len(s.reads) != 3 { // at 0, 200 and 400 ms
			t.Errorf("%d lists were read in %s, want 3", len(s.reads), time.Since(start))
		}
		for i, at := range s.reads {
			if want := time.Duration(i) * 200 * time.Millisecond; at.Sub(start) != want {
				t.Errorf("list %d was read after %s, want %s", i, at.Sub(start), want)
			}
		}
	})
}

// TestListOutlivesItsClient checks that a client that disconnects neither ends the read that others wait for nor
// prevents further reads.
func TestListOutlivesItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStore(t, 20*time.Millisecond, 3)
		l := newRecent()
		for range 2 { // the second client leaves in the pause before the read
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			var all sync.WaitGroup
			all.Go(func() { _, _ = l.get(ctx, s, everyone, 10) })
			synctest.Wait()
			leave()
			all.Go(func() {
				if got, err := l.get(t.Context(), s, everyone, 10); err != nil || got.total != 3 {
					t.Errorf("list of %d, %v, want 3", got.total, err)
				}
			})
			all.Wait()
		}
		s.fails = errors.New("no disk")
		if _, err := l.get(t.Context(), s, everyone, 10); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable {
			t.Errorf("list of a store that fails: %v", err)
		}
		s.fails = nil
		if _, err := l.get(t.Context(), s, everyone, 10); err != nil {
			t.Errorf("list of a store that works again: %v", err)
		}
	})
}

// TestListsOfAllLengths checks that short lists are prefixes of a longer one.
func TestListsOfAllLengths(t *testing.T) {
	t.Parallel()
	for _, stored := range []int{0, 1, 99, 150, 1200} {
		s := newSlowStore(t, 0, stored)
		for _, n := range []int{1, 2, 100, 101, 1000} {
			got, err := newRecent().get(t.Context(), s, everyone, n)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			if err := got.write(w, n); err != nil {
				t.Fatal(err)
			}
			var body struct {
				Total   int `json:"total"`
				Results []struct {
					ID string `json:"request_id"`
				} `json:"results"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("%d of %d: %v: %s", n, stored, err, w.Body)
			}
			if body.Total != stored || len(body.Results) != min(n, stored) || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
				t.Errorf("%d of %d: total %d, %d results", n, stored, body.Total, len(body.Results))
			}
			for i, r := range body.Results {
				if want := testutil.ID(fmt.Sprint(stored - 1 - i)); r.ID != want {
					t.Errorf("%d of %d: result %d is %s, want %s", n, stored, i, r.ID, want)
				}
			}
		}
	}
}

// unread is a response that is not read: writing blocks until its deadline has passed.
type unread struct {
	http.ResponseWriter
	cut chan struct{}
}

func (u *unread) Write([]byte) (int, error) { <-u.cut; return 0, errors.New("deadline") }

func (u *unread) SetWriteDeadline(time.Time) error { close(u.cut); return nil }

// TestUnreadListsAreCut checks that the number of lists being written is limited, and that the oldest one is cut off.
func TestUnreadListsAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newRecent()
		var all sync.WaitGroup
		answers := make([]*unread, 400)
		for i := range answers {
			answers[i] = &unread{httptest.NewRecorder(), make(chan struct{})}
			all.Go(func() { l.write(answers[i], list{}, 1) })
			synctest.Wait()
		}
		for i, a := range answers {
			select {
			case <-a.cut:
				if i >= len(answers)-maxListsWritten {
					t.Errorf("list %d of %d was cut", i, len(answers))
				}
			default:
				if i < len(answers)-maxListsWritten {
					t.Errorf("list %d of %d was not cut", i, len(answers))
				}
				close(a.cut)
			}
		}
		all.Wait()
		if n := len(l.written); n != 0 {
			t.Errorf("%d lists are still being written", n)
		}
		w := httptest.NewRecorder() // one that is read
		l.write(w, list{}, 1)
		if got, want := w.Body.String(), "{\"total\":0,\"results\":[]}\n"; got != want {
			t.Errorf("list %q, want %q", got, want)
		}
	})
}
