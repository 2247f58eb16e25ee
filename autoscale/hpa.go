package autoscale

import (
	"cmp"
	"math"
	"time"
)

// This file has what both HorizontalPodAutoscaler policies share: tolerance, stabilization and the rate of
// scaling, as https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/ documents
// them, with the defaults of kube-controller-manager. test/rivals compares it with the code of Kubernetes itself.

// HPAConfig configures the HorizontalPodAutoscaler policies. The zero value has Kubernetes' defaults.
type HPAConfig struct {
	Limits
	// Sync is the time between decisions. Zero means 15 s.
	Sync time.Duration
	// Tolerance is the deviation of current over target from 1 that has no effect. Zero means 0.1.
	Tolerance float64
	// Behavior is spec.behavior. Nil means none, as in Kubernetes: at most twice the replicas, or 4, and down to the
	// highest recommendation of the last 300 s.
	Behavior *HPABehavior
}

// HPABehavior is spec.behavior. In its fields -1 stands for 0, because 0 means the default.
type HPABehavior struct{ Up, Down ScalingRules }

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

// downStabilization is the stabilization window on the way down.
const downStabilization = 300 * time.Second

func (c HPAConfig) withDefaults() HPAConfig {
	c.Limits = c.Limits.withDefaults()
	c.Sync = cmp.Or(c.Sync, 15*time.Second)
	c.Tolerance = cmp.Or(c.Tolerance, 0.1)
	if c.Behavior == nil {
		return c
	}
	b := *c.Behavior
	b.Down.Stabilization = cmp.Or(b.Down.Stabilization, downStabilization)
	if b.Up.Policies == nil {
		b.Up.Policies = []ScalingPolicy{{Percent: 100, Period: 15 * time.Second}, {Pods: 4, Period: 15 * time.Second}}
	}
	if b.Down.Policies == nil {
		b.Down.Policies = []ScalingPolicy{{Percent: 100, Period: 15 * time.Second}}
	}
	c.Behavior = &b
	return c
}

// hpaState is the state of a HorizontalPodAutoscaler.
type hpaState struct {
	Clock           clock    `json:"clock"`
	Started         bool     `json:"started"`
	Recommendations []point  `json:"recommendations"` // before stabilization
	Added           []point  `json:"added"`           // replicas, by each change upward
	Removed         []point  `json:"removed"`         // and by each downward
	Rate            meanRate `json:"rate"`            // for a metric that is a rate
}

// look reports whether metrics count. If not, it has decided: at 0 replicas it is off, and a number outside the limits
// is corrected first.
func (c HPAConfig) look(d *Decision, st *hpaState, now time.Time, current int) bool {
	if !st.Started { // as the controller does for a new autoscaler
		st.Started = true
		st.Recommendations = append(st.Recommendations, point{now, float64(current)})
	}
	if current == 0 {
		d.decide(Reason{Rule: RuleOff})
		return false
	}
	if n, rule := c.clamp(current); rule != "" {
		d.decide(Reason{Rule: rule, Replicas: n, Value: float64(current)})
		c.remember(st, now, n-current)
		return false
	}
	return true
}

// settle limits a recommendation to what the rules allow, and decides.
func (c HPAConfig) settle(d *Decision, st *hpaState, now time.Time, current, recommended int) {
	stable, window := c.stabilize(st, now, current, recommended)
	if stable != recommended {
		d.decide(Reason{Rule: RuleStabilization, Replicas: stable, Value: window.Seconds()})
	}
	if n := c.pace(st, now, current, stable); n != stable {
		d.decide(Reason{Rule: RulePace, Replicas: n, Value: float64(stable)})
	}
	d.bound(c.Limits)
	c.remember(st, now, d.Replicas-current)
}

// remember keeps a change. As in Kubernetes, it takes the place of one in the same direction that is older than the
// longest period of that direction's policies, if there is one; those of the other direction may still have counted it.
func (c HPAConfig) remember(st *hpaState, now time.Time, change int) {
	if change == 0 || c.Behavior == nil {
		return
	}
	events, rules := &st.Added, c.Behavior.Up
	if change < 0 {
		events, rules, change = &st.Removed, c.Behavior.Down, -change
	}
	longest := time.Duration(0)
	for _, p := range rules.Policies {
		longest = max(longest, p.Period)
	}
	event := point{now, float64(change)}
	for i := len(*events) - 1; i >= 0; i-- {
		if (*events)[i].At.Before(now.Add(-longest)) {
			(*events)[i] = event
			return
		}
	}
	*events = append(*events, event)
}

// stabilize limits a recommendation by recent ones, and returns the window that counts for its direction. Without a
// behavior, it is the highest of the last 300 s. With one, the present number is moved to between the lowest of the up
// window and the highest of the down window.
//
// Worked example: there are 10, 5 are recommended, and 8 were recommended 200 s ago. Either way 8 remain. If 20 were
// recommended 200 s ago, they are 20 without a behavior, but 10 with one: nothing recommends more than 10 now.
func (c HPAConfig) stabilize(st *hpaState, now time.Time, current, recommended int) (int, time.Duration) {
	remembered := st.Recommendations
	if c.Behavior == nil {
		st.Recommendations = append(since(remembered, now.Add(-downStabilization)), point{now, float64(recommended)})
		return int(largest(st.Recommendations)), downStabilization
	}
	up, down := recommended, recommended
	for _, r := range remembered {
		if r.At.After(now.Add(-c.Behavior.Up.Stabilization)) {
			up = min(up, int(r.Value))
		}
		if r.At.After(now.Add(-c.Behavior.Down.Stabilization)) {
			down = max(down, int(r.Value))
		}
	}
	keep := max(c.Behavior.Up.Stabilization, c.Behavior.Down.Stabilization)
	st.Recommendations = append(since(remembered, now.Add(-keep)), point{now, float64(recommended)})
	stable := min(max(current, up), down)
	if stable < recommended {
		return stable, c.Behavior.Up.Stabilization
	}
	return stable, c.Behavior.Down.Stabilization
}

// pace limits the change: without a behavior to twice the present number or 4, with one to what its policies allow,
// relative to the number at the start of their periods.
func (c HPAConfig) pace(st *hpaState, now time.Time, current, wanted int) int {
	switch {
	case c.Behavior == nil:
		return min(wanted, max(2*current, 4))
	case wanted > current:
		limit := math.MinInt
		for _, p := range c.Behavior.Up.Policies {
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
		for _, p := range c.Behavior.Down.Policies {
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
	for _, c := range st.Added {
		if c.At.After(now.Add(-period)) {
			sum += c.Value
		}
	}
	for _, c := range st.Removed {
		if c.At.After(now.Add(-period)) {
			sum -= c.Value
		}
	}
	return int(sum)
}

// tolerated reports whether the ratio of current to target is within the tolerance.
func (c HPAConfig) tolerated(ratio float64) bool {
	return 1-c.Tolerance <= ratio && ratio <= 1+c.Tolerance
}

// ceil rounds up, as Kubernetes does: to 32 bits.
func ceil(x float64) int { return int(min(math.MaxInt32, math.Ceil(x))) }
