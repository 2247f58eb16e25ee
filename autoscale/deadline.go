package autoscale

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
)

// DeadlineConfig configures [Deadline]. The zero value is usable.
type DeadlineConfig struct {
	Limits
	// SLO is how long an answer may take, from arrival. Zero means 500 ms.
	SLO time.Duration
	// Late is the share of images that may wait longer than the SLO allows. Zero means 0.005.
	Late float64
	// MarginQuantile is the quantile of the errors of past forecasts that is added as a margin. Zero means 0.8.
	MarginQuantile float64
	// MaxMargin bounds the margin, a factor. Zero means 1, no margin: a backlog is cleared soon enough.
	MaxMargin float64
	// DrainTime is the time in which a backlog shall be cleared. Zero means 0.8 s.
	DrainTime time.Duration
	// Hedge is the share of replicas to start beyond those that are missing, if three or more are missing. Zero
	// means 0.3, -1 none.
	Hedge float64
	// HoldDelays is the time, in start delays, for which needed replicas are kept. Zero means 12. The result is
	// limited to 30 s to 300 s.
	HoldDelays float64
}

func (c DeadlineConfig) withDefaults() DeadlineConfig {
	c.Limits = c.Limits.withDefaults()
	c.SLO = cmp.Or(c.SLO, 500*time.Millisecond)
	c.Late = cmp.Or(c.Late, defaultLate)
	c.MarginQuantile = cmp.Or(c.MarginQuantile, 0.8)
	c.MaxMargin = cmp.Or(c.MaxMargin, 1)
	c.DrainTime = cmp.Or(c.DrainTime, 800*time.Millisecond)
	c.Hedge = max(0, cmp.Or(c.Hedge, 0.3))
	c.HoldDelays = cmp.Or(c.HoldDelays, 12)
	return c
}

// Validate reports what is wrong with the configuration.
func (c DeadlineConfig) Validate() error {
	d := c.withDefaults()
	switch {
	case d.SLO < 0 || d.DrainTime < 0 || d.HoldDelays < 0:
		return errors.New("times must not be negative")
	case !(d.Late > 0 && d.Late < 1) || !(d.MarginQuantile > 0 && d.MarginQuantile <= 1):
		return errors.New("the share of late images and the quantile of the margin must be between 0 and 1")
	case d.MaxMargin < 1:
		return errors.New("the maximum margin is a factor and must be 1 or more")
	}
	return c.Limits.Validate()
}

// Deadline staffs for a deadline: it estimates the rate of images that will arrive when replicas started now
// are ready, and takes the smallest number of replicas with which all but a share of the images wait no longer
// than the SLO allows, by Erlang's C formula. Images that wait already get replicas of their own. It measures the
// speed of a replica, the delay of its start and the error of its own forecasts, and has no target utilization.
//
// A decision takes these steps: service rate (service.go), start delay, dispersion, change point and forecast
// (forecast.go), margin, staffing, backlog, and then up or down (below). docs/autoscaling.md explains the steps
// and measures the effect of the constants.
type Deadline struct {
	cfg DeadlineConfig
	memory[deadlineState]
}

type deadlineState struct {
	Since    time.Time `json:"since"` // start of the unbroken history
	Last     time.Time `json:"last"`  // last tick
	Load     load      `json:"load"`
	Speed    speed     `json:"speed"`
	Delays   delays    `json:"delays"`
	Margin   margin    `json:"margin"`
	Needs    []point   `json:"needs"`  // replicas needed for the rate, recently
	Shrunk   time.Time `json:"shrunk"` // last time that replicas were removed
	Counters Counters  `json:"counters"`
	Read     time.Time `json:"read"` // when Counters were read
}

// NewDeadline makes the policy.
func NewDeadline(cfg DeadlineConfig) *Deadline { return &Deadline{cfg: cfg.withDefaults()} }

var _ Policy = (*Deadline)(nil)

// Name is "deadline".
func (*Deadline) Name() string { return "deadline" }

// defaultLate is the share of images that may be late.
const defaultLate = 0.005

// The maximum age of metrics.
const (
	shrinkAge = 3 * time.Second  // to scale down
	actAge    = 10 * time.Second // to scale at all
)

