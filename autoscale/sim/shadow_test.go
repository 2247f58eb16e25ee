package sim

import (
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// watched lets one policy act, and a shadow of another watch.
type watched struct {
	autoscale.Policy
	shadow *autoscale.Shadow
	seen   []int // replicas of the shadow, second by second
}

func (w *watched) Decide(now time.Time, s autoscale.Snapshot) autoscale.Decision {
	w.seen = append(w.seen, w.shadow.Decide(now, s).Replicas)
	return w.Policy.Decide(now, s)
}

// TestShadowKeepsItsOwnReplicas: beside an acting HorizontalPodAutoscaler, the number of a shadow is within one replica of
// what the policy would have had on its own, most of the time, and its account is about what the simulator counts.
func TestShadowKeepsItsOwnReplicas(t *testing.T) {
	t.Parallel()
	near, seconds := 0, 0
	for _, trace := range Traces() {
		cfg := Config{Load: trace.Load, Slowdown: trace.Slowdown, Limits: TraceLimits, Seed: 7}
		cfg.Load.Poisson = true
		deadline := func() autoscale.Policy {
			return autoscale.NewDeadline(autoscale.DeadlineConfig{Limits: TraceLimits})
		}
		acting := autoscale.NewHPACPU(autoscale.HPACPUConfig{HPAConfig: autoscale.HPAConfig{Limits: TraceLimits}})
		w := &watched{Policy: acting, shadow: autoscale.NewShadow(deadline(), 0)}
		cfg.Policy = w
		real := Run(cfg)
		cfg.Policy = deadline()
		alone := Run(cfg)
		within := 0
		for i, m := range alone.Timeline {
			if d := w.seen[len(w.seen)-len(alone.Timeline)+i] - m.Desired; -1 <= d && d <= 1 {
				within++
			}
		}
		account := w.shadow.Account()
		t.Logf("%-10s within one replica in %4.1f %% of seconds; late %.2f %% (alone %.2f), acting %.2f %% (%.2f), cost ratio %.2f (%.2f)", trace.Name,
			100*float64(within)/float64(len(alone.Timeline)), 100*account.Late, 100*alone.Violations(), 100*account.Acting, 100*real.Violations(),
			account.Cost, alone.ReplicaSeconds/real.ReplicaSeconds)
		near, seconds = near+within, seconds+len(alone.Timeline)
	}
	share := float64(near) / float64(seconds)
	t.Logf("within one replica in %.1f %% of all seconds", 100*share)
	if share < 0.95 {
		t.Errorf("within one replica in %.1f %% of seconds, want 95 %% or more", 100*share)
	}
}
