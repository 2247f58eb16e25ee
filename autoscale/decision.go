package autoscale

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Decision is how many replicas there shall be, and why. The zero value decides nothing.
type Decision struct {
	At       time.Time `json:"at"`
	Policy   string    `json:"policy"`
	Replicas int       `json:"replicas"` // how many there shall be
	Was      int       `json:"was"`      // how many were asked for before
	// Reasons lead from the load to Replicas, in the order in which rules spoke; the last one decided.
	Reasons []Reason `json:"reasons"`
	// Figures are what the policy computed on its way.
	Figures []Figure `json:"figures,omitempty"`
}

// Reason is one rule's say in a decision.
type Reason struct {
	Rule     Rule    `json:"rule"`
	Replicas int     `json:"replicas"`        // what it asked for
	Value    float64 `json:"value,omitempty"` // what made it speak, and
	Limit    float64 `json:"limit,omitempty"` // what that was held against; both in units of the rule
}

// Figure is an intermediate value, for people and metrics. Its name ends in its unit.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Rule names a rule of a policy. There are few, so they can label metrics.
type Rule string

// The rules. What Value and Limit of their reasons are is said by Reason.String.
const (
	RuleMin    Rule = "min"    // the least that is allowed
	RuleMax    Rule = "max"    // the most that is allowed
	RuleSteady Rule = "steady" // nothing asks for a change
	RuleFixed  Rule = "fixed"  // somebody set the number

	RuleStale   Rule = "stale"   // the figures are too old to act on
	RuleAway    Rule = "away"    // a dispatcher is missing from the figures, or was until recently
	RuleHistory Rule = "history" // not enough has been seen to shrink
	RuleUnknown Rule = "unknown" // no image has been answered yet
	RuleMissing Rule = "missing" // replicas without figures stand in the way

	RuleRate    Rule = "rate"    // the images that will arrive
	RuleBacklog Rule = "backlog" // the images that wait
	RuleHedge   Rule = "hedge"   // more at once, to have some early; the rest is taken back
	RuleCancel  Rule = "cancel"  // replicas that start are not needed any more
	RuleHold    Rule = "hold"    // what was needed a while ago may be needed again
	RuleShrink  Rule = "shrink"  // more than was needed for a while

	RuleTolerance     Rule = "tolerance"     // too near to bother
	RuleTarget        Rule = "target"        // a measured value against its target
	RuleStabilisation Rule = "stabilisation" // other recommendations of late
	RulePace          Rule = "pace"          // not so many at once

	RuleStable Rule = "stable" // mean concurrency over the long window
	RulePanic  Rule = "panic"  // mean concurrency over the short window

	RuleEmergency   Rule = "emergency"   // very many images wait
	RuleQueue       Rule = "queue"       // many images wait
	RuleLatency     Rule = "latency"     // answers take long
	RuleErrors      Rule = "errors"      // too many requests fail
	RuleUtilisation Rule = "utilisation" // the queue is rather full
	RuleIdle        Rule = "idle"        // all is quiet
	RuleCooldown    Rule = "cooldown"    // the last change is too fresh
)

// sentences say what a rule's Value and Limit are: %v is replaced by them in turn.
var sentences = map[Rule]string{
	RuleMin:           "no fewer are allowed",
	RuleMax:           "no more are allowed; the policy wanted %v",
	RuleSteady:        "nothing asks for a change",
	RuleFixed:         "the number is set",
	RuleStale:         "the figures are %v s old, at most %v s are taken",
	RuleAway:          "a dispatcher was missing %v s ago, %v s must pass before shrinking",
	RuleHistory:       "only %v s have been seen, %v s are needed before shrinking",
	RuleUnknown:       "no image has been answered yet, so that nobody knows what a replica can do",
	RuleMissing:       "figures of %v replicas are missing",
	RuleRate:          "%v images/s are expected, a replica answers %v",
	RuleBacklog:       "%v images will be left waiting, %v can be served in time",
	RuleHedge:         "%v are needed: some more are started and taken back when the first serve",
	RuleCancel:        "replicas that start are not needed: %v serve, %v are needed",
	RuleHold:          "as many were needed within the last %v s",
	RuleShrink:        "%v were the most needed of late",
	RuleTolerance:     "%v of the target is within the tolerance of %v",
	RuleTarget:        "measured %v, the target is %v",
	RuleStabilisation: "recommendations of the last %v s say so",
	RulePace:          "no more may change at once: the policy wanted %v",
	RuleStable:        "%v images at a time over the long window, %v a replica",
	RulePanic:         "%v images at a time over the short window, %v a replica",
	RuleEmergency:     "%v images wait, the emergency begins at %v",
	RuleQueue:         "%v images wait, the limit is %v",
	RuleLatency:       "answers take %v s, the limit is %v s",
	RuleErrors:        "%v %% of requests fail, the limit is %v %%",
	RuleUtilisation:   "the queue is %v %% full, the limit is %v %%",
	RuleIdle:          "no image waits and answers are fast",
	RuleCooldown:      "the last change was %v s ago, %v s must pass",
}

// String says the reason in a sentence, such as "rate: 7 replicas, as 128 images/s are expected, a replica
// answers 20.1".
func (r Reason) String() string {
	sentence := sentences[r.Rule]
	for _, v := range []float64{r.Value, r.Limit} {
		sentence = strings.Replace(sentence, "%v", strconv.FormatFloat(v, 'g', 3, 64), 1)
	}
	return fmt.Sprintf("%s: %d replicas, as %s", r.Rule, r.Replicas, strings.ReplaceAll(sentence, "%%", "%"))
}

// Because is the reason that decided.
func (d Decision) Because() Reason {
	if len(d.Reasons) == 0 {
		return Reason{Rule: RuleSteady, Replicas: d.Replicas}
	}
	return d.Reasons[len(d.Reasons)-1]
}

// Figure is the value of that name, 0 if there is none.
func (d Decision) Figure(name string) float64 {
	for _, f := range d.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	return 0
}

// decide appends a reason and takes its number.
func (d *Decision) decide(r Reason) {
	d.Reasons = append(d.Reasons, r)
	d.Replicas = r.Replicas
}

// bound holds the decision to the limits.
func (d *Decision) bound(l Limits) {
	if n, rule := l.clamp(d.Replicas); rule != "" {
		d.decide(Reason{Rule: rule, Replicas: n, Value: float64(d.Replicas)})
	}
}
