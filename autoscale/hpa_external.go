package autoscale

import (
	"cmp"
	"math"
	"time"
)

// Metric is the metric of [HPAExternal].
type Metric string

// The metrics.
const (
	MetricQueue    Metric = "queue"     // images that wait
	MetricInSystem Metric = "in-system" // images that wait or are in progress
	MetricRate     Metric = "rate"      // images that arrive per second
)

// HPAExternalConfig configures [HPAExternal]. The zero value is usable.
type HPAExternalConfig struct {
	HPAConfig
	// Metric is the metric. Empty means MetricQueue.
	Metric Metric
	// AverageValue is the target of the metric for each replica. Zero means 10, as is usual for queues with KEDA.
	AverageValue float64
	// Window is the time over which a rate is averaged. Zero means 60 s, as in Prometheus' rate(...[1m]).
	Window time.Duration
}

// HPAExternal is a HorizontalPodAutoscaler on an external metric with a target of type AverageValue, as KEDA also
// creates for its scalers: metric/target replicas, rounded up.
//
// Worked example: 10 images are wanted for each replica, and 24 wait. 3 replicas exist: 24/(10*3) = 0.8 is outside the
// tolerance of 0.1, and ceil(24/10) = 3 are recommended. With 28, 0.93 is tolerated, and the 3 stay.
type HPAExternal struct {
	cfg HPAExternalConfig
	memory[hpaState]
}

// NewHPAExternal makes the policy.
func NewHPAExternal(cfg HPAExternalConfig) *HPAExternal {
	cfg.HPAConfig = cfg.HPAConfig.withDefaults()
	cfg.Metric = cmp.Or(cfg.Metric, MetricQueue)
	cfg.AverageValue = cmp.Or(cfg.AverageValue, 10)
	cfg.Window = cmp.Or(cfg.Window, time.Minute)
	return &HPAExternal{cfg: cfg}
}

var _ Policy = (*HPAExternal)(nil)

// Name is "hpa-external".
func (*HPAExternal) Name() string { return "hpa-external" }

// Decide implements [Policy].
func (p *HPAExternal) Decide(now time.Time, s Snapshot) Decision {
	d := stay(p.Name(), now, s)
	rate := p.state.Rate.observe(s, p.cfg.Window)
	if !p.state.Clock.due(now, p.cfg.Sync) {
		return d
	}
	if !p.cfg.look(&d, &p.state, now, s.Desired) {
		return d
	}
	if s.Age(now) > p.cfg.Sync { // no metric: the controller does nothing
		d.decide(Reason{Rule: RuleStale, Replicas: s.Desired, Value: min(1e6, s.Age(now).Seconds()), Limit: p.cfg.Sync.Seconds()})
		return d
	}
	value := rate
	switch p.cfg.Metric {
	case MetricQueue:
		value = float64(s.Queue)
	case MetricInSystem:
		value = float64(s.Queue + s.InFlight)
	}
	d.Figures = append(d.Figures, Figure{"metric_value", value})
	// Kubernetes has the metric and its target in thousandths, and divides by the pods that exist, wanted or not.
	thousandths, each := float64(int(value*1000)), math.Round(p.cfg.AverageValue*1000)
	recommended := s.existing()
	if ratio := thousandths / (each * float64(recommended)); p.cfg.tolerated(ratio) {
		d.decide(Reason{Rule: RuleTolerance, Replicas: recommended, Value: ratio, Limit: p.cfg.Tolerance})
	} else {
		recommended = ceil(thousandths / each)
		d.decide(Reason{Rule: RuleTarget, Replicas: recommended, Value: value, Limit: p.cfg.AverageValue})
	}
	p.cfg.settle(&d, &p.state, now, s.Desired, recommended)
	return d
}

// meanRate is the mean rate of arrivals over a window.
type meanRate struct {
	Totals []point `json:"totals"`
}

func (m *meanRate) observe(s Snapshot, window time.Duration) float64 {
	if n := len(m.Totals); !s.At.IsZero() && (n == 0 || s.At.After(m.Totals[n-1].At)) {
		m.Totals = append(since(m.Totals, s.At.Add(-window)), point{s.At, float64(s.Offered)})
	}
	if len(m.Totals) < 2 {
		return 0
	}
	first, last := m.Totals[0], m.Totals[len(m.Totals)-1]
	return max(0, last.Value-first.Value) / last.At.Sub(first.At).Seconds()
}
