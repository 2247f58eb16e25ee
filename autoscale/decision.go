package autoscale

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Decision is the number of replicas that a policy wants, and why. The zero value decides nothing.
type Decision struct {
	At       time.Time `json:"at"`
	Policy   string    `json:"policy"`
	Replicas int       `json:"replicas"` // wanted
	Was      int       `json:"was"`      // wanted before
	// Reasons lead from the load to Replicas, in the order in which rules applied; the last one decided.
	Reasons []Reason `json:"reasons"`
	// Figures are what the policy computed on its way.
	Figures []Figure `json:"figures,omitempty"`
}

// Reason is one rule's part in a decision.
type Reason struct {
	Rule     Rule    `json:"rule"`
	Replicas int     `json:"replicas"`        // what it wants
	Value    float64 `json:"value,omitempty"` // what it measured, and
	Limit    float64 `json:"limit,omitempty"` // what it compared that with; both in units of the rule
	// Dispersion of arrivals, 1 for independent users, is what else a number of replicas for a rate depends on.
	Dispersion float64 `json:"dispersion,omitempty"`
}

// Figure is an intermediate value, for people and metrics. Its name ends in its unit.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// figures say what each [Figure] of the policies is, by name.
var figures = map[string]string{
	"stable_images":              "Mean concurrency over the long window",
	"panic_images":               "Mean concurrency over the short window",
	"metric_value":               "Value of the metric that is compared with its target",
	"cpu_ratio":                  "Mean CPU usage of ready replicas as a share of their requests",
	"rate_images_per_second":     "Smoothed rate of arriving images",
	"slope_images_per_second2":   "Change of that rate per second",
	"margin_ratio":               "Factor on the expected rate, for loads that rise above what replicas are there for",
	"expected_images_per_second": "Rate that is expected when a replica that starts now is ready",
	"dispersion_ratio":           "Variance of the number of images per second divided by its mean",
	"replica_images_per_second":  "Images that a replica processes per second",
	"start_delay_seconds":        "Time that a replica takes to be ready",
	"stragglers_ratio":           "Share of replicas that took much longer to be ready than most",
	"needed_replicas":            "Replicas that are needed for the expected rate and the waiting images",
	"shadow_late_ratio":          "Share of images that would have been late with the replicas of the shadow",
	"acting_late_ratio":          "Share of images that were late, by the model of the shadow",
	"shadow_cost_ratio":          "Replica-seconds of the shadow over those of what acts",
}

// FigureHelp returns what the figures of the policies are, by name.
func FigureHelp() map[string]string { return maps.Clone(figures) }

// Rule names a rule of a policy. There are few, so they can label metrics.
type Rule string

// The rules. See sentences for the meaning of Value and Limit.
const (
	RuleMin    Rule = "min"    // the minimum
	RuleMax    Rule = "max"    // the maximum
	RuleSteady Rule = "steady" // nothing calls for a change
	RuleFixed  Rule = "fixed"  // the number is set by hand
	RuleOff    Rule = "off"    // at 0 replicas the policy is off

	RuleStale   Rule = "stale"   // the metrics are too old to act on
	RuleAway    Rule = "away"    // a dispatcher is missing from the metrics, or was recently
	RuleHistory Rule = "history" // the history is too short to scale down
	RuleUnknown Rule = "unknown" // no image has been processed yet
	RuleMissing Rule = "missing" // replicas without metrics prevent a decision

	RuleRate    Rule = "rate"    // images that will arrive
	RuleBacklog Rule = "backlog" // images that wait
	RuleRamp    Rule = "ramp"    // images that will arrive if the load goes on to rise
	RuleBurst   Rule = "burst"   // a burst is expected: the last ones came at equal intervals
	RuleHedge   Rule = "hedge"   // start more than needed, to have some early; the surplus is cancelled
	RuleZero    Rule = "zero"    // there is no load, and no replica is needed
	RuleWake    Rule = "wake"    // there was no replica, and images wait
	RuleWindow  Rule = "window"  // the limits of this time of day

	RuleCancel Rule = "cancel" // starting replicas are no longer needed
	RuleHold   Rule = "hold"   // what was needed recently may be needed again
	RuleShrink Rule = "shrink" // more than was needed recently

	RuleTolerance     Rule = "tolerance"     // within the tolerance
	RuleTarget        Rule = "target"        // a measured value against its target
	RuleStabilization Rule = "stabilization" // other recent recommendations
	RulePace          Rule = "pace"          // the rate of change is limited

	RuleStable Rule = "stable" // mean concurrency over the long window
	RulePanic  Rule = "panic"  // mean concurrency over the short window

	RuleEmergency   Rule = "emergency"   // very many images wait
	RuleQueue       Rule = "queue"       // many images wait
	RuleLatency     Rule = "latency"     // latency is high
	RuleErrors      Rule = "errors"      // too many requests fail
	RuleUtilization Rule = "utilization" // the queue is filling up
	RuleIdle        Rule = "idle"        // little load
	RuleCooldown    Rule = "cooldown"    // the last change was too recent
)

