package autoscale

import (
	"cmp"
	"math"
	"time"
)

// This file has what both HorizontalPodAutoscaler policies share: tolerance, stabilization and the rate of
// scaling, as https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/ documents
// them, with the defaults of kube-controller-manager.

// HPAConfig configures the HorizontalPodAutoscaler policies. The zero value has Kubernetes' defaults; -1 stands for
// 0 in fields that can be 0 in Kubernetes.
type HPAConfig struct {
	Limits
	// Sync is the time between decisions. Zero means 15 s.
	Sync time.Duration
	// Tolerance is the deviation of current over target from 1 that has no effect. Zero means 0.1.
	Tolerance float64
	// Up and Down limit the rate of scaling.
	Up, Down ScalingRules
}

// ScalingRules are behavior.scaleUp or scaleDown.
type ScalingRules struct {
	// Stabilization is the window of which the lowest (up) or highest (down) recommendation counts. Zero means 0 s up
	// and 300 s down, -1 no window.
	Stabilization time.Duration
	// Policies limit the change; the one that allows the largest counts. Nil means Kubernetes' defaults: up 4 pods or
	// 100 % in 15 s, down 100 % in 15 s.
	Policies []ScalingPolicy
}

// ScalingPolicy allows a change of Pods or of Percent within Period.
type ScalingPolicy struct {
	Pods    int
	Percent int
	Period  time.Duration
}

func (c HPAConfig) withDefaults() HPAConfig {
	c.Limits = c.Limits.withDefaults()
	c.Sync = cmp.Or(c.Sync, 15*time.Second)
	c.Tolerance = cmp.Or(c.Tolerance, 0.1)
	c.Down.Stabilization = cmp.Or(c.Down.Stabilization, 300*time.Second)
	if c.Up.Policies == nil {
		c.Up.Policies = []ScalingPolicy{{Percent: 100, Period: 15 * time.Second}, {Pods: 4, Period: 15 * time.Second}}
	}
	if c.Down.Policies == nil {
		c.Down.Policies = []ScalingPolicy{{Percent: 100, Period: 15 * time.Second}}
	}
	return c
}

// hpaState is the state of a HorizontalPodAutoscaler.
type hpaState struct {
	Clock           clock    `json:"clock"`
	Started         bool     `json:"started"`
	Recommendations []point  `json:"recommendations"` // before stabilization
	Changes         []point  `json:"changes"`         // replicas added (positive) or removed
	Rate            meanRate `json:"rate"`            // for a metric that is a rate
}

// settle limits a recommendation to what the rules allow, and decides.
func (c HPAConfig) settle(d *Decision, st *hpaState, now time.Time, current, recommended int) {
	stable := c.stabilize(st, now, current, recommended)
	if stable != recommended {
		window := c.Down.Stabilization
		if stable < recommended {
			window = c.Up.Stabilization
		}
		d.decide(Reason{Rule: RuleStabilization, Replicas: stable, Value: window.Seconds()})
	}
	if n := c.pace(st, now, current, stable); n != stable {
		d.decide(Reason{Rule: RulePace, Replicas: n, Value: float64(stable)})
	}
	d.bound(c.Limits)
	if d.Replicas != current {
		st.Changes = append(since(st.Changes, now.Add(-30*time.Minute)), point{now, float64(d.Replicas - current)})
	}
}

// stabilize limits the current number to between the lowest recommendation of the up window and the highest of the
// down window.
func (c HPAConfig) stabilize(st *hpaState, now time.Time, current, recommended int) int {
	if !st.Started { // as the controller does for a new autoscaler
		st.Started = true
		st.Recommendations = append(st.Recommendations, point{now, float64(current)})
	}
	up, down := recommended, recommended
	for _, r := range st.Recommendations {
		if r.At.After(now.Add(-c.Up.Stabilization)) {
			up = min(up, int(r.Value))
		}
		if r.At.After(now.Add(-c.Down.Stabilization)) {
			down = max(down, int(r.Value))
		}
	}
	window := max(c.Up.Stabilization, c.Down.Stabilization)
	st.Recommendations = append(since(st.Recommendations, now.Add(-window)), point{now, float64(recommended)})
	return min(max(current, up), down)
}

// pace limits the change to what the policies allow, relative to the number at the start of their periods.
func (c HPAConfig) pace(st *hpaState, now time.Time, current, wanted int) int {
	switch {
	case wanted > current:
		limit := 0
		for _, p := range c.Up.Policies {
			start := float64(current - st.changed(now, p.Period))
			if p.Percent > 0 {
				limit = max(limit, int(math.Ceil(start*(1+float64(p.Percent)/100))))
			} else {
				limit = max(limit, int(start)+p.Pods)
			}
		}
		return min(wanted, max(limit, current))
	case wanted < current:
		limit := current
		for _, p := range c.Down.Policies {
			start := float64(current - st.changed(now, p.Period))
			if p.Percent > 0 {
				limit = min(limit, int(start*(1-float64(p.Percent)/100)))
			} else {
				limit = min(limit, int(start)-p.Pods)
			}
		}
		return max(wanted, min(limit, current))
	}
	return wanted
}

// changed is the number of replicas added minus those removed within a period.
func (st *hpaState) changed(now time.Time, period time.Duration) int {
	sum := 0.0
	for _, c := range st.Changes {
		if c.At.After(now.Add(-period)) {
			sum += c.Value
		}
	}
	return int(sum)
}

// tolerated reports whether the ratio of current to target is within the tolerance.
func (c HPAConfig) tolerated(ratio float64) bool { return math.Abs(1-ratio) <= c.Tolerance }

// ceil rounds up, but ignores floating-point errors.
func ceil(x float64) int { return int(math.Ceil(x - 1e-9)) }
