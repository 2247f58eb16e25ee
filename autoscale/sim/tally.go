package sim

import (
	"math"
	"time"
)

// Result is the result of a run without its warm-up.
type Result struct {
	Offered  int // images that arrived
	Late     int // processed after the SLO, or still waiting longer than that at the end
	Refused  int // found the queue full
	Latency  Histogram
	Duration time.Duration

	ReplicaSeconds float64 // from request to end
	IdealSeconds   float64 // of an ideal system that always has as many as needed: the sum of max(minimum, rate/speed)

	Changes   int           // of the number of replicas
	Reversals int           // changes in the opposite direction of the previous one
	Created   int           // replicas
	Wasted    int           // of these, removed before they had an image
	Recovery  time.Duration // from the largest jump of the load to the last late image within 5 min; 0 if there was none
	Overshoot float64       // maximum number of replicas over the maximum needed
	Under     float64       // mean share of needed replicas that was missing
	Over      float64       // mean surplus, as a share of needed replicas
	Starved   float64       // share of time with fewer than needed

	Timeline []Moment // second by second
}

// Moment is one second of a run.
type Moment struct {
	Rate    float64 // images/s of the load
	Desired int     // wanted replicas
	Ready   int
	Queue   int
	Late    int // images that arrived in this second and were late or refused
}

// Violations is the share of images that were late or refused, 0..1.
func (r Result) Violations() float64 { return float64(r.Late+r.Refused) / max(1, float64(r.Offered)) }

// Cost is replica-seconds over those of the ideal.
func (r Result) Cost() float64 { return r.ReplicaSeconds / max(1, r.IdealSeconds) }

// tally collects a Result.
type tally struct {
	Result
	warmup, slo nanos
	direction   int
	jumpAt      nanos // of the load
	lastLate    nanos // arrival of the last late image after the jump
	most, need  float64
	late        []int32 // by second of arrival, warm-up included
}

func (t *tally) init(cfg Config) {
	t.warmup, t.slo = nanos(cfg.Warmup), nanos(cfg.SLO)
	t.Duration = cfg.Load.Duration()
	t.late = make([]int32, int((cfg.Warmup+t.Duration)/time.Second)+2)
	t.Timeline = make([]Moment, 0, int(t.Duration/time.Second)+1)
	t.jumpAt = never
	jump, step := 0.0, nanos(cfg.Load.Duration())/max(1, nanos(len(cfg.Load.Rates)))
	for i := 1; i < len(cfg.Load.Rates); i++ {
		if up := cfg.Load.Rates[i] - cfg.Load.Rates[i-1]; up > jump && up > 0.5*cfg.Load.Rates[i-1] {
			jump, t.jumpAt = up, t.warmup+nanos(i)*step
		}
	}
}

// tooLate counts an image, by its arrival, that was late or refused.
func (t *tally) tooLate(arrived nanos) {
	t.late[arrived/second]++
	if arrived >= t.jumpAt && arrived < t.jumpAt+300*second {
		t.lastLate = max(t.lastLate, arrived)
	}
}

func (t *tally) refuse(now nanos) {
	if now < t.warmup {
		return
	}
	t.Offered++
	t.Refused++
	t.tooLate(now)
}

func (t *tally) answer(arrived, now nanos) {
	if arrived < t.warmup {
		return
	}
	t.Offered++
	t.Latency.add(now - arrived)
	if now-arrived > t.slo {
		t.Late++
		t.tooLate(arrived)
	}
}

// end counts a replica that is gone, or that still exists at the end.
func (t *tally) end(r *replica, now nanos) {
	t.ReplicaSeconds += float64(max(0, now-max(r.created, t.warmup))) / float64(second)
	if r.counted && !r.served && r.state == gone {
		t.Wasted++
	}
}

// tick counts a second, and a decision for n replicas.
func (t *tally) tick(now nanos, s *simulation, n int) {
	if now <= s.warmup {
		return
	}
	into := time.Duration(now - s.warmup - second)
	rate := s.cfg.Load.At(into)
	mu := float64(s.cfg.Workers) * 1e9 / (s.mean * s.slowdown(now))
	ready := 0
	for _, i := range s.alive {
		if s.replicas[i].state != starting {
			ready++
		}
	}
	if n != s.desired {
		t.Changes++
		direction := 1
		if n < s.desired {
			direction = -1
		}
		if direction == -t.direction {
			t.Reversals++
		}
		t.direction = direction
		t.Created += max(0, n-s.desired)
	}
	need := max(float64(s.cfg.Limits.Min), rate/mu)
	t.IdealSeconds += need
	t.need, t.most = max(t.need, math.Ceil(need)), max(t.most, float64(n))
	missing := float64(ready) - need
	t.Under += max(0, -missing) / need
	t.Over += max(0, missing) / need
	if missing < 0 {
		t.Starved++
	}
	t.Timeline = append(t.Timeline, Moment{Rate: rate, Desired: n, Ready: ready, Queue: s.queue.n})
}

// finish makes the Result.
func (s *simulation) finish(end nanos) Result {
	t := &s.tally
	for _, i := range s.alive {
		t.end(&s.replicas[i], end)
	}
	for s.queue.n > 0 { // of the waiting images, count those that are late already
		if img := s.queue.pop(); img.arrived >= s.warmup && end-img.arrived > t.slo {
			t.Offered++
			t.Late++
			t.tooLate(img.arrived)
		}
	}
	if t.lastLate > 0 {
		t.Recovery = time.Duration(t.lastLate - t.jumpAt)
	}
	if n := float64(len(t.Timeline)); n > 0 {
		t.Under, t.Over, t.Starved = t.Under/n, t.Over/n, t.Starved/n
	}
	t.Overshoot = t.most / max(1, t.need)
	for i := range t.Timeline {
		t.Timeline[i].Late = int(t.late[int(t.warmup/second)+i])
	}
	return t.Result
}

// Histogram counts latencies in buckets 2 % wide. The zero value is empty.
type Histogram struct {
	counts [1024]int32
	n      int
}

const (
	smallest = 1e5 // ns; the first bucket has all that is shorter
	growth   = 0.02
)

func (h *Histogram) add(t nanos) {
	i := 0
	if t > smallest {
		i = min(len(h.counts)-1, int(math.Log(float64(t)/smallest)*(1/growth)))
	}
	h.counts[i]++
	h.n++
}

// Quantile is the q-quantile of latencies, within 2 %; 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	left := int(math.Ceil(q * float64(h.n)))
	for i, c := range h.counts {
		if left -= int(c); left <= 0 && h.n > 0 {
			return time.Duration(smallest * math.Exp(growth*(float64(i)+0.5)))
		}
	}
	return 0
}
