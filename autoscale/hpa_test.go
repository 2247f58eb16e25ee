package autoscale

import (
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0).UTC()

// cpuPods makes replicas that have been ready for a long time, with these CPU loads; a negative one is unknown.
func cpuPods(use ...float64) []Replica {
	pods := make([]Replica, len(use))
	for i := range use {
		pods[i] = Replica{Ready: true, Created: start.Add(-time.Hour), ReadyAt: start.Add(-time.Hour)}
		if use[i] >= 0 {
			pods[i].CPU, pods[i].CPUWindow = &use[i], Window{End: start, Length: 15 * time.Second}
		}
	}
	return pods
}

// unready makes n replicas that started 10 s ago.
func unready(n int) []Replica {
	pods := make([]Replica, n)
	for i := range pods {
		pods[i].Created = start.Add(-10 * time.Second)
	}
	return pods
}

// TestHPACPURecommends has the worked examples of the documentation ("Algorithm details"): a ratio of 2
// doubles, one of 0.5 halves, one within 0.1 of 1 does nothing; missing metrics damp either way, unready
// pods damp growth, and neither reverses the direction.
func TestHPACPURecommends(t *testing.T) {
	t.Parallel()
	with := func(a, b []Replica) []Replica { return append(a, b...) }
	for name, c := range map[string]struct {
		pods []Replica
		want int
		ok   bool
	}{
		"200m for 100m doubles":                  {cpuPods(1, 1), 4, true},
		"50m for 100m halves":                    {cpuPods(0.25, 0.25, 0.25, 0.25), 2, true},
		"rounded up":                             {cpuPods(0.6, 0.6, 0.6), 4, true},
		"0.545 of 0.5 is tolerated":              {cpuPods(0.545, 0.545, 0.545, 0.545), 4, true},
		"0.46 of 0.5 is tolerated":               {cpuPods(0.46, 0.46, 0.46, 0.46), 4, true},
		"missing counts as idle when growing":    {cpuPods(1, 1, -1), 4, true},
		"missing counts as busy when shrinking":  {cpuPods(0.1, 0.1, 0.1, -1), 3, true},
		"missing must not turn it round":         {cpuPods(0.4, -1, -1), 3, true},
		"unready counts as idle when growing":    {with(cpuPods(1, 1), unready(1)), 4, true},
		"enough unready: nothing":                {with(cpuPods(1, 1), unready(2)), 4, true},
		"unready does not matter when shrinking": {with(cpuPods(0.1, 0.1, 0.1, 0.1, 0.1), unready(2)), 1, true},
		"no metrics, no decision":                {cpuPods(-1, -1), 0, false},
		"all unready, no decision":               {unready(3), 0, false},
		"one that leaves is not counted":         {with(cpuPods(1, 1), []Replica{{Stopping: true}}), 4, true},
	} {
		p := NewHPACPU(HPACPUConfig{Target: 0.5})
		var d Decision
		s := Snapshot{At: start, Desired: len(c.pods), Replicas: c.pods}
		if got, ok := p.recommend(&d, start, s); got != c.want || ok != c.ok {
			t.Errorf("%s: recommend = %d, %v, want %d, %v; reasons %v", name, got, ok, c.want, c.ok, d.Reasons)
		}
	}
}

// TestHPACPUIgnoresCPUOfStart: within five minutes of its start a pod's CPU counts from one full window
// after it became ready; later it counts even while it is unready, unless it was never ready.
func TestHPACPUIgnoresCPUOfStart(t *testing.T) {
	t.Parallel()
	p, ago := NewHPACPU(HPACPUConfig{}), func(d time.Duration) time.Time { return start.Add(-d) }
	for name, c := range map[string]struct {
		r    Replica
		want bool
	}{
		"ready for less than a window":      {Replica{Ready: true, Created: ago(time.Minute), ReadyAt: ago(10 * time.Second)}, true},
		"ready for more than a window":      {Replica{Ready: true, Created: ago(time.Minute), ReadyAt: ago(20 * time.Second)}, false},
		"young and unready":                 {Replica{Created: ago(time.Minute)}, true},
		"old, was ready, is not":            {Replica{Created: ago(time.Hour), ReadyAt: ago(59 * time.Minute)}, false},
		"old, ready only in its first 30 s": {Replica{Created: ago(time.Hour), ReadyAt: ago(time.Hour - 20*time.Second)}, true},
	} {
		c.r.CPUWindow = Window{End: start, Length: 15 * time.Second}
		if got := p.unready(start, &c.r); got != c.want {
			t.Errorf("%s: unready = %v, want %v", name, got, c.want)
		}
	}
}

