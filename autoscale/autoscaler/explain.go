package autoscaler

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// Explanation says why there are this many replicas, and what would change that.
type Explanation struct {
	Now     autoscale.Decision `json:"now"` // the next decision if nothing changes
	Changes []Change           `json:"changes"`
	Shadow  *autoscale.Account `json:"shadow,omitempty"` // nil if the policy is not a shadow
	Then    *Later             `json:"then,omitempty"`   // the next change if the load stays the same; nil if there is none within 10 min
}

// Change is the smallest difference in one metric that would change the decision.
type Change struct {
	What     string           `json:"what"`
	From     float64          `json:"from"`
	To       float64          `json:"to"`
	Replicas int              `json:"replicas"`
	Because  autoscale.Reason `json:"because"`
}

// Later is a future decision.
type Later struct {
	Seconds  float64          `json:"seconds"`
	Replicas int              `json:"replicas"`
	Because  autoscale.Reason `json:"because"`
}

var errTooEarly = errors.New("no decision has been made yet on metrics of the dispatchers")

// alterations are what can be changed by an amount, in a snapshot some seconds ahead.
var alterations = []struct {
	what  string
	sign  float64                    // 1 adds the amount, -1 subtracts it
	value func(x *explainer) float64 // the present value
	limit func(x *explainer) float64 // the maximum amount
	alter func(s *autoscale.Snapshot, by, seconds float64)
}{
	{"images arriving per second", 1, (*explainer).rate, func(*explainer) float64 { return 1e5 },
		func(s *autoscale.Snapshot, by, seconds float64) { s.Offered += int64(by * seconds) }},
	{"images arriving per second", -1, (*explainer).rate, (*explainer).rate,
		func(s *autoscale.Snapshot, by, seconds float64) { s.Offered -= int64(by * seconds) }},
	{"images waiting", 1, func(x *explainer) float64 { return float64(x.last.Queue) },
		func(x *explainer) float64 { return float64(x.last.QueueCapacity - x.last.Queue) },
		func(s *autoscale.Snapshot, by, _ float64) { s.Queue += int(by) }},
	{"images in progress", 1, func(x *explainer) float64 { return float64(x.last.InFlight) }, func(*explainer) float64 { return 1e4 },
		func(s *autoscale.Snapshot, by, _ float64) { s.InFlight += int(by) }},
}

// Explain finds out what would change the decision, by asking copies of the policy about altered metrics. The
// policy itself is not affected.
func (a *Autoscaler) Explain() (Explanation, error) {
	a.mu.Lock()
	state, err := a.policy.State()
	x := explainer{make: a.cfg.NewPolicy, state: state, before: a.previous, last: a.latest, interval: a.cfg.Interval}
	a.mu.Unlock()
	if err != nil {
		return Explanation{}, err
	}
	if x.last.At.IsZero() || x.before.At.IsZero() {
		return Explanation{}, errTooEarly
	}
	baseline, err := x.ask(func(*autoscale.Snapshot, float64) {})
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Now: baseline, Changes: []Change{}}
	if account, is := a.account(); is {
		e.Shadow = &account
	}
	for _, alt := range alterations {
		from := alt.value(&x)
		if by, d := x.smallest(alt.limit(&x), baseline.Replicas, alt.alter); by > 0 {
			e.Changes = append(e.Changes, Change{alt.what, from, from + alt.sign*by, d.Replicas, d.Because()})
		}
	}
	e.Then, err = x.later()
	return e, err
}

// explainer asks a policy what it would decide.
type explainer struct {
	make         func() autoscale.Policy
	state        []byte
	before, last autoscale.Snapshot
	interval     time.Duration
}

// rate is images per second between the last two decisions.
func (x *explainer) rate() float64 {
	return float64(x.last.Offered-x.before.Offered) / max(1e-3, x.last.At.Sub(x.before.At).Seconds())
}

