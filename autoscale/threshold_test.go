package autoscale

import (
	"testing"
	"time"
)

// TestThresholdRules: the prototype's rules, one by one, on its own numbers.
func TestThresholdRules(t *testing.T) {
	t.Parallel()
	quiet := Snapshot{QueueCapacity: 200, Desired: 6}
	quiet.Offered, quiet.Completed, quiet.Uptime = 1000, 1000, 100*time.Second
	quiet.Service, quiet.Queueing = 50*time.Second, 50*time.Second
	change := func(f func(*Snapshot)) Snapshot { s := quiet; f(&s); return s }
	for name, c := range map[string]struct {
		s    Snapshot
		want int
		rule Rule
	}{
		"emergency doubles":  {change(func(s *Snapshot) { s.Queue = 100 }), 12, RuleEmergency},
		"queue adds one":     {change(func(s *Snapshot) { s.Queue = 50 }), 7, RuleQueue},
		"slow answers":       {change(func(s *Snapshot) { s.Queueing = 351 * time.Second }), 7, RuleLatency},
		"errors":             {change(func(s *Snapshot) { s.Refused = 50 }), 7, RuleErrors},
		"fuller than 40 %":   {change(func(s *Snapshot) { s.Queue, s.QueueCapacity = 45, 100 }), 7, RuleUtilization},
		"Little's law":       {change(func(s *Snapshot) { s.Queue, s.Service = 50, 700*time.Second }), 11, RuleQueue},
		"quiet takes one":    {quiet, 5, RuleIdle},
		"half quiet: steady": {change(func(s *Snapshot) { s.Queueing = 160 * time.Second }), 6, RuleSteady},
		"one waits: steady":  {change(func(s *Snapshot) { s.Queue = 1 }), 6, RuleSteady},
		"never below least":  {change(func(s *Snapshot) { s.Desired = 5 }), 5, RuleSteady},
	} {
		p := NewThreshold(ThresholdConfig{Limits: Limits{Min: 5}})
		if r := p.rule(c.s); r.Replicas != c.want || r.Rule != c.rule {
			t.Errorf("%s: %v, want %d because of %q", name, r, c.want, c.rule)
		}
	}
}

// TestThresholdCoolsDown: 10 s between changes upward, 60 s downward, looking every 5 s.
func TestThresholdCoolsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(NewThreshold(ThresholdConfig{Limits: Limits{Min: 5}}), 5, 300, 20)
	w.expect(t, 1, 10) // too many wait
	w.expectRule(t, RuleEmergency)
	w.expect(t, 5, 10)
	w.expectRule(t, RuleCooldown)
	w.expect(t, 5, 20)
	w.rate = 0
	w.s.Counters = Counters{Uptime: time.Minute, Offered: 100, Completed: 100, Service: 5 * time.Second}
	w.run(300)
	if n := w.s.Desired; n < 14 || n > 16 {
		t.Errorf("%d replicas after five quiet minutes, want about five fewer than 20", n)
	}
}

// TestStaticIsStatic checks that it never changes anything.
func TestStaticIsStatic(t *testing.T) {
	t.Parallel()
	w := newWorld(&Static{Replicas: 9}, 3, 1000, 20)
	w.expect(t, 100, 9)
	w.expectRule(t, RuleFixed)
}

// TestOracleStartsInTime checks that replicas serve when they are needed.
func TestOracleStartsInTime(t *testing.T) {
	t.Parallel()
	step := start.Add(100 * time.Second)
	p := &Oracle{SLO: 500 * time.Millisecond, Ahead: 5 * time.Second,
		Mu: func(time.Time) float64 { return 20 },
		Rate: func(now time.Time) float64 {
			if now.Before(step) {
				return 100
			}
			return 300
		}}
	w := newWorld(p, 6, 100, 20)
	w.now = start
	w.expect(t, 93, 6)
	w.expect(t, 1, 16) // six seconds before
	for w.now.Before(step) {
		w.run(1)
	}
	w.rate = 300
	w.run(60)
	if w.s.Queue > 0 {
		t.Errorf("%d images wait for one who knew", w.s.Queue)
	}
}