// The constants of the model. Worked example: the SLO is 500 ms, 120 images/s are forecast without dispersion beyond
// Poisson's, and a replica has one worker that handles 20 images/s, 50 ms each.
//
//	slack        500 ms - 1.6 * 50 ms = 420 ms           time that an image may wait
//	variability  (1 + 0.25) / 2 = 0.625                  of Allen and Cunneen
//	needed       7 replicas                              6 would be fully busy; with 7, P(wait > 420 ms) < 0.005
//	fitting      20 images/s * 7 * 420 ms / 2 = 29.4     images that may wait without being late
//
// A backlog of more than 29.4 images when new replicas are ready gets replicas of its own, but only if more than
// 29.4/4 = 7.35 images wait already: a forecast alone is too uncertain. Replicas are removed only while at most
// 29.4/2 = 14.7 images wait.
const (
	serviceCover  = 1.6  // mean service times that cover the service of nearly all images
	minSlack      = 0.05 // the slack is at least this share of the SLO
	serviceCV2    = 0.25 // squared coefficient of variation of service times; measured times vary less
	fittingShare  = 0.5  // of the images that needed replicas handle within the slack: the rest is for arrivals
	backlogShare  = 0.25 // of the fitting images must wait for a backlog to count
	calmShare     = 0.5  // of the fitting images may wait while replicas are removed
	earlyStart    = 0.6  // most replicas need this share of the delay that nine of ten keep
	overdueStart  = 0.5  // seconds: a replica that is overdue is assumed to be ready in this time
	hedgeFrom     = 3    // missing replicas from which on more than these are started
	shrinkPace    = 5 * time.Second
	minHold       = 30  // seconds
	maxHold       = 300 // seconds
	horizonMargin = 1   // seconds from one decision to the next, added to the start delay
)

// slack is how many seconds an image may wait, if one worker handles perWorker images per second: what its service
// leaves of the SLO.
func slack(slo time.Duration, perWorker float64) float64 {
	return max(minSlack*slo.Seconds(), slo.Seconds()-serviceCover/perWorker)
}

// Decide implements [Policy].
func (p *Deadline) Decide(now time.Time, s Snapshot) Decision {
	d := stay(p.Name(), now, s)
	hold := p.hold()
	if p.state.Since.IsZero() || now.Sub(p.state.Last) > hold {
		p.state = deadlineState{Since: now, Delays: p.state.Delays, Speed: p.state.Speed}
	}
	p.state.Last = now
	p.observe(s)
	switch age := s.Age(now); {
	case age > actAge:
		d.decide(Reason{Rule: RuleStale, Replicas: s.Desired, Value: min(age.Seconds(), 1e6), Limit: actAge.Seconds()})
	case p.idle(s): // without an image nothing can be measured, and nothing is needed
		p.shrink(&d, now, s, demand{}, p.cfg.Min, hold)
	case p.state.Speed.rate() == 0 || len(p.state.Load.Samples) == 0:
		d.decide(Reason{Rule: RuleUnknown, Replicas: s.Desired})
	default:
		p.staff(&d, now, s, hold)
	}
	d.bound(p.cfg.Limits)
	return d
}

// idle reports whether no image has arrived since the history began, and none waits or is in progress.
func (p *Deadline) idle(s Snapshot) bool {
	if p.state.Speed.rate() != 0 || len(p.state.Load.Samples) == 0 || s.Queue > 0 || s.InFlight > 0 {
		return false
	}
	images, _ := total(p.state.Load.Samples)
	return images == 0
}

// hold is the time for which needed replicas are kept.
func (p *Deadline) hold() time.Duration {
	seconds := p.cfg.HoldDelays * p.state.Delays.p90()
	return time.Duration(min(maxHold, max(minHold, seconds)) * float64(time.Second))
}

// observe updates the measurements with what is new in the snapshot.
func (p *Deadline) observe(s Snapshot) {
	st := &p.state
	st.Delays.observe(s.Replicas)
	if s.At.IsZero() || !s.At.After(st.Read) {
		return
	}
	before, elapsed := st.Counters, s.At.Sub(st.Read).Seconds()
	st.Counters = s.Counters
	first := st.Read.IsZero()
	st.Read = s.At
	images, done, busy := s.Offered-before.Offered, s.Completed-before.Completed, s.Service-before.Service
	if first || images < 0 || done < 0 || busy < 0 { // counters that went back start here
		return
	}
	st.Speed.observe(float64(done), busy.Seconds(), elapsed)
	st.Load.observe(s.At, float64(images), elapsed)
}

// demand is what is known about the near future.
type demand struct {
	horizon float64 // seconds until a replica started now is ready
	level   float64 // images/s now
	upper   float64 // images/s then, margin included
	mu      float64 // images/s that a replica handles
	need    int     // replicas for upper
	fits    float64 // images that may wait without being late
}

// forecast computes the demand.
func (p *Deadline) forecast(d *Decision, now time.Time, s Snapshot) demand {
	st := &p.state
	delay := st.Delays.p90()
	f := demand{horizon: delay + horizonMargin}
	dispersion := st.Load.dispersion()
	st.Load.detectChange(dispersion)
	var slope float64
	f.level, slope = st.Load.trend(f.horizon, dispersion)
	ahead := f.level + max(0, slope)*f.horizon
	margin := st.Margin.factor(now, ahead, st.Load.recent(3), f.horizon, p.cfg.MarginQuantile, p.cfg.MaxMargin)
	f.upper = ahead * margin

	workers := s.Workers()
	perWorker := st.Speed.rate()
	f.mu = perWorker * workers
	slack := slack(p.cfg.SLO, perWorker)
	servers := queueing.Servers(f.upper, perWorker, queueing.Variability(dispersion, serviceCV2), slack, p.cfg.Late, int(float64(p.cfg.Max)*workers)+1)
	f.need = int(math.Ceil(float64(servers) / workers))
	f.fits = f.mu * float64(f.need) * slack * fittingShare
	d.Figures = append(d.Figures,
		Figure{"rate_images_per_second", f.level}, Figure{"slope_images_per_second2", slope},
		Figure{"margin_ratio", margin}, Figure{"expected_images_per_second", f.upper},
		Figure{"dispersion_ratio", dispersion}, Figure{"replica_images_per_second", f.mu},
		Figure{"start_delay_seconds", delay}, Figure{"needed_replicas", float64(f.need)})
	return f
}

