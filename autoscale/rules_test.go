package autoscale

import (
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
)

// TestThresholdDefaults are the prototype's, but for the limits; what is set is kept.
func TestThresholdDefaults(t *testing.T) {
	t.Parallel()
	want := ThresholdConfig{Limits: Limits{Min: 1, Max: 50}, Poll: 5 * time.Second, Queue: 50, Emergency: 100, Latency: 400 * time.Millisecond,
		Errors: 5, Utilization: 40, UpCooldown: 10 * time.Second, DownCooldown: time.Minute}
	if got := NewThreshold(ThresholdConfig{}).cfg; got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
	set := ThresholdConfig{Limits: Limits{Min: 2, Max: 3}, Poll: 1, Queue: 2, Emergency: 3, Latency: 4, Errors: 5.5, Utilization: 6, UpCooldown: 7, DownCooldown: 8}
	if got := NewThreshold(set).cfg; got != set {
		t.Errorf("defaults change %+v to %+v", set, got)
	}
}

// TestThresholdLimits checks that each rule applies from its limit on, and that the reason has value and limit.
func TestThresholdLimits(t *testing.T) {
	t.Parallel()
	// 1000 images in 100 s, 50 ms each at a replica and 50 ms in the queue: quiet.
	quiet := Snapshot{QueueCapacity: 200, Desired: 6}
	quiet.Offered, quiet.Completed, quiet.Uptime = 1000, 1000, 100*time.Second
	quiet.Service, quiet.Queueing = 50*time.Second, 50*time.Second
	few := ThresholdConfig{Limits: Limits{Min: 5}}
	for name, test := range map[string]struct {
		cfg    ThresholdConfig
		change func(*Snapshot)
		want   Reason
	}{
		"100 wait":                 {few, func(s *Snapshot) { s.Queue = 100 }, Reason{Rule: RuleEmergency, Replicas: 12, Value: 100, Limit: 100}},
		"99 wait":                  {few, func(s *Snapshot) { s.Queue = 99 }, Reason{Rule: RuleQueue, Replicas: 7, Value: 99, Limit: 50}},
		"50 wait":                  {few, func(s *Snapshot) { s.Queue = 50 }, Reason{Rule: RuleQueue, Replicas: 7, Value: 50, Limit: 50}},
		"49 wait":                  {few, func(s *Snapshot) { s.Queue = 49 }, Reason{Rule: RuleSteady, Replicas: 6}},
		"answers of half a second": {ThresholdConfig{Limits: Limits{Min: 5}, Latency: time.Second / 2}, func(s *Snapshot) { s.Service, s.Queueing = 250*time.Second, 250*time.Second }, Reason{Rule: RuleLatency, Replicas: 7, Value: 0.5, Limit: 0.5}},
		"of just less than 400 ms": {few, func(s *Snapshot) { s.Queueing = 349 * time.Second }, Reason{Rule: RuleSteady, Replicas: 6}},
		"5 % fail":                 {few, func(s *Snapshot) { s.Failed, s.Refused = 20, 30 }, Reason{Rule: RuleErrors, Replicas: 7, Value: 5, Limit: 5}},
		"just less":                {few, func(s *Snapshot) { s.Failed, s.Refused = 20, 29 }, Reason{Rule: RuleSteady, Replicas: 6}},
		"40 % full":                {few, func(s *Snapshot) { s.Queue, s.QueueCapacity = 40, 100 }, Reason{Rule: RuleUtilization, Replicas: 7, Value: 40, Limit: 40}},
		"39 % full":                {few, func(s *Snapshot) { s.Queue, s.QueueCapacity = 39, 100 }, Reason{Rule: RuleSteady, Replicas: 6}},
		"quiet":                    {few, func(*Snapshot) {}, Reason{Rule: RuleIdle, Replicas: 5}},
		"quiet, nothing ever":      {few, func(s *Snapshot) { s.Counters = Counters{} }, Reason{Rule: RuleIdle, Replicas: 5}},
		"one waits":                {few, func(s *Snapshot) { s.Queue = 1 }, Reason{Rule: RuleSteady, Replicas: 6}},
		"answers of 200 ms":        {few, func(s *Snapshot) { s.Queueing = 150 * time.Second }, Reason{Rule: RuleSteady, Replicas: 6}},
		"of just less than 200":    {few, func(s *Snapshot) { s.Queueing = 149 * time.Second }, Reason{Rule: RuleIdle, Replicas: 5}},
		"2.5 % fail":               {few, func(s *Snapshot) { s.Failed = 25 }, Reason{Rule: RuleSteady, Replicas: 6}},
		"2.4 % fail":               {few, func(s *Snapshot) { s.Failed = 24 }, Reason{Rule: RuleIdle, Replicas: 5}},
		"as few as allowed":        {few, func(s *Snapshot) { s.Desired = 5 }, Reason{Rule: RuleSteady, Replicas: 5}},
		"no queue known":           {few, func(s *Snapshot) { s.Queue, s.QueueCapacity = 1, 0 }, Reason{Rule: RuleUtilization, Replicas: 7, Value: 100, Limit: 40}},
		"nothing offered, one":     {few, func(s *Snapshot) { s.Offered, s.Failed = 0, 1 }, Reason{Rule: RuleErrors, Replicas: 7, Value: 100, Limit: 5}},
		"nothing answered, 1 s":    {few, func(s *Snapshot) { s.Completed, s.Service, s.Queueing = 0, time.Second, 0 }, Reason{Rule: RuleLatency, Replicas: 7, Value: 1, Limit: 0.4}},
		"Little's law: 10/s, 1 s":  {few, func(s *Snapshot) { s.Queue, s.Service = 50, 1000*time.Second }, Reason{Rule: RuleQueue, Replicas: 15, Value: 50, Limit: 50}},
		"in the first second":      {few, func(s *Snapshot) { s.Queue, s.Uptime = 50, 0; s.Completed, s.Service = 100, 10*time.Second }, Reason{Rule: RuleQueue, Replicas: 15, Value: 50, Limit: 50}},
	} {
		s := quiet
		test.change(&s)
		got := NewThreshold(test.cfg).rule(s)
		got.Value = math.Round(got.Value*1e9) / 1e9
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// TestThresholdCooldowns checks that scaling up waits 10 s after the last time, scaling down 60 s; each direction has its own.
func TestThresholdCooldowns(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		queue    int
		up, down time.Duration // since the last changes
		want     int
		rule     Rule
	}{
		"up after 10 s":            {50, 10 * time.Second, 0, 7, RuleQueue},
		"up after just less":       {50, 10*time.Second - 1, time.Hour, 6, RuleCooldown},
		"down after a minute":      {0, 0, time.Minute, 5, RuleIdle},
		"down after just less":     {0, time.Hour, time.Minute - 1, 6, RuleCooldown},
		"no change needs no leave": {1, 0, 0, 6, RuleSteady},
	} {
		p := NewThreshold(ThresholdConfig{Limits: Limits{Min: 5}})
		p.state.Up, p.state.Down = ago(test.up), ago(test.down)
		before := p.state
		d := p.Decide(start, Snapshot{At: start, Queue: test.queue, QueueCapacity: 200, Desired: 6})
		if d.Replicas != test.want || d.Because().Rule != test.rule {
			t.Errorf("%s: %d because of %v, want %d because of %q", name, d.Replicas, d.Because(), test.want, test.rule)
		}
		wantUp, wantDown := before.Up, before.Down
		switch {
		case test.want > 6:
			wantUp = start
		case test.want < 6:
			wantDown = start
		}
		if !p.state.Up.Equal(wantUp) || !p.state.Down.Equal(wantDown) {
			t.Errorf("%s: last changes up %v, down %v, want %v, %v", name, p.state.Up, p.state.Down, wantUp, wantDown)
		}
	}
	p := NewThreshold(ThresholdConfig{})
	p.state.Up = ago(4 * time.Second)
	if got := p.Decide(start, Snapshot{At: start, Queue: 50, QueueCapacity: 200, Desired: 6}).Because(); got != (Reason{Rule: RuleCooldown, Replicas: 6, Value: 4, Limit: 10}) {
		t.Errorf("reason %+v, want that 4 of 10 s have passed", got)
	}
	if d := NewThreshold(ThresholdConfig{Limits: Limits{Max: 9}}).Decide(start, Snapshot{At: start, Queue: 100, QueueCapacity: 200, Desired: 6}); d.Replicas != 9 || d.Because().Rule != RuleMax {
		t.Errorf("twice as many as 6 when 9 are allowed: %d because of %v", d.Replicas, d.Because())
	}
}

// TestThresholdStale checks that figures older than the policy's interval are not used.
func TestThresholdStale(t *testing.T) {
	t.Parallel()
	for age, rule := range map[time.Duration]Rule{5 * time.Second: RuleQueue, 5*time.Second + 1: RuleStale} {
		if d := NewThreshold(ThresholdConfig{}).Decide(start, Snapshot{At: ago(age), Queue: 50, QueueCapacity: 200, Desired: 6}); d.Because().Rule != rule {
			t.Errorf("figures %s old: %v, want %q", age, d.Because(), rule)
		}
	}
	if d := NewThreshold(ThresholdConfig{}).Decide(start, Snapshot{At: ago(7 * time.Second), Queue: 50, Desired: 6}); d.Because() != (Reason{Rule: RuleStale, Replicas: 6, Value: 7, Limit: 5}) {
		t.Errorf("figures 7 s old: %+v", d.Because())
	}
	if d := NewThreshold(ThresholdConfig{}).Decide(start, Snapshot{Queue: 50, Desired: 6}); d.Because() != (Reason{Rule: RuleStale, Replicas: 6, Value: 1e6, Limit: 5}) {
		t.Errorf("no figures: %+v, want an age of a million seconds", d.Because())
	}
}

// TestClock checks that a policy with an interval of 15 s keeps its times, and does not look more often after it was late.
func TestClock(t *testing.T) {
	t.Parallel()
	var c clock
	at := func(second float64) bool {
		return c.due(start.Add(time.Duration(second*float64(time.Second))), 15*time.Second)
	}
	for _, look := range []struct {
		second float64
		want   bool
	}{{0, true}, {1, false}, {14.9, false}, {15, true}, {30.5, true}, {44.9, false}, {45, true}, // half a second late does not shift it
		{90, true}, {91, false}, {104.9, false}, {105, true}, // a missed look is not repeated
	} {
		if got := at(look.second); got != look.want {
			t.Errorf("after %v s: looks %v, want %v", look.second, got, look.want)
		}
	}
}

// TestPoints checks that since keeps points that are not older than a time; the maximum and mean of none are 0.
func TestPoints(t *testing.T) {
	t.Parallel()
	points := []point{{ago(3 * time.Second), 1}, {ago(2 * time.Second), 5}, {ago(time.Second), 3}}
	for seconds, want := range map[int]int{4: 3, 3: 3, 2: 2, 1: 1, 0: 0} {
		if got := since(points, ago(time.Duration(seconds)*time.Second)); len(got) != want || want > 0 && got[want-1].Value != 3 {
			t.Errorf("since %d s ago: %v, want the last %d", seconds, got, want)
		}
	}
	near(t, "largest", largest(points), 5)
	near(t, "mean", mean(points), 3)
	near(t, "mean of one", mean(points[1:2]), 5)
	near(t, "largest of none", largest(nil), 0)
	near(t, "mean of none", mean(nil), 0)
}

// TestLimitsDefaults checks 1 to 50, or up to the minimum if that is larger.
func TestLimitsDefaults(t *testing.T) {
	t.Parallel()
	for limits, want := range map[Limits]Limits{{}: {1, 50}, {Min: 3}: {3, 50}, {Max: 7}: {1, 7}, {Min: 60}: {60, 60}, {Min: 2, Max: 4}: {2, 4}} {
		if got := limits.withDefaults(); got != want {
			t.Errorf("%+v becomes %+v, want %+v", limits, got, want)
		}
	}
	l := Limits{Min: 2, Max: 4}
	for n, want := range map[int]struct {
		n    int
		rule Rule
	}{1: {2, RuleMin}, 2: {2, ""}, 3: {3, ""}, 4: {4, ""}, 5: {4, RuleMax}} {
		if got, rule := l.clamp(n); got != want.n || rule != want.rule {
			t.Errorf("clamp(%d) = %d, %q, want %d, %q", n, got, rule, want.n, want.rule)
		}
	}
}

// TestBoundSaysWhatWasWanted checks that it names the number that was wanted, and changes nothing within the limits.
func TestBoundSaysWhatWasWanted(t *testing.T) {
	t.Parallel()
	d := Decision{Replicas: 9}
	d.bound(Limits{Min: 2, Max: 4})
	if d.Replicas != 4 || len(d.Reasons) != 1 || d.Reasons[0] != (Reason{Rule: RuleMax, Replicas: 4, Value: 9}) {
		t.Errorf("9 bounded to 4: %d because of %+v", d.Replicas, d.Reasons)
	}
	d = Decision{Replicas: 3}
	if d.bound(Limits{Min: 2, Max: 4}); len(d.Reasons) != 0 || d.Because() != (Reason{Rule: RuleSteady, Replicas: 3}) {
		t.Errorf("3 bounded: reasons %+v, because of %+v; want none, steady", d.Reasons, d.Because())
	}
}

// TestEveryRuleHasASentence checks that each sentence mentions its figures and no others.
func TestEveryRuleHasASentence(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("decision.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[Rule]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(Rule\w+) +Rule = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		rules[Rule(m[2])] = m[1]
	}
	if len(rules) < 20 {
		t.Fatalf("only %d rules were found in decision.go", len(rules))
	}
	for rule, name := range rules {
		if sentences[rule] == "" {
			t.Errorf("%s has no sentence", name)
		}
	}
	for rule := range sentences {
		if rules[rule] == "" {
			t.Errorf("the sentence of %q belongs to no rule", rule)
		}
		if got := (Reason{Rule: rule, Replicas: 2, Value: 3, Limit: 4}).String(); strings.Contains(got, "%v") || strings.Contains(got, "%d") {
			t.Errorf("%s: %q", rule, got)
		}
	}
	for rule := range keeps {
		if rules[rule] == "" {
			t.Errorf("keeps has %q, which is no rule", rule)
		}
	}
}

// Figure is the value of the figure with a name, 0 if there is none.
func (d Decision) Figure(name string) float64 {
	for _, f := range d.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	return 0
}

// TestStay checks that between its times a policy changes nothing, and signs with its name.
func TestStay(t *testing.T) {
	t.Parallel()
	d := stay("name", start, Snapshot{Desired: 4})
	if d.Policy != "name" || !d.At.Equal(start) || d.Replicas != 4 || d.Was != 4 || d.Reasons != nil {
		t.Errorf("stay = %+v", d)
	}
}

// TestAgeIsNotNegative checks that clocks may differ, and that a replica has at least one worker.
func TestAgeIsNotNegative(t *testing.T) {
	t.Parallel()
	if got := (Snapshot{At: start.Add(time.Second)}).Age(start); got != 0 {
		t.Errorf("age of figures from the future = %s, want 0", got)
	}
	if got := (Snapshot{}).Workers(); got != 1 {
		t.Errorf("workers when nobody serves = %v, want 1", got)
	}
	replica := func(change func(*Replica)) Replica {
		r := Replica{Ready: true, ReadyAt: start, Workers: 3}
		change(&r)
		return r
	}
	s := Snapshot{Replicas: []Replica{replica(func(*Replica) {}), replica(func(r *Replica) { r.Workers = 0 }),
		replica(func(r *Replica) { r.Ready, r.Workers = false, 9 }), replica(func(r *Replica) { r.Stopping, r.Workers = true, 9 })}}
	if got := s.Workers(); got != 2 {
		t.Errorf("workers of 3 and an unknown number = %v, want 2", got)
	}
	if got := (Snapshot{Replicas: []Replica{{ReadyAt: start}, {Stopping: true}}}).Starting(); got != 0 {
		t.Errorf("%d start, want none: one has served, one leaves", got)
	}
}

// TestOracleStaffs checks that it uses the highest rate until a second after replicas started now serve, as Deadline does.
func TestOracleStaffs(t *testing.T) {
	t.Parallel()
	const mu = 20
	oracle := func(slo time.Duration, limits Limits, rate func(second int) float64) Decision {
		p := &Oracle{SLO: slo, Ahead: 5 * time.Second, Limits: limits, Mu: func(time.Time) float64 { return mu },
			Rate: func(now time.Time) float64 { return rate(int(now.Sub(start).Seconds())) }}
		return p.Decide(start, Snapshot{Desired: 3})
	}
	servers := func(rate, slack float64) int { return queueing.Servers(rate, mu, 0.625, slack, 0.005, 1000) }
	step := func(at int) func(int) float64 {
		return func(second int) float64 {
			if second < at {
				return 100
			}
			return 300
		}
	}
	for at, rate := range map[int]float64{0: 300, 1: 300, 5: 300, 6: 300, 7: 100} {
		d := oracle(500*time.Millisecond, Limits{}, step(at))
		if want := (Reason{Rule: RuleRate, Replicas: servers(rate, 0.42), Value: rate, Limit: mu}); d.Because() != want {
			t.Errorf("300/s from second %d on: %+v, want %+v", at, d.Because(), want)
		}
	}
	for at := range 7 { // one second of it is enough
		pulse := func(second int) float64 {
			if second == at {
				return 300
			}
			return 100
		}
		if d := oracle(500*time.Millisecond, Limits{}, pulse); d.Replicas != servers(300, 0.42) {
			t.Errorf("300/s in second %d only: %d replicas", at, d.Replicas)
		}
	}
	for slo, slack := range map[time.Duration]float64{500 * time.Millisecond: 0.42, 60 * time.Millisecond: 0.003} {
		for rate := 25.; rate <= 900; rate += 25 {
			if d, want := oracle(slo, Limits{Max: 100}, func(int) float64 { return rate }), servers(rate, slack); d.Replicas != want {
				t.Errorf("%v/s with an SLO of %s: %d replicas, want %d", rate, slo, d.Replicas, want)
			}
		}
	}
	if d := oracle(time.Second, Limits{Min: 4, Max: 7}, step(0)); d.Replicas != 7 {
		t.Errorf("300/s when 7 are allowed: %d replicas", d.Replicas)
	}
	if d := oracle(time.Second, Limits{Min: 4, Max: 7}, func(int) float64 { return 1 }); d.Replicas != 4 || d.Because().Rule != RuleMin {
		t.Errorf("1/s when 4 are the least: %d replicas because of %v", d.Replicas, d.Because())
	}
	first := 0
	d := oracle(500*time.Millisecond, Limits{}, func(second int) float64 { first = max(first, second); return 100 + float64(second)/1e6 })
	if d.Because().Value != 100 || first != 6 {
		t.Errorf("as many are needed at all times: because of %+v, having looked %d s ahead; want the first, 6 s", d.Because(), first)
	}
}
