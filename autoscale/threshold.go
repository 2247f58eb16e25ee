package autoscale

import (
	"cmp"
	"time"
)

// ThresholdConfig configures [Threshold]. The zero value has the prototype's values, except for its limits of 5 and
// 50 replicas.
type ThresholdConfig struct {
	Limits
	// Poll is the time between decisions. Zero means 5 s.
	Poll time.Duration
	// Queue and Emergency are the numbers of waiting images from which on a replica is added, and the number of
	// replicas is doubled. Zero means 50 and 100.
	Queue, Emergency int
	// Latency is the maximum mean latency since the dispatcher started. Zero means 400 ms.
	Latency time.Duration
	// Errors is the maximum percentage of failed requests since the dispatcher started. Zero means 5.
	Errors float64
	// Utilization is the maximum fill level of the queue in percent. Zero means 40.
	Utilization float64
	// UpCooldown and DownCooldown are the minimum times between two changes. Zero means 10 s and 60 s.
	UpCooldown, DownCooldown time.Duration
}

// Threshold has the rules of the prototype's autoscaler: twice as many replicas for a very long queue, one more when the
// queue, latency or errors exceed a limit, one less under little load. Latency, errors and throughput are averages since
// the dispatcher started, as in its /status.
type Threshold struct {
	cfg ThresholdConfig
	memory[thresholdState]
}

type thresholdState struct {
	Clock clock     `json:"clock"`
	Up    time.Time `json:"up"`   // last change upward
	Down  time.Time `json:"down"` // last change downward
}

// NewThreshold makes the policy.
func NewThreshold(cfg ThresholdConfig) *Threshold {
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Poll = cmp.Or(cfg.Poll, 5*time.Second)
	cfg.Queue = cmp.Or(cfg.Queue, 50)
	cfg.Emergency = cmp.Or(cfg.Emergency, 100)
	cfg.Latency = cmp.Or(cfg.Latency, 400*time.Millisecond)
	cfg.Errors = cmp.Or(cfg.Errors, 5)
	cfg.Utilization = cmp.Or(cfg.Utilization, 40)
	cfg.UpCooldown = cmp.Or(cfg.UpCooldown, 10*time.Second)
	cfg.DownCooldown = cmp.Or(cfg.DownCooldown, time.Minute)
	return &Threshold{cfg: cfg}
}

var _ Policy = (*Threshold)(nil)

// Name is "threshold".
func (*Threshold) Name() string { return "threshold" }

// Decide implements [Policy].
func (p *Threshold) Decide(now time.Time, s Snapshot) Decision {
	d := stay(p.Name(), now, s)
	if !p.state.Clock.due(now, p.cfg.Poll) {
		return d
	}
	if s.Age(now) > p.cfg.Poll {
		d.decide(Reason{Rule: RuleStale, Replicas: s.Desired, Value: min(1e6, s.Age(now).Seconds()), Limit: p.cfg.Poll.Seconds()})
		return d
	}
	d.decide(p.rule(s))
	d.bound(p.cfg.Limits)
	last, cooldown := &p.state.Up, p.cfg.UpCooldown
	if d.Replicas < s.Desired {
		last, cooldown = &p.state.Down, p.cfg.DownCooldown
	}
	switch since := now.Sub(*last); {
	case d.Replicas == s.Desired:
	case since < cooldown:
		d.decide(Reason{Rule: RuleCooldown, Replicas: s.Desired, Value: since.Seconds(), Limit: cooldown.Seconds()})
	default:
		*last = now
	}
	return d
}

// rule is the first of the prototype's rules that applies.
func (p *Threshold) rule(s Snapshot) Reason {
	served := max(1, float64(s.Completed))
	processing := s.Service.Seconds() / served
	latency := processing + s.Queueing.Seconds()/served
	failed := 100 * float64(s.Failed+s.Refused) / max(1, float64(s.Offered))
	full := 100 * float64(s.Queue) / max(1, float64(s.QueueCapacity))
	throughput := float64(s.Completed) / max(1, s.Uptime.Seconds())
	// The number by Little's law at 70 % utilization, at least one more.
	more := max(s.Desired+1, int(throughput*processing/0.7)+1)
	switch limit := p.cfg.Latency.Seconds(); {
	case s.Queue >= p.cfg.Emergency:
		return Reason{Rule: RuleEmergency, Replicas: 2 * s.Desired, Value: float64(s.Queue), Limit: float64(p.cfg.Emergency)}
	case s.Queue >= p.cfg.Queue:
		return Reason{Rule: RuleQueue, Replicas: more, Value: float64(s.Queue), Limit: float64(p.cfg.Queue)}
	case latency >= limit:
		return Reason{Rule: RuleLatency, Replicas: more, Value: latency, Limit: limit}
	case failed >= p.cfg.Errors:
		return Reason{Rule: RuleErrors, Replicas: more, Value: failed, Limit: p.cfg.Errors}
	case full >= p.cfg.Utilization:
		return Reason{Rule: RuleUtilization, Replicas: more, Value: full, Limit: p.cfg.Utilization}
	case s.Queue == 0 && latency < limit/2 && failed < p.cfg.Errors/2 && s.Desired > p.cfg.Min:
		return Reason{Rule: RuleIdle, Replicas: s.Desired - 1}
	}
	return Reason{Rule: RuleSteady, Replicas: s.Desired}
}