// backlog is how many images will be waiting when replicas started now are ready.
func (p *Deadline) backlog(f demand, now time.Time, s Snapshot) float64 {
	working, known := 0.0, 0 // seconds of work until then, of existing replicas
	for i := range s.Replicas {
		switch r := &s.Replicas[i]; {
		case r.Stopping:
		case r.Ready:
			working, known = working+f.horizon, known+1
		case r.Starting():
			working, known = working+f.horizon-f.startsIn(now.Sub(r.Created)), known+1
		}
	}
	working += float64(max(0, s.Desired-known)) * (f.horizon - f.startsIn(0)) // requested but not created yet
	return float64(s.Queue) + f.level*f.horizon - f.mu*working
}

// startsIn is the time in seconds until a replica of some age is ready.
func (f demand) startsIn(age time.Duration) float64 {
	return max(overdueStart, earlyStart*(f.horizon-horizonMargin)-age.Seconds())
}

// staff decides for the forecast demand.
func (p *Deadline) staff(d *Decision, now time.Time, s Snapshot, hold time.Duration) {
	p.plan(d, now, s, p.forecast(d, now, s), hold)
}

// plan decides for a demand.
func (p *Deadline) plan(d *Decision, now time.Time, s Snapshot, f demand, hold time.Duration) {
	p.state.Needs = append(since(p.state.Needs, now.Add(-hold)), point{now, float64(f.need)})
	held := max(p.cfg.Min, int(largest(p.state.Needs)))
	d.decide(Reason{Rule: RuleRate, Replicas: f.need, Value: f.upper, Limit: f.mu})

	need := f.need
	if left := p.backlog(f, now, s); left > f.fits && float64(s.Queue) > f.fits*backlogShare {
		drain := (left - f.fits) / (f.mu * p.cfg.DrainTime.Seconds())
		if n := int(math.Ceil(min(1e6, f.upper/f.mu+drain))); n > need {
			need = n
			d.decide(Reason{Rule: RuleBacklog, Replicas: need, Value: left, Limit: f.fits})
		}
	}
	if need > s.Desired {
		if missing := need - s.Desired; missing >= hedgeFrom && p.cfg.Hedge > 0 {
			d.decide(Reason{Rule: RuleHedge, Replicas: s.Desired + int(math.Ceil((1+p.cfg.Hedge)*float64(missing))), Value: float64(need)})
		}
		return
	}
	p.shrink(d, now, s, f, held, hold)
}

// shrink removes replicas that are not needed: those that are starting immediately, of the others half at a time.
func (p *Deadline) shrink(d *Decision, now time.Time, s Snapshot, f demand, held int, hold time.Duration) {
	ready, starting := s.Ready(), s.Starting()
	seen := now.Sub(p.state.Since)
	stay := func(r Reason) { r.Replicas = s.Desired; d.decide(r) }
	switch {
	case held >= s.Desired:
		switch {
		case f.need < p.cfg.Min && held == p.cfg.Min:
			stay(Reason{Rule: RuleMin})
		case f.need < held:
			stay(Reason{Rule: RuleHold, Value: hold.Seconds()})
		default:
			stay(Reason{Rule: RuleSteady})
		}
	case s.Age(now) > shrinkAge:
		stay(Reason{Rule: RuleStale, Value: s.Age(now).Seconds(), Limit: shrinkAge.Seconds()})
	case float64(s.Queue) > f.fits*calmShare:
		stay(Reason{Rule: RuleBacklog, Value: float64(s.Queue), Limit: f.fits * calmShare})
	case seen < hold:
		stay(Reason{Rule: RuleHistory, Value: seen.Seconds(), Limit: hold.Seconds()})
	case starting > 0 && ready >= held && ready < s.Desired:
		d.decide(Reason{Rule: RuleCancel, Replicas: ready, Value: float64(ready), Limit: float64(held)})
	case starting > 0, now.Sub(p.state.Shrunk) < shrinkPace:
		stay(Reason{Rule: RulePace, Value: float64(held)})
	default:
		p.state.Shrunk = now
		d.decide(Reason{Rule: RuleShrink, Replicas: s.Desired - (s.Desired-held+1)/2, Value: float64(held)})
	}
}
