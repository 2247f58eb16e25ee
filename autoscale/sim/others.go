package sim

import (
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// Ray is Ray Serve's default policy (python/ray/serve/autoscaling_policy.py): the mean number of images in the system
// over a look-back period, divided by the target of a replica. A number must have been wanted without a break for the
// delay of its direction. Ray decides ten times a second, here it is once.
type Ray struct {
	autoscale.Static // it has no state to save
	Limits           autoscale.Limits
	// Target is target_ongoing_requests, LookBack look_back_period_s, Up upscale_delay_s and Down downscale_delay_s.
	Target             float64
	LookBack, Up, Down time.Duration

	images []float64 // in the system, second by second
	agreed int       // seconds for which more (positive) or fewer replicas have been wanted
}

// Decide implements [autoscale.Policy].
func (p *Ray) Decide(now time.Time, s autoscale.Snapshot) autoscale.Decision {
	p.images = append(p.images, float64(s.Queue+s.InFlight))
	p.images = p.images[max(0, len(p.images)-int(p.LookBack/time.Second)):]
	sum := 0.0
	for _, n := range p.images {
		sum += n
	}
	wanted := int(math.Ceil(sum / float64(len(p.images)) / p.Target))
	wanted = min(p.Limits.Max, max(p.Limits.Min, wanted))
	d := autoscale.Decision{At: now, Policy: "ray", Replicas: s.Desired, Was: s.Desired}
	switch {
	case wanted > s.Desired:
		if p.agreed = max(0, p.agreed) + 1; p.agreed > int(p.Up/time.Second) {
			d.Replicas, p.agreed = wanted, 0
		}
	case wanted < s.Desired:
		if p.agreed = min(0, p.agreed) - 1; -p.agreed > int(p.Down/time.Second) {
			d.Replicas, p.agreed = wanted, 0
		}
	default:
		p.agreed = 0
	}
	return d
}

// SLOQueueing is the queueing model of llm-d's workload variant autoscaler (pkg/analyzer), for images: the rate that a
// replica may have for a mean response time, by M/M/1, and as many replicas as the measured rate needs. A mean response
// time of Multiple times that of an idle replica allows 1 - 1/Multiple of its speed. Every Interval it looks at the mean
// rate of Window.
type SLOQueueing struct {
	autoscale.Static // it has no state to save
	Limits           autoscale.Limits
	Speed            float64 // images/s of a replica
	Multiple         float64
	Interval, Window time.Duration

	offered []int64 // second by second
	seconds int
}

// Decide implements [autoscale.Policy].
func (p *SLOQueueing) Decide(now time.Time, s autoscale.Snapshot) autoscale.Decision {
	p.offered = append(p.offered, s.Offered)
	p.offered = p.offered[max(0, len(p.offered)-int(p.Window/time.Second)-1):]
	p.seconds++
	d := autoscale.Decision{At: now, Policy: "slo-queueing", Replicas: s.Desired, Was: s.Desired}
	if n := len(p.offered); n > 1 && p.seconds%int(p.Interval/time.Second) == 0 {
		rate := float64(p.offered[n-1]-p.offered[0]) / float64(n-1)
		wanted := int(math.Ceil(rate / (p.Speed * (1 - 1/p.Multiple))))
		d.Replicas = min(p.Limits.Max, max(p.Limits.Min, wanted))
	}
	return d
}

// keda is deadline behind KEDA: a HorizontalPodAutoscaler asks every 15 s how many replicas are needed.
type keda struct {
	autoscale.Static
	inner *autoscale.Deadline
	hpa   *autoscale.HPAExternal
}

// Decide implements [autoscale.Policy].
func (p *keda) Decide(now time.Time, s autoscale.Snapshot) autoscale.Decision {
	s.Queue = p.inner.Decide(now, s).Replicas
	s.At = now
	return p.hpa.Decide(now, s)
}

// others are policies of other projects, with their defaults and as the best of a search on the twelve traces, and
// deadline as k8s/keda.yaml sets it up.
func others() []Contestant {
	ray := func(target float64, lookBack, up, down time.Duration) func(Config) autoscale.Policy {
		return func(c Config) autoscale.Policy {
			return &Ray{Limits: c.Limits, Target: target * float64(c.Workers), LookBack: lookBack, Up: up, Down: down}
		}
	}
	slo := func(multiple float64, interval, window time.Duration) func(Config) autoscale.Policy {
		return func(c Config) autoscale.Policy {
			return &SLOQueueing{Limits: c.Limits, Speed: c.speed(), Multiple: multiple, Interval: interval, Window: window}
		}
	}
	return []Contestant{
		{"ray", "Ray Serve's autoscaler", ray(2, 30*time.Second, 30*time.Second, 10*time.Minute)},
		{"ray-tuned", "the same with the best settings of a search", ray(0.8, 2*time.Second, 0, 40*time.Second)},
		{"slo-queueing", "the queueing model of llm-d's workload variant autoscaler", slo(3, 30*time.Second, time.Minute)},
		{"slo-queueing-tuned", "the same with the best settings of a search", slo(2.5, time.Second, 2*time.Second)},
		{"keda", "deadline through KEDA: a HorizontalPodAutoscaler asks it every 15 s", func(c Config) autoscale.Policy {
			behavior := &autoscale.HPABehavior{Down: autoscale.ScalingRules{Stabilization: -1},
				Up: autoscale.ScalingRules{Policies: []autoscale.ScalingPolicy{{Percent: 900, Period: 15 * time.Second}}}}
			return &keda{inner: autoscale.NewDeadline(autoscale.DeadlineConfig{Limits: c.Limits, SLO: c.SLO, Interval: 15 * time.Second}),
				hpa: autoscale.NewHPAExternal(autoscale.HPAExternalConfig{HPAConfig: autoscale.HPAConfig{Limits: c.Limits, Behavior: behavior}, AverageValue: 1})}
		}},
	}
}
