package autoscale

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHPADefaults are those of kube-controller-manager and, for the external metric, those that KEDA and Prometheus users write; what is
// set is kept.
func TestHPADefaults(t *testing.T) {
	t.Parallel()
	shared := HPAConfig{Limits: Limits{Min: 1, Max: 50}, Sync: 15 * time.Second, Tolerance: 0.1}
	empty, full := shared, shared
	empty.Behavior, full.Behavior = &HPABehavior{}, &HPABehavior{
		Up:   ScalingRules{Policies: []ScalingPolicy{{Percent: 100, Period: 15 * time.Second}, {Pods: 4, Period: 15 * time.Second}}},
		Down: ScalingRules{Stabilization: 5 * time.Minute, Policies: []ScalingPolicy{{Percent: 100, Period: 15 * time.Second}}}}
	set := HPAConfig{Limits: Limits{Min: 2, Max: 3}, Sync: 1, Tolerance: 0.5, Behavior: &HPABehavior{
		Up: ScalingRules{Stabilization: 2, Policies: []ScalingPolicy{{Pods: 1}}}, Down: ScalingRules{Stabilization: 3, Policies: []ScalingPolicy{{Pods: 2}}}}}
	for name, pair := range map[string][2]any{
		"cpu":      {NewHPACPU(HPACPUConfig{}).cfg, HPACPUConfig{shared, 0.7, false, 5 * time.Minute, 30 * time.Second}},
		"external": {NewHPAExternal(HPAExternalConfig{}).cfg, HPAExternalConfig{shared, MetricQueue, 10, time.Minute}},
		"behavior": {NewHPACPU(HPACPUConfig{HPAConfig: empty}).cfg, HPACPUConfig{full, 0.7, false, 5 * time.Minute, 30 * time.Second}},
		"cpu set":  {NewHPACPU(HPACPUConfig{set, 0.2, true, 4, 5}).cfg, HPACPUConfig{set, 0.2, true, 4, 5}},
		"external set": {NewHPAExternal(HPAExternalConfig{set, MetricRate, 7, 8}).cfg,
			HPAExternalConfig{set, MetricRate, 7, 8}},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// ago is that long before start.
func ago(d time.Duration) time.Time { return start.Add(-d) }

// TestHPAStabilization: up to the lowest recommendation of the up window, down to the highest of the down window. A
// recommendation expires at the end of its window. The initial number counts as a recommendation.
func TestHPAStabilization(t *testing.T) {
	t.Parallel()
	behavior := func(b HPABehavior) HPAConfig { return HPAConfig{Behavior: &b}.withDefaults() }
	cfg, none := behavior(HPABehavior{Up: ScalingRules{Stabilization: time.Minute}}), HPAConfig{}.withDefaults()
	started := func(at time.Duration, n float64) hpaState {
		return hpaState{Started: true, Recommendations: []point{{ago(at), n}}}
	}
	for name, test := range map[string]struct {
		cfg                  HPAConfig
		st                   hpaState
		current, recommended int
		want                 int
	}{
		"down when all agreed":                 {cfg, hpaState{Started: true}, 10, 5, 5},
		"down to the most of five minutes":     {cfg, started(299*time.Second, 8), 10, 5, 8},
		"down to no more than there is":        {cfg, started(299*time.Second, 20), 10, 5, 10},
		"down, the window has passed":          {cfg, started(300*time.Second, 8), 10, 5, 5},
		"up when all agreed":                   {cfg, hpaState{Started: true}, 10, 20, 20},
		"up to the least of a minute":          {cfg, started(59*time.Second, 12), 10, 20, 12},
		"up to no fewer than there are":        {cfg, started(59*time.Second, 3), 10, 20, 10},
		"up, the window has passed":            {cfg, started(time.Minute, 12), 10, 20, 20},
		"up at once by default":                {behavior(HPABehavior{}), started(time.Nanosecond, 12), 10, 20, 20},
		"down at once when there's no window":  {behavior(HPABehavior{Down: ScalingRules{Stabilization: -1}}), started(time.Nanosecond, 12), 10, 5, 5},
		"without behavior up at once":          {none, started(time.Nanosecond, 12), 10, 20, 20},
		"without it, the most of five minutes": {none, started(300*time.Second, 8), 10, 5, 8},
		"without it, more than there is":       {none, started(time.Minute, 20), 10, 5, 20},
		"without it, the window has passed":    {none, started(300*time.Second+1, 8), 10, 5, 5},
	} {
		st := test.st
		if got, _ := test.cfg.stabilize(&st, start, test.current, test.recommended); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
		if last := st.Recommendations[len(st.Recommendations)-1]; last != (point{start, float64(test.recommended)}) {
			t.Errorf("%s: remembers %v, want the recommendation as it was before", name, st.Recommendations)
		}
	}

	// Recommendations are remembered for as long as the longer window, not for ever.
	for _, c := range []HPAConfig{cfg, none} {
		st := hpaState{Started: true}
		for second := range 1000 {
			c.stabilize(&st, start.Add(time.Duration(second)*time.Second), 10, 5)
		}
		if got := len(st.Recommendations); got != 301 {
			t.Errorf("%d recommendations of 1000 s are remembered, want those of five minutes", got)
		}
	}
}

// TestHPAPace: the policy that allows the largest change applies, counted from the number at the start of its period.
func TestHPAPace(t *testing.T) {
	t.Parallel()
	percent := func(n int) []ScalingPolicy { return []ScalingPolicy{{Percent: n, Period: time.Minute}} }
	pods := func(n int) []ScalingPolicy { return []ScalingPolicy{{Pods: n, Period: time.Minute}} }
	both := []ScalingPolicy{{Percent: 25, Period: time.Minute}, {Pods: 4, Period: time.Minute}}
	changed := func(at time.Duration, by float64) hpaState {
		if by < 0 {
			return hpaState{Removed: []point{{ago(at), -by}}}
		}
		return hpaState{Added: []point{{ago(at), by}}}
	}
	for name, test := range map[string]struct {
		policies        []ScalingPolicy
		st              hpaState
		current, wanted int
		want            int
	}{
		"half as many more":                     {percent(50), hpaState{}, 202, 1000, 303},
		"half of them":                          {percent(50), hpaState{}, 202, 0, 101},
		"one in a hundred more":                 {percent(1), hpaState{}, 100, 1000, 101},
		"one in a hundred less":                 {percent(1), hpaState{}, 100, 0, 99},
		"more is rounded up":                    {percent(10), hpaState{}, 11, 1000, 13},
		"less is rounded down":                  {percent(10), hpaState{}, 11, 0, 9},
		"a percentage of none is none":          {percent(100), hpaState{}, 0, 5, 0},
		"four more":                             {pods(4), hpaState{}, 10, 1000, 14},
		"four less":                             {pods(4), hpaState{}, 10, 0, 6},
		"four of ten more is most":              {both, hpaState{}, 10, 1000, 14},
		"four of ten less is most":              {both, hpaState{}, 10, 0, 6},
		"a quarter of 100 more is most":         {both, hpaState{}, 100, 1000, 125},
		"a quarter of 100 less is most":         {both, hpaState{}, 100, 0, 75},
		"no more than wanted":                   {pods(4), hpaState{}, 10, 12, 12},
		"no less than wanted":                   {pods(4), hpaState{}, 10, 8, 8},
		"three of four came in the minute":      {pods(4), changed(59*time.Second, 3), 13, 1000, 14},
		"three came before":                     {pods(4), changed(time.Minute, 3), 13, 1000, 17},
		"three of four left in the minute":      {pods(4), changed(59*time.Second, -3), 7, 0, 6},
		"three left before":                     {pods(4), changed(time.Minute, -3), 7, 0, 3},
		"half of what there was, three came":    {percent(50), changed(time.Second, 4), 14, 1000, 15},
		"half of what there was, three left":    {percent(50), changed(time.Second, -4), 6, 0, 5},
		"more came than is allowed: none goes":  {pods(4), changed(time.Second, 10), 20, 1000, 20},
		"more left than is allowed: none comes": {pods(4), changed(time.Second, -10), 10, 0, 10},
		"as many as there are":                  {pods(4), hpaState{}, 10, 10, 10},
	} {
		cfg := HPAConfig{Behavior: &HPABehavior{ScalingRules{Policies: test.policies}, ScalingRules{Policies: test.policies}}}.withDefaults()
		if got := cfg.pace(&test.st, start, test.current, test.wanted); got != test.want {
			t.Errorf("%s: from %d to %d, want %d", name, test.current, got, test.want)
		}
	}
}

// TestHPAPaceWithoutBehavior: up to twice as many, or to four; down without limit.
func TestHPAPaceWithoutBehavior(t *testing.T) {
	t.Parallel()
	st := hpaState{Added: []point{{ago(time.Second), 100}}} // does not count
	for _, test := range []struct{ current, wanted, want int }{{1, 9, 4}, {2, 9, 4}, {3, 9, 6}, {10, 99, 20}, {10, 15, 15}, {10, 0, 0}} {
		if got := (HPAConfig{}).pace(&st, start, test.current, test.wanted); got != test.want {
			t.Errorf("from %d to %d: %d, want %d", test.current, test.wanted, got, test.want)
		}
	}
}

// TestHPALooks: at first, what there is counts as a recommendation; a number outside the limits is corrected before
// metrics count, and at 0 replicas it is off.
func TestHPALooks(t *testing.T) {
	t.Parallel()
	cfg := HPAConfig{Limits: Limits{Min: 3, Max: 10}, Behavior: &HPABehavior{}}.withDefaults()
	for current, want := range map[int]struct {
		reasons []Reason
		changes [2][]point // up and down
	}{
		0:  {reasons: []Reason{{Rule: RuleOff}}},
		2:  {[]Reason{{Rule: RuleMin, Replicas: 3, Value: 2}}, [2][]point{{{start, 1}}, nil}},
		3:  {},
		10: {},
		12: {[]Reason{{Rule: RuleMax, Replicas: 10, Value: 12}}, [2][]point{nil, {{start, 2}}}},
	} {
		var d Decision
		var st hpaState
		looked := cfg.look(&d, &st, start, current)
		if looked != (want.reasons == nil) || !cmp.Equal(d.Reasons, want.reasons) || !cmp.Equal([2][]point{st.Added, st.Removed}, want.changes) {
			t.Errorf("with %d: looks %v because of %v, remembers %v; want %v", current, looked, d.Reasons, [2][]point{st.Added, st.Removed}, want)
		}
		if !st.Started || !cmp.Equal(st.Recommendations, []point{{start, float64(current)}}) {
			t.Errorf("with %d: recommendations %v, want what there is", current, st.Recommendations)
		}
	}
	var d Decision
	st := hpaState{Started: true}
	if cfg.look(&d, &st, start, 5); len(st.Recommendations) != 0 {
		t.Errorf("later: recommendations %v, want none", st.Recommendations)
	}
}

// TestHPASettles checks that stabilization, pace and limits are named as reasons, and that changes are kept for the longest possible period.
func TestHPASettles(t *testing.T) {
	t.Parallel()
	cfg := HPAConfig{Limits: Limits{Min: 3, Max: 30}, Behavior: &HPABehavior{Up: ScalingRules{Stabilization: time.Minute}}}.withDefaults()
	for name, test := range map[string]struct {
		recommendation       float64 // of a second ago
		current, recommended int
		want                 []Reason
	}{
		"as recommended":   {8, 8, 8, nil},
		"held down":        {9, 8, 20, []Reason{{Rule: RuleStabilization, Replicas: 9, Value: 60}}},
		"held up":          {7, 8, 5, []Reason{{Rule: RuleStabilization, Replicas: 7, Value: 300}}},
		"not so many":      {100, 8, 20, []Reason{{Rule: RulePace, Replicas: 16, Value: 20}}},
		"bounded":          {100, 28, 40, []Reason{{Rule: RuleMax, Replicas: 30, Value: 40}}},
		"bounded below":    {0, 5, 1, []Reason{{Rule: RuleMin, Replicas: 3, Value: 1}}},
		"all at one time":  {39, 18, 60, []Reason{{Rule: RuleStabilization, Replicas: 39, Value: 60}, {Rule: RulePace, Replicas: 36, Value: 39}, {Rule: RuleMax, Replicas: 30, Value: 36}}},
		"not changed, max": {100, 30, 40, []Reason{{Rule: RuleMax, Replicas: 30, Value: 40}}},
	} {
		st := hpaState{Started: true, Recommendations: []point{{ago(time.Second), test.recommendation}},
			Added: []point{{ago(16 * time.Second), 1}, {ago(15 * time.Second), 2}}, Removed: []point{{ago(15 * time.Second), 2}, {ago(16 * time.Second), 1}}}
		d := Decision{Replicas: test.recommended}
		cfg.settle(&d, &st, start, test.current, test.recommended)
		if diff := cmp.Diff(test.want, d.Reasons); diff != "" {
			t.Errorf("%s: reasons (-want +got):\n%s", name, diff)
		}
		want := hpaState{Added: []point{{ago(16 * time.Second), 1}, {ago(15 * time.Second), 2}}, Removed: []point{{ago(15 * time.Second), 2}, {ago(16 * time.Second), 1}}}
		switch change := float64(d.Replicas - test.current); {
		case change > 0:
			want.Added[0] = point{start, change} // in the place of one older than the longest period
		case change < 0:
			want.Removed[1] = point{start, -change}
		}
		if diff := cmp.Diff([2][]point{want.Added, want.Removed}, [2][]point{st.Added, st.Removed}); diff != "" {
			t.Errorf("%s: changes (-want +got):\n%s", name, diff)
		}
	}
	var st hpaState
	for range 3 {
		cfg.remember(&st, start, 1)
	}
	if len(st.Added) != 3 {
		t.Errorf("three changes at once: %v are kept", st.Added)
	}
}

// TestHPATolerance checks that a difference equal to the tolerance is tolerated.
func TestHPATolerance(t *testing.T) {
	t.Parallel()
	cfg := HPAConfig{Tolerance: 0.25}
	for ratio, want := range map[float64]bool{0.7499: false, 0.75: true, 1: true, 1.25: true, 1.2501: false} {
		if got := cfg.tolerated(ratio); got != want {
			t.Errorf("tolerated(%v) = %v, want %v", ratio, got, want)
		}
	}
}

// TestCeil checks that numbers are rounded up, to 32 bits.
func TestCeil(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]int{0: 0, 2.1: 3, 3: 3, 3 + 0.9e-9: 4, 1e12: math.MaxInt32, math.Inf(1): math.MaxInt32} {
		if got := ceil(x); got != want {
			t.Errorf("ceil(%v) = %d, want %d", x, got, want)
		}
	}
}

// TestHPACPUReasons checks the reasons for the rules of TestHPACPURecommends, and their limits.
func TestHPACPUReasons(t *testing.T) {
	t.Parallel()
	with := func(a, b []Replica) []Replica { return append(a, b...) }
	for name, test := range map[string]struct {
		pods    []Replica
		desired int
		target  float64
		want    Reason
	}{
		"twice the target":                              {cpuPods(1, 1), 2, 0.5, Reason{Rule: RuleTarget, Replicas: 4, Value: 1, Limit: 0.5}},
		"the mean counts":                               {cpuPods(1, 2), 2, 0.5, Reason{Rule: RuleTarget, Replicas: 6, Value: 1.5, Limit: 0.5}},
		"tolerated":                                     {cpuPods(0.5, 0.5), 7, 0.5, Reason{Rule: RuleTolerance, Replicas: 7, Value: 1, Limit: 0.1}},
		"nobody has metrics: those without":             {with(cpuPods(-1, -1), unready(3)), 5, 0.5, Reason{Rule: RuleMissing, Replicas: 5, Value: 5}},
		"CPU of the start does not count":               {[]Replica{{Created: start, CPU: new(float64)}, {Created: start}}, 5, 0.5, Reason{Rule: RuleMissing, Replicas: 5, Value: 2}},
		"damped to the target by one without":           {cpuPods(1, -1), 2, 0.5, Reason{Rule: RuleMissing, Replicas: 2, Value: 1}},
		"damped by one without and one that starts":     {with(cpuPods(1.5, -1), unready(1)), 3, 0.5, Reason{Rule: RuleMissing, Replicas: 3, Value: 2}},
		"at the target those that start do not matter":  {with(cpuPods(0.5, 0.5), unready(2)), 4, 0.5, Reason{Rule: RuleTolerance, Replicas: 4, Value: 1, Limit: 0.1}},
		"below it neither":                              {with(cpuPods(0.25, 0.25), unready(2)), 4, 0.5, Reason{Rule: RuleTarget, Replicas: 1, Value: 0.25, Limit: 0.5}},
		"less than twice the target, two start":         {with(cpuPods(0.9, 0.9), unready(2)), 4, 0.5, Reason{Rule: RuleMissing, Replicas: 4, Value: 2}},
		"much more, one starts":                         {with(cpuPods(2, 2), unready(1)), 3, 0.5, Reason{Rule: RuleTarget, Replicas: 8, Value: 2, Limit: 0.5}},
		"one without metrics may be busy":               {cpuPods(0.1, 0.1, 0.1, -1), 4, 0.5, Reason{Rule: RuleTarget, Replicas: 3, Value: 0.1, Limit: 0.5}},
		"three without may be busy":                     {cpuPods(0.05, -1, -1, -1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05), 12, 0.5, Reason{Rule: RuleTarget, Replicas: 7, Value: 0.05, Limit: 0.5}},
		"as busy as a target above all it asks for":     {cpuPods(0.5, 0.5, -1), 3, 2, Reason{Rule: RuleTarget, Replicas: 2, Value: 0.5, Limit: 2}},
		"at the target one without counts as idle":      {cpuPods(0.5, 0.5, 0.5, -1), 4, 0.5, Reason{Rule: RuleMissing, Replicas: 4, Value: 1}},
		"when shrinking those that start do not count":  {with(cpuPods(0.1, 0.1, 0.1, -1), unready(9)), 13, 0.5, Reason{Rule: RuleTarget, Replicas: 3, Value: 0.1, Limit: 0.5}},
		"busy ones without metrics would turn it round": {with(cpuPods(0.4, -1), unready(2)), 4, 0.5, Reason{Rule: RuleMissing, Replicas: 4, Value: 3}},
		"growing to fewer than there are: nothing":      {with(cpuPods(1.2, 1.2), unready(1)), 9, 0.5, Reason{Rule: RuleMissing, Replicas: 9, Value: 1}},
		"shrinking to more than there are: nothing":     {cpuPods(0.2, 0.2, 0.2, 0.2, 0.2, -1), 3, 0.5, Reason{Rule: RuleMissing, Replicas: 3, Value: 1}},
		"growing to as many as there are":               {with(cpuPods(1.2, 1.2), unready(1)), 5, 0.5, Reason{Rule: RuleTarget, Replicas: 5, Value: 1.2, Limit: 0.5}},
		"shrinking to as many as there are":             {cpuPods(0.2, 0.2, 0.2, 0.2, 0.2, -1), 4, 0.5, Reason{Rule: RuleTarget, Replicas: 4, Value: 0.2, Limit: 0.5}},
	} {
		p := NewHPACPU(HPACPUConfig{Target: test.target})
		var d Decision
		got, ok := p.recommend(&d, start, Snapshot{At: start, Desired: test.desired, Replicas: test.pods})
		reason := d.Because()
		reason.Value = float64(int(reason.Value*1e6+0.5)) / 1e6
		if reason != test.want || ok && got != test.want.Replicas {
			t.Errorf("%s: %d, %v because of %+v, want %+v", name, got, ok, reason, test.want)
		}
	}
	var d Decision
	NewHPACPU(HPACPUConfig{}).recommend(&d, start, Snapshot{At: start, Desired: 2, Replicas: cpuPods(1, 2)})
	near(t, "figure cpu_ratio", d.Figure("cpu_ratio"), 1.5)
}

// TestHPACPUUnready checks the boundaries of its periods.
func TestHPACPUUnready(t *testing.T) {
	t.Parallel()
	window := Window{End: start, Length: 15 * time.Second}
	p := NewHPACPU(HPACPUConfig{})
	for name, test := range map[string]struct {
		r    Replica
		want bool
	}{
		"ready for a window":                  {Replica{Ready: true, Created: ago(time.Minute), ReadyAt: ago(15 * time.Second)}, false},
		"ready for just less":                 {Replica{Ready: true, Created: ago(time.Minute), ReadyAt: ago(15*time.Second - 1)}, true},
		"unready, not yet five minutes old":   {Replica{Created: ago(5*time.Minute - 1), ReadyAt: ago(4 * time.Minute)}, true},
		"unready, five minutes old":           {Replica{Created: ago(5 * time.Minute), ReadyAt: ago(4 * time.Minute)}, false},
		"unready 30 s after it was made":      {Replica{Created: ago(time.Hour), ReadyAt: ago(time.Hour - 30*time.Second)}, false},
		"unready just before":                 {Replica{Created: ago(time.Hour), ReadyAt: ago(time.Hour - 30*time.Second + 1)}, true},
		"old and ready, whenever it began to": {Replica{Ready: true, Created: ago(time.Hour), ReadyAt: ago(time.Hour - 1)}, false},
	} {
		test.r.CPUWindow = window
		if got := p.unready(start, &test.r); got != test.want {
			t.Errorf("%s: unready %v, want %v", name, got, test.want)
		}
	}
}

// TestHPACPULooksEach15Seconds checks that it also does nothing without data.
func TestHPACPULooksEach15Seconds(t *testing.T) {
	t.Parallel()
	p := NewHPACPU(HPACPUConfig{})
	for second, want := range map[int]int{0: 2} {
		if d := p.Decide(start.Add(time.Duration(second)*time.Second), Snapshot{Desired: 1, Replicas: cpuPods(1.4)}); d.Replicas != want {
			t.Errorf("after %d s %d replicas, want %d", second, d.Replicas, want)
		}
	}
	if d := p.Decide(start.Add(14*time.Second), Snapshot{Desired: 2, Replicas: cpuPods(1.4, 1.4)}); d.Replicas != 2 || len(d.Reasons) != 0 {
		t.Errorf("14 s later: %d replicas, %v; want no look", d.Replicas, d.Reasons)
	}
	before := p.state
	if d := p.Decide(start.Add(15*time.Second), Snapshot{Desired: 2, Replicas: cpuPods(-1, -1)}); d.Replicas != 2 || d.Because().Rule != RuleMissing || len(p.state.Recommendations) != len(before.Recommendations) {
		t.Errorf("without metrics: %d replicas, %v; recommendations %v, want as before", d.Replicas, d.Reasons, p.state.Recommendations)
	}
}

// TestHPAExternalMetrics checks the value of each metric and its target per replica.
func TestHPAExternalMetrics(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		metric  Metric
		desired int
		want    Reason
	}{
		"queue":                 {MetricQueue, 1, Reason{Rule: RuleTarget, Replicas: 3, Value: 24, Limit: 10}},
		"in the system":         {MetricInSystem, 1, Reason{Rule: RuleTarget, Replicas: 4, Value: 36, Limit: 10}},
		"rate":                  {MetricRate, 1, Reason{Rule: RuleTarget, Replicas: 5, Value: 50, Limit: 10}},
		"tolerated":             {MetricRate, 5, Reason{Rule: RuleTolerance, Replicas: 5, Value: 1, Limit: 0.1}},
		"off":                   {MetricQueue, 0, Reason{Rule: RuleOff}},
		"shrinking by the rate": {MetricRate, 9, Reason{Rule: RuleTarget, Replicas: 5, Value: 50, Limit: 10}},
	} {
		p := NewHPAExternal(HPAExternalConfig{HPAConfig: HPAConfig{Behavior: &HPABehavior{Down: ScalingRules{Stabilization: -1}}}, Metric: test.metric})
		p.state.Rate.Totals = []point{{ago(20 * time.Second), 1000}}
		s := Snapshot{At: start, Queue: 24, InFlight: 12, Desired: test.desired, Replicas: make([]Replica, test.desired)}
		s.Offered = 2000
		d := p.Decide(start, s)
		if got := d.Reasons[0]; got != test.want || test.desired > 0 && d.Figure("metric_value") != map[Metric]float64{MetricQueue: 24, MetricInSystem: 36, MetricRate: 50}[test.metric] {
			t.Errorf("%s: %+v with %v, want %+v", name, got, d.Figures, test.want)
		}
	}
	// The pods that exist count, wanted or not, but not those that stop.
	p := NewHPAExternal(HPAExternalConfig{})
	if d := p.Decide(start, Snapshot{At: start, Queue: 40, Desired: 3, Replicas: append(make([]Replica, 4), Replica{Stopping: true})}); d.Reasons[0] != (Reason{Rule: RuleTolerance, Replicas: 4, Value: 1, Limit: 0.1}) {
		t.Errorf("40 for the 4 that exist: %+v, want them tolerated", d.Reasons[0])
	}
	p.state.Clock = clock{}
	if d := p.Decide(start, Snapshot{At: start, Queue: 20, Desired: 1}); d.Reasons[0] != (Reason{Rule: RuleTarget, Replicas: 2, Value: 20, Limit: 10}) {
		t.Errorf("20, while no pod exists: %+v, want two", d.Reasons[0])
	}
	for age, rule := range map[time.Duration]Rule{15 * time.Second: RuleTarget, 15*time.Second + 1: RuleStale} {
		p.state.Clock = clock{}
		if d := p.Decide(start, Snapshot{At: ago(age), Queue: 50, Desired: 1}); d.Reasons[0].Rule != rule {
			t.Errorf("figures %s old: %v, want %q", age, d.Reasons, rule)
		}
	}
	p.state.Clock = clock{}
	if d := p.Decide(start, Snapshot{At: ago(20 * time.Second), Desired: 4}); d.Because() != (Reason{Rule: RuleStale, Replicas: 4, Value: 20, Limit: 15}) {
		t.Errorf("figures 20 s old: %+v", d.Because())
	}
	p.state.Clock = clock{}
	if d := p.Decide(start, Snapshot{Desired: 4}); d.Because() != (Reason{Rule: RuleStale, Replicas: 4, Value: 1e6, Limit: 15}) {
		t.Errorf("no figures: %+v, want an age of a million seconds", d.Because())
	}
}

// TestMeanRate checks the difference of the newest and the oldest total within the window, divided by the time between them.
func TestMeanRate(t *testing.T) {
	t.Parallel()
	var m meanRate
	observe := func(second int, offered int64) float64 {
		s := Snapshot{At: start.Add(time.Duration(second) * time.Second)}
		s.Offered = offered
		return m.observe(s, time.Minute)
	}
	near(t, "rate without a reading", m.observe(Snapshot{}, time.Minute), 0)
	near(t, "rate of one reading", observe(0, 1000), 0)
	near(t, "rate of two", observe(10, 1100), 10)
	near(t, "rate when nothing is new", observe(10, 9999), 10)
	near(t, "rate when something older comes", observe(5, 9999), 10)
	near(t, "rate of a minute", observe(60, 2200), 20)
	near(t, "rate when the first reading is older than a minute", observe(61, 2221), 1121./51)
	near(t, "rate of counters that went back", observe(62, 0), 0)
}
