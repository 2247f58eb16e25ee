package autoscaler

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// function is a policy that decides by the snapshot alone, at a fixed interval.
type function struct {
	every  int
	decide func(s autoscale.Snapshot) int
	at     time.Time
	err    error
}

func (*function) Name() string             { return "function" }
func (f *function) State() ([]byte, error) { return []byte("{}"), f.err }
func (f *function) Restore([]byte) error   { return f.err }

func (f *function) Decide(now time.Time, s autoscale.Snapshot) autoscale.Decision {
	d := autoscale.Decision{At: now, Policy: "function", Replicas: s.Desired, Was: s.Desired}
	if second := int(now.Sub(f.at).Seconds()); f.every == 0 || second%f.every == 0 {
		d.Replicas = f.decide(s)
		d.Reasons = []autoscale.Reason{{Rule: autoscale.RuleFixed, Replicas: d.Replicas}}
	}
	return d
}

// explaining is an explainer at a second in which 20 of 200 images/s were refused, two failed, and a queue of 7 was seen.
func explaining(every int, decide func(autoscale.Snapshot) int) *explainer {
	at := time.Unix(1_000_000, 0)
	before := autoscale.Snapshot{At: at.Add(-2 * time.Second), Desired: 3, Queue: 9, QueueCapacity: 200,
		Counters: autoscale.Counters{Uptime: 98 * time.Second, Offered: 1000, Refused: 100, Completed: 800, Failed: 10, Service: 40 * time.Second, Queueing: 80 * time.Second}}
	last := autoscale.Snapshot{At: at, Desired: 3, Queue: 7, InFlight: 5, QueueCapacity: 200,
		Counters: autoscale.Counters{Uptime: 100 * time.Second, Offered: 1400, Refused: 140, Completed: 1150, Failed: 14, Service: 57500 * time.Millisecond, Queueing: 120 * time.Second}}
	return &explainer{make: func() autoscale.Policy { return &function{every: every, decide: decide, at: at} }, state: []byte("{}"),
		before: before, last: last, interval: time.Second}
}

// TestExplainerGoesOn checks that counters keep growing as they did between the last two snapshots.
func TestExplainerGoesOn(t *testing.T) {
	t.Parallel()
	x := explaining(0, nil)
	if got := x.rate(); got != 200 {
		t.Errorf("rate %v, want 200 images/s", got)
	}
	want := x.last
	want.At = want.At.Add(3 * time.Second)
	want.Counters = autoscale.Counters{Uptime: 103 * time.Second, Offered: 1400 + 600, Refused: 140 + 60, Completed: 1150 + 525, Failed: 14 + 6,
		Service: 57500*time.Millisecond + 26250*time.Millisecond, Queueing: 180 * time.Second}
	if diff := cmp.Diff(want, x.ahead(3)); diff != "" {
		t.Errorf("3 s later (-want +got):\n%s", diff)
	}
	x.interval = 2 * time.Second
	want.At = x.last.At.Add(4 * time.Second)
	if got := x.ahead(2); got.Offered != 1400+800 || !got.At.Equal(want.At) {
		t.Errorf("two intervals of 2 s later: %d offered at %v, want 2200 at %v", got.Offered, got.At, want.At)
	}
	x.before.At = x.last.At // the same reading twice
	if got := x.rate(); math.IsInf(got, 0) || math.IsNaN(got) {
		t.Errorf("rate %v of one reading", got)
	}
	if got := x.ahead(1); got.Offered < x.last.Offered {
		t.Errorf("%d offered after %d", got.Offered, x.last.Offered)
	}
}

// TestExplainerAsksUntilARuleSpeaks checks that a policy with an interval of 15 s gets its time, and one without a decision in 30 s does not.
func TestExplainerAsksUntilARuleSpeaks(t *testing.T) {
	t.Parallel()
	for every, want := range map[int]int{1: 1, 15: 15, 30: 30, 31: 0} {
		x := explaining(every, func(autoscale.Snapshot) int { return 9 })
		seconds := 0.0
		d, err := x.ask(func(_ *autoscale.Snapshot, s float64) { seconds = s })
		if err != nil {
			t.Fatal(err)
		}
		if spoke := len(d.Reasons) > 0; spoke != (want > 0) || spoke && seconds != float64(want) {
			t.Errorf("a policy that looks each %d s: spoke %v after %v s, want after %d", every, spoke, seconds, want)
		}
	}
	x := explaining(1, nil)
	broken := errors.New("broken")
	x.make = func() autoscale.Policy { return &function{err: broken} }
	if _, err := x.ask(func(*autoscale.Snapshot, float64) {}); !errors.Is(err, broken) {
		t.Errorf("ask of a policy that cannot restore its state: %v", err)
	}
	if _, err := x.later(); !errors.Is(err, broken) {
		t.Errorf("later of a policy that cannot restore its state: %v", err)
	}
}