// TestHPAPolicies is the documentation's example ("Scaling policies"): 80 replicas go down by 10 % or 4 pods
// a minute, whichever is more: by 8, 8 (7.2 rounded up), ... and by 4 below 40.
func TestHPAPolicies(t *testing.T) {
	t.Parallel()
	cfg := HPAConfig{Behavior: &HPABehavior{Down: ScalingRules{Stabilization: -1, Policies: []ScalingPolicy{
		{Pods: 4, Period: time.Minute}, {Percent: 10, Period: time.Minute}}}}}.withDefaults()
	st, n := hpaState{}, 80
	for i, want := range []int{72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10, 10} {
		now := start.Add(time.Duration(i) * time.Minute)
		next := cfg.pace(&st, now, n, 10)
		cfg.remember(&st, now, next-n)
		if n = next; n != want {
			t.Fatalf("minute %d: %d replicas, want %d", i+1, n, want)
		}
		if again := cfg.pace(&st, now.Add(30*time.Second), n, 10); again != n && n > 10 {
			t.Fatalf("half a minute later %d replicas, want still %d", again, n)
		}
	}
}

// TestHPADefaultPace: up by 4 or by 100 % in 15 s.
func TestHPADefaultPace(t *testing.T) {
	t.Parallel()
	cfg, st, n := HPAConfig{Behavior: &HPABehavior{}}.withDefaults(), hpaState{}, 1
	for i, want := range []int{5, 10, 20, 40, 50} {
		now := start.Add(time.Duration(i) * 15 * time.Second)
		next := cfg.pace(&st, now, n, 50)
		cfg.remember(&st, now, next-n)
		if n = next; n != want {
			t.Fatalf("sync %d: %d replicas, want %d", i+1, n, want)
		}
	}
}

// TestHPAStabilizes: on the way down the highest recommendation of five minutes applies, and the number it
// began with is one of them.
func TestHPAStabilizes(t *testing.T) {
	t.Parallel()
	w := newWorld(NewHPACPU(HPACPUConfig{}), 20, 140, 20)
	w.expect(t, 290, 20)
	w.expectRule(t, RuleSteady)
	w.expect(t, 30, 10)
	w.rate = 210 // in one window of the CPU's mean: 10.5 busy, more than 10 have
	w.run(16)
	if w.s.Desired != 15 { // capped by the limit of CPU: 1/0.7 at a time
		t.Errorf("%d replicas after one sync, want 15", w.s.Desired)
	}
}

// TestHPAExternal: KEDA's arithmetic: value over target, rounded up, 15 s apart.
func TestHPAExternal(t *testing.T) {
	t.Parallel()
	p := NewHPAExternal(HPAExternalConfig{HPAConfig: HPAConfig{Limits: Limits{Max: 100}}})
	at := func(after time.Duration, queue, desired int) int {
		now := start.Add(after)
		return p.Decide(now, Snapshot{At: now, Queue: queue, Desired: desired, Replicas: make([]Replica, desired)}).Replicas
	}
	for _, c := range []struct {
		after          time.Duration
		queue, desired int
		want           int
	}{
		{0, 95, 4, 8},                        // 10, but 4 more or twice as many at most
		{5 * time.Second, 500, 8, 8},         // too early
		{15 * time.Second, 95, 8, 10},        // 9.5
		{30 * time.Second, 108, 10, 10},      // 1.08 is tolerated
		{45 * time.Second, 0, 10, 10},        // shrinks later
		{320 * time.Second, 0, 10, 10},       // 10 was recommended 290 s ago
		{360 * time.Second, 0, 10, 1},        // no longer
		{375 * time.Second, 10_000, 60, 100}, // bounded
		{390 * time.Second, 1_000, 100, 100}, // exactly
	} {
		if got := at(c.after, c.queue, c.desired); got != c.want {
			t.Errorf("after %v: %d in the queue of %d replicas: %d, want %d", c.after, c.queue, c.desired, got, c.want)
		}
	}
	now := start.Add(400 * time.Second)
	if d := p.Decide(now.Add(time.Hour), Snapshot{At: now, Queue: 1000, Desired: 3}); d.Replicas != 3 || d.Because().Rule != RuleStale {
		t.Errorf("on figures an hour old: %d because of %v, want 3, stale", d.Replicas, d.Because())
	}
}
