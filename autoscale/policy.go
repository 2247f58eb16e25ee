package autoscale

import (
	"fmt"
	"time"
)

// Policy decides how many replicas there shall be. Decide is a pure function of its arguments and of the
// state inside the policy: same calls, same decisions. A policy belongs to one goroutine.
type Policy interface {
	// Name is the policy's name on the command line and in metrics, such as "deadline".
	Name() string
	// Decide is called once a second, with times that do not go back. Policies that look less often (a
	// HorizontalPodAutoscaler looks every 15 s) repeat their last decision between. The snapshot is the
	// caller's: a policy copies what it keeps.
	Decide(now time.Time, s Snapshot) Decision
	// State returns what the policy remembers, as JSON, so that another process can go on where this one
	// stopped.
	State() ([]byte, error)
	// Restore takes over what State returned, also from a policy with other settings. A policy without
	// state, or whose state is older than what it looks back on, does not shrink before it has seen enough.
	Restore(state []byte) error
}

// Limits bound every decision.
type Limits struct {
	Min int // fewest replicas; 0 means 1
	Max int // most replicas; 0 means 50
}

// Defaults of [Limits], the prototype's largest and the smallest that serves.
const (
	DefaultMin = 1
	DefaultMax = 50
)

func (l Limits) withDefaults() Limits {
	if l.Min == 0 {
		l.Min = DefaultMin
	}
	if l.Max == 0 {
		l.Max = max(DefaultMax, l.Min)
	}
	return l
}

// Validate says what is wrong with the limits.
func (l Limits) Validate() error {
	l = l.withDefaults()
	if l.Min < 1 || l.Max < l.Min {
		return fmt.Errorf("replicas %d to %d: want at least 1, and no less at most than at least", l.Min, l.Max)
	}
	return nil
}

// clamp bounds n, and says which bound did it.
func (l Limits) clamp(n int) (int, Rule) {
	switch {
	case n < l.Min:
		return l.Min, RuleMin
	case n > l.Max:
		return l.Max, RuleMax
	}
	return n, ""
}
