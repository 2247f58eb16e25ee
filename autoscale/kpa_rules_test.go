package autoscale

import (
	"testing"
	"time"
)

// TestKPADefaults are Knative's; what is set is kept.
func TestKPADefaults(t *testing.T) {
	t.Parallel()
	want := KPAConfig{Limits: Limits{Min: 1, Max: 50}, Utilization: 0.7, Tick: 2 * time.Second, StableWindow: 60 * time.Second,
		PanicWindow: 6 * time.Second, PanicThreshold: 2, MaxScaleUp: 1000, MaxScaleDown: 2}
	if got := NewKPA(KPAConfig{}).cfg; got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
	set := KPAConfig{Limits: Limits{Min: 2, Max: 3}, Utilization: 0.5, Tick: 1, StableWindow: 2, PanicWindow: 3, PanicThreshold: 4, MaxScaleUp: 5, MaxScaleDown: 6}
	if got := NewKPA(set).cfg; got != set {
		t.Errorf("defaults change %+v to %+v", set, got)
	}
}

// TestBuckets: a second without a value counts as 0, but not before the first value and not after the last, and a window
// without any begins anew. Values of one second add up.
func TestBuckets(t *testing.T) {
	t.Parallel()
	type reading struct {
		ms    int
		value float64
	}
	example := []reading{{1000, 3}, {2000, 6}, {4000, 9}}
	for _, test := range []struct {
		name     string
		readings []reading
		at       int // ms
		want     float64
	}{
		{"none", nil, 5000, 0},
		{"one", []reading{{1000, 7}}, 1000, 7},
		{"the example", example, 5000, 4.5},
		{"the example, before a value has left", example, 6999, 4.5},
		{"the example, two seconds later", example, 7000, 5},
		{"the last value alone", example, 9999, 9},
		{"a window later", example, 10000, 0},
		{"long after", example, 1e6, 0},
		{"the window is full", []reading{{0, 6}, {1000, 1}, {2000, 1}, {3000, 1}, {4000, 1}, {5000, 1}, {6000, 1}}, 6000, 1},
		{"a gap within the window", []reading{{0, 6}, {5000, 6}}, 5000, 2},
		{"a gap that the first value outlives", []reading{{0, 6}, {4000, 6}, {9000, 6}}, 9000, 2},
		{"a gap as long as the window", []reading{{0, 6}, {6000, 12}}, 6000, 12},
		{"and a value after it", []reading{{0, 6}, {6000, 12}, {7000, 6}}, 7000, 9},
		{"two in a second", []reading{{1000, 3}, {1400, 4}, {2000, 1}}, 2000, 4},
		{"before the last value", example, 3000, 4.5},
		{"rounded to a millionth", []reading{{0, 1}, {1000, 0}, {2000, 0}}, 2000, 0.333333},
	} {
		var b buckets
		at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
		for _, r := range test.readings {
			b.record(at(r.ms), r.value, 6*time.Second)
		}
		near(t, test.name, b.mean(at(test.at), 6*time.Second), test.want)
	}
	var b buckets
	for second := range 1000 {
		b.record(start.Add(time.Duration(second)*time.Second), 1, 6*time.Second)
	}
	if len(b.Values) != 6 {
		t.Errorf("%d values are kept for a window of six seconds", len(b.Values))
	}
}

// TestKPATakesEachReadingOnce checks that only newer readings are used.
func TestKPATakesEachReadingOnce(t *testing.T) {
	t.Parallel()
	p := NewKPA(KPAConfig{})
	p.Decide(start, Snapshot{Desired: 1})
	p.Decide(start, Snapshot{At: start, InFlight: 10, Desired: 1})
	for _, ago := range []time.Duration{0, time.Second} {
		p.Decide(start, Snapshot{At: start.Add(-ago), InFlight: 1000, Desired: 1})
	}
	p.Decide(start.Add(time.Second), Snapshot{At: start.Add(time.Second), Queue: 15, InFlight: 5, Desired: 1})
	for _, got := range [][]point{p.state.Stable.Values, p.state.Panic.Values} {
		if len(got) != 2 || got[0].Value != 10 || got[1].Value != 20 {
			t.Errorf("remembers %v, want 10 and 20", got)
		}
	}
}

// kpaAt is a KPA that has seen a concurrency for two minutes and has left the panic in which it starts.
func kpaAt(cfg KPAConfig, concurrency int) *KPA {
	p := NewKPA(cfg)
	p.state.Started = true
	for second := -59; second <= 0; second++ {
		at := start.Add(time.Duration(second) * time.Second)
		p.state.Stable.record(at, float64(concurrency), p.cfg.StableWindow)
		p.state.Panic.record(at, float64(concurrency), p.cfg.PanicWindow)
	}
	return p
}

