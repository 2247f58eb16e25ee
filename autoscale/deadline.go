package autoscale

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
)

// DeadlineConfig says how [Deadline] decides. The zero value is usable.
type DeadlineConfig struct {
	Limits
	// SLO is how long an answer may take, from arrival. Zero means 500 ms.
	SLO time.Duration
	// Late is the share of images that may wait longer than the SLO leaves them. Zero means 0.005.
	Late float64
	// MarginQuantile is the quantile of past forecasts' errors that is added as a margin. Zero means 0.8.
	MarginQuantile float64
	// MarginMost bounds the margin, a factor. Zero means 1, no margin: a backlog is answered soon enough.
	MarginMost float64
	// DrainTime is the time in which a backlog is to be gone. Zero means 0.8 s.
	DrainTime time.Duration
	// Hedge is how much more than is missing is started at once when three or more are missing. Zero means
	// 0.3, -1 none.
	Hedge float64
	// HoldDelays is how long, in start delays, what was needed is kept. Zero means 12. Never less than 30 s
	// or more than 300 s.
	HoldDelays float64
}

func (c DeadlineConfig) withDefaults() DeadlineConfig {
	c.Limits = c.Limits.withDefaults()
	c.SLO = cmp.Or(c.SLO, 500*time.Millisecond)
	c.Late = cmp.Or(c.Late, 0.005)
	c.MarginQuantile = cmp.Or(c.MarginQuantile, 0.8)
	c.MarginMost = cmp.Or(c.MarginMost, 1)
	c.DrainTime = cmp.Or(c.DrainTime, 800*time.Millisecond)
	c.Hedge = max(0, cmp.Or(c.Hedge, 0.3))
	c.HoldDelays = cmp.Or(c.HoldDelays, 12)
	return c
}

// Validate says what is wrong with the settings.
func (c DeadlineConfig) Validate() error {
	d := c.withDefaults()
	switch {
	case d.SLO < 0 || d.DrainTime < 0 || d.HoldDelays < 0:
		return errors.New("times must not be negative")
	case !(d.Late > 0 && d.Late < 1) || !(d.MarginQuantile > 0 && d.MarginQuantile <= 1):
		return errors.New("the share that may be late and the quantile of the margin: want between 0 and 1")
	case d.MarginMost < 1:
		return errors.New("the margin is a factor: want 1 or more")
	}
	return c.Limits.Validate()
}

// Deadline staffs for a deadline: it estimates the rate of images that will arrive when replicas started now
// serve, and takes the fewest replicas with which all but a share of them wait no longer than the SLO
// allows, by Erlang's C formula. What waits already gets replicas of its own. It measures the speed of a
// replica, the delay of its start and the error of its own forecasts, and has no target utilisation.
//
// A tick goes: service rate (service.go), start delay, dispersion, change point and forecast (forecast.go),
// margin, staffing, backlog, and then up or down (below). Steps and constants are explained, and their effect
// is measured, in docs/autoscaling.md.
type Deadline struct {
	cfg DeadlineConfig
	memory[deadlineState]
}

type deadlineState struct {
	Since    time.Time `json:"since"` // begin of an unbroken history
	Last     time.Time `json:"last"`  // last tick
	Load     load      `json:"load"`
	Speed    speed     `json:"speed"`
	Delays   delays    `json:"delays"`
	Margin   margin    `json:"margin"`
	Needs    []point   `json:"needs"`  // replicas needed for the rate, of late
	Shrunk   time.Time `json:"shrunk"` // last time that replicas were taken away
	Counters Counters  `json:"counters"`
	Read     time.Time `json:"read"` // when Counters were
}

// NewDeadline makes the policy.
func NewDeadline(cfg DeadlineConfig) *Deadline { return &Deadline{cfg: cfg.withDefaults()} }

var _ Policy = (*Deadline)(nil)

// Name is "deadline".
func (*Deadline) Name() string { return "deadline" }

// How old figures may be.
const (
	shrinkAge = 3 * time.Second  // to shrink on
	actAge    = 10 * time.Second // to do anything on
)

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
	case p.idle(s): // without an image nothing can be measured, but then nothing is needed
		p.shrink(&d, now, s, demand{}, p.cfg.Min, hold)
	case p.state.Speed.rate() == 0 || len(p.state.Load.Samples) == 0:
		d.decide(Reason{Rule: RuleUnknown, Replicas: s.Desired})
	default:
		p.staff(&d, now, s, hold)
	}
	d.bound(p.cfg.Limits)
	return d
}

// idle reports that no image has come since the history began, and none is there.
func (p *Deadline) idle(s Snapshot) bool {
	if p.state.Speed.rate() != 0 || len(p.state.Load.Samples) == 0 || s.Queue > 0 || s.InFlight > 0 {
		return false
	}
	images, _ := total(p.state.Load.Samples)
	return images == 0
}

// hold is how long what was needed is kept.
func (p *Deadline) hold() time.Duration {
	seconds := p.cfg.HoldDelays * p.state.Delays.p90()
	return time.Duration(min(300, max(30, seconds)) * float64(time.Second))
}

// observe takes in what is new in the snapshot.
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
	if first || images < 0 || done < 0 || busy < 0 { // counters that went back count from here
		return
	}
	st.Speed.observe(float64(done), busy.Seconds(), elapsed)
	st.Load.observe(s.At, float64(images), elapsed)
}

