package autoscale

import (
	"cmp"
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
	recommended := s.Desired
	if ratio := value / (p.cfg.AverageValue * float64(max(1, s.Desired))); p.cfg.tolerated(ratio) {
		d.decide(Reason{Rule: RuleTolerance, Replicas: recommended, Value: ratio, Limit: p.cfg.Tolerance})
	} else {
		recommended = ceil(value / p.cfg.AverageValue)
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
