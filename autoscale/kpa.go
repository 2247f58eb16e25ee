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
// it uses the short window and does not scale down until more than a minute without panic has passed. A second without
// figures counts as one without images; without figures for more than a minute there is no decision.
//
// Worked example: 0.7 images are wanted in each of 10 ready replicas. A minute had 8.4 images on average, its last six
// seconds 14.2. The long window wants ceil(8.4/0.7) = 12 replicas, the short one ceil(14.2/0.7) = 21, more than twice
// 10: it panics, and wants 21 for at least a minute.
//
// Knative samples its queue proxies; here the number is exact. test/rivals compares this code with Knative's own.
type KPA struct {
	cfg KPAConfig
	memory[kpaState]
}

type kpaState struct {
	Clock      clock     `json:"clock"`
	Stable     buckets   `json:"stable"`
	Panic      buckets   `json:"panic"`
	Started    bool      `json:"started"`
	PanicSince time.Time `json:"panic_since"` // last time that the threshold was exceeded; zero without panic
	PanicMost  int       `json:"panic_most"`
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
	if s.At.After(st.Stable.Read) {
		st.Stable.record(s.At, float64(s.Queue+s.InFlight), p.cfg.StableWindow)
		st.Panic.record(s.At, float64(s.Queue+s.InFlight), p.cfg.PanicWindow)
	}
	if !st.Clock.due(now, p.cfg.Tick) {
		return d
	}
	if !st.Started { // without history: as in panic, so that it does not scale down
		st.Started, st.PanicMost = true, s.Ready()
		if st.PanicMost > 1 {
			st.PanicSince = now
		}
	}
	if age := st.Stable.age(now); age > p.cfg.StableWindow { // no data, no decision
		d.decide(Reason{Rule: RuleStale, Replicas: s.Desired, Value: min(1e6, age.Seconds()), Limit: p.cfg.StableWindow.Seconds()})
		return d
	}
	p.scale(&d, now, s)
	return d
}

func (p *KPA) scale(d *Decision, now time.Time, s Snapshot) {
	st := &p.state
	ready := float64(max(1, s.Ready()))
	target := p.cfg.Utilization * s.Workers()
	stable, short := st.Stable.mean(now, p.cfg.StableWindow), st.Panic.mean(now, p.cfg.PanicWindow)
	most, least := math.Ceil(p.cfg.MaxScaleUp*ready), math.Floor(ready/p.cfg.MaxScaleDown)
	clamp := func(concurrency float64) int { return int(min(most, max(least, math.Ceil(concurrency/target)))) }
	wantStable, wantPanic := clamp(stable), clamp(short)
	d.Figures = append(d.Figures, Figure{"stable_images", stable}, Figure{"panic_images", short})

	switch {
	case math.Ceil(short/target)/ready >= p.cfg.PanicThreshold:
		st.PanicSince = now
	case !st.PanicSince.IsZero() && st.PanicSince.Add(p.cfg.StableWindow).Before(now):
		st.PanicSince, st.PanicMost = time.Time{}, 0
	}
	d.decide(Reason{Rule: RuleStable, Replicas: wantStable, Value: stable, Limit: target})
	if !st.PanicSince.IsZero() {
		st.PanicMost = max(st.PanicMost, wantStable, wantPanic)
		if st.PanicMost > wantStable {
			d.decide(Reason{Rule: RulePanic, Replicas: st.PanicMost, Value: short, Limit: target})
		}
	}
	d.bound(p.cfg.Limits)
}

// buckets hold one value for each second of a window, as Knative's TimedFloat64Buckets do. A second without a value
// counts as 0, but not before the first value, and not after the last one.
type buckets struct {
	First  time.Time `json:"first"` // second of the first value since a window without any
	Last   time.Time `json:"last"`  // second of the last value
	Read   time.Time `json:"read"`  // when the last value was read
	Values []point   `json:"values"`
}

// record adds a value that was read at a time after the last.
func (b *buckets) record(at time.Time, value float64, window time.Duration) {
	second := at.Truncate(time.Second)
	switch {
	case b.Last.IsZero() || second.Sub(b.Last) >= window:
		b.First, b.Values = second, b.Values[:0]
	case second.Equal(b.Last):
		value += b.Values[len(b.Values)-1].Value
		b.Values = b.Values[:len(b.Values)-1]
	}
	b.Last, b.Read = second, at
	b.Values = append(since(b.Values, second.Add(time.Second-window)), point{second, value})
}

// age is the time since the second of the last value; the maximum duration if there is none.
func (b *buckets) age(now time.Time) time.Duration {
	if b.Last.IsZero() {
		return math.MaxInt64
	}
	return now.Truncate(time.Second).Sub(b.Last)
}

// mean is the mean over the part of the window that ends with the last value, rounded as Knative rounds it.
//
// Worked example: of a window of 6 s, the seconds 1, 2 and 4 have 3, 6 and 9 images, and it is second 5. Those from 1 to
// 4 count: (3 + 6 + 0 + 9) / 4 = 4.5. In second 7, the window begins at 2, and (6 + 0 + 9) / 3 = 5.
func (b *buckets) mean(now time.Time, window time.Duration) float64 {
	late := max(0, b.age(now))
	if late >= window {
		return 0
	}
	from := now.Truncate(time.Second).Add(time.Second - window)
	if late == 0 {
		from = b.Last.Add(time.Second - window)
	}
	sum := 0.0
	for _, v := range since(b.Values, from) {
		sum += v.Value
	}
	seconds := min(b.Last.Sub(b.First)/time.Second+1, (window-late+time.Second-1)/time.Second)
	return math.Round(sum/float64(seconds)*1e6) / 1e6
}