// demand is what a tick found out about the future.
type demand struct {
	horizon float64 // seconds until a replica started now serves
	level   float64 // images/s now
	upper   float64 // images/s then, margin included
	mu      float64 // images/s that a replica answers
	need    int     // replicas for upper
	fits    float64 // images that may wait without being late
}

// forecast looks ahead.
func (p *Deadline) forecast(d *Decision, now time.Time, s Snapshot) demand {
	st := &p.state
	delay := st.Delays.p90()
	f := demand{horizon: delay + 1}
	dispersion := st.Load.dispersion()
	st.Load.detectChange(dispersion)
	var slope float64
	f.level, slope = st.Load.trend(f.horizon, dispersion)
	ahead := f.level + max(0, slope)*f.horizon
	margin := st.Margin.factor(now, ahead, st.Load.recent(3), f.horizon, p.cfg.MarginQuantile, p.cfg.MarginMost)
	f.upper = ahead * margin

	workers := s.Workers()
	perWorker := st.Speed.rate()
	f.mu = perWorker * workers
	// An image takes its own service besides waiting; 1.6 means of it cover nearly all.
	slack := max(0.05*p.cfg.SLO.Seconds(), p.cfg.SLO.Seconds()-1.6/perWorker)
	servers := queueing.Servers(f.upper, perWorker, (dispersion+0.25)/2, slack, p.cfg.Late, int(float64(p.cfg.Max)*workers)+1)
	f.need = int(math.Ceil(float64(servers) / workers))
	f.fits = f.mu * float64(f.need) * slack / 2
	d.Figures = append(d.Figures,
		Figure{"rate_images_per_second", f.level}, Figure{"slope_images_per_second2", slope},
		Figure{"margin_ratio", margin}, Figure{"expected_images_per_second", f.upper},
		Figure{"dispersion_ratio", dispersion}, Figure{"replica_images_per_second", f.mu},
		Figure{"start_delay_seconds", delay}, Figure{"needed_replicas", float64(f.need)})
	return f
}

// backlog is how many images will be left waiting when replicas started now serve.
func (p *Deadline) backlog(f demand, now time.Time, s Snapshot) float64 {
	working, known := 0.0, 0 // seconds of work until then, of replicas that are there
	for i := range s.Replicas {
		switch r := &s.Replicas[i]; {
		case r.Stopping:
		case r.Ready:
			working, known = working+f.horizon, known+1
		case r.Starting():
			working, known = working+f.horizon-f.startsIn(now.Sub(r.Created)), known+1
		}
	}
	working += float64(max(0, s.Desired-known)) * (f.horizon - f.startsIn(0)) // asked for, and not there yet
	return float64(s.Queue) + f.level*f.horizon - f.mu*working
}

// startsIn is the time in seconds until a replica of some age serves: most need 60 % of the delay that nine of ten keep,
// and one that is late is taken to be there in half a second.
func (f demand) startsIn(age time.Duration) float64 {
	return max(0.5, 0.6*(f.horizon-1)-age.Seconds())
}

// staff decides for the demand that is forecast.
func (p *Deadline) staff(d *Decision, now time.Time, s Snapshot, hold time.Duration) {
	p.plan(d, now, s, p.forecast(d, now, s), hold)
}

// plan decides for a demand.
func (p *Deadline) plan(d *Decision, now time.Time, s Snapshot, f demand, hold time.Duration) {
	p.state.Needs = append(since(p.state.Needs, now.Add(-hold)), point{now, float64(f.need)})
	held := max(p.cfg.Min, int(largest(p.state.Needs)))
	d.decide(Reason{Rule: RuleRate, Replicas: f.need, Value: f.upper, Limit: f.mu})

	need := f.need
	if left := p.backlog(f, now, s); left > f.fits && float64(s.Queue) > f.fits/4 {
		drain := (left - f.fits) / (f.mu * p.cfg.DrainTime.Seconds())
		if n := int(math.Ceil(min(1e6, f.upper/f.mu+drain))); n > need {
			need = n
			d.decide(Reason{Rule: RuleBacklog, Replicas: need, Value: left, Limit: f.fits})
		}
	}
	if need > s.Desired {
		if missing := need - s.Desired; missing >= 3 && p.cfg.Hedge > 0 {
			d.decide(Reason{Rule: RuleHedge, Replicas: s.Desired + int(math.Ceil((1+p.cfg.Hedge)*float64(missing))), Value: float64(need)})
		}
		return
	}
	p.shrink(d, now, s, f, held, hold)
}

// shrink takes away what is not needed: replicas that have not started at once, others by halves.
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
	case float64(s.Queue) > f.fits/2:
		stay(Reason{Rule: RuleBacklog, Value: float64(s.Queue), Limit: f.fits / 2})
	case seen < hold:
		stay(Reason{Rule: RuleHistory, Value: seen.Seconds(), Limit: hold.Seconds()})
	case starting > 0 && ready >= held && ready < s.Desired:
		d.decide(Reason{Rule: RuleCancel, Replicas: ready, Value: float64(ready), Limit: float64(held)})
	case starting > 0, now.Sub(p.state.Shrunk) < 5*time.Second:
		stay(Reason{Rule: RulePace, Value: float64(held)})
	default:
		p.state.Shrunk = now
		d.decide(Reason{Rule: RuleShrink, Replicas: s.Desired - (s.Desired-held+1)/2, Value: float64(held)})
	}
}
