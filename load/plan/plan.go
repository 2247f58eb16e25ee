// Package plan says how many replicas a schedule needs, what they cost, and with which values Kubernetes'
// autoscalers keep to it: in go a search's result for one replica and the schedule, out comes a Plan. The one
// thing to know: what one replica was measured to hold fixes the model, so that for one replica the model says
// what was measured; for more it says what a common queue gains.
package plan

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// Replica is what was measured of one replica.
type Replica struct {
	Rate     float64       // requests per second at which it held the limit
	Capacity float64       // answers per second when it has always work
	Limit    time.Duration // no more than Share of the requests may take longer
	Share    float64
	// CPUSeconds is what an image costs; 0 when it was not measured, and then CPUs/Capacity is taken.
	CPUSeconds float64
	// MemoryBytes is the most it had; 0 when it was not measured.
	MemoryBytes float64
	// CPUs are what it may use. Zero means 1.
	CPUs float64
}

// Prices are what an hour costs, in any currency.
type Prices struct {
	CPUHour float64 // of one CPU
	GiBHour float64 // of one GiB of memory
}

// Config is what a plan is made of.
type Config struct {
	Replica
	Schedule schedule.Schedule
	Prices   Prices
	// Headroom is how much more than the schedule to plan for, as a share of it.
	Headroom float64
	// Most is the largest number of replicas. Zero means 10,000.
	Most int
}

// Plan is what a schedule needs.
type Plan struct {
	Config
	Variability float64 // of arrivals and service together, fitted to what was measured; see [queueing.WaitTail]
	Least       int     // replicas at the schedule's lowest rate
	Peak        int     // at its highest
	Mean        float64 // over its time, if a perfect autoscaler followed it
	// Static and Scaled are what the peak's replicas all the time, and the perfect autoscaler's, come to.
	Static, Scaled Bill

	CPURequest      float64 // CPUs of a replica
	MemoryRequest   float64 // bytes of a replica; 0 when not known
	PerReplica      float64 // requests per second and replica which the smallest fleet still holds
	HPACPU          float64 // CPUs used per replica at that rate, less the headroom: the target of an HPA
	QueuePerReplica int     // images waiting per replica that are gone in half the time allowed: the target of KEDA
}

// Bill is what a number of replicas over the schedule's time costs.
type Bill struct {
	CPUHours, GiBHours float64
	PerMillion         float64 // images
	Utilisation        float64 // share of the capacity that is used, 0..1
}

// waitAllowed is what the limit leaves for waiting.
func (r Replica) waitAllowed() float64 {
	return max(r.Limit.Seconds()-1/r.Capacity, r.Limit.Seconds()/10)
}

// variability is v in queueing.WaitTail such that one replica at its measured rate lets exactly Share of the
// requests wait longer than allowed:
//
//	rho exp(-(mu - lambda) t / v) = Share,  so  v = (mu - lambda) t / ln(rho / Share)
func (r Replica) variability() float64 {
	rho := r.Rate / r.Capacity
	if rho <= r.Share {
		return 100 // it holds almost nothing: the model is as pessimistic as it can be
	}
	return min(max((r.Capacity-r.Rate)*r.waitAllowed()/math.Log(rho/r.Share), 0.01), 100)
}

// Make makes the plan. It is an error when the measurements contradict each other, or when the schedule needs
// more than Most replicas.
func Make(c Config) (*Plan, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p := &Plan{Config: c, Variability: c.variability(), CPURequest: c.CPUs, MemoryRequest: roundMemory(c.MemoryBytes)}
	rates := c.Schedule.Rates
	sum := 0
	for i, rate := range rates {
		n := p.replicas(rate * (1 + c.Headroom))
		if n >= c.Most {
			return nil, fmt.Errorf("plan: %.0f requests/s need %d replicas or more", rate, c.Most)
		}
		if i == 0 || n < p.Least {
			p.Least = n
		}
		p.Peak = max(p.Peak, n)
		sum += n
	}
	p.Mean = float64(sum) / float64(len(rates))
	p.Static, p.Scaled = p.bill(float64(p.Peak)), p.bill(p.Mean)
	p.PerReplica = p.holds(p.Least) / float64(p.Least)
	// An HPA leaves up to a tenth above its target alone, and sees no more than a replica can use: a target above
	// 0.9 of that would never scale up.
	p.HPACPU = min(p.PerReplica/(1+c.Headroom), 0.85*c.Capacity) * c.CPUSeconds
	p.QueuePerReplica = max(1, int(c.Capacity*c.waitAllowed()/2))
	return p, nil
}

func (c Config) withDefaults() Config {
	if c.CPUs == 0 {
		c.CPUs = 1
	}
	if c.Most == 0 {
		c.Most = 10_000
	}
	// Measured at random times, a replica may hold what it seems to do at most; a queue cannot.
	c.Rate = min(c.Rate, 0.98*c.Capacity)
	if c.CPUSeconds == 0 && c.Capacity > 0 {
		c.CPUSeconds = c.CPUs / c.Capacity
	}
	return c
}

func (c Config) validate() error {
	switch {
	case !(c.Rate > 0) || math.IsInf(c.Capacity, 0):
		return errors.New("one replica holds the limit at no rate")
	case !(c.Limit > 0 && c.Share > 0 && c.Share < 1):
		return errors.New("the limit is not one on a percentile, such as p99<500ms")
	case len(c.Schedule.Rates) == 0 || c.Schedule.Expected() == 0:
		return errors.New("the schedule sends nothing")
	case c.Headroom < 0 || c.CPUs < 0:
		return errors.New("headroom and CPUs must not be negative")
	}
	return nil
}

// replicas is the least number that holds the limit at a rate.
func (p *Plan) replicas(rate float64) int {
	if rate == 0 {
		return 1
	}
	return queueing.Servers(rate, p.Capacity, p.Variability, p.waitAllowed(), p.Share*(1+1e-9), p.Most)
}

// holds is the highest rate that n replicas hold, by bisection.
func (p *Plan) holds(n int) float64 {
	low, high := 0.0, float64(n)*p.Capacity
	for range 50 {
		middle := (low + high) / 2
		if p.replicas(middle) <= n {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

func (p *Plan) bill(replicas float64) Bill {
	hours, images := p.Schedule.Duration().Hours(), p.Schedule.Expected()
	b := Bill{
		CPUHours: replicas * hours * p.CPURequest, GiBHours: replicas * hours * p.MemoryRequest / (1 << 30),
		Utilisation: images / (replicas * p.Schedule.Duration().Seconds() * p.Capacity),
	}
	b.PerMillion = (b.CPUHours*p.Prices.CPUHour + b.GiBHours*p.Prices.GiBHour) / images * 1e6
	return b
}

// roundMemory adds a quarter for what a measurement did not see, and rounds up to 32 MiB.
func roundMemory(bytes float64) float64 {
	const step = 32 << 20
	return math.Ceil(bytes*1.25/step) * step
}
