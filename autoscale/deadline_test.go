package autoscale

import (
	"math"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
)

func deadlineWorld(replicas int, rate float64) *world {
	return newWorld(NewDeadline(DeadlineConfig{}), replicas, rate, 20)
}

// TestWorkedExample has the figures of the example beside the constants of the model.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	slack := slack(500*time.Millisecond, 20)
	needed := queueing.Servers(120, 20, queueing.Variability(1, serviceCV2), slack, defaultLate, 50)
	fitting := 20 * float64(needed) * slack * fittingShare
	for name, v := range map[string]struct{ got, want float64 }{
		"slack": {slack, 0.42}, "needed": {float64(needed), 7}, "fitting": {fitting, 29.4},
		"backlog": {fitting * backlogShare, 7.35}, "calm": {fitting * calmShare, 14.7},
	} {
		if math.Abs(v.got-v.want) > 1e-9 {
			t.Errorf("%s = %v, want %v", name, v.got, v.want)
		}
	}
}

// TestDeadlineStaffs checks that at a constant rate it uses the number of Erlang's formula, and shrinks to it by
// halves once it has enough samples.
func TestDeadlineStaffs(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(30, 300)
	w.expect(t, 30, 30)
	w.expectRule(t, RuleHistory)
	want := queueing.Servers(300, 20, 0.625, 0.42, 0.01, 50)
	if want != 16 {
		t.Fatalf("Servers = %d, want 16", want)
	}
	w.expect(t, 1, 23)
	w.expectRule(t, RuleShrink)
	w.expect(t, 2, 19)
	w.expect(t, 60, want)
	w.expectRule(t, RuleSteady)
}

// TestDeadlineStep triples the load: within two seconds more than enough replicas are started, for the images
// that arrive and those that wait; the surplus is removed when the first ones serve.
func TestDeadlineStep(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(6, 100)
	w.expect(t, 60, 6)
	w.rate = 300
	w.run(2)
	if n := w.s.Desired; n < 20 || n > 50 {
		t.Errorf("two seconds after the step: %d replicas, want 20 to 50", n)
	}
	w.run(5)
	if w.s.Queue > 200 {
		t.Errorf("seven seconds after the step %d images wait", w.s.Queue)
	}
	w.run(60)
	if n := w.s.Desired; n < 16 || n > 21 {
		t.Errorf("a minute after the step: %d replicas, want 16 and a margin", n)
	}
}

// TestDeadlineHolds checks that replicas are kept for ten start delays of 3 s, then removed in a few steps.
func TestDeadlineHolds(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(16, 300)
	w.expect(t, 60, 16)
	w.rate = 100
	w.expect(t, 26, 16)
	w.expectRule(t, RuleHold)
	w.run(60)
	if n := w.s.Desired; n < 6 || n > 8 {
		t.Errorf("long after: %d replicas, want 6 and a margin", n)
	}
}

// TestDeadlineMeasuresSpeed checks that slower replicas at the same load give more replicas.
func TestDeadlineMeasuresSpeed(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(16, 300)
	w.expect(t, 60, 16)
	w.mu = 14
	w.run(4)
	if n := w.s.Desired; n < 22 {
		t.Errorf("after replicas slowed down to 14/s: %d, want 22 or more", n)
	}
	if mu := w.decision.Figure("replica_images_per_second"); mu < 13.5 || mu > 14.5 {
		t.Errorf("speed of a replica is taken for %v, want 14", mu)
	}
}

// TestDeadlineIdle checks that without any image it shrinks to the minimum, but not before it has enough samples, and not
// while one waits.
func TestDeadlineIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(NewDeadline(DeadlineConfig{Limits: Limits{Min: 2, Max: 50}}), 12, 0, 20)
	w.expect(t, 30, 12)
	w.expectRule(t, RuleHistory)
	w.expect(t, 1, 7)
	w.expectRule(t, RuleShrink)
	w.expect(t, 60, 2)

	waits := newWorld(NewDeadline(DeadlineConfig{Limits: Limits{Min: 2, Max: 50}}), 12, 0, 0)
	waits.queue = 1
	waits.expect(t, 600, 12)
	waits.expectRule(t, RuleUnknown)
}

// TestDeadlineWorkers checks that replicas with two workers count as twice as fast.
func TestDeadlineWorkers(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(20, 300)
	w.workers = 2
	w.run(120)
	if n := w.s.Desired; n != 8 {
		t.Errorf("%d replicas of two workers, want 8", n)
	}
}