// TestKPAStale checks that figures are used for a minute after the last: later there is no decision.
func TestKPAStale(t *testing.T) {
	t.Parallel()
	ten := withReplicas(10, 10, 0).Replicas
	for age, want := range map[time.Duration]Reason{
		0:                        {Rule: RuleStable, Replicas: 10, Value: 7, Limit: 0.7},
		59 * time.Second:         {Rule: RuleStable, Replicas: 10, Value: 7, Limit: 0.7},
		60 * time.Second:         {Rule: RuleStable, Replicas: 5, Limit: 0.7},
		61*time.Second - 1:       {Rule: RuleStable, Replicas: 5, Limit: 0.7},
		61 * time.Second:         {Rule: RuleStale, Replicas: 10, Value: 61, Limit: 60},
		time.Duration(1e6) * 2e9: {Rule: RuleStale, Replicas: 10, Value: 1e6, Limit: 60},
	} {
		d := kpaAt(KPAConfig{}, 7).Decide(start.Add(age), Snapshot{At: start, InFlight: 7, Desired: 10, Replicas: ten})
		if got := d.Because(); got != want {
			t.Errorf("figures %s old: %+v, want %+v", age, got, want)
		}
	}
	if d := NewKPA(KPAConfig{}).Decide(start, Snapshot{Desired: 4}); d.Because() != (Reason{Rule: RuleStale, Replicas: 4, Value: 1e6, Limit: 60}) {
		t.Errorf("no figures: %+v, want an age of a million seconds", d.Because())
	}
	if d := NewKPA(KPAConfig{}).Decide(start, Snapshot{At: start, InFlight: 1, Desired: 1}); d.Because().Rule != RuleStable {
		t.Errorf("one reading: %+v, want a decision", d.Because())
	}
}

// TestKPAScales checks concurrency divided by the busy workers of a replica, within the maximum change.
func TestKPAScales(t *testing.T) {
	t.Parallel()
	workers := func(s Snapshot, n int) Snapshot {
		for i := range s.Replicas {
			s.Replicas[i].Workers = n
		}
		return s
	}
	for name, test := range map[string]struct {
		cfg         KPAConfig
		s           Snapshot
		concurrency int
		rules       string
		want        int
	}{
		"10 at a time, 0.7 a replica":       {KPAConfig{}, withReplicas(10, 10, 0), 10, "stable", 15},
		"0.5 a replica":                     {KPAConfig{Utilization: 0.5}, withReplicas(11, 11, 0), 10, "stable", 20},
		"of two workers":                    {KPAConfig{Utilization: 0.5}, workers(withReplicas(10, 10, 0), 2), 15, "stable", 15},
		"down by half, rounded down":        {KPAConfig{}, withReplicas(9, 9, 0), 0, "stable", 4},
		"down by two thirds":                {KPAConfig{MaxScaleDown: 3}, withReplicas(9, 9, 0), 0, "stable", 3},
		"up by half":                        {KPAConfig{Utilization: 1, MaxScaleUp: 1.5}, withReplicas(10, 10, 0), 19, "stable", 15},
		"none ready counts as one":          {KPAConfig{MaxScaleUp: 1, PanicThreshold: 100}, withReplicas(3, 0, 3), 10, "stable", 1},
		"bounded":                           {KPAConfig{Limits: Limits{Max: 12}}, withReplicas(10, 10, 0), 10, "stable max", 12},
		"twice what is ready: a panic":      {KPAConfig{Utilization: 1}, withReplicas(5, 5, 0), 10, "stable", 10},
		"just less: none":                   {KPAConfig{Utilization: 1}, withReplicas(5, 5, 0), 9, "stable", 9},
		"three times needed, twice is none": {KPAConfig{Utilization: 1, PanicThreshold: 3}, withReplicas(5, 5, 0), 14, "stable", 14},
	} {
		p := kpaAt(test.cfg, test.concurrency)
		test.s.At, test.s.InFlight = start, test.concurrency
		d := p.Decide(start, test.s)
		if got := rules(d); got != test.rules || d.Replicas != test.want {
			t.Errorf("%s: %d replicas by %s, want %d by %s: %v", name, d.Replicas, got, test.want, test.rules, d.Reasons)
		}
		if panics := name == "twice what is ready: a panic"; panics == p.state.PanicSince.IsZero() {
			t.Errorf("%s: in panic since %v", name, p.state.PanicSince)
		}
	}
	p := kpaAt(KPAConfig{}, 10)
	d := p.Decide(start, Snapshot{At: start, Desired: 10, Replicas: withReplicas(10, 10, 0).Replicas})
	if got := d.Reasons[0]; got.Value != 10 || got.Limit != 0.7 || d.Figure("stable_images") != 10 || d.Figure("panic_images") != 10 {
		t.Errorf("reason %+v, figures %v; want 10 images over both windows, 0.7 a replica", got, d.Figures)
	}
}