// TestExplainerFindsTheLeastChange finds, to 1 or to a thousandth, the smallest change with another decision, up to the maximum.
func TestExplainerFindsTheLeastChange(t *testing.T) {
	t.Parallel()
	alter := func(s *autoscale.Snapshot, by, _ float64) { s.Queue = int(by) }
	for _, limit := range []int{1, 2, 3, 4, 5, 7, 8, 9, 100, 1000, 1001, 5000, 77777} {
		x := explaining(0, func(s autoscale.Snapshot) int {
			if s.Queue >= limit {
				return 4
			}
			return 3
		})
		for _, most := range []float64{float64(limit), float64(limit) + 1, 1e5} {
			by, d := x.smallest(most, 3, alter)
			if by < float64(limit) || by > float64(limit)+max(0.5, float64(limit)/500) || d.Replicas != 4 {
				t.Errorf("a change at %d of at most %v: found %v, %d replicas", limit, most, by, d.Replicas)
			}
		}
		if by, _ := x.smallest(float64(limit)-1, 3, alter); by != 0 {
			t.Errorf("a change at %d, at most one less: found %v", limit, by)
		}
	}
	// It doubles first: what is otherwise only between 5 and 8 is seen at 8, and looked for from 4 on.
	between := explaining(0, func(s autoscale.Snapshot) int {
		if 5 <= s.Queue && s.Queue <= 8 {
			return 4
		}
		return 3
	})
	if by, _ := between.smallest(1e5, 3, alter); by != 5 {
		t.Errorf("a change from 5 to 8 only: found %v, want 5", by)
	}
	always := explaining(0, func(autoscale.Snapshot) int { return 4 })
	if by, _ := always.smallest(0, 3, alter); by != 0 {
		t.Errorf("nothing may change: found %v", by)
	}
	if by, _ := always.smallest(-5, 3, alter); by != 0 {
		t.Errorf("less than nothing may change: found %v", by)
	}
	if by, d := always.smallest(0.5, 3, alter); by != 0.5 || d.Replicas != 4 {
		t.Errorf("half may change: found %v", by)
	}
}

// TestExplainerLooksAhead checks that it looks ten minutes ahead for the next change.
func TestExplainerLooksAhead(t *testing.T) {
	t.Parallel()
	for second, want := range map[int]bool{1: true, 2: true, 600: true, 601: false} {
		x := explaining(0, nil)
		at := x.last.At.Add(time.Duration(second) * time.Second)
		x.make = func() autoscale.Policy {
			return &function{decide: func(s autoscale.Snapshot) int {
				if s.At.Before(at) {
					return 3
				}
				return 2
			}}
		}
		then, err := x.later()
		if err != nil || (then != nil) != want {
			t.Errorf("a change in %d s: %+v, %v; want it seen: %v", second, then, err, want)
		}
		if then != nil && (then.Seconds != float64(second) || then.Replicas != 2 || then.Because.Rule != autoscale.RuleFixed) {
			t.Errorf("a change in %d s: %+v", second, then)
		}
	}
}

