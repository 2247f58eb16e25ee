package autoscale

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
)

// TestDeadlineDefaults are those that DeadlineConfig documents; what is set is kept.
func TestDeadlineDefaults(t *testing.T) {
	t.Parallel()
	want := DeadlineConfig{Limits: Limits{Min: 1, Max: 50}, SLO: 500 * time.Millisecond, Late: 0.01, MarginQuantile: 0.95,
		DrainTime: 250 * time.Millisecond, Hedge: 0.3, HoldDelays: 10}
	if got := (DeadlineConfig{}).withDefaults(); got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
	set := DeadlineConfig{Limits: Limits{Min: 2, Max: 3}, SLO: 1, Late: 0.1, MarginQuantile: 0.2, DrainTime: 3, Hedge: 0.4, HoldDelays: 5}
	if got := set.withDefaults(); got != set {
		t.Errorf("defaults change %+v to %+v", set, got)
	}
	if got := (DeadlineConfig{Hedge: -1}).withDefaults().Hedge; got != 0 {
		t.Errorf("hedge -1 means %v, want none", got)
	}
}

// withReplicas makes a snapshot at start in which so many serve and start, those since a moment ago.
func withReplicas(desired, ready, starting int) Snapshot {
	s := Snapshot{At: start, Desired: desired}
	for range ready {
		s.Replicas = append(s.Replicas, Replica{Ready: true, Created: start.Add(-time.Hour), ReadyAt: start.Add(-time.Hour)})
	}
	for range starting {
		s.Replicas = append(s.Replicas, Replica{Created: start})
	}
	return s
}

// TestDeadlineBacklog checks the images that wait, plus those that arrive until a replica started now serves, less those answered until
// then. Replicas that are starting serve after 60 % of the delay, or half a second from now if they are late.
func TestDeadlineBacklog(t *testing.T) {
	t.Parallel()
	f := demand{horizon: 6, level: 100, mu: 20} // a start takes 5 s
	age := func(seconds float64) Replica {
		return Replica{Created: start.Add(-time.Duration(seconds * float64(time.Second)))}
	}
	ready := Replica{Ready: true, Created: start, ReadyAt: start}
	for name, test := range map[string]struct {
		desired int
		f       demand
		list    []Replica
		seconds float64 // of work until the horizon
	}{
		"nobody there":             {0, f, nil, 0},
		"ready ones all the time":  {2, f, []Replica{ready, ready}, 12},
		"one that leaves does not": {1, f, []Replica{ready, {Ready: true, ReadyAt: start, Stopping: true}}, 6},
		"more than asked for":      {1, f, []Replica{ready, ready}, 12},
		"just started: after 3 s":  {1, f, []Replica{age(0)}, 3},
		"for a second":             {1, f, []Replica{age(1)}, 4},
		"for 2.5 s":                {1, f, []Replica{age(2.5)}, 5.5},
		"late":                     {1, f, []Replica{age(60)}, 5.5},
		"asked for, not there yet": {3, f, []Replica{ready}, 6 + 2*3},
		"one of two starts":        {2, f, []Replica{age(0)}, 3 + 3},
		"served, does not now":     {2, f, []Replica{ready, {Created: start, ReadyAt: start}}, 6 + 3},
		"a quick start":            {1, demand{horizon: 1.5, level: 100, mu: 20}, []Replica{age(0)}, 1},
		"a quick one asked for":    {1, demand{horizon: 1.5, level: 100, mu: 20}, nil, 1},
	} {
		s := Snapshot{At: start, Desired: test.desired, Queue: 7, Replicas: test.list}
		near(t, name+": backlog", NewDeadline(DeadlineConfig{}).backlog(test.f, start, s), 7+100*test.f.horizon-20*test.seconds)
	}
}

