package autoscale

import "testing"

// TestDeadlineScalesToZero: a minute without an image removes all replicas, the first image starts one, and a load gets
// what it needs.
func TestDeadlineScalesToZero(t *testing.T) {
	t.Parallel()
	w := newWorld(NewDeadline(DeadlineConfig{Limits: Limits{Min: ToZero, Max: 50}}), 2, 10, 20)
	w.run(90)
	w.rate = 0
	w.run(59)
	if w.s.Desired == 0 {
		t.Error("no replica is left before a minute without an image has passed")
	}
	w.expect(t, 2, 0)
	w.expectRule(t, RuleZero)
	w.expect(t, 3600, 0)
	w.rate = 1
	w.run(1)
	if w.s.Desired != 1 {
		t.Errorf("an image waits: %d replicas, want 1; %v", w.s.Desired, w.decision.Reasons)
	}
	w.expectRule(t, RuleWake)
	w.run(10)
	if w.s.Queue > 0 || w.s.Desired == 0 {
		t.Errorf("ten seconds later %d wait for %d replicas", w.s.Queue, w.s.Desired)
	}
	w.rate = 0
	w.expect(t, 70, 0)
	w.rate = 100
	w.run(15)
	if w.s.Desired < 6 {
		t.Errorf("100 images/s: %d replicas, want 6 or more", w.s.Desired)
	}
}

// TestDeadlineWakes checks how many replicas are started when there is none.
func TestDeadlineWakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		queue   int
		arrived float64
		speed   speed
		want    int
		rule    Rule
	}{
		{"nothing", 0, 0, speed{20, 1}, 0, RuleZero},
		{"one waits", 1, 0, speed{20, 1}, 1, RuleWake},
		{"one is on its way", 0, 1, speed{20, 1}, 1, RuleWake},
		{"the example", 30, 0, speed{20, 1}, 4, RuleWake},
		{"an unknown speed", 30, 0, speed{}, 1, RuleWake},
		{"more than there may be", 1e6, 0, speed{20, 1}, 50, RuleMax},
	} {
		p := NewDeadline(DeadlineConfig{Limits: Limits{Min: ToZero}})
		p.state.Speed, p.state.Load = test.speed, *counts(test.arrived)
		p.state.Since, p.state.Last, p.state.Read = start, start, start
		d := p.Decide(start, Snapshot{At: start, Queue: test.queue})
		if d.Replicas != test.want || d.Because().Rule != test.rule {
			t.Errorf("%s: %d replicas because of %v, want %d because of %q", test.name, d.Replicas, d.Because(), test.want, test.rule)
		}
	}
	// With a minimum, 0 replicas are not for the policy to change.
	if d := NewDeadline(DeadlineConfig{}).Decide(start, Snapshot{At: start}); d.Because().Rule == RuleWake {
		t.Errorf("with a minimum of 1: %v", d.Reasons)
	}
}

// TestFewReplicasStay has the example of stayUpTo: a constant load between two sizes keeps the larger one.
func TestFewReplicasStay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rate    float64
		desired int
		want    int
	}{{9, 2, 2}, {2, 2, 1}, {300, 17, 16}} {
		p := steadily(DeadlineConfig{}, counts(repeat(200, test.rate)...))
		for range 100 {
			d := p.Decide(start, withReplicas(test.desired, test.desired, 0))
			p.state.Shrunk = start.Add(-shrinkPace)
			if d.Replicas != test.want {
				t.Errorf("%v images/s and %d replicas: %d, want %d; %v", test.rate, test.desired, d.Replicas, test.want, d.Reasons)
				break
			}
		}
	}
}
