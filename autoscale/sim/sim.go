package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
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
	// Workers is how many images a replica processes at the same time. Zero means 1.
	Workers int
	// Batch is how many images arrive together. Zero means 1. The rate of the load stays the same.
	Batch int
	// PerNode is how many replicas a node has room for, and NodeDelay what the first replicas of a new node wait for it,
	// in addition to their start. A node without a replica is removed after ten minutes. PerNode zero means that there
	// is always room.
	PerNode   int
	NodeDelay time.Duration
	// Age is how old the figures of load are that the policy sees. Zero means those of the same moment.
	Age time.Duration
	// CPUAge is how old the CPU usage of replicas is when a policy sees it first; it is measured every 15 s. Zero means
	// 10 s, about the delay from the kubelet through a metrics server, -1 none.
	CPUAge time.Duration
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
	c.Workers = max(1, c.Workers)
	c.Batch = max(1, c.Batch)
	c.CPUAge = max(0, cmp.Or(c.CPUAge, 10*time.Second))
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
		c.Start = int(math.Ceil(rate * c.Service.Mean.Seconds() / float64(c.Workers) / 0.7))
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
	busy    // it has an image
	leaving // busy with its last images
	gone
)

// replica is one simulated replica.
type replica struct {
	state    state
	served   bool  // has had an image
	images   int32 // that it has now
	created  nanos
	ready    nanos   // when it becomes or became ready
	worked   nanos   // of all its workers since the last scrape
	measured float64 // share of CPU used, at the last scrape
	cpu      float64 // as policies see it
	known    nanos   // when that was new; never if there is none
	counted  bool    // created after the warm-up
}

// slot is a worker of a replica, with the image it has. Slots are numbered: those of replica i begin at i times Workers.
type slot struct {
	arrived nanos // of the image
	began   nanos // when work on it began
}

// simulation is a run.
type simulation struct {
	cfg      Config
	warmup   nanos
	service  *rand.Rand
	delay    *rand.Rand
	replicas []replica // all, including those that are gone
	slots    []slot    // of all replicas
	alive    []int32   // indices of replicas not gone
	idle     []int32   // slots without work, the last used at the end
	working  heap      // slots, by the time at which they finish
	nodes    nodes
	queue    ring
	tick     nanos // next
	ready    nanos // when the next replica becomes ready

	snapshot autoscale.Snapshot
	figures  []figures // of the last seconds, oldest first, if the policy sees old ones
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
	arrivals := load
	arrivals.Rates = slices.Clone(load.Rates)
	for i := range arrivals.Rates {
		arrivals.Rates[i] /= float64(cfg.Batch)
	}
	for at := range arrivals.Arrivals(cmp.Or(cfg.Arrivals, cfg.Seed)) {
		s.advance(nanos(at))
		for range cfg.Batch {
			s.arrive(nanos(at))
		}
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
		k := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.begin(now, k, img)
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

// begin gives an image to a slot.
func (s *simulation) begin(now nanos, k int32, img image) {
	r := &s.replicas[k/int32(s.cfg.Workers)]
	r.state, r.served, r.images = busy, true, r.images+1
	s.slots[k] = slot{img.arrived, now}
	s.total.Queueing += time.Duration(now - img.arrived)
	s.working.push(now+nanos(s.mean*float64(img.service)*s.slowdown(now)), k)
}

// complete finishes an image, and gives the slot another.
func (s *simulation) complete(now nanos) {
	k := s.working.pop()
	i := k / int32(s.cfg.Workers)
	r, did := &s.replicas[i], s.slots[k]
	r.images--
	s.total.Completed++
	s.total.Service += time.Duration(now - did.began)
	r.worked += now - max(did.began, s.lastScrape(now))
	s.tally.answer(did.arrived, now)
	switch {
	case r.state == leaving:
		if r.images == 0 {
			s.remove(now, i)
		}
	case s.queue.n > 0:
		s.begin(now, k, s.queue.pop())
	default:
		if r.images == 0 {
			r.state = idle
		}
		s.idle = append(s.idle, k)
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
		default:
			r.state = idle
			s.open(now, i)
		}
	}
}

// open gives the slots of a replica images, as far as any wait.
func (s *simulation) open(now nanos, i int32) {
	first := i * int32(s.cfg.Workers)
	for k := first; k < first+int32(s.cfg.Workers); k++ {
		if s.queue.n > 0 {
			s.begin(now, k, s.queue.pop())
		} else {
			s.idle = append(s.idle, k)
		}
	}
}

// add adds a replica.
func (s *simulation) add(created, ready nanos, st state) {
	i := int32(len(s.replicas))
	s.replicas = append(s.replicas, replica{state: st, created: created, ready: ready, known: never, counted: created >= s.warmup, served: st == idle})
	s.slots = append(s.slots, make([]slot, s.cfg.Workers)...)
	s.alive = append(s.alive, i)
	if st == idle {
		s.open(created, i)
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
	s.nodes.update(now, s.cfg, len(s.alive)+max(0, n-s.desired))
	for ; s.desired < n; s.desired++ {
		from := s.nodes.free(now, s.cfg, len(s.alive))
		s.add(now, from+nanos(s.cfg.Delay(s.delay, together)), starting)
	}
	for ; s.desired > n; s.desired-- {
		i := s.victim()
		s.idle = slices.DeleteFunc(s.idle, func(k int32) bool { return k/int32(s.cfg.Workers) == i })
		if r := &s.replicas[i]; r.state == busy {
			r.state = leaving
			continue
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