// ahead is the snapshot some steps later if everything continues as between the last two.
func (x *explainer) ahead(steps int) autoscale.Snapshot {
	s, n := x.last, time.Duration(steps)
	passed := n * x.interval
	scale := passed.Seconds() / max(1e-3, x.last.At.Sub(x.before.At).Seconds())
	go64 := func(last, before int64) int64 { return last + int64(scale*float64(last-before)) }
	s.At = s.At.Add(passed)
	s.Uptime += passed
	s.Offered, s.Refused = go64(x.last.Offered, x.before.Offered), go64(x.last.Refused, x.before.Refused)
	s.Completed, s.Failed = go64(x.last.Completed, x.before.Completed), go64(x.last.Failed, x.before.Failed)
	s.Service = time.Duration(go64(int64(x.last.Service), int64(x.before.Service)))
	s.Queueing = time.Duration(go64(int64(x.last.Queueing), int64(x.before.Queueing)))
	return s
}

func (x *explainer) policy() (autoscale.Policy, error) {
	p := x.make()
	return p, p.Restore(x.state)
}

// ask is the next decision with a reason if snapshots are altered from now on: some policies decide at intervals.
func (x *explainer) ask(alter func(s *autoscale.Snapshot, seconds float64)) (autoscale.Decision, error) {
	p, err := x.policy()
	if err != nil {
		return autoscale.Decision{}, err
	}
	var d autoscale.Decision
	for step := 1; step <= 30 && len(d.Reasons) == 0; step++ {
		s := x.ahead(step)
		alter(&s, s.At.Sub(x.last.At).Seconds())
		d = p.Decide(s.At, s)
	}
	return d, nil
}

// smallest finds the smallest amount, in steps of a thousandth but at least 1, for which the number is not the
// usual one; 0 if there is none up to limit. It doubles and then bisects: it does not look between two amounts
// that agree.
func (x *explainer) smallest(limit float64, usual int, alter func(s *autoscale.Snapshot, by, seconds float64)) (float64, autoscale.Decision) {
	ask := func(by float64) (autoscale.Decision, bool) {
		d, err := x.ask(func(s *autoscale.Snapshot, seconds float64) { alter(s, by, seconds) })
		return d, err == nil && d.Replicas != usual
	}
	low, high := 0.0, min(1, limit)
	d, differs := ask(high)
	for !differs && high < limit {
		low, high = high, min(limit, 2*high)
		d, differs = ask(high)
	}
	if !differs || limit <= 0 {
		return 0, d
	}
	for high-low > max(1, high/1000) {
		middle := float64(int((low + high) / 2))
		if there, differs := ask(middle); differs {
			high, d = middle, there
		} else {
			low = middle
		}
	}
	return high, d
}

// later is the first change if the load stays the same.
func (x *explainer) later() (*Later, error) {
	p, err := x.policy()
	if err != nil {
		return nil, err
	}
	for step := 1; step <= 600; step++ {
		s := x.ahead(step)
		if d := p.Decide(s.At, s); d.Replicas != d.Was {
			return &Later{s.At.Sub(x.last.At).Seconds(), d.Replicas, d.Because()}, nil
		}
	}
	return nil, nil
}

// String is the explanation in lines for a terminal.
func (e Explanation) String() string {
	var b strings.Builder
	if e.Now.Replicas == e.Now.Was {
		fmt.Fprintf(&b, "Policy %s keeps %s:\n", e.Now.Policy, autoscale.Count(e.Now.Was))
	} else {
		fmt.Fprintf(&b, "Policy %s decides on %s, now %d:\n", e.Now.Policy, autoscale.Count(e.Now.Replicas), e.Now.Was)
	}
	for _, r := range e.Now.Reasons {
		fmt.Fprintf(&b, "  %s\n", r)
	}
	if len(e.Now.Figures) > 0 {
		b.WriteString("Based on\n")
		for _, f := range e.Now.Figures {
			fmt.Fprintf(&b, "  %-28s %.4g\n", f.Name, f.Value)
		}
	}
	b.WriteString("It would change its decision if\n")
	for _, c := range e.Changes {
		fmt.Fprintf(&b, "  %s\n", c)
	}
	if len(e.Changes) == 0 {
		b.WriteString("  (no single change would do)\n")
	}
	fmt.Fprintln(&b, e.Then)
	if e.Shadow != nil {
		fmt.Fprintln(&b, e.Shadow)
	}
	return b.String()
}
