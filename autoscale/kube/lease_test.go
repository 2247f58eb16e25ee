package kube

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
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
	<-ctx.Done() // like packets without a reply
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
	c := s.prepare(name)
	c.start(t)
	return c
}

// prepare makes a candidate that does not run yet.
func (s *shelf) prepare(name string) *candidate {
	c := &candidate{line: &line{shelf: s}, done: make(chan error, 1)}
	c.lease = &lease{client: c.line, name: "app-autoscaler", identity: name, duration: 10 * time.Second,
		log: slog.New(slog.DiscardHandler), tell: func(bool) {}}
	return c
}

func (c *candidate) start(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	c.stop = stop
	go func() { c.done <- c.run(ctx) }()
}

func (c *candidate) leads() bool {
	leading, _ := c.state(time.Now())
	return leading
}

// TestLeaseNeverHasTwo cuts the leader off: it stops leading before another starts, and stands by when it
// is connected again.
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
		if lost == 0 || lost > 7500*time.Millisecond || taken < lost+2500*time.Millisecond || taken > 14*time.Second {
			t.Errorf("a lost after %s, b took over after %s; want at most three quarters of the duration, then at least the last quarter, in all at most the duration and two periods", lost, taken)
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

// TestLeaseIsHandedBack ends the leader gracefully: another need not wait for the lease to expire.
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

// TestFenceEndsWithTheLease checks that a write in progress is canceled before another can hold the lease.
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
		if after := time.Since(start); after != 7500*time.Millisecond || !errors.Is(context.Cause(ctx), ErrNotLeader) {
			t.Errorf("context ended after %s: %v; want after three quarters of the lease: %v", after, context.Cause(ctx), ErrNotLeader)
		}
		if _, _, err := a.fence(t.Context()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("fence after the lease ran out: %v, want %v", err, ErrNotLeader)
		}
		a.line.setCut(false)
		end(t, a)
	})
}

// TestLeaseIsFree checks that a lease is free without a holder, or if its record has not changed for its duration, by our clock.
func TestLeaseIsFree(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	held := leaseSpec{HolderIdentity: "b", LeaseDurationSeconds: 10, RenewTime: "1"}
	renewed, longer := held, held
	renewed.RenewTime, longer.LeaseDurationSeconds = "2", 11
	type look struct {
		after  time.Duration
		record leaseSpec
		free   bool
	}
	for name, looks := range map[string][]look{
		"nobody's":                  {{0, leaseSpec{LeaseDurationSeconds: 10}, true}},
		"seen first":                {{0, held, false}},
		"seen for just less":        {{0, held, false}, {10*time.Second - 1, held, false}},
		"seen for the duration":     {{0, held, false}, {5 * time.Second, held, false}, {10 * time.Second, held, true}},
		"renewed meanwhile":         {{0, held, false}, {9 * time.Second, renewed, false}, {18 * time.Second, renewed, false}, {19 * time.Second, renewed, true}},
		"its own duration counts":   {{0, longer, false}, {10 * time.Second, longer, false}, {11 * time.Second, longer, true}},
		"an empty record, not ours": {{0, leaseSpec{}, true}},
	} {
		l := new(lease)
		for _, look := range looks {
			if got := l.free(now.Add(look.after), look.record); got != look.free {
				t.Errorf("%s: after %s free is %v, want %v", name, look.after, got, look.free)
			}
		}
	}
}

// TestBothClocksMustAgree checks that a leader which was suspended does not write: its monotonic clock stood still, the wall
// clock did not. Nor does one whose wall clock was set back.
func TestBothClocksMustAgree(t *testing.T) {
	t.Parallel()
	now := time.Now()
	later, earlier := now.Add(time.Minute), now.Add(-time.Minute)
	for name, test := range map[string]struct {
		term  term
		leads bool
	}{
		"both lie ahead":    {term{later, later.Round(0)}, true},
		"suspended":         {term{later, earlier.Round(0)}, false},
		"wall clock back":   {term{earlier, later.Round(0)}, false},
		"both have passed":  {term{earlier, earlier.Round(0)}, false},
		"just now":          {endOf(now), false},
		"a moment from now": {endOf(now.Add(1)), true},
		"never led":         {term{}, false},
	} {
		l := &lease{until: test.term, holder: "x"}
		if leads, holder := l.state(now); leads != test.leads || holder != "x" {
			t.Errorf("%s: leads %v, held by %q; want %v, x", name, leads, holder, test.leads)
		}
	}
	// Both are set from one reading of the clock, which has both.
	if got := endOf(now); got.monotonic != now || got.wall != now.Round(0) || got.wall == got.monotonic {
		t.Errorf("endOf = %+v", got)
	}
}

// TestLeaseIsRenewed checks that it is renewed five times in its duration, as the record shows.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begin := new(shelf), time.Now()
		a := s.candidate(t, "a")
		synctest.Wait()
		spec := func() leaseSpec {
			object, err := a.line.Get(t.Context(), a.name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var spec leaseSpec
			fields, _, _ := unstructured.NestedMap(object.Object, "spec")
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &spec); err != nil {
				t.Fatal(err)
			}
			return spec
		}
		want := leaseSpec{HolderIdentity: "a", LeaseDurationSeconds: 10, AcquireTime: microTime(begin), RenewTime: microTime(begin)}
		if got := spec(); got != want {
			t.Errorf("record %+v, want %+v", got, want)
		}
		time.Sleep(11 * time.Second)
		want.RenewTime = microTime(begin.Add(10 * time.Second))
		if got := spec(); got != want || s.version != 6 {
			t.Errorf("after 11 s record %+v, written %d times, want %+v, 6 times", got, s.version, want)
		}
		end(t, a)
		if got, want := spec(), (leaseSpec{LeaseDurationSeconds: 1}); got != want {
			t.Errorf("handed back as %+v, want %+v", got, want)
		}

		// A new holder is a transition, which waiters see immediately; so is the end.
		var told []bool
		b := s.prepare("b")
		b.tell = func(leading bool) { told = append(told, leading) }
		taken := time.Now()
		b.start(t)
		synctest.Wait()
		if got := spec(); got.LeaseTransitions != 1 || got.HolderIdentity != "b" || got.AcquireTime != microTime(taken) {
			t.Errorf("taken over as %+v, want a transition", got)
		}
		end(t, b)
		if got := spec(); got.LeaseTransitions != 1 || len(told) != 2 || !told[0] || told[1] {
			t.Errorf("handed back as %+v, having told %v; want the transition kept, and that it led and then did not", got, told)
		}
	})
}