// TestDeadlinePlans checks the decision for a demand, rule by rule. The demand is 100 images/s, of which a replica answers 20,
// within 6 s; 6 replicas answer them in time, with up to 24 images waiting.
func TestDeadlinePlans(t *testing.T) {
	t.Parallel()
	base := demand{horizon: 6, level: 100, upper: 100, mu: 20, need: 6, fits: 24}
	need := func(n int) demand { f := base; f.need = n; return f }
	level := func(rate float64) demand { f := base; f.level = rate; return f }
	queue := func(s Snapshot, n int) Snapshot { s.Queue = n; return s }
	aged := func(s Snapshot, by time.Duration) Snapshot { s.At = s.At.Add(-by); return s }
	const hold = time.Minute
	before := func(after time.Duration, n int) func(*deadlineState) { // n were needed so long ago
		return func(st *deadlineState) { st.Needs = []point{{start.Add(-after), float64(n)}} }
	}
	shrunk := func(ago time.Duration) func(*deadlineState) {
		return func(st *deadlineState) { st.Shrunk = start.Add(-ago) }
	}
	noHedge := DeadlineConfig{Hedge: -1}
	straggle := base
	straggle.late = 0.25
	late := func(s Snapshot, seconds int) Snapshot { // the last one was started so long ago
		s.Replicas[len(s.Replicas)-1].Created = start.Add(-time.Duration(seconds) * time.Second)
		return s
	}
	tests := []struct {
		name    string
		cfg     DeadlineConfig
		s       Snapshot
		f       demand
		prepare func(*deadlineState)
		rules   string
		want    int
	}{
		// Up.
		{"one is missing", DeadlineConfig{}, withReplicas(5, 5, 0), base, nil, "rate", 6},
		{"two are missing", DeadlineConfig{}, withReplicas(4, 4, 0), base, nil, "rate", 6},
		{"three are missing: 30 % more, rounded up", DeadlineConfig{}, withReplicas(3, 3, 0), base, nil, "rate hedge", 3 + 4},
		{"ten are missing", DeadlineConfig{}, withReplicas(10, 10, 0), need(20), nil, "rate hedge", 10 + 13},
		{"ten are missing, half as many more", DeadlineConfig{Hedge: 0.5}, withReplicas(10, 10, 0), need(20), nil, "rate hedge", 10 + 15},
		{"ten are missing, none more", noHedge, withReplicas(10, 10, 0), need(20), nil, "rate", 20},
		// Up for what waits: 6 replicas answer 720 images in 6 s, of 600 that come.
		{"little waits", noHedge, queue(withReplicas(6, 6, 0), 120), base, nil, "rate steady", 6},
		{"what waits can be answered in time", noHedge, queue(withReplicas(6, 6, 0), 144), base, nil, "rate steady", 6},
		{"hardly more needs none", noHedge, queue(withReplicas(6, 6, 0), 146), base, nil, "rate steady", 6},
		{"176 left, less 24, in 0.25 s: 30.4 beside the 5 for the rate", noHedge, queue(withReplicas(6, 6, 0), 296), base, nil, "rate backlog", 36},
		{"the same in 1.6 s", DeadlineConfig{Hedge: -1, DrainTime: 1600 * time.Millisecond}, queue(withReplicas(6, 6, 0), 296), base, nil, "rate backlog", 10},
		{"and hedged", DeadlineConfig{}, queue(withReplicas(6, 6, 0), 296), base, nil, "rate backlog hedge", 6 + 39},
		{"nine that start will do: what waits keeps them", noHedge, queue(withReplicas(15, 6, 9), 296), base, nil, "rate backlog", 15},
		{"only few wait, the load to come is the rate's business", noHedge, queue(withReplicas(6, 6, 0), 6), level(200), nil, "rate steady", 6},
		{"more than a few", noHedge, queue(withReplicas(6, 6, 0), 7), level(200), nil, "rate backlog", 98},
		// A foreseen burst has replicas of its own, which are not remembered as needed.
		{"a burst is expected", noHedge, withReplicas(6, 6, 0), demand{horizon: 6, level: 100, upper: 100, mu: 20, need: 6, fits: 24, burst: 30, burstRate: 600}, nil, "rate burst", 30},
		{"it is prepared", noHedge, withReplicas(30, 30, 0), demand{horizon: 6, level: 100, upper: 100, mu: 20, need: 6, fits: 24, burst: 30, burstRate: 600}, nil, "rate burst steady", 30},
		{"more than it needs are there", noHedge, withReplicas(32, 32, 0), demand{horizon: 6, level: 100, upper: 100, mu: 20, need: 6, fits: 24, burst: 30, burstRate: 600}, nil, "rate burst shrink", 31},
		// So has a load that rises.
		{"the load rises", noHedge, withReplicas(6, 6, 0), demand{horizon: 6, level: 100, upper: 100, mu: 20, need: 6, fits: 24, ramp: 12, rampRate: 220}, nil, "rate ramp", 12},
		{"180 left, less 24, of a load that rises", noHedge, queue(withReplicas(12, 12, 0), 300), demand{horizon: 6, level: 100, upper: 100, mu: 20, need: 6, fits: 24, ramp: 12, rampRate: 220, rising: 220}, nil, "rate ramp backlog", 37},
		{"replicas are there for it", noHedge, withReplicas(12, 12, 0), demand{horizon: 6, level: 100, upper: 100, mu: 20, need: 6, fits: 24, ramp: 12, rampRate: 220}, nil, "rate ramp steady", 12},
		{"more than it needs are there, while it rises", noHedge, withReplicas(14, 14, 0), demand{horizon: 6, level: 100, upper: 100, mu: 20, need: 6, fits: 24, ramp: 12, rampRate: 220}, nil, "rate ramp shrink", 13},
		// Stragglers: some take much longer, and others are started in their place.
		{"one in four straggles, two are missing", noHedge, withReplicas(4, 4, 0), straggle, nil, "rate hedge", 4 + 3},
		{"one is late, and another is started", noHedge, late(withReplicas(6, 5, 1), 7), straggle, nil, "rate hedge", 6 + 2},
		{"it is not late yet", noHedge, late(withReplicas(6, 5, 1), 6), straggle, nil, "rate steady", 6},
		{"two were started for it", noHedge, late(withReplicas(8, 5, 3), 7), straggle, nil, "rate pace", 8},
		{"none straggles", noHedge, late(withReplicas(6, 5, 1), 7), base, nil, "rate steady", 6},
		// Not down yet.
		{"as many as needed", DeadlineConfig{}, withReplicas(6, 6, 0), base, nil, "rate steady", 6},
		{"no fewer are allowed", DeadlineConfig{Limits: Limits{Min: 8}}, withReplicas(8, 8, 0), base, nil, "rate min", 8},
		{"as many as are allowed are needed", DeadlineConfig{Limits: Limits{Min: 6}}, withReplicas(6, 6, 0), base, nil, "rate steady", 6},
		{"more were needed", DeadlineConfig{}, withReplicas(9, 9, 0), base, before(59*time.Second, 9), "rate hold", 9},
		{"more were needed, fewer than allowed are now", DeadlineConfig{Limits: Limits{Min: 8}}, withReplicas(9, 9, 0), base, before(59*time.Second, 9), "rate hold", 9},
		{"more were needed a minute ago", DeadlineConfig{}, withReplicas(9, 9, 0), base, before(time.Minute, 9), "rate hold", 9},
		{"more were needed, but longer ago", DeadlineConfig{}, withReplicas(9, 9, 0), base, before(61*time.Second, 9), "rate shrink", 7},
		{"figures of 5 s ago", DeadlineConfig{}, aged(withReplicas(10, 10, 0), 5*time.Second), base, nil, "rate shrink", 8},
		{"older ones", DeadlineConfig{}, aged(withReplicas(10, 10, 0), 5001*time.Millisecond), base, nil, "rate stale", 10},
		{"half of what fits waits", DeadlineConfig{}, queue(withReplicas(10, 10, 0), 12), base, nil, "rate shrink", 8},
		{"more than half waits", DeadlineConfig{}, queue(withReplicas(10, 10, 0), 13), base, nil, "rate backlog", 10},
		{"a minute has been seen", DeadlineConfig{}, withReplicas(10, 10, 0), base, func(st *deadlineState) { st.Since = start.Add(-hold) }, "rate shrink", 8},
		{"less", DeadlineConfig{}, withReplicas(10, 10, 0), base, func(st *deadlineState) { st.Since = start.Add(-hold + 1) }, "rate history", 10},
		// Down: those that start first, others by halves.
		{"three that start are not needed", DeadlineConfig{}, withReplicas(10, 7, 3), base, nil, "rate cancel", 7},
		{"enough serve, just", DeadlineConfig{}, withReplicas(10, 6, 4), base, nil, "rate cancel", 6},
		{"one that starts is not needed", DeadlineConfig{}, withReplicas(10, 9, 1), base, nil, "rate cancel", 9},
		{"too few serve", DeadlineConfig{}, withReplicas(10, 5, 5), base, nil, "rate pace", 10},
		{"too few serve, one starts", DeadlineConfig{}, withReplicas(10, 5, 1), base, nil, "rate pace", 10},
		{"one starts that was not asked for", DeadlineConfig{}, withReplicas(10, 10, 1), base, nil, "rate pace", 10},
		{"not all serve, none starts", DeadlineConfig{}, withReplicas(10, 7, 0), base, nil, "rate shrink", 8},
		{"three too many", DeadlineConfig{}, withReplicas(9, 9, 0), base, nil, "rate shrink", 7},
		{"two too many", DeadlineConfig{}, withReplicas(8, 8, 0), base, nil, "rate shrink", 7},
		{"one too many", DeadlineConfig{}, withReplicas(7, 7, 0), base, nil, "rate shrink", 6},
		{"the last ones left 2 s ago", DeadlineConfig{}, withReplicas(10, 10, 0), base, shrunk(2 * time.Second), "rate shrink", 8},
		{"just before", DeadlineConfig{}, withReplicas(10, 10, 0), base, shrunk(1999 * time.Millisecond), "rate pace", 10},
		{"just before, but changes are rare", DeadlineConfig{Interval: 15 * time.Second}, withReplicas(10, 10, 0), base, shrunk(1999 * time.Millisecond), "rate shrink", 8},
	}
	for _, test := range tests {
		p := NewDeadline(test.cfg)
		p.state.Since = start.Add(-time.Hour)
		if test.prepare != nil {
			test.prepare(&p.state)
		}
		d := stay(p.Name(), start, test.s)
		p.plan(&d, start, test.s, test.f, hold)
		if got := rules(d); got != test.rules || d.Replicas != test.want {
			t.Errorf("%s: %d replicas by %s, want %d by %s: %v", test.name, d.Replicas, got, test.want, test.rules, d.Reasons)
		}
		if shrinks := strings.HasSuffix(test.rules, "shrink"); shrinks != p.state.Shrunk.Equal(start) {
			t.Errorf("%s: the last replicas were taken away at %v", test.name, p.state.Shrunk)
		}
		if last := p.state.Needs[len(p.state.Needs)-1]; last != (point{start, float64(test.f.need)}) {
			t.Errorf("%s: remembers %v as the last need", test.name, last)
		}
	}
}

