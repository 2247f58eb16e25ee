package autoscale

import (
	"strings"
	"testing"
	"time"
)

// TestFluid has the example of fluid.pass, and the limits of what it counts as late.
func TestFluid(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                     string
		queue, images, workers   float64
		bound                    int
		served, left, late, upTo float64
	}{
		{"the example, too few workers", 100, 300, 10, 0, 200, 200, 300, 0},
		{"the example, enough", 100, 300, 30, 0, 400, 0, 0, 1},
		{"no worker", 0, 10, 0, 0, 0, 10, 10, 0},
		{"nothing", 0, 0, 10, 0, 0, 0, 0, 0},
		{"half of the second is late", 0, 368, 10, 0, 200, 168, 184, 2},
		{"the queue is full", 100, 300, 10, 150, 200, 150, 300, 0},
	} {
		f := fluid{Queue: test.queue}
		near(t, test.name+": served", f.pass(test.images, 1, 20, test.workers, 0.42, test.bound), test.served)
		near(t, test.name+": left", f.Queue, test.left)
		near(t, test.name+": images", f.Images, test.images)
		if f.Late < test.late-1e-9 || f.Late > test.late+test.upTo+1e-9 {
			t.Errorf("%s: %v late, want %v to %v", test.name, f.Late, test.late, test.late+test.upTo)
		}
	}
}

// TestShadow: beside replicas that never change, a shadow scales its own, and accounts for both.
func TestShadow(t *testing.T) {
	t.Parallel()
	shadow := NewShadow(NewDeadline(DeadlineConfig{Limits: Limits{Max: 50}}), 0)
	w := newWorld(&beside{Policy: &Static{Replicas: 20}, shadow: shadow}, 20, 100, 20)
	w.run(120)
	if n := shadow.state.Desired; n != 6 {
		t.Errorf("at 100 images/s the shadow has %d replicas, want 6", n)
	}
	if w.s.Desired != 20 {
		t.Errorf("there are %d replicas, want 20 as before", w.s.Desired)
	}
	a := shadow.Account()
	if a.Late > 0.01 || a.Acting > 0.01 || a.Cost > 0.8 || a.Cost < 0.3 || a.Policy != "deadline" {
		t.Errorf("account %+v, want few late, and less cost than that of 20", a)
	}
	// Twice the load that 20 replicas can handle: what acts is late, the shadow scales up.
	w.rate = 600
	w.run(60)
	a = shadow.Account()
	if n := shadow.state.Desired; n < 31 || a.Acting < 2*a.Late {
		t.Errorf("at 600 images/s the shadow has %d replicas; account %+v", n, a)
	}
	if text := a.String(); !strings.Contains(text, "deadline") || !strings.Contains(text, "replica-seconds") {
		t.Errorf("the account reads %q", text)
	}
	for name, want := range map[string]float64{"shadow_late_ratio": a.Late, "acting_late_ratio": a.Acting, "shadow_cost_ratio": a.Cost} {
		near(t, name, w.policy.(*beside).last.Figure(name), want)
	}
	// It continues after a restart, and begins again after a gap.
	state, err := shadow.State()
	if err != nil {
		t.Fatal(err)
	}
	again := NewShadow(NewDeadline(DeadlineConfig{Limits: Limits{Max: 50}}), 0)
	if err := again.Restore(state); err != nil {
		t.Fatal(err)
	}
	if got := again.Account(); got != a {
		t.Errorf("after a restart the account is %+v, want %+v", got, a)
	}
	if err := again.Restore([]byte("{")); err == nil {
		t.Error("Restore of a broken state: no error")
	}
	w.now = w.now.Add(time.Hour)
	w.run(1)
	if a := shadow.Account(); !a.Since.Equal(w.now) || a.Late > 0.01 {
		t.Errorf("after an hour without figures the account is %+v, want a new one", a)
	}
}

// beside lets a policy act and shows a shadow the same.
type beside struct {
	Policy
	shadow *Shadow
	last   Decision
}

func (b *beside) Decide(now time.Time, s Snapshot) Decision {
	b.last = b.shadow.Decide(now, s)
	return b.Policy.Decide(now, s)
}
