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
	// Late is the share of images that may wait longer than the SLO allows. Zero means 0.01.
	Late float64
	// MarginQuantile is the share of seconds of the last ten minutes in which the load did not exceed what a margin on the
	// forecast prepares for. Zero means 0.95, -1 no margin.
	MarginQuantile float64
	// DrainTime is the time in which a backlog shall be cleared. Zero means 0.25 s.
	DrainTime time.Duration
	// Hedge is the share of replicas to start beyond those that are missing, if three or more are missing. Zero
	// means 0.3, -1 none.
	Hedge float64
	// HoldDelays is the time, in start delays, for which needed replicas are kept. Zero means 10. The result is
	// limited to 30 s to 300 s.
	HoldDelays float64
	// Interval is the time between changes if something else looks at the decisions to make them, such as a
	// HorizontalPodAutoscaler every 15 s. Zero means that each decision takes effect.
	Interval time.Duration
}

func (c DeadlineConfig) withDefaults() DeadlineConfig {
	c.Limits = c.Limits.withDefaults()
	c.SLO = cmp.Or(c.SLO, 500*time.Millisecond)
	c.Late = cmp.Or(c.Late, defaultLate)
	c.MarginQuantile = cmp.Or(c.MarginQuantile, 0.95)
	c.DrainTime = cmp.Or(c.DrainTime, 250*time.Millisecond)
	c.Hedge = max(0, cmp.Or(c.Hedge, 0.3))
	c.HoldDelays = cmp.Or(c.HoldDelays, 10)
	return c
}