// rules returns the names of the rules that applied.
func rules(d Decision) string {
	var names []string
	for _, r := range d.Reasons {
		names = append(names, string(r.Rule))
	}
	return strings.Join(names, " ")
}

// TestDeadlineReasons checks that each reason has the figures that its sentence mentions.
func TestDeadlineReasons(t *testing.T) {
	t.Parallel()
	f := demand{horizon: 6, level: 100, upper: 100, dispersion: 1.5, mu: 20, need: 6, fits: 24}
	waiting := withReplicas(6, 6, 0)
	waiting.Queue = 296
	some := withReplicas(10, 10, 0)
	some.Queue = 13
	old := withReplicas(10, 10, 0)
	old.At = start.Add(-6 * time.Second)
	for _, test := range []struct {
		s     Snapshot
		since time.Duration
		want  Reason
	}{
		{withReplicas(5, 5, 0), time.Hour, Reason{Rule: RuleRate, Replicas: 6, Value: 100, Limit: 20, Dispersion: 1.5}},
		{withReplicas(3, 3, 0), time.Hour, Reason{Rule: RuleHedge, Replicas: 7, Value: 6}},
		{waiting, time.Hour, Reason{Rule: RuleBacklog, Replicas: 36, Value: 176, Limit: 24}},
		{some, time.Hour, Reason{Rule: RuleBacklog, Replicas: 10, Value: 13, Limit: 12}},
		{old, time.Hour, Reason{Rule: RuleStale, Replicas: 10, Value: 6, Limit: 5}},
		{withReplicas(10, 10, 0), time.Second, Reason{Rule: RuleHistory, Replicas: 10, Value: 1, Limit: 60}},
		{withReplicas(10, 7, 3), time.Hour, Reason{Rule: RuleCancel, Replicas: 7, Value: 7, Limit: 6}},
		{withReplicas(10, 5, 5), time.Hour, Reason{Rule: RulePace, Replicas: 10, Value: 6}},
		{withReplicas(10, 10, 0), time.Hour, Reason{Rule: RuleShrink, Replicas: 8, Value: 6}},
		{withReplicas(6, 6, 0), time.Hour, Reason{Rule: RuleSteady, Replicas: 6}},
	} {
		cfg := DeadlineConfig{}
		if test.want.Rule == RuleBacklog {
			cfg.Hedge = -1
		}
		p := NewDeadline(cfg)
		p.state.Since = start.Add(-test.since)
		d := stay(p.Name(), start, test.s)
		p.plan(&d, start, test.s, f, time.Minute)
		if got := d.Because(); got != test.want {
			t.Errorf("reason %+v, want %+v", got, test.want)
		}
	}
	p := NewDeadline(DeadlineConfig{})
	p.state.Needs = []point{{start, 6}}
	d, few := stay(p.Name(), start, withReplicas(6, 6, 0)), f
	few.need = 2
	p.plan(&d, start, withReplicas(6, 6, 0), few, time.Minute)
	if got := d.Because(); got != (Reason{Rule: RuleHold, Replicas: 6, Value: 60, Limit: 0}) {
		t.Errorf("reason %+v, want that it is held for 60 s", got)
	}
}

