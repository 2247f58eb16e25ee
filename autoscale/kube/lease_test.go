package kube

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf keeps one Lease as the API server does, conflicts included. The real one is in test/kubernetes; this
// one runs on synctest's clock.
type shelf struct {
	mu      sync.Mutex
	object  *unstructured.Unstructured // guarded by mu; nil when there is none
	version int                        // guarded by mu
}

// line is one process's connection to the shelf, which can be cut.
type line struct {
	dynamic.ResourceInterface
	shelf *shelf
	mu    sync.Mutex
	cut   bool // guarded by mu
}

func (l *line) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

func (l *line) down(ctx context.Context) error {
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if !cut {
		return nil
	}
	<-ctx.Done() // as packets that nobody answers
	return ctx.Err()
}

func (l *line) Get(ctx context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	if err := l.down(ctx); err != nil {
		return nil, err
	}
	l.shelf.mu.Lock()
	defer l.shelf.mu.Unlock()
	if l.shelf.object == nil {
		return nil, apierrors.NewNotFound(leases.GroupResource(), name)
	}
	return l.shelf.object.DeepCopy(), nil
}

func (l *line) Create(ctx context.Context, object *unstructured.Unstructured, _ metav1.CreateOptions, _ ...string) (*unstructured.Unstructured, error) {
	if err := l.down(ctx); err != nil {
		return nil, err
	}
	l.shelf.mu.Lock()
	defer l.shelf.mu.Unlock()
	if l.shelf.object != nil {
		return nil, apierrors.NewAlreadyExists(leases.GroupResource(), object.GetName())
	}
	return l.shelf.put(object), nil
}

func (l *line) Update(ctx context.Context, object *unstructured.Unstructured, _ metav1.UpdateOptions, _ ...string) (*unstructured.Unstructured, error) {
	if err := l.down(ctx); err != nil {
		return nil, err
	}
	l.shelf.mu.Lock()
	defer l.shelf.mu.Unlock()
	if object.GetResourceVersion() != l.shelf.object.GetResourceVersion() {
		return nil, apierrors.NewConflict(leases.GroupResource(), object.GetName(), errors.New("changed"))
	}
	return l.shelf.put(object), nil
}

func (s *shelf) put(object *unstructured.Unstructured) *unstructured.Unstructured {
	s.version++
	s.object = object.DeepCopy()
	s.object.SetResourceVersion(strconv.Itoa(s.version))
	return s.object.DeepCopy()
}

// candidate is one process that runs for leader.
type candidate struct {
	*lease
	line *line
	stop context.CancelFunc
	done chan error
}

func (s *shelf) candidate(t *testing.T, name string) *candidate {
	ctx, stop := context.WithCancel(t.Context())
	c := &candidate{line: &line{shelf: s}, stop: stop, done: make(chan error, 1)}
	c.lease = &lease{client: c.line, name: "app-autoscaler", identity: name, duration: 10 * time.Second,
		log: slog.New(slog.DiscardHandler), tell: func(bool) {}}
	go func() { c.done <- c.run(ctx) }()
	return c
}

func (c *candidate) leads() bool {
	leading, _ := c.state(time.Now())
	return leading
}

// TestLeaseNeverHasTwo cuts the leader off: it loses its right before another has it, and stands by when it
// is back.
func TestLeaseNeverHasTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(shelf)
		a := s.candidate(t, "a")
		synctest.Wait()
		b := s.candidate(t, "b")
		synctest.Wait()
		if !a.leads() || b.leads() {
			t.Fatalf("leading: a %t, b %t; want the first that came", a.leads(), b.leads())
		}
		time.Sleep(30 * time.Second)
		if !a.leads() {
			t.Fatal("a did not renew")
		}

		a.line.setCut(true)
		var lost, taken time.Duration
		start := time.Now()
		for time.Since(start) < 20*time.Second {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if a.leads() && b.leads() {
				t.Fatalf("both lead after %s", time.Since(start))
			}
			if !a.leads() && lost == 0 {
				lost = time.Since(start)
			}
			if b.leads() && taken == 0 {
				taken = time.Since(start)
			}
		}
		if lost == 0 || taken == 0 || taken > 14*time.Second {
			t.Errorf("a lost after %s, b took over after %s; want both, the latter within the duration and two periods", lost, taken)
		}
		a.line.setCut(false)
		time.Sleep(5 * time.Second)
		if _, holder := a.state(time.Now()); a.leads() || holder != "b" {
			t.Errorf("a leads: %t, knows the holder as %q; want it to follow b", a.leads(), holder)
		}
		object, err := b.line.Get(t.Context(), b.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		transitions, _, _ := unstructured.NestedInt64(object.Object, "spec", "leaseTransitions")
		if transitions != 1 {
			t.Errorf("%d transitions, want 1", transitions)
		}
		end(t, a, b)
	})
}

// TestLeaseIsHandedBack ends the leader in order: another need not wait for the lease to run out.
func TestLeaseIsHandedBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(shelf)
		a := s.candidate(t, "a")
		synctest.Wait()
		b := s.candidate(t, "b")
		synctest.Wait()
		end(t, a)
		if a.leads() {
			t.Error("a leads after its end")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !b.leads() {
			t.Error("b does not lead one period after a's end")
		}
		end(t, b)
	})
}

// TestFenceEndsWithTheLease holds that a write under way is cut off before the lease can be another's.
func TestFenceEndsWithTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(shelf)
		a := s.candidate(t, "a")
		synctest.Wait()
		a.line.setCut(true)
		ctx, cancel, err := a.fence(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		start := time.Now()
		<-ctx.Done()
		if after := time.Since(start); after > 7500*time.Millisecond || !errors.Is(context.Cause(ctx), ErrNotLeader) {
			t.Errorf("context ended after %s: %v; want within three quarters of the lease: %v", after, context.Cause(ctx), ErrNotLeader)
		}
		if _, _, err := a.fence(t.Context()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("fence after the lease ran out: %v, want %v", err, ErrNotLeader)
		}
		a.line.setCut(false)
		end(t, a)
	})
}

func end(t *testing.T, candidates ...*candidate) {
	t.Helper()
	for _, c := range candidates {
		c.stop()
		if err := <-c.done; err != nil {
			t.Errorf("run of %s: %v", c.identity, err)
		}
	}
}