// TestLeaseOfAnother checks that another's lease is neither renewed nor released.
func TestLeaseOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(shelf)
		a, b := s.candidate(t, "a"), s.prepare("b")
		synctest.Wait()
		b.start(t)
		synctest.Wait()
		before := s.version
		end(t, b)
		if s.version != before {
			t.Errorf("one who did not lead wrote the lease at its end")
		}
		if _, _, err := b.fence(t.Context()); !errors.Is(err, ErrNotLeader) || !strings.Contains(err.Error(), "an unknown process") {
			t.Errorf("fence = %v, want that nobody is known to hold it", err)
		}
		// a lost the lease while it led: it does not touch the other's record.
		s.mu.Lock()
		if err := unstructured.SetNestedField(s.object.Object, "c", "spec", "holderIdentity"); err != nil {
			t.Error(err)
		}
		before = s.version
		s.mu.Unlock()
		end(t, a)
		if s.version != before {
			t.Error("the lease of another was handed back")
		}
	})
}

// TestLeaseConflict: of two concurrent writes one is refused, which is no error; the next attempt reads the holder.
func TestLeaseConflict(t *testing.T) {
	t.Parallel()
	s := new(shelf)
	a, b := s.prepare("a"), s.prepare("b")
	now := time.Now()
	if err := a.write(t.Context(), now, nil, leaseSpec{}); err != nil || !a.leads() {
		t.Fatalf("the first write: %v, leads %v", err, a.leads())
	}
	if err := b.write(t.Context(), now, nil, leaseSpec{}); err != nil || b.leads() {
		t.Errorf("writing a lease that is there: %v, leads %v; want neither", err, b.leads())
	}
	object, err := b.line.Get(t.Context(), b.name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.attempt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.write(t.Context(), now, object, leaseSpec{}); err != nil || b.leads() {
		t.Errorf("writing a lease that has changed: %v, leads %v; want neither", err, b.leads())
	}
	if err := b.attempt(t.Context()); err != nil || b.holder != "a" {
		t.Errorf("attempt: %v, held by %q, want a", err, b.holder)
	}
	b.line.setCut(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.attempt(ctx); err == nil || !strings.Contains(err.Error(), "read lease") {
		t.Errorf("attempt without a connection: %v", err)
	}
	if err := b.write(ctx, now, object, leaseSpec{}); err == nil || !strings.Contains(err.Error(), "write lease") {
		t.Errorf("write without a connection: %v", err)
	}
}

// TestABrokenLease checks that an invalid lease is named in the error and not written.
func TestABrokenLease(t *testing.T) {
	t.Parallel()
	s := new(shelf)
	a := s.prepare("a")
	s.put(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"leaseTransitions": "many"}}})
	if err := a.attempt(t.Context()); err == nil || !strings.Contains(err.Error(), "read lease app-autoscaler") || a.leads() || s.version != 1 {
		t.Errorf("attempt: %v, leads %v", err, a.leads())
	}
}

// TestReleaseErrors checks that a failed release is reported and that it stops leading anyway.
func TestReleaseErrors(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	for name, failAt := range map[string]int{"read": 1, "written": 2} {
		s := new(shelf)
		a := s.prepare("a")
		if err := a.attempt(t.Context()); err != nil || !a.leads() {
			t.Fatalf("attempt: %v", err)
		}
		a.client = &failing{line: a.line, at: failAt}
		if err := a.release(ended); err == nil || !strings.Contains(err.Error(), "release lease app-autoscaler") || a.leads() {
			t.Errorf("a lease that cannot be %s: release = %v, leads %v", name, err, a.leads())
		}
	}
	// Another process has taken it.
	s := new(shelf)
	a := s.prepare("a")
	if err := a.attempt(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.client = &failing{line: a.line, at: 2, with: apierrors.NewConflict(leases.GroupResource(), a.name, errors.New("changed"))}
	if err := a.release(t.Context()); err != nil {
		t.Errorf("release of a lease that has changed = %v", err)
	}
}

// failing is a connection on which one request fails.
type failing struct {
	*line
	at   int
	with error
}

func (f *failing) fails() error {
	if f.at--; f.at == 0 {
		if f.with != nil {
			return f.with
		}
		return errors.New("away")
	}
	return nil
}

func (f *failing) Get(ctx context.Context, name string, o metav1.GetOptions, sub ...string) (*unstructured.Unstructured, error) {
	if err := f.fails(); err != nil {
		return nil, err
	}
	return f.line.Get(ctx, name, o, sub...)
}

func (f *failing) Update(ctx context.Context, object *unstructured.Unstructured, o metav1.UpdateOptions, sub ...string) (*unstructured.Unstructured, error) {
	if err := f.fails(); err != nil {
		return nil, err
	}
	return f.line.Update(ctx, object, o, sub...)
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