// Validate reports what is wrong with the configuration.
func (c DeadlineConfig) Validate() error {
	d := c.withDefaults()
	switch {
	case d.SLO < 0 || d.DrainTime < 0 || d.HoldDelays < 0 || d.Interval < 0:
		return errors.New("times must not be negative")
	case !(d.Late > 0 && d.Late < 1) || !(d.MarginQuantile > 0 && d.MarginQuantile <= 1 || d.MarginQuantile == -1):
		return errors.New("the share of late images and the quantile of the margin must be between 0 and 1")
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
//
// See docs/decisions/0080-staff-for-a-deadline.md.
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
	Bursts   bursts    `json:"bursts"`
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
const defaultLate = 0.01

// The maximum age of metrics.
const (
	shrinkAge = 5 * time.Second  // to scale down
	actAge    = 10 * time.Second // to scale at all
)

// The constants of the model. Worked example: the SLO is 500 ms, 120 images/s are forecast without dispersion beyond
// Poisson's, and a replica has one worker that handles 20 images/s, 50 ms each.
//
//	slack        500 ms - 1.6 * 50 ms = 420 ms           time that an image may wait
//	variability  (1 + 0.25) / 2 = 0.625                  of Allen and Cunneen
//	needed       7 replicas                              6 would be fully busy; with 7, P(wait > 420 ms) < 0.01
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
	shrinkPace    = 2 * time.Second
	maxHold       = 300 // seconds
	minHold       = 30  // seconds
	horizonMargin = 1   // seconds from one decision to the next, added to the start delay
)

// One of few replicas is removed only if a somewhat higher load would not need it again: otherwise a constant load between
// two sizes would start and stop one all the time. Worked example: 2 replicas of 20 images/s serve 9 images/s, expected
// with a standard error of 0.2. One is enough for 9 images/s. For 9 * 1.1 + 2 * 0.2 = 10.3, of twice the dispersion, two are
// needed: both stay. With 2 images/s one goes.
const (
	stayUpTo       = 4   // replicas
	stayShare      = 0.1 // more load
	stayDeviations = 2   // standard errors of the rate on top of it
	stayDispersion = 2   // times the dispersion
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
	st := &p.state
	st.Last = now
	p.observe(s)
	switch age := s.Age(now); {
	case age > actAge:
		d.decide(Reason{Rule: RuleStale, Replicas: s.Desired, Value: min(age.Seconds(), 1e6), Limit: actAge.Seconds()})
	case p.cfg.toZero() && s.Desired == 0:
		p.wake(&d, s)
	case p.cfg.toZero() && st.quiet(s):
		d.decide(Reason{Rule: RuleZero, Value: zeroAfter})
	case p.idle(s): // without an image nothing can be measured, and nothing is needed
		p.shrink(&d, now, s, demand{}, p.cfg.least(), hold)
	case st.Speed.rate() == 0 || len(st.Load.Samples) == 0:
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

// zeroAfter is the time in seconds without an image after which no replica is needed.
const zeroAfter = 60

// quiet reports whether no image has come for zeroAfter, and none waits or is in progress.
func (st *deadlineState) quiet(s Snapshot) bool {
	images, seconds := total(st.Load.last(zeroAfter))
	return images == 0 && seconds >= zeroAfter && s.Queue == 0 && s.InFlight == 0
}

// wake starts replicas when an image waits and there is no replica. The rest of the load is known a moment later.
//
// Worked example: a replica was seen to handle 20 images/s, and the SLO of 500 ms leaves 420 ms for waiting. 30 images
// wait: ceil(30 / (20 * 0.42)) = 4 replicas serve them in that time. Without a known speed, one is started.
func (p *Deadline) wake(d *Decision, s Snapshot) {
	last := p.state.Load.last(1)
	waiting := float64(s.Queue)
	if len(last) > 0 && waiting == 0 && last[0].Images > 0 { // it was refused, or is on its way into the queue
		waiting = 1
	}
	if waiting == 0 {
		d.decide(Reason{Rule: RuleZero, Value: zeroAfter})
		return
	}
	n := 1
	if perWorker := p.state.Speed.rate(); perWorker > 0 {
		n = max(1, int(math.Ceil(waiting/(perWorker*s.Workers()*slack(p.cfg.SLO, perWorker)))))
	}
	d.decide(Reason{Rule: RuleWake, Replicas: n, Value: waiting})
}

// hold is the time for which needed replicas are kept.
func (p *Deadline) hold() time.Duration {
	quick, _ := p.state.Delays.parts()
	seconds := p.cfg.HoldDelays * quick
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
	st.Load.observe(s.At, p.usualPart(s.At, float64(images), elapsed), elapsed)
}

// usualPart is what of the images of some seconds counts for the rate. What a foreseen burst brings beyond the usual does
// not: it has replicas of its own, and is over soon.
func (p *Deadline) usualPart(at time.Time, images, elapsed float64) float64 {
	st := &p.state
	usual := st.Load.usual()
	next, regular := st.Bursts.next(at)
	if !st.Bursts.observe(at, images/elapsed, usual, st.Load.dispersion()) || !regular || at.Before(next.start) {
		return images
	}
	return min(images, usual*elapsed)
}

// demand is what is known about the near future.
type demand struct {
	age        float64 // seconds since the figures were read
	horizon    float64 // seconds from now until a replica started now is ready
	late       float64 // share of replicas that take much longer
	level      float64 // images/s now
	upper      float64 // images/s then, margin included
	mu         float64 // images/s that a replica handles
	dispersion float64 // of arrivals
	need       int     // replicas for upper
	stay       int     // replicas that are not worth removing for upper; at least need
	ramp       int     // replicas for rampRate; 0 if the load does not rise
	rampRate   float64 // images/s then, if the load goes on to rise
	rising     float64 // mean images/s until then, if the load goes on to rise; otherwise 0
	burst      int     // replicas for a foreseen burst; 0 if there is none now
	burstRate  float64 // its images/s
	fits       float64 // images that may wait without being late
}

// forecast computes the demand.
func (p *Deadline) forecast(d *Decision, now time.Time, s Snapshot) demand {
	st := &p.state
	delay, late := st.Delays.parts()
	f := demand{age: s.Age(now).Seconds(), horizon: delay + horizonMargin, late: late}
	dispersion := st.Load.dispersion()
	f.dispersion = dispersion
	st.Load.detectChange(dispersion)
	ahead := f.age + f.horizon + max(0, p.cfg.Interval.Seconds()-horizonMargin)
	rate, slope := st.Load.trend(f.horizon, dispersion)
	deviation := 0.0
	f.level = rate
	if slope <= 0 {
		f.level, deviation = st.Load.steady(rate, f.horizon, dispersion)
	}
	expected := f.level + max(0, slope)*ahead
	f.upper = st.Margin.raise(now, expected, st.Load.recent(marginRate), ahead, p.hold(), p.cfg.MarginQuantile)
	margin := 1.0
	if expected > 0 {
		margin = f.upper / expected
	}

	workers := s.Workers()
	perWorker := st.Speed.rate()
	f.mu = perWorker * workers
	slack := slack(p.cfg.SLO, perWorker)
	replicas := func(rate, dispersion float64) int {
		servers := queueing.Servers(rate, perWorker, queueing.Variability(dispersion, serviceCV2), slack, p.cfg.Late, int(float64(p.cfg.Max)*workers)+1)
		return int(math.Ceil(float64(servers) / workers))
	}
	f.need = replicas(f.upper, dispersion)
	f.stay = replicas(f.upper*(1+stayShare)+stayDeviations*deviation, stayDispersion*dispersion)
	f.fits = f.mu * float64(f.need) * slack * fittingShare
	counted := now.Sub(s.Missed).Seconds() > 2*rampLongest // not estimated for a dispatcher that was missing
	if f.rampRate = st.Load.ramp(ahead, dispersion); counted && f.rampRate > f.upper {
		f.ramp = replicas(f.rampRate, dispersion)
		f.rising = (st.Load.recent(rampShortest) + f.rampRate) / 2
	}
	d.Figures = append(d.Figures,
		Figure{"rate_images_per_second", f.level}, Figure{"slope_images_per_second2", slope},
		Figure{"margin_ratio", margin}, Figure{"expected_images_per_second", f.upper},
		Figure{"dispersion_ratio", dispersion}, Figure{"replica_images_per_second", f.mu},
		Figure{"start_delay_seconds", delay}, Figure{"stragglers_ratio", late}, Figure{"needed_replicas", float64(f.need)})
	if next, regular := st.Bursts.next(now); regular {
		p.prepare(now, next, &f, func(rate float64) int { return replicas(rate, dispersion) })
	}
	return f
}

// prepare adds the replicas of a foreseen burst, from the time at which they must be started to its end.
func (p *Deadline) prepare(now time.Time, next foreseen, f *demand, replicas func(float64) int) {
	from := next.start.Add(-time.Duration(f.horizon * float64(time.Second)))
	if !now.Before(from) {
		f.burst, f.burstRate = replicas(max(next.rate, f.upper)), next.rate
	}
}

// backlog is how many images will be waiting when replicas started now are ready. The figures may be some seconds old;
// as many images as usual have come since, and replicas have worked. Of a load that rises, more will come.
//
// Worked example: a replica handles 20 images/s. 30 images waited 2 s ago, 120 images/s arrive, and 7 replicas are ready.
// When replicas started now are ready, 6 s from now, 30 + 120*8 - 20*7*8 = -130: the backlog is gone by then.
func (p *Deadline) backlog(f demand, now time.Time, s Snapshot) float64 {
	working, known := 0.0, 0 // seconds of work until then, of existing replicas
	for i := range s.Replicas {
		switch r := &s.Replicas[i]; {
		case r.Stopping:
		case r.Ready:
			working, known = working+f.horizon+f.age, known+1
		case r.Starting():
			working, known = working+f.horizon-f.startsIn(now.Sub(r.Created)), known+1
		}
	}
	working += float64(max(0, s.Desired-known)) * (f.horizon - f.startsIn(0)) // requested but not created yet
	return float64(s.Queue) + max(f.level, f.rising)*(f.horizon+f.age) - f.mu*working
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
	needed := f.need
	if f.stay >= s.Desired && s.Desired <= stayUpTo && s.Desired == f.need+1 { // not worth removing one
		needed = s.Desired
	}
	p.state.Needs = append(since(p.state.Needs, now.Add(-hold)), point{now, float64(needed)})
	held := max(p.cfg.least(), int(largest(p.state.Needs)), f.burst, f.ramp)
	d.decide(Reason{Rule: RuleRate, Replicas: f.need, Value: f.upper, Limit: f.mu, Dispersion: f.dispersion})

	need := f.need
	if f.ramp > need && (f.ramp > s.Desired+1 || s.Desired > stayUpTo) { // one of few is not worth a false alarm
		need = f.ramp
		d.decide(Reason{Rule: RuleRamp, Replicas: need, Value: f.rampRate, Limit: f.mu, Dispersion: f.dispersion})
	}
	if f.burst > need {
		need = f.burst
		d.decide(Reason{Rule: RuleBurst, Replicas: need, Value: f.burstRate, Limit: f.mu})
	}
	if left := p.backlog(f, now, s); left > f.fits && float64(s.Queue) > f.fits*backlogShare {
		drain := (left - f.fits) / (f.mu * p.cfg.DrainTime.Seconds())
		if n := int(math.Ceil(min(1e6, f.upper/f.mu+drain))); n > need {
			need = n
			d.decide(Reason{Rule: RuleBacklog, Replicas: need, Value: left, Limit: f.fits})
		}
	}
	if missing := need - s.Desired + p.overdue(f, now, s); missing > 0 {
		if n := s.Desired + p.starts(missing, f.late); n > need {
			d.decide(Reason{Rule: RuleHedge, Replicas: n, Value: float64(need)})
		}
		return
	}
	p.shrink(d, now, s, f, held, hold)
}

// starts is how many replicas to start if some are missing: more if a share of starts takes much longer, or if three or
// more are missing, because the first of more are ready sooner. The surplus is cancelled.
//
// Worked example: 6 are missing, and the hedge is 0.3: ceil(1.3 * 6) = 8 are started. If one in four straggles,
// ceil(6 / (1-0.25)) = 8 would be as many; of 2, ceil(2 / 0.75) = 3.
func (p *Deadline) starts(missing int, stragglers float64) int {
	factor := 1 / (1 - stragglers)
	if missing >= hedgeFrom {
		factor = max(factor, 1+p.cfg.Hedge)
	}
	return int(math.Ceil(factor*float64(missing) - 1e-9))
}

// overdue counts the replicas that should have been ready by now, if some straggle: others are started in their place.
func (p *Deadline) overdue(f demand, now time.Time, s Snapshot) int {
	n := 0
	for i := range s.Replicas {
		if r := &s.Replicas[i]; f.late > 0 && r.Starting() && now.Sub(r.Created).Seconds() > f.horizon {
			n++
		}
	}
	return n
}

// shrink removes replicas that are not needed: those that are starting immediately, of the others half at a time.
func (p *Deadline) shrink(d *Decision, now time.Time, s Snapshot, f demand, held int, hold time.Duration) {
	ready, starting := s.Ready(), s.Starting()
	seen := now.Sub(p.state.Since)
	stay := func(r Reason) { r.Replicas = s.Desired; d.decide(r) }
	switch {
	case held >= s.Desired:
		switch {
		case f.need < p.cfg.least() && held == p.cfg.least():
			stay(Reason{Rule: RuleMin})
		case max(f.need, f.ramp, f.burst) < held:
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
	case starting > 0, now.Sub(p.state.Shrunk) < shrinkPace && p.cfg.Interval <= shrinkPace:
		stay(Reason{Rule: RulePace, Value: float64(held)})
	default:
		p.state.Shrunk = now
		d.decide(Reason{Rule: RuleShrink, Replicas: s.Desired - (s.Desired-held+1)/2, Value: float64(held)})
	}
}