// TestDeadlineBacklogIsBounded checks that extremely slow replicas give a huge number, and no overflow.
func TestDeadlineBacklogIsBounded(t *testing.T) {
	t.Parallel()
	p := NewDeadline(DeadlineConfig{Hedge: -1})
	s := withReplicas(6, 6, 0)
	s.Queue = 200
	d := stay(p.Name(), start, s)
	p.plan(&d, start, s, demand{horizon: 6, level: 100, upper: 100, mu: 1e-12, need: 6, fits: 24}, time.Minute)
	if d.Replicas != 1_000_000 {
		t.Errorf("%d replicas, want a million", d.Replicas)
	}
}

// steadily is a policy that has seen a load, with replicas that answer 20 images/s and worker.
func steadily(cfg DeadlineConfig, l *load) *Deadline {
	p := NewDeadline(cfg)
	p.state = deadlineState{Since: start.Add(-time.Hour), Last: start.Add(-time.Second), Load: *l, Speed: speed{Images: 2000, Seconds: 100}}
	return p
}

// TestDeadlineForecasts checks the images/s that rate, horizon and margin give, and the replicas that queueing theory gives for them.
func TestDeadlineForecasts(t *testing.T) {
	t.Parallel()
	figure := func(d Decision, name string) float64 { t.Helper(); return d.Figure(name) }
	forecast := func(p *Deadline, s Snapshot) (demand, Decision) {
		d := stay(p.Name(), start, s)
		return p.forecast(&d, start, s), d
	}
	two := withReplicas(6, 6, 0)
	for i := range two.Replicas {
		two.Replicas[i].Workers = 2
	}

	// A steady load. 1.6 service times of 50 ms are subtracted from the SLO; half of the rest may be spent waiting.
	f, d := forecast(steadily(DeadlineConfig{}, counts(repeat(60, 100)...)), withReplicas(6, 6, 0))
	need := queueing.Servers(100, 20, 0.625, 0.42, 0.01, 1000)
	near(t, "horizon: the delay of a start and a second", f.horizon, 6)
	near(t, "level", f.level, 100)
	near(t, "upper", f.upper, 100)
	near(t, "mu", f.mu, 20)
	near(t, "need", float64(f.need), float64(need))
	near(t, "fits", f.fits, 20*float64(need)*0.42/2)
	for name, want := range map[string]float64{"rate_images_per_second": 100, "slope_images_per_second2": 0, "margin_ratio": 1, "expected_images_per_second": 100,
		"dispersion_ratio": 1, "replica_images_per_second": 20, "start_delay_seconds": 5, "needed_replicas": float64(need)} {
		near(t, "figure "+name, figure(d, name), want)
	}

	// Replicas of two workers: half as many, rounded up, with twice the speed.
	f, _ = forecast(steadily(DeadlineConfig{}, counts(repeat(60, 100)...)), two)
	near(t, "need of two workers", float64(f.need), math.Ceil(float64(need)/2))
	near(t, "mu of two workers", f.mu, 40)
	near(t, "fits of two workers", f.fits, 40*float64(f.need)*0.42/2)

	// With an SLO shorter than the service time, a twentieth of it is left for waiting.
	f, _ = forecast(steadily(DeadlineConfig{SLO: 60 * time.Millisecond}, counts(repeat(60, 100)...)), withReplicas(6, 6, 0))
	near(t, "need with a short SLO", float64(f.need), float64(queueing.Servers(100, 20, 0.625, 0.003, 0.01, 1000)))
	near(t, "fits with a short SLO", f.fits, 20*float64(f.need)*0.003/2)

	// If more images may be late, fewer replicas are needed.
	f, _ = forecast(steadily(DeadlineConfig{Late: 0.2}, counts(repeat(60, 300)...)), withReplicas(6, 6, 0))
	near(t, "need when a fifth may be late", float64(f.need), float64(queueing.Servers(300, 20, 0.625, 0.42, 0.2, 1000)))

	// Arrivals that vary more than Poisson's need more, by Allen and Cunneen: services vary by 0.25.
	wild := make([]float64, 60)
	for i := range wild {
		wild[i] = []float64{60, 140}[i%2]
	}
	l := counts(wild...)
	dispersion := l.dispersion()
	f, d = forecast(steadily(DeadlineConfig{}, l), withReplicas(6, 6, 0))
	near(t, "figure dispersion", figure(d, "dispersion_ratio"), dispersion)
	near(t, "need of a wild load", float64(f.need), float64(queueing.Servers(f.level, 20, (dispersion+0.25)/2, 0.42, 0.01, 1000)))
	for _, rate := range []float64{60, 150, 300, 500, 900} { // with little time for waiting it matters how much they vary
		l := counts(repeat(60, rate)...)
		for i := range l.Samples {
			l.Samples[i].Images += []float64{-2, 2}[i%2] * math.Sqrt(rate)
		}
		f, _ := forecast(steadily(DeadlineConfig{SLO: 90 * time.Millisecond, Limits: Limits{Max: 1000}}, l), withReplicas(6, 6, 0))
		near(t, "need with little time", float64(f.need), float64(queueing.Servers(f.upper, 20, (l.dispersion()+0.25)/2, 0.01, 0.01, 1000)))
	}
	if f.need <= need {
		t.Errorf("a wild load needs %d, want more than the %d of a steady one", f.need, need)
	}

	// A rising load is extrapolated to the horizon, a falling one is not.
	for _, slope := range []float64{1, -1} {
		p := steadily(DeadlineConfig{}, line(100, 1, func(t float64) float64 { return 400 + slope*t }))
		p.state.Delays.Seconds = repeat(6, 40)
		f, d = forecast(p, withReplicas(6, 6, 0))
		if slope > 0 {
			near(t, "level of a rising load", f.level, 400)
			near(t, "upper of a rising load", f.upper, 400+41)
			near(t, "figure slope", figure(d, "slope_images_per_second2"), 1)
		} else {
			near(t, "upper of a falling load", f.upper, f.level)
		}
	}

	// It is extrapolated further if something else makes changes only now and then.
	p := steadily(DeadlineConfig{Interval: 15 * time.Second}, line(100, 1, func(t float64) float64 { return 400 + t }))
	p.state.Delays.Seconds = repeat(6, 40)
	f, _ = forecast(p, withReplicas(6, 6, 0))
	near(t, "upper if changes take 15 s", f.upper, 400+40+15)
	near(t, "horizon if changes take 15 s", f.horizon, 41)

	// A load that has been rising for some seconds has replicas of its own.
	f, _ = forecast(steadily(DeadlineConfig{}, counts(join(repeat(60, 100), []float64{110, 120, 130, 140, 150, 160})...)), withReplicas(6, 6, 0))
	near(t, "rate of a ramp", f.rampRate, 225)
	near(t, "mean rate of a ramp until then", f.rising, (155+225)/2.)
	near(t, "replicas for a ramp", float64(f.ramp), float64(queueing.Servers(225, 20, 0.625, 0.42, 0.01, 1000)))

	// Not if a dispatcher was missing: what others count then is made up for in one second.
	for ago, want := range map[time.Duration]bool{10 * time.Second: false, 10*time.Second + 1: true} {
		s := withReplicas(6, 6, 0)
		s.Missed = start.Add(-ago)
		if f, _ := forecast(steadily(DeadlineConfig{}, counts(join(repeat(60, 100), []float64{110, 120, 130, 140, 150, 160})...)), s); (f.ramp > 0) != want || (f.rising > 0) != want {
			t.Errorf("a dispatcher was missing %s ago: %d replicas for a ramp", ago, f.ramp)
		}
	}

	// After a jump only later samples count: three seconds of 400, plus a standard error.
	f, _ = forecast(steadily(DeadlineConfig{}, counts(join(repeat(60, 100), repeat(3, 400))...)), withReplicas(6, 6, 0))
	near(t, "level after a jump", f.level, 400+math.Sqrt(400/3.))

	// Longer starts make the horizon longer.
	p = steadily(DeadlineConfig{}, counts(repeat(60, 100)...))
	p.state.Delays.Seconds = repeat(6, 9)
	f, d = forecast(p, withReplicas(6, 6, 0))
	near(t, "horizon", f.horizon, 10)
	near(t, "figure start_delay", figure(d, "start_delay_seconds"), 9)

	// The margin: the rate of the last three seconds, less its standard error, over the forecast for now. A rate of 200
	// was seen before.
	p = steadily(DeadlineConfig{MarginQuantile: 0.5}, counts(join(repeat(57, 100), repeat(3, 75))...))
	p.state.Margin.Forecasts = []point{{start.Add(-6 * time.Second), 50}}
	p.state.Margin.Past = []prepared{{start.Add(-time.Minute), 200, 500}}
	f, d = forecast(p, withReplicas(6, 6, 0))
	near(t, "margin", figure(d, "margin_ratio"), (75-5)/50.)
	near(t, "upper with a margin", f.upper, 1.4*f.level)
	near(t, "forecast that is remembered, without the margin", p.state.Margin.Forecasts[len(p.state.Margin.Forecasts)-1].Value, f.level)

	// A number above the maximum is only known to be above it.
	f, _ = forecast(steadily(DeadlineConfig{Limits: Limits{Max: 10}}, counts(repeat(60, 1e5)...)), withReplicas(6, 6, 0))
	near(t, "need of a load too large", float64(f.need), 11)
	f, _ = forecast(steadily(DeadlineConfig{Limits: Limits{Max: 10}}, counts(repeat(60, 1e5)...)), two)
	near(t, "need of a load too large, of two workers", float64(f.need), 11)
}

