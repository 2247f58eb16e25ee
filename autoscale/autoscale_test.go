package autoscale

import (
	"testing"
	"time"
)

func TestReasonReads(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Reason{
		"rate: 7 replicas, because 128 images/s are expected and one replica handles 20.1":                                        {Rule: RuleRate, Replicas: 7, Value: 128.4, Limit: 20.06},
		"rate: 7 replicas, because 128 images/s are expected and one replica handles 20.1, and arrivals have a dispersion of 1.5": {Rule: RuleRate, Replicas: 7, Value: 128.4, Limit: 20.06, Dispersion: 1.5},
		"errors: 2 replicas, because 7 % of requests fail and the limit is 5 %":                                                   {Rule: RuleErrors, Replicas: 2, Value: 7, Limit: 5},
		"hold: keeping 3, because 3 were needed in the last 60 s":                                                                 {Rule: RuleHold, Replicas: 3, Value: 60},
		"min: 1 replica, because that is the minimum":                                                                             {Rule: RuleMin, Replicas: 1},
		"steady: keeping 1, because nothing calls for a change":                                                                   {Rule: RuleSteady, Replicas: 1},
	} {
		if got := r.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

// TestDecisionIsBounded checks that the bound is the last reason and names the number that was wanted.
func TestDecisionIsBounded(t *testing.T) {
	t.Parallel()
	limits := Limits{Min: 2, Max: 10}
	for _, c := range []struct {
		wanted, want int
		rule         Rule
	}{{1, 2, RuleMin}, {2, 2, RuleRate}, {10, 10, RuleRate}, {11, 10, RuleMax}} {
		var d Decision
		d.decide(Reason{Rule: RuleRate, Replicas: c.wanted})
		d.bound(limits)
		if d.Replicas != c.want || d.Because().Rule != c.rule {
			t.Errorf("%d bounded: %d because of %q, want %d because of %q", c.wanted, d.Replicas, d.Because().Rule, c.want, c.rule)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for limits, ok := range map[Limits]bool{
		{}: true, {Min: 60}: true, {Min: 5, Max: 5}: true, {Min: 5, Max: 4}: false, {Min: ToZero}: true, {Min: -2}: false, {Min: ToZero, Max: -1}: false, {Max: -1}: false,
	} {
		if err := limits.Validate(); (err == nil) != ok {
			t.Errorf("%+v.Validate() = %v, want error: %v", limits, err, !ok)
		}
	}
}

func TestSnapshotCounts(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	s := Snapshot{At: now, Replicas: []Replica{
		{Ready: true, ReadyAt: now, Workers: 2},
		{Ready: true, ReadyAt: now},
		{Ready: true, ReadyAt: now, Stopping: true, Workers: 9},
		{},                             // starts
		{ReadyAt: now},                 // was ready, is not now
		{Created: now, Stopping: true}, // given up before it served
	}}
	if s.Ready() != 2 || s.Starting() != 1 || s.Workers() != 1.5 {
		t.Errorf("Ready %d, Starting %d, Workers %v, want 2, 1, 1.5", s.Ready(), s.Starting(), s.Workers())
	}
	if age := s.Age(now.Add(time.Second)); age != time.Second {
		t.Errorf("Age = %v, want 1s", age)
	}
	if age := (Snapshot{}).Age(now); age < 1000*time.Hour {
		t.Errorf("Age of nothing = %v, want very long", age)
	}
}