// sentences say why a rule speaks: %d is the number of replicas, the first %v Value and the second Limit.
var sentences = map[Rule]string{
	RuleMin:           "that is the minimum",
	RuleMax:           "that is the maximum; the policy wanted %v",
	RuleSteady:        "nothing calls for a change",
	RuleFixed:         "the number is fixed",
	RuleOff:           "the policy is off until someone sets another number",
	RuleStale:         "the metrics are %v s old and the limit is %v s",
	RuleAway:          "a dispatcher was missing %v s ago; scaling down requires %v s",
	RuleHistory:       "only %v s have been observed; scaling down requires %v s",
	RuleUnknown:       "no image has been processed yet and the speed of a replica is unknown",
	RuleMissing:       "metrics of %v replicas are missing",
	RuleRate:          "%v images/s are expected and one replica handles %v",
	RuleBacklog:       "%v images will be waiting and %v can be served in time",
	RuleRamp:          "the load is rising, so %v images/s are expected and one replica handles %v",
	RuleBurst:         "a burst of %v images/s is expected and one replica handles %v",
	RuleHedge:         "%v are needed; the surplus is cancelled when the first are ready",
	RuleZero:          "no image has arrived for %v s",
	RuleWake:          "%v images are waiting and there was no replica",
	RuleWindow:        "that is the limit at this time; the policy wanted %v",
	RuleCancel:        "replicas that are starting are not needed: %v are ready and %v are needed",
	RuleHold:          "%d were needed in the last %v s",
	RuleShrink:        "at most %v were needed recently",
	RuleTolerance:     "the metric is %v of its target, within the tolerance of %v",
	RuleTarget:        "the metric is %v and the target is %v",
	RuleStabilization: "recommendations of the last %v s count",
	RulePace:          "the rate of change is limited; the policy wanted %v",
	RuleStable:        "mean concurrency is %v over the long window and the target per replica is %v",
	RulePanic:         "mean concurrency is %v over the short window and the target per replica is %v",
	RuleEmergency:     "%v images are waiting and the emergency threshold is %v",
	RuleQueue:         "%v images are waiting and the limit is %v",
	RuleLatency:       "latency is %v s and the limit is %v s",
	RuleErrors:        "%v %% of requests fail and the limit is %v %%",
	RuleUtilization:   "the queue is %v %% full and the limit is %v %%",
	RuleIdle:          "the queue is empty and latency is low",
	RuleCooldown:      "the last change was %v s ago and the cooldown is %v s",
}

// keeps are the rules that always leave the number of replicas as it is.
var keeps = map[Rule]bool{
	RuleSteady: true, RuleOff: true, RuleStale: true, RuleAway: true, RuleHistory: true, RuleUnknown: true, RuleHold: true,
	RuleTolerance: true, RuleCooldown: true,
}

// Rules returns all rules, sorted.
func Rules() []Rule { return slices.Sorted(maps.Keys(sentences)) }

// String is the reason as a sentence, such as "rate: 7 replicas, because 128 images/s are expected and one replica
// handles 20.1, and arrivals have a dispersion of 1.5" or "hold: keeping 3, because 3 were needed in the last 60 s".
func (r Reason) String() string {
	sentence := strings.ReplaceAll(sentences[r.Rule], "%d", strconv.Itoa(r.Replicas))
	for _, v := range []float64{r.Value, r.Limit} {
		sentence = strings.Replace(sentence, "%v", strconv.FormatFloat(v, 'g', 3, 64), 1)
	}
	sentence = strings.ReplaceAll(sentence, "%%", "%")
	if r.Dispersion > 0 {
		sentence += ", and arrivals have a dispersion of " + strconv.FormatFloat(r.Dispersion, 'g', 3, 64)
	}
	if keeps[r.Rule] {
		return fmt.Sprintf("%s: keeping %d, because %s", r.Rule, r.Replicas, sentence)
	}
	return fmt.Sprintf("%s: %s, because %s", r.Rule, Count(r.Replicas), sentence)
}

// Count is a number of replicas in words: "1 replica", "2 replicas".
func Count(n int) string {
	if n == 1 {
		return "1 replica"
	}
	return strconv.Itoa(n) + " replicas"
}

// Because is the reason that decided.
func (d Decision) Because() Reason {
	if len(d.Reasons) == 0 {
		return Reason{Rule: RuleSteady, Replicas: d.Replicas}
	}
	return d.Reasons[len(d.Reasons)-1]
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
