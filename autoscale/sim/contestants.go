package sim

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// Contestant is a policy with settings.
type Contestant struct {
	Name string
	Help string                        // what it is, in a few words
	Make func(Config) autoscale.Policy // a fresh one for a run with this configuration
}

// registered is a policy that users can choose, with its default target.
func registered(k autoscale.Kind) Contestant {
	return Contestant{k.Name, k.Help, func(c Config) autoscale.Policy {
		return k.New(autoscale.Settings{Limits: c.Limits, SLO: c.SLO})
	}}
}

// Deadline is our policy; change alters its settings.
func Deadline(name string, change func(*autoscale.DeadlineConfig)) Contestant {
	return Contestant{Name: name, Make: func(c Config) autoscale.Policy {
		cfg := autoscale.DeadlineConfig{Limits: c.Limits, SLO: c.SLO}
		change(&cfg)
		return autoscale.NewDeadline(cfg)
	}}
}

// HPACPU is a HorizontalPodAutoscaler on CPU with a target utilization.
func HPACPU(name string, target float64) Contestant {
	return Contestant{Name: name, Make: func(c Config) autoscale.Policy {
		return autoscale.NewHPACPU(autoscale.HPACPUConfig{HPAConfig: autoscale.HPAConfig{Limits: c.Limits}, Target: target})
	}}
}

// KPA is Knative's autoscaler with a target utilization.
func KPA(name string, utilization float64) Contestant {
	return Contestant{Name: name, Make: func(c Config) autoscale.Policy {
		return autoscale.NewKPA(autoscale.KPAConfig{Limits: c.Limits, Utilization: utilization})
	}}
}

// HPARate is a HorizontalPodAutoscaler on the rate of images. The target is a share of what one replica answers; tuned
// takes the mean over 10 s instead of a minute, and shrinks after a minute instead of five.
func HPARate(name, help string, share float64, tuned bool) Contestant {
	return hpaExternal(name, help, func(cfg *autoscale.HPAExternalConfig, c Config) {
		cfg.Metric, cfg.AverageValue = autoscale.MetricRate, share*c.speed()
		if tuned {
			cfg.Window = 10 * time.Second
			cfg.Behavior = &autoscale.HPABehavior{Down: autoscale.ScalingRules{Stabilization: time.Minute}}
		}
	})
}

// HPAInSystem is a HorizontalPodAutoscaler on the images that wait or are in progress, with a target for each replica.
func HPAInSystem(name, help string, images float64) Contestant {
	return hpaExternal(name, help, func(cfg *autoscale.HPAExternalConfig, _ Config) {
		cfg.Metric, cfg.AverageValue = autoscale.MetricInSystem, images
	})
}

func hpaExternal(name, help string, change func(*autoscale.HPAExternalConfig, Config)) Contestant {
	return Contestant{name, help, func(c Config) autoscale.Policy {
		cfg := autoscale.HPAExternalConfig{HPAConfig: autoscale.HPAConfig{Limits: c.Limits}}
		change(&cfg, c)
		return autoscale.NewHPAExternal(cfg)
	}}
}

// Names of the variants of hpa-external that only the simulator has: their targets follow from a replica's speed, which
// is not known elsewhere.
const (
	hpaRate      = "hpa-external-rate"
	HPARateTuned = "hpa-external-rate-tuned"
	HPAImages    = "hpa-external-in-system"
)

// Contestants are the policies of the comparison: those that users can choose, the default first, and some that only the
// simulator has.
func Contestants() []Contestant {
	var all []Contestant
	for _, k := range autoscale.Kinds() {
		all = append(all, registered(k))
	}
	all = append(all, others()...)
	return append(all,
		HPARate(hpaRate, "HorizontalPodAutoscaler or KEDA on the rate of images", 0.7, false),
		HPARate(HPARateTuned, "the same with a shorter window and stabilization", 0.7, true),
		HPAInSystem(HPAImages, "HorizontalPodAutoscaler or KEDA on images that wait or are in progress", 0.8),
		Contestant{"static", "enough replicas for the peak, all the time",
			func(c Config) autoscale.Policy { return &autoscale.Static{Replicas: c.peak()} }},
		Contestant{"oracle", "knows the future load: a bound for comparison", oracle},
	)
}

// speed is how many images one replica answers per second when nothing slows it.
func (c Config) speed() float64 { return float64(max(1, c.Workers)) / c.Service.Mean.Seconds() }

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
