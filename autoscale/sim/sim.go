package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// Config configures one run. Load and Policy must be given; the rest is usable as zero.
type Config struct {
	Load   schedule.Schedule
	Policy autoscale.Policy
	Seed   uint64
	// Arrivals is the seed of the arrivals alone. Zero means Seed.
	Arrivals uint64

	// Limits limit the number of replicas. Policies have limits of their own; these are for the initial replicas and for
	// the ideal cost.
	Limits autoscale.Limits
	// Start is the initial number of replicas. Zero means as many as the first rate keeps 70 % busy.
	Start int
	// SLO is the maximum response time. Zero means 500 ms.
	SLO time.Duration
	// Queue is the maximum number of waiting images. Zero means 500.
	Queue int
	// Warmup precedes the load at its first rate, and is not counted. Zero means 60 s, -1 none.
	Warmup time.Duration
	// Service is the service time of an image. Zero means 50 ms, distributed as measured.
	Service Service
	// Slowdown is a factor of service times at a time of the load. Nil means 1.
	Slowdown func(time.Duration) float64
	// Delay is the start time of a replica. Nil means 1 to 5 s, uniform.
	Delay Delay
	// BlindFrom and BlindFor are when the policy gets no new metrics, and for how long.
	BlindFrom, BlindFor time.Duration
	// Shed refuses images that could not be processed within the SLO, by the queue and the true speed.
	Shed bool
}

func (c Config) withDefaults() Config {
	c.Limits.Min = cmp.Or(c.Limits.Min, autoscale.DefaultMin)
	c.Limits.Max = cmp.Or(c.Limits.Max, autoscale.DefaultMax)
	c.SLO = cmp.Or(c.SLO, 500*time.Millisecond)
	c.Queue = cmp.Or(c.Queue, 500)
	c.Warmup = max(0, cmp.Or(c.Warmup, time.Minute))
	c.Service.Mean = cmp.Or(c.Service.Mean, 50*time.Millisecond)
	if c.Service.Relative == nil {
		c.Service.Relative = Measured()
	}
	if c.Slowdown == nil {
		c.Slowdown = func(time.Duration) float64 { return 1 }
	}
	if c.Delay == nil {
		c.Delay = Uniform(time.Second, 5*time.Second)
	}
	if c.Start == 0 {
		rate := 0.0
		if len(c.Load.Rates) > 0 {
			rate = c.Load.Rates[0]
		}
		c.Start = int(math.Ceil(rate * c.Service.Mean.Seconds() / 0.7))
	}
	c.Start = min(c.Limits.Max, max(c.Limits.Min, c.Start))
	return c
}

// serviceCover mean service times cover the service of nearly all images.
const serviceCover = 1.6

// Times inside a simulation are nanoseconds since its start, warm-up included.
type nanos = int64

const (
	second nanos = 1e9
	never  nanos = math.MaxInt64
	scrape       = 15 * second // of CPU by a metrics server
)

// epoch is the start of the simulation for policies.
var epoch = time.Unix(1_700_000_000, 0).UTC()

// image is a waiting image.
type image struct {
	arrived nanos
	service float32 // relative to the mean
}

// state is the state of a replica.
type state uint8

const (
	starting state = iota
	idle
	busy
	leaving // busy with its last image
	gone
)

// replica is one simulated replica.
type replica struct {
	state   state
	served  bool // has had an image
	created nanos
	ready   nanos // when it becomes or became ready
	arrived nanos // of the image it has
	began   nanos // when work on it began
	worked  nanos // since the last scrape
	cpu     float64
	scraped bool // cpu is known
	counted bool // created after the warm-up
}

// simulation is a run.
type simulation struct {
	cfg      Config
	warmup   nanos
	service  *rand.Rand
	delay    *rand.Rand
	replicas []replica // all, including those that are gone
	alive    []int32   // indices of those not gone
	idle     []int32   // those without work, the last used at the end
	working  heap      // by the time at which they finish
	queue    ring
	tick     nanos // next
	ready    nanos // when the next replica becomes ready

	snapshot autoscale.Snapshot
	total    autoscale.Counters
	desired  int
	relative []float32
	mean     float64 // of service, in nanoseconds
	tally    tally
}

// Run simulates replicas with cfg.Policy under cfg.Load.
func Run(cfg Config) Result {
	cfg = cfg.withDefaults()
	s := &simulation{
		cfg: cfg, warmup: nanos(cfg.Warmup), tick: second, ready: never,
		service: rand.New(rand.NewPCG(cfg.Seed, 1)), delay: rand.New(rand.NewPCG(cfg.Seed, 2)),
		desired: cfg.Start, relative: cfg.Service.Relative, mean: float64(cfg.Service.Mean),
	}
	s.tally.init(cfg)
	const before = -3600 * second
	earlier := rand.New(rand.NewPCG(cfg.Seed, 3))
	for range cfg.Start { // policies learn from these starts too
		s.add(before, before+nanos(cfg.Delay(earlier, cfg.Start)), idle)
	}
	load := WithWarmup(cfg.Load, cfg.Warmup)
	for at := range load.Arrivals(cmp.Or(cfg.Arrivals, cfg.Seed)) {
		s.advance(nanos(at))
		s.arrive(nanos(at))
	}
	end := nanos(load.Duration())
	s.advance(end)
	return s.finish(end)
}

