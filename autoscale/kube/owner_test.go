package kube

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ourHPA is a HorizontalPodAutoscaler of the Deployment app.
func ourHPA() map[string]any {
	return map[string]any{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": map[string]any{"name": "h"},
		"spec": map[string]any{"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}}}
}

// runs runs the election until stop is called, which returns Run's error and the calls of lead.
func (a *api) runs() (stop func() error, told func() []bool, ended <-chan error) {
	ctx, cancel := context.WithCancel(a.t.Context())
	var mu sync.Mutex
	var calls []bool
	done := make(chan error, 1)
	go func() {
		done <- a.d.Run(ctx, func(leads bool) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, leads)
		})
	}()
	told = func() []bool { mu.Lock(); defer mu.Unlock(); return append([]bool(nil), calls...) }
	return func() error { cancel(); return <-done }, told, done
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// TestRunLeads checks that it leads until its end and releases the lease.
func TestRunLeads(t *testing.T) {
	t.Parallel()
	a := newAPIFor(t, 1, Config{LeaseDuration: 2 * time.Second})
	stop, told, _ := a.runs()
	until(t, "leads", func() bool { return len(told()) == 1 })
	if leads, holder := a.d.Leading(); !leads || holder != a.d.Identity() {
		t.Errorf("leads %v, held by %q", leads, holder)
	}
	if err := stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if calls := told(); len(calls) != 2 || !calls[0] || calls[1] {
		t.Errorf("told %v, want that it leads, then that it does not", calls)
	}
	if holder := a.lease["spec"].(map[string]any)["holderIdentity"]; holder != nil {
		t.Errorf("the lease is left with %v", holder)
	}
}

// TestRunEndsWhenOwned checks that it ends before it takes the lease, or as soon as there is an owner.
func TestRunEndsWhenOwned(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 1)
	a.hpas = append(a.hpas, map[string]any{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": map[string]any{"name": "other"}}, ourHPA())
	if err := a.d.Run(t.Context(), func(bool) { t.Error("led") }); !errors.Is(err, ErrOwned) {
		t.Errorf("Run = %v, want %v", err, ErrOwned)
	}
	if got := a.wrote(); got != nil {
		t.Errorf("wrote %q", got)
	}

	b := newAPIFor(t, 1, Config{LeaseDuration: time.Second})
	_, told, ended := b.runs()
	until(t, "leads", func() bool { return len(told()) == 1 })
	failures := 0 // guarded by b.mu
	b.mu.Lock()
	b.answer = func(request string) (int, string) {
		if request != "GET horizontalpodautoscalers" {
			return 0, ""
		}
		failures++
		return http.StatusInternalServerError, "InternalError"
	}
	b.mu.Unlock()
	until(t, "a second request fails", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return failures >= 2 })
	select {
	case err := <-ended:
		t.Fatalf("Run = %v when the server does not answer", err)
	default:
	}
	b.mu.Lock()
	b.hpas, b.answer = append(b.hpas, ourHPA()), func(string) (int, string) { return 0, "" }
	b.mu.Unlock()
	if err := <-ended; !errors.Is(err, ErrOwned) {
		t.Errorf("Run = %v, want %v", err, ErrOwned)
	}
}

// TestRunWaitsForTheServer checks that it logs once that it waits, and that a missing permission is an error.
func TestRunWaitsForTheServer(t *testing.T) {
	t.Parallel()
	a := newAPIFor(t, 1, Config{LeaseDuration: time.Second})
	var log strings.Builder
	a.logTo(&log)
	asked := 0
	a.answer = func(request string) (int, string) {
		if request == "GET horizontalpodautoscalers" && asked < 3 {
			asked++
			return http.StatusInternalServerError, "InternalError"
		}
		return 0, ""
	}
	stop, told, _ := a.runs()
	until(t, "leads", func() bool { return len(told()) == 1 })
	if err := stop(); err != nil || asked != 3 {
		t.Errorf("Run = %v, having asked %d times in vain", err, asked)
	}
	if got := strings.Count(log.String(), "Kubernetes API does not respond"); got != 1 {
		t.Errorf("said %d times that it waits:\n%s", got, log.String())
	}

	for code, reason := range map[int]string{http.StatusForbidden: "Forbidden", http.StatusUnauthorized: "Unauthorized"} {
		b := newAPI(t, 1)
		b.fails("GET horizontalpodautoscalers", code, reason)
		err := b.d.Run(t.Context(), func(bool) {})
		if !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
			t.Errorf("%s: Run = %v", reason, err)
		}
	}

	// Ending it while it waits is no error.
	c := newAPI(t, 1)
	c.fails("GET horizontalpodautoscalers", http.StatusInternalServerError, "InternalError")
	stop, _, _ = c.runs()
	if err := stop(); err != nil {
		t.Errorf("Run = %v when ended while waiting", err)
	}
	if got := c.wrote(); got != nil {
		t.Errorf("wrote %q", got)
	}
}

// TestChanges checks that repeated errors are no change, and that success is a change only after an error.
func TestChanges(t *testing.T) {
	t.Parallel()
	var c changes
	one, other := errors.New("one"), errors.New("other")
	for i, step := range []struct {
		err  error
		news bool
	}{{nil, false}, {one, true}, {errors.New("one"), false}, {other, true}, {nil, true}, {nil, false}, {one, true}} {
		if got := c.is(step.err); got != step.news {
			t.Errorf("step %d, %v: news %v, want %v", i, step.err, got, step.news)
		}
	}
}
