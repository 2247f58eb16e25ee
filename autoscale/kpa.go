package autoscale

import (
	"cmp"
	"math"
	"time"
)

// KPAConfig configures [KPA]. The zero value has Knative's defaults.
type KPAConfig struct {
	Limits
	// Utilization is the target share of busy workers of a replica. Zero means 0.7.
	Utilization float64
	// Tick is the time between decisions. Zero means 2 s.
	Tick time.Duration
	// StableWindow and PanicWindow are the windows over which concurrency is averaged. Zero means 60 s and 6 s.
	StableWindow, PanicWindow time.Duration
	// PanicThreshold is the ratio of wanted to ready replicas that starts a panic. Zero means 2.
	PanicThreshold float64
	// MaxScaleUp and MaxScaleDown limit one change, as ratios. Zero means 1000 and 2.
	MaxScaleUp, MaxScaleDown float64
}

// KPA is Knative's pod autoscaler on concurrency (knative.dev/serving, docs/scaling/SYSTEM.md): replicas for the mean
// number of images in the system over a minute. If the mean over six seconds needs twice the ready replicas, it panics:
// it uses the short window and does not scale down until a minute without panic has passed. Knative samples its queue
// proxies; here the number is exact.
type KPA struct {
	cfg KPAConfig
	memory[kpaState]
}

type kpaState struct {
	Clock       clock     `json:"clock"`
	Concurrency []point   `json:"concurrency"`
	Started     bool      `json:"started"`
	PanicSince  time.Time `json:"panic_since"` // last time that the threshold was exceeded; zero without panic
	PanicMost   int       `json:"panic_most"`
}

// NewKPA makes the policy.
func NewKPA(cfg KPAConfig) *KPA {
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Utilization = cmp.Or(cfg.Utilization, 0.7)
	cfg.Tick = cmp.Or(cfg.Tick, 2*time.Second)
	cfg.StableWindow = cmp.Or(cfg.StableWindow, time.Minute)
	cfg.PanicWindow = cmp.Or(cfg.PanicWindow, 6*time.Second)
	cfg.PanicThreshold = cmp.Or(cfg.PanicThreshold, 2)
	cfg.MaxScaleUp = cmp.Or(cfg.MaxScaleUp, 1000)
	cfg.MaxScaleDown = cmp.Or(cfg.MaxScaleDown, 2)
	return &KPA{cfg: cfg}
}

var _ Policy = (*KPA)(nil)

// Name is "kpa".
func (*KPA) Name() string { return "kpa" }

// Decide implements [Policy].
func (p *KPA) Decide(now time.Time, s Snapshot) Decision {
	d, st := stay(p.Name(), now, s), &p.state
	if n := len(st.Concurrency); !s.At.IsZero() && (n == 0 || s.At.After(st.Concurrency[n-1].At)) {
		// (now-w, now], in Knative's buckets
		st.Concurrency = append(since(st.Concurrency, s.At.Add(time.Millisecond-p.cfg.StableWindow)), point{s.At, float64(s.Queue + s.InFlight)})
	}
	if !st.Clock.due(now, p.cfg.Tick) {
		return d
	}
	if len(st.Concurrency) == 0 || s.Age(now) > p.cfg.PanicWindow { // no data, no decision
		d.decide(Reason{Rule: RuleStale, Replicas: s.Desired, Value: min(1e6, s.Age(now).Seconds()), Limit: p.cfg.PanicWindow.Seconds()})
		return d
	}
	p.scale(&d, now, s)
	return d
}

func (p *KPA) scale(d *Decision, now time.Time, s Snapshot) {
	st := &p.state
	ready := max(1, s.Ready())
	target := p.cfg.Utilization * s.Workers()
	stable := mean(st.Concurrency)
	short := mean(since(st.Concurrency, s.At.Add(time.Millisecond-p.cfg.PanicWindow)))
	most, least := ceil(p.cfg.MaxScaleUp*float64(ready)), int(math.Floor(float64(ready)/p.cfg.MaxScaleDown))
	clamp := func(concurrency float64) int { return min(most, max(least, ceil(concurrency/target))) }
	wantStable, wantPanic := clamp(stable), clamp(short)
	d.Figures = append(d.Figures, Figure{"stable_images", stable}, Figure{"panic_images", short})

	over := float64(ceil(short/target))/float64(ready) >= p.cfg.PanicThreshold
	switch {
	case over, !st.Started && ready > 1: // without history: as in panic, so that it does not scale down
		st.PanicSince = now
		if !st.Started {
			st.PanicMost = ready
		}
	case !st.PanicSince.IsZero() && !now.Before(st.PanicSince.Add(p.cfg.StableWindow)):
		st.PanicSince, st.PanicMost = time.Time{}, 0
	}
	st.Started = true
	d.decide(Reason{Rule: RuleStable, Replicas: wantStable, Value: stable, Limit: target})
	if !st.PanicSince.IsZero() {
		st.PanicMost = max(st.PanicMost, wantStable, wantPanic)
		if st.PanicMost > wantStable {
			d.decide(Reason{Rule: RulePanic, Replicas: st.PanicMost, Value: short, Limit: target})
		}
	}
	d.bound(p.cfg.Limits)
}