// TestDeadlineBlind checks that without figures it does not shrink after five seconds, and does nothing after ten.
func TestDeadlineBlind(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(16, 300)
	w.run(60)
	w.rate = 100
	w.run(24) // the hold is about to end
	w.blind = true
	w.expect(t, 8, 16)
	w.expectRule(t, RuleStale)
	w.expect(t, 100, 16)
	w.expectRule(t, RuleStale)
	w.blind = false
	w.expect(t, 1, 11) // figures are back

	never := newWorld(NewDeadline(DeadlineConfig{}), 7, 100, 20)
	never.blind = true
	never.expect(t, 600, 7)
}

// TestDeadlineForgetsOldState checks that an old state does not make it shrink.
func TestDeadlineForgetsOldState(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(6, 100)
	w.run(100)
	w.now = w.now.Add(time.Hour)
	w.set(20)
	w.run(4) // those start
	w.expect(t, 20, 20)
	w.expectRule(t, RuleHistory)
}

// TestDeadlineSkipsResets checks that a dispatcher that restarts, and so counts from zero, is not a drop of the load.
func TestDeadlineSkipsResets(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(16, 300)
	w.run(60)
	w.s.Counters = Counters{}
	w.run(1)
	if rate := w.decision.Figure("rate_images_per_second"); rate < 299 || rate > 301 {
		t.Errorf("rate %v after a reset, want 300", rate)
	}
	w.expect(t, 10, 16)
}

// TestDeadlineBounds checks that limits apply and are named as the reason.
func TestDeadlineBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(NewDeadline(DeadlineConfig{Limits: Limits{Min: 3, Max: 8}}), 5, 400, 20)
	w.expect(t, 10, 8)
	w.expectRule(t, RuleMax)
	w.rate = 1
	w.expect(t, 300, 3)
	w.expectRule(t, RuleMin)
}

// TestDeadlineMargin checks that a load gets a margin if it keeps jumping by a third when it is no longer held for, and
// otherwise not.
func TestDeadlineMargin(t *testing.T) {
	t.Parallel()
	w := newWorld(NewDeadline(DeadlineConfig{}), 16, 300, 20)
	w.run(150)
	if m := w.decision.Figure("margin_ratio"); m > 1.01 {
		t.Errorf("margin %v of a steady load, want 1", m)
	}
	for i := range 40 {
		w.rate = []float64{300, 400}[i%2]
		w.run(5)
	}
	if m := w.decision.Figure("margin_ratio"); m > 1.05 {
		t.Errorf("margin %v of a load that jumps while replicas are held for it, want almost none", m)
	}
	for range 8 {
		w.rate = 300
		w.run(60)
		w.rate = 400
		w.run(10)
	}
	w.rate = 300
	w.run(60)
	if m := w.decision.Figure("margin_ratio"); m < 1.06 || m > 1.2 {
		t.Errorf("margin %v of a load that jumps by a third each minute, want more, up to 0.9 * 4/3", m)
	}
}

func TestDeadlineConfigIsChecked(t *testing.T) {
	t.Parallel()
	for cfg, ok := range map[DeadlineConfig]bool{
		{}: true, {SLO: time.Second, Late: 0.01, MarginQuantile: -1}: true, {Hedge: -1}: true,
		{SLO: 1, DrainTime: 1, HoldDelays: 0.5, Late: 1e-9, MarginQuantile: 1}: true,
		{SLO: -1}: false, {DrainTime: -1}: false, {HoldDelays: -1}: false, {Late: 1}: false, {Late: -0.1}: false,
		{MarginQuantile: 1.1}: false, {MarginQuantile: -0.1}: false, {MarginQuantile: -2}: false, {Limits: Limits{Min: 2, Max: 1}}: false,
	} {
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%+v.Validate() = %v, want error: %v", cfg, err, !ok)
		}
	}
}

// BenchmarkDeadlineDecide is a decision with full memory and fifty replicas.
func BenchmarkDeadlineDecide(b *testing.B) {
	w := deadlineWorld(50, 900)
	w.run(400)
	s := w.shown
	for b.Loop() {
		w.now = w.now.Add(time.Second)
		s.At, s.Offered, s.Completed, s.Service = w.now, s.Offered+900, s.Completed+900, s.Service+45*time.Second
		w.policy.Decide(w.now, s)
	}
}