// TestExplainNamesEachChange has more and fewer images per second, a longer queue, a full queue, and more images at replicas.
func TestExplainNamesEachChange(t *testing.T) {
	t.Parallel()
	explain := func(decide func(s autoscale.Snapshot) int) Explanation {
		t.Helper()
		x := explaining(0, decide)
		a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(3), NewPolicy: x.make})
		a.previous, a.latest = x.before, x.last
		e, err := a.Explain()
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	offered := func(s autoscale.Snapshot) int64 { return s.Offered - explaining(0, nil).last.Offered } // in the next second
	when := func(condition bool) int {
		if condition {
			return 4
		}
		return 3
	}
	because := autoscale.Reason{Rule: autoscale.RuleFixed, Replicas: 4}
	for name, test := range map[string]struct {
		decide func(s autoscale.Snapshot) int
		want   []Change
	}{
		"never":                   {func(autoscale.Snapshot) int { return 3 }, []Change{}},
		"at 264 images/s":         {func(s autoscale.Snapshot) int { return when(offered(s) >= 264) }, []Change{{"images arriving per second", 200, 264, 4, because}}},
		"at 72 images/s":          {func(s autoscale.Snapshot) int { return when(offered(s) <= 72) }, []Change{{"images arriving per second", 200, 72, 4, because}}},
		"at 135 that wait":        {func(s autoscale.Snapshot) int { return when(s.Queue >= 135) }, []Change{{"images waiting", 7, 135, 4, because}}},
		"at 201 that wait":        {func(s autoscale.Snapshot) int { return when(s.Queue >= 201) }, []Change{}},
		"at 21 at replicas":       {func(s autoscale.Snapshot) int { return when(s.InFlight >= 21) }, []Change{{"images in progress", 5, 21, 4, because}}},
		"at 15,000 at replicas":   {func(s autoscale.Snapshot) int { return when(s.InFlight >= 15_000) }, []Change{}},
		"at 150,000 images/s":     {func(s autoscale.Snapshot) int { return when(offered(s) >= 150_000) }, []Change{}},
		"at one more that waits":  {func(s autoscale.Snapshot) int { return when(s.Queue >= 8) }, []Change{{"images waiting", 7, 8, 4, because}}},
		"above or below, by both": {func(s autoscale.Snapshot) int { return when(offered(s) >= 264 || offered(s) <= 72) }, []Change{{"images arriving per second", 200, 264, 4, because}, {"images arriving per second", 200, 72, 4, because}}},
	} {
		e := explain(test.decide)
		if diff := cmp.Diff(test.want, e.Changes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if e.Now.Replicas != 3 {
			t.Errorf("%s: decides on %d now", name, e.Now.Replicas)
		}
	}
	// A policy with an interval of 15 s sees 15 s of the change.
	x := explaining(15, func(s autoscale.Snapshot) int { return when(offered(s) >= 15*264 || offered(s) <= 15*72) })
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(3), NewPolicy: x.make})
	a.previous, a.latest = x.before, x.last
	want := []Change{{"images arriving per second", 200, 264, 4, because}, {"images arriving per second", 200, 72, 4, because}}
	if e, err := a.Explain(); err != nil || !cmp.Equal(want, e.Changes) {
		t.Errorf("looking each 15 s: %v %s", err, cmp.Diff(want, e.Changes))
	}
	if e := explain(func(s autoscale.Snapshot) int { return when(offered(s) >= 1000) }); e.Then == nil || e.Then.Seconds != 5 {
		t.Errorf("1000 images from now: then %+v, want in 5 s", e.Then)
	}
	if e := explain(func(autoscale.Snapshot) int { return 5 }); e.Then == nil || e.Then.Replicas != 5 || e.Then.Seconds != 1 || e.Now.Replicas != 5 {
		t.Errorf("a change at once: %+v", e)
	}
}

// TestExplainNeedsTwoReadings checks that it also needs a policy with a state.
func TestExplainNeedsTwoReadings(t *testing.T) {
	t.Parallel()
	x := explaining(0, func(autoscale.Snapshot) int { return 3 })
	a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(3), NewPolicy: x.make})
	for name, pair := range map[string][2]autoscale.Snapshot{"none": {}, "no last": {x.before, {}}, "no one before": {{}, x.last}} {
		a.previous, a.latest = pair[0], pair[1]
		if _, err := a.Explain(); !errors.Is(err, errTooEarly) {
			t.Errorf("%s: Explain = %v, want %v", name, err, errTooEarly)
		}
	}
	broken := errors.New("broken")
	a.previous, a.latest, a.policy = x.before, x.last, &function{err: broken}
	if _, err := a.Explain(); !errors.Is(err, broken) {
		t.Errorf("Explain = %v, want %v", err, broken)
	}
	a.policy = x.make()
	a.cfg.NewPolicy = func() autoscale.Policy { return &function{err: broken} }
	if _, err := a.Explain(); !errors.Is(err, broken) {
		t.Errorf("Explain with copies that fail = %v, want %v", err, broken)
	}
}

// TestExplanationReads checks the text, line by line.
func TestExplanationReads(t *testing.T) {
	t.Parallel()
	steady := autoscale.Reason{Rule: autoscale.RuleSteady, Replicas: 3}
	e := Explanation{Now: autoscale.Decision{Policy: "p", Replicas: 4, Was: 3, Reasons: []autoscale.Reason{steady}, Figures: []autoscale.Figure{{Name: "rate", Value: 1.23456}}},
		Changes: []Change{{"images waiting", 0, 12, 5, steady}}, Then: &Later{7, 2, steady}}
	text := e.String()
	for _, want := range []string{"Policy p decides on 4 replicas, now 3:\n  steady: keeping 3, because nothing calls for a change\nBased on\n  rate ", " 1.235\n",
		"if\n  images waiting were 12 instead of 0 -> steady", "in 7 s -> steady"} {
		if !strings.Contains(text, want) {
			t.Errorf("text lacks %q:\n%s", want, text)
		}
	}
	text = Explanation{}.String()
	for _, want := range []string{"keeps 0 replicas", "if\n  (no single change would do)\n", "nothing changes for at least ten minutes"} {
		if !strings.Contains(text, want) {
			t.Errorf("text lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Based on\n") || strings.Contains(fmt.Sprint(e), "no single change") {
		t.Errorf("text has what there is not:\n%s\n%s", text, e)
	}
	data, err := json.Marshal(Explanation{Changes: []Change{}})
	if err != nil || strings.Contains(string(data), `"then"`) || !strings.Contains(string(data), `"changes":[]`) {
		t.Errorf("as JSON: %s, %v", data, err)
	}
}