// TestDeadlineHold checks that replicas are kept for ten start delays, between 30 s and 300 s.
func TestDeadlineHold(t *testing.T) {
	t.Parallel()
	for delay, want := range map[float64]time.Duration{1: 30 * time.Second, 3: 30 * time.Second, 3.1: 31 * time.Second,
		5: 50 * time.Second, 30: 300 * time.Second, 31: 300 * time.Second, 100: 300 * time.Second} {
		p := NewDeadline(DeadlineConfig{})
		p.state.Delays.Seconds = repeat(6, delay)
		if got := p.hold().Round(time.Millisecond); got != want {
			t.Errorf("starts of %v s: hold %s, want %s", delay, got, want)
		}
	}
	if got := NewDeadline(DeadlineConfig{HoldDelays: 20}).hold(); got != 100*time.Second {
		t.Errorf("twenty delays of 5 s, a guess: hold %s, want 100 s", got)
	}
}

// TestDeadlineObserves checks that a sample is the difference of two readings. The first reading, one that is not newer, and one in
// which a counter decreased give no sample; the next sample starts from them.
func TestDeadlineObserves(t *testing.T) {
	t.Parallel()
	read := func(p *Deadline, second int, c Counters) {
		p.observe(Snapshot{At: start.Add(time.Duration(second) * time.Second), Counters: c})
	}
	samples := func(p *Deadline) string { return fmt.Sprint(p.state.Load.Samples, p.state.Speed) }
	p := NewDeadline(DeadlineConfig{})
	p.observe(Snapshot{Counters: Counters{Offered: 5}}) // never read
	read(p, 1, Counters{Offered: 1000, Completed: 1000, Service: 50 * time.Second})
	if got := len(p.state.Load.Samples); got != 0 {
		t.Errorf("%d samples after one reading, want none", got)
	}
	read(p, 3, Counters{Offered: 1100, Completed: 1080, Service: 54 * time.Second})
	read(p, 3, Counters{Offered: 9999, Completed: 9999, Service: 99 * time.Second})
	read(p, 2, Counters{Offered: 9999, Completed: 9999, Service: 99 * time.Second})
	want := []sample{{start.Add(3 * time.Second), 100, 2}}
	if got := p.state.Load.Samples; len(got) != 1 || got[0] != want[0] || p.state.Speed != (speed{80, 4}) {
		t.Errorf("samples %v, speed %v; want %v, and 80 images in 4 s", got, p.state.Speed, want)
	}
	before := samples(p)
	for name, c := range map[string]Counters{
		"offered":   {Offered: 1099, Completed: 2000, Service: 60 * time.Second},
		"completed": {Offered: 2000, Completed: 1079, Service: 60 * time.Second},
		"service":   {Offered: 2000, Completed: 2000, Service: 53 * time.Second},
	} {
		q := NewDeadline(DeadlineConfig{})
		q.state = p.state
		read(q, 4, c)
		if got := samples(q); got != before {
			t.Errorf("%s went back: %s, want %s as before", name, got, before)
		}
		c.Offered, c.Completed, c.Service = c.Offered+10, c.Completed+10, c.Service+time.Second/2
		read(q, 5, c)
		if got := q.state.Load.Samples; len(got) != 2 || got[1] != (sample{start.Add(5 * time.Second), 10, 1}) {
			t.Errorf("%s went back: then samples %v, want 10 images in the next second", name, got)
		}
	}
	read(p, 4, Counters{Offered: 1100, Completed: 1080, Service: 54 * time.Second})
	if got := len(p.state.Load.Samples); got != 2 {
		t.Errorf("%d samples, want 2: a second without an image is one", got)
	}
}