// WithWarmup is the load preceded by some time at its first rate.
func WithWarmup(load schedule.Schedule, warmup time.Duration) schedule.Schedule {
	step := cmp.Or(load.Step, time.Second)
	warm := make([]float64, int(warmup/step), int(warmup/step)+len(load.Rates))
	for i := range warm {
		warm[i] = load.Rates[0]
	}
	load.Rates = append(warm, load.Rates...)
	return load
}

// advance processes all events until a time.
func (s *simulation) advance(until nanos) {
	for {
		next := min(s.working.next(), s.ready, s.tick)
		if next > until {
			return
		}
		switch next {
		case s.working.next():
			s.complete(next)
		case s.ready:
			s.serve(next)
		default:
			s.decide(next)
		}
	}
}

// arrive adds an image.
func (s *simulation) arrive(now nanos) {
	img := image{now, s.relative[s.service.IntN(len(s.relative))]}
	s.total.Offered++
	if n := len(s.idle); n > 0 {
		i := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.begin(now, i, img)
		return
	}
	if s.queue.n >= s.bound(now) {
		s.total.Refused++
		s.tally.refuse(now)
		return
	}
	s.queue.push(img)
}

// bound is the maximum number of waiting images.
func (s *simulation) bound(now nanos) int {
	if !s.cfg.Shed {
		return s.cfg.Queue
	}
	service := s.mean * s.slowdown(now)
	slack := float64(s.cfg.SLO) - serviceCover*service
	return min(s.cfg.Queue, int(float64(s.working.n)*slack/service))
}

func (s *simulation) slowdown(now nanos) float64 {
	return s.cfg.Slowdown(time.Duration(now - s.warmup))
}

// begin gives an image to a replica.
func (s *simulation) begin(now nanos, i int32, img image) {
	r := &s.replicas[i]
	r.state, r.served, r.arrived, r.began = busy, true, img.arrived, now
	s.total.Queueing += time.Duration(now - img.arrived)
	s.working.push(now+nanos(s.mean*float64(img.service)*s.slowdown(now)), i)
}

// complete finishes an image, and gives the replica another.
func (s *simulation) complete(now nanos) {
	i := s.working.pop()
	r := &s.replicas[i]
	s.total.Completed++
	s.total.Service += time.Duration(now - r.began)
	r.worked += now - max(r.began, s.lastScrape(now))
	s.tally.answer(r.arrived, now)
	switch {
	case r.state == leaving:
		s.remove(now, i)
	case s.queue.n > 0:
		s.begin(now, i, s.queue.pop())
	default:
		r.state = idle
		s.idle = append(s.idle, i)
	}
}

// serve makes replicas ready that are due.
func (s *simulation) serve(now nanos) {
	s.ready = never
	for _, i := range s.alive {
		r := &s.replicas[i]
		switch {
		case r.state != starting:
		case r.ready > now:
			s.ready = min(s.ready, r.ready)
		case s.queue.n > 0:
			s.begin(now, i, s.queue.pop())
		default:
			r.state = idle
			s.idle = append(s.idle, i)
		}
	}
}

// add adds a replica.
func (s *simulation) add(created, ready nanos, st state) {
	i := int32(len(s.replicas))
	s.replicas = append(s.replicas, replica{state: st, created: created, ready: ready, counted: created >= s.warmup, served: st == idle})
	s.alive = append(s.alive, i)
	if st == idle {
		s.idle = append(s.idle, i)
	} else {
		s.ready = min(s.ready, ready)
	}
}

// remove ends a replica.
func (s *simulation) remove(now nanos, i int32) {
	r := &s.replicas[i]
	r.state = gone
	for k, j := range s.alive {
		if i == j {
			s.alive = append(s.alive[:k], s.alive[k+1:]...)
			break
		}
	}
	s.tally.end(r, now)
}

// scale sets the number of replicas. It removes starting replicas first, the newest before others; then idle ones;
// then busy ones, which finish their image.
func (s *simulation) scale(now nanos, n int) {
	together := max(0, n-s.desired)
	for _, i := range s.alive {
		if s.replicas[i].state == starting {
			together++
		}
	}
	for ; s.desired < n; s.desired++ {
		s.add(now, now+nanos(s.cfg.Delay(s.delay, together)), starting)
	}
	for ; s.desired > n; s.desired-- {
		i := s.victim()
		if r := &s.replicas[i]; r.state == busy {
			r.state = leaving
			continue
		}
		for k, j := range s.idle {
			if i == j {
				s.idle = append(s.idle[:k], s.idle[k+1:]...)
				break
			}
		}
		s.remove(now, i)
	}
}

// victim is the replica to remove next.
func (s *simulation) victim() int32 {
	best := int32(-1)
	for _, i := range s.alive {
		if st := s.replicas[i].state; st != leaving && (best < 0 || st < s.replicas[best].state || st == starting && s.replicas[best].state == starting) {
			best = i
		}
	}
	return best
}
