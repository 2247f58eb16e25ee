package sim

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// speed is what one replica answers a second, when nothing slows it.
func (c Config) speed() float64 { return 1 / c.Service.Mean.Seconds() }

// Deadline is our policy; change may alter its settings.
func Deadline(name string, change func(*autoscale.DeadlineConfig)) Contestant {
	return Contestant{name, func(c Config) autoscale.Policy {
		cfg := autoscale.DeadlineConfig{Limits: c.Limits, SLO: c.SLO}
		if change != nil {
			change(&cfg)
		}
		return autoscale.NewDeadline(cfg)
	}}
}

// HPACPU is a HorizontalPodAutoscaler on CPU with a target utilisation.
func HPACPU(name string, target float64) Contestant {
	return Contestant{name, func(c Config) autoscale.Policy {
		return autoscale.NewHPACPU(autoscale.HPACPUConfig{HPAConfig: autoscale.HPAConfig{Limits: c.Limits}, Target: target})
	}}
}

// HPAExternal is a HorizontalPodAutoscaler, or KEDA, on an external metric; change completes its settings.
func HPAExternal(name string, change func(*autoscale.HPAExternalConfig, Config)) Contestant {
	return Contestant{name, func(c Config) autoscale.Policy {
		cfg := autoscale.HPAExternalConfig{HPAConfig: autoscale.HPAConfig{Limits: c.Limits}}
		change(&cfg, c)
		return autoscale.NewHPAExternal(cfg)
	}}
}

// KPA is Knative's autoscaler with a target utilisation.
func KPA(name string, utilisation float64) Contestant {
	return Contestant{name, func(c Config) autoscale.Policy {
		return autoscale.NewKPA(autoscale.KPAConfig{Limits: c.Limits, Utilisation: utilisation})
	}}
}

// Contestants are the policies of the comparison, ours first.
func Contestants() []Contestant {
	return []Contestant{
		Deadline("deadline", nil),
		KPA("kpa", 0.7),
		{"threshold", func(c Config) autoscale.Policy {
			return autoscale.NewThreshold(autoscale.ThresholdConfig{Limits: c.Limits})
		}},
		HPACPU("hpa-cpu", 0.7),
		HPAExternal("hpa-external: rate", func(cfg *autoscale.HPAExternalConfig, c Config) {
			cfg.Metric, cfg.AverageValue = autoscale.MetricRate, 0.7*c.speed()
		}),
		HPAExternal("hpa-external: rate, tuned", func(cfg *autoscale.HPAExternalConfig, c Config) {
			cfg.Metric, cfg.AverageValue, cfg.Window = autoscale.MetricRate, 0.7*c.speed(), 10*time.Second
			cfg.Down.Stabilisation = time.Minute
		}),
		HPAExternal("hpa-external: in system", func(cfg *autoscale.HPAExternalConfig, _ Config) {
			cfg.Metric, cfg.AverageValue = autoscale.MetricInSystem, 0.8
		}),
		HPAExternal("hpa-external: queue", func(*autoscale.HPAExternalConfig, Config) {}),
		{"static", func(c Config) autoscale.Policy { return &autoscale.Static{Replicas: c.peak()} }},
		{"oracle", oracle},
	}
}

// peak is how many replicas the highest rate needs.
func (c Config) peak() int {
	most := 0.0
	for _, r := range c.Load.Rates {
		most = max(most, r)
	}
	return min(c.Limits.Max, max(c.Limits.Min, int(most/c.speed())+3))
}

func oracle(c Config) autoscale.Policy {
	into := func(t time.Time) time.Duration { return t.Sub(epoch) - c.Warmup }
	return &autoscale.Oracle{
		Limits: c.Limits, Ahead: 5 * time.Second, SLO: c.SLO,
		Rate: func(t time.Time) float64 { return c.Load.At(max(0, into(t))) },
		Mu:   func(t time.Time) float64 { return c.speed() / c.Slowdown(into(t)) },
	}
}