// TestDeadlineDecides checks that figures up to ten seconds old are used, and that older ones give the reason for doing nothing.
func TestDeadlineDecides(t *testing.T) {
	t.Parallel()
	decide := func(age time.Duration) Decision {
		p := steadily(DeadlineConfig{}, counts(repeat(60, 300)...))
		p.state.Read = start.Add(time.Second) // nothing new
		s := withReplicas(4, 4, 0)
		s.At = start.Add(-age)
		return p.Decide(start, s)
	}
	if d := decide(10 * time.Second); d.Replicas <= 4 {
		t.Errorf("figures of 10 s ago, four times too few: %d replicas because of %v", d.Replicas, d.Because())
	}
	if d := decide(10*time.Second + 1); d.Replicas != 4 || d.Because() != (Reason{Rule: RuleStale, Replicas: 4, Value: 10.000000001, Limit: 10}) {
		t.Errorf("older figures: %d replicas because of %+v", d.Replicas, d.Because())
	}
	if d := NewDeadline(DeadlineConfig{}).Decide(start, Snapshot{Desired: 4}); d.Because() != (Reason{Rule: RuleStale, Replicas: 4, Value: 1e6, Limit: 10}) {
		t.Errorf("no figures: because of %+v, want an age of a million seconds, to say that there are none", d.Because())
	}

	for name, test := range map[string]struct {
		change func(p *Deadline, s *Snapshot)
		rule   Rule
	}{
		"no image has ever come":                   {func(*Deadline, *Snapshot) {}, RuleShrink},
		"one waits":                                {func(_ *Deadline, s *Snapshot) { s.Queue = 1 }, RuleUnknown},
		"one is at a replica":                      {func(_ *Deadline, s *Snapshot) { s.InFlight = 1 }, RuleUnknown},
		"one came":                                 {func(p *Deadline, _ *Snapshot) { p.state.Load.Samples[3].Images = 1 }, RuleUnknown},
		"nothing has been seen":                    {func(p *Deadline, _ *Snapshot) { p.state.Load.Samples = nil }, RuleUnknown},
		"the speed is known, no load is":           {func(p *Deadline, _ *Snapshot) { p.state.Load.Samples, p.state.Speed = nil, speed{20, 1} }, RuleUnknown},
		"replicas of a slow model, one a second":   {func(p *Deadline, _ *Snapshot) { p.state.Load, p.state.Speed = *counts(repeat(60, 5)...), speed{1, 1} }, RuleRate},
		"one sample of a load, the speed is known": {func(p *Deadline, _ *Snapshot) { p.state.Load, p.state.Speed = *counts(150), speed{20, 1} }, RuleShrink},
	} {
		p := steadily(DeadlineConfig{}, counts(repeat(60, 0)...))
		p.state.Speed, p.state.Read = speed{}, start.Add(time.Second)
		s := withReplicas(10, 10, 0)
		test.change(p, &s)
		if d := p.Decide(start, s); d.Because().Rule != test.rule {
			t.Errorf("%s: %d replicas because of %v, want %q", name, d.Replicas, d.Because(), test.rule)
		}
	}
}

// TestDeadlineHistory checks that a gap longer than the hold starts a new history, which keeps delays and speed.
func TestDeadlineHistory(t *testing.T) {
	t.Parallel()
	for gap, broken := range map[time.Duration]bool{50 * time.Second: false, 50*time.Second + 1: true} {
		p := steadily(DeadlineConfig{}, counts(repeat(60, 100)...))
		p.state.Delays = delays{[]float64{5}, start}
		p.state.Last = start.Add(-gap)
		p.Decide(start, withReplicas(10, 10, 0))
		if got := p.state.Since.Equal(start); got != broken {
			t.Errorf("a gap of %s breaks the history: %v", gap, got)
		}
		if !p.state.Last.Equal(start) || len(p.state.Delays.Seconds) != 1 || p.state.Speed.rate() != 20 {
			t.Errorf("a gap of %s: last tick %v, delays %v, speed %v", gap, p.state.Last, p.state.Delays, p.state.Speed)
		}
		if n := len(p.state.Load.Samples); (n == 0) != broken {
			t.Errorf("a gap of %s: %d samples of the load are left", gap, n)
		}
	}
}
