package autoscale

import (
	"testing"
	"time"
)

// kpaStory shows a KPA a concurrency each second, with as many replicas ready as it asked for.
type kpaStory struct {
	p     *KPA
	now   time.Time
	ready int
}

func (k *kpaStory) run(seconds, concurrency int) Decision {
	var d Decision
	for range seconds {
		k.now = k.now.Add(time.Second)
		s := Snapshot{At: k.now, InFlight: concurrency, Desired: k.ready}
		for range k.ready {
			s.Replicas = append(s.Replicas, Replica{Ready: true, ReadyAt: start, Workers: 10})
		}
		d = k.p.Decide(k.now, s)
		k.ready = d.Replicas
	}
	return d
}

func (k *kpaStory) expect(t *testing.T, seconds, concurrency, want int) {
	t.Helper()
	if d := k.run(seconds, concurrency); d.Replicas != want {
		t.Errorf("%d s at concurrency %d: %d replicas, want %d; reasons %v", seconds, concurrency, d.Replicas, want, d.Reasons)
	}
}

func newKPAStory(ready int) *kpaStory {
	return &kpaStory{NewKPA(KPAConfig{Utilization: 1, Limits: Limits{Max: 200}}), start, ready}
}

// TestKPAStable: 50 concurrent images at 10 per replica are 5 replicas, as in Knative's own tests; without a
// panic growth follows the minute's mean.
func TestKPAStable(t *testing.T) {
	t.Parallel()
	k := newKPAStory(1)
	k.expect(t, 60, 10, 1)
	k.expect(t, 60, 15, 2)
	k.expect(t, 60, 25, 3)
	k.expect(t, 60, 50, 5)
	k.expect(t, 60, 50, 5)
}

// TestKPAPanics: when the six-second window asks for twice the ready replicas, it scales up immediately, does not shrink
// until a minute afterwards, and then follows the minute's mean.
func TestKPAPanics(t *testing.T) {
	t.Parallel()
	k := newKPAStory(1)
	k.run(60, 10)
	k.expect(t, 7, 100, 10)
	if k.p.state.PanicSince.IsZero() {
		t.Error("no panic at ten times the concurrency")
	}
	k.expect(t, 30, 20, 10)
	k.expect(t, 20, 20, 10)
	k.expect(t, 42, 20, 2) // 5 after the panic, at most by half, 2 when more than a minute is over
	if !k.p.state.PanicSince.IsZero() {
		t.Error("still in panic, a minute after")
	}
}

// TestKPAShrinksByHalf checks that it shrinks by at most half at a time.
func TestKPAShrinksByHalf(t *testing.T) {
	t.Parallel()
	k := newKPAStory(16)
	k.run(60, 160)
	k.run(60, 160) // it starts in a panic
	k.run(62, 0)
	if k.ready != 1 {
		t.Errorf("after a minute of nothing %d replicas, want 1", k.ready)
	}
}

// TestKPAStartsInPanic checks that without history it keeps the present number for a window.
func TestKPAStartsInPanic(t *testing.T) {
	t.Parallel()
	k := newKPAStory(8)
	k.expect(t, 62, 10, 8)
	k.expect(t, 12, 10, 1)
}

// TestKPAWithoutDataDoesNothing checks that old data are ignored too.
func TestKPAWithoutDataDoesNothing(t *testing.T) {
	t.Parallel()
	k := newKPAStory(8)
	k.run(100, 80)
	d := k.p.Decide(k.now.Add(61*time.Second), Snapshot{At: k.now, Desired: 8})
	if d.Replicas != 8 || d.Because().Rule != RuleStale {
		t.Errorf("a minute without figures: %d because of %v, want 8, stale", d.Replicas, d.Because())
	}
}
