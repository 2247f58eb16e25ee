package autoscale

import (
	"cmp"
	"fmt"
	"time"
)

// Policy decides how many replicas are needed. Decide is a pure function of its arguments and of the state of the
// policy: the same calls give the same decisions. A policy must not be used by two goroutines at the same time.
type Policy interface {
	// Name is the policy's name on the command line and in metrics, such as "deadline".
	Name() string
	// Decide is called once per second, with times that do not decrease. Policies with a longer interval (15 s for a
	// HorizontalPodAutoscaler) keep the number of replicas in between. The snapshot belongs to the caller: a policy
	// copies what it keeps.
	Decide(now time.Time, s Snapshot) Decision
	// State returns the state of the policy as JSON, so that another process can continue from it.
	State() ([]byte, error)
	// Restore sets a state that State returned, possibly of a policy with other settings. A policy without state, or
	// with an old one, does not scale down until its history is long enough.
	Restore(state []byte) error
}

// Limits limit every decision.
type Limits struct {
	Min int // minimum number of replicas; 0 means 1, ToZero means none
	Max int // maximum number of replicas; 0 means 50
}

// ToZero is the [Limits.Min] with which a policy that can may remove all replicas while there is no load: see
// [Kind.ToZero].
const ToZero = -1

// Defaults of [Limits].
const (
	DefaultMin = 1
	DefaultMax = 50
)

func (l Limits) withDefaults() Limits {
	l.Min = cmp.Or(l.Min, DefaultMin)
	l.Max = cmp.Or(l.Max, max(DefaultMax, l.Min))
	return l
}

// Validate reports what is wrong with the limits.
func (l Limits) Validate() error {
	l = l.withDefaults()
	if l.Min < ToZero || l.Max < max(1, l.Min) {
		return fmt.Errorf("replicas %d to %d: want a minimum of at least 0 and a maximum of at least 1 and not below it", l.Min, l.Max)
	}
	return nil
}

// toZero reports whether there may be no replica.
func (l Limits) toZero() bool { return l.Min == ToZero }

// least is the minimum while there is load.
func (l Limits) least() int { return max(1, l.Min) }

// clamp limits n, and returns the rule that changed it.
func (l Limits) clamp(n int) (int, Rule) {
	switch {
	case n < max(0, l.Min):
		return max(0, l.Min), RuleMin
	case n > l.Max:
		return l.Max, RuleMax
	}
	return n, ""
}