// TestKPAPanicHolds: in a panic the highest number that either window asked for since its start applies, until a minute after the threshold
// was last exceeded.
func TestKPAPanicHolds(t *testing.T) {
	t.Parallel()
	decide := func(concurrency int, prepare func(*kpaState)) (Decision, *kpaState) {
		p := kpaAt(KPAConfig{Utilization: 1}, concurrency)
		prepare(&p.state)
		s := withReplicas(10, 10, 0)
		s.InFlight = concurrency
		return p.Decide(start, s), &p.state
	}
	panicked := func(ago time.Duration, most int) func(*kpaState) {
		return func(st *kpaState) { st.PanicSince, st.PanicMost = start.Add(-ago), most }
	}
	for name, test := range map[string]struct {
		concurrency int
		prepare     func(*kpaState)
		rules       string
		want        int
		panics      bool
		most        int
	}{
		"no panic":                         {8, panicked(time.Hour, 30), "stable", 8, false, 0},
		"30 were wanted in a panic":        {8, panicked(59*time.Second, 30), "stable panic", 30, true, 30},
		"a minute ago":                     {8, panicked(time.Minute, 30), "stable panic", 30, true, 30},
		"more than a minute ago":           {8, panicked(time.Minute+1, 30), "stable", 8, false, 0},
		"more is wanted now":               {12, panicked(time.Second, 11), "stable", 12, true, 12},
		"as much is wanted now":            {12, panicked(time.Second, 12), "stable", 12, true, 12},
		"begins again":                     {25, panicked(time.Hour, 30), "stable panic", 30, true, 30},
		"without history none leave":       {8, func(st *kpaState) { st.Started = false }, "stable panic", 10, true, 10},
		"without history, but with a need": {15, func(st *kpaState) { st.Started = false }, "stable", 15, true, 15},
		"without history, a panic":         {30, func(st *kpaState) { st.Started = false }, "stable", 30, true, 30},
	} {
		d, st := decide(test.concurrency, test.prepare)
		if got := rules(d); got != test.rules || d.Replicas != test.want {
			t.Errorf("%s: %d replicas by %s, want %d by %s: %v", name, d.Replicas, got, test.want, test.rules, d.Reasons)
		}
		if st.PanicMost != test.most || st.PanicSince.IsZero() == test.panics || !st.Started {
			t.Errorf("%s: afterwards in panic since %v, the most %d, started %v", name, st.PanicSince, st.PanicMost, st.Started)
		}
	}
	if _, st := decide(30, panicked(30*time.Second, 5)); !st.PanicSince.Equal(start) {
		t.Errorf("the threshold is passed again: panic since %v, want now", st.PanicSince)
	}
	d, _ := decide(8, panicked(time.Second, 30))
	if got := d.Because(); got.Value != 8 || got.Limit != 1 {
		t.Errorf("reason %+v, want 8 images over the short window, 1 a replica", got)
	}

	// With one replica there is no panic without history: nothing can be removed.
	p := NewKPA(KPAConfig{Utilization: 1})
	s := withReplicas(1, 1, 0)
	s.InFlight = 1
	if p.Decide(start, s); !p.state.PanicSince.IsZero() || !p.state.Started {
		t.Errorf("a single replica without history: panic since %v", p.state.PanicSince)
	}
	p = NewKPA(KPAConfig{Utilization: 1})
	s = withReplicas(2, 2, 0)
	s.InFlight = 1
	if d := p.Decide(start, s); d.Replicas != 2 || p.state.PanicSince.IsZero() {
		t.Errorf("two without history: %d replicas, panic since %v; want to keep both", d.Replicas, p.state.PanicSince)
	}

	// The short window rises first: it asks for more than the long one.
	p = kpaAt(KPAConfig{Utilization: 1}, 10)
	s = withReplicas(10, 10, 0)
	for second := range 7 {
		s.At, s.InFlight = start.Add(time.Duration(second+1)*time.Second), 40
		d = p.Decide(s.At, s)
	}
	if d.Replicas != 40 || d.Because().Rule != RulePanic {
		t.Errorf("seven seconds at 40: %d replicas because of %v, want 40 by the short window", d.Replicas, d.Because())
	}
}
