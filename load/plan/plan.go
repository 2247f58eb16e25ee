// Package plan computes how many replicas a schedule needs, what they cost, and the settings for Kubernetes' autoscalers.
// Make takes the measurements of one replica and the schedule, and returns a Plan. Its queueing model is fitted to the
// measurements: for one replica it predicts what was measured, for several the gain of a shared queue. See
// docs/decisions/0073-the-plan-is-fitted-to-one-replica.md.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// Replica holds the measurements of one replica.
type Replica struct {
	Rate     float64       // highest rate at which it meets the limit, in requests per second
	Capacity float64       // answers per second if it always has work
	Limit    time.Duration // at most Share of the requests may take longer
	Share    float64
	// CPUSeconds is the CPU time of an image. Zero means CPUs/Capacity.
	CPUSeconds float64
	// MemoryBytes is the maximum memory. Zero means that it is not known.
	MemoryBytes float64
	// CPUs is the number of CPUs that it may use. Zero means 1.
	CPUs float64
}

// Prices are prices per hour, in any currency.
type Prices struct {
	CPUHour float64 // of one CPU
	GiBHour float64 // of one GiB of memory
}

// Config is the input of a plan.
type Config struct {
	Replica
	Schedule schedule.Schedule
	Prices   Prices
	// Headroom is the load to plan for beyond the schedule, as a share of it.
	Headroom float64
	// MaxReplicas is the maximum number of replicas. Zero means 10,000.
	MaxReplicas int
}

// Plan is what a schedule needs.
type Plan struct {
	Config
	Variability float64 // of arrivals and service together, fitted to the measurements; see [queueing.WaitTail]
	Min         int     // replicas at the schedule's lowest rate
	Max         int     // replicas at its highest rate
	Mean        float64 // average number of replicas with a perfect autoscaler
	// Static is the bill for Max replicas all the time, Scaled that with a perfect autoscaler.
	Static, Scaled Bill

	CPURequest      float64 // CPUs of a replica
	MemoryRequest   float64 // bytes of a replica; 0 if not known
	PerReplica      float64 // requests per second and replica at which Min replicas meet the limit
	HPACPU          float64 // CPUs used per replica at that rate, without the headroom: the target of an HPA
	QueuePerReplica int     // waiting images that a replica classifies in half of the time allowed: the target of KEDA
}

// Bill is the cost of a number of replicas for the schedule's duration.
type Bill struct {
	CPUHours, GiBHours float64
	PerMillion         float64 // price of a million images
	Utilization        float64 // share of the capacity in use, 0..1
}

// waitAllowed is the part of the limit that is left for waiting.
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
		return 100 // its rate is almost zero: the model is as pessimistic as possible
	}
	return min(max((r.Capacity-r.Rate)*r.waitAllowed()/math.Log(rho/r.Share), 0.01), 100)
}

// Make computes the plan. It returns an error if the measurements contradict each other, or if the schedule needs more
// than MaxReplicas replicas.
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
		if n >= c.MaxReplicas {
			return nil, fmt.Errorf("plan: %.0f requests/s need %d replicas or more", rate, c.MaxReplicas)
		}
		if i == 0 || n < p.Min {
			p.Min = n
		}
		p.Max = max(p.Max, n)
		sum += n
	}
	p.Mean = float64(sum) / float64(len(rates))
	p.Static, p.Scaled = p.bill(float64(p.Max)), p.bill(p.Mean)
	p.PerReplica = p.maxRate(p.Min) / float64(p.Min)
	// An HPA tolerates a tenth above its target, and a replica cannot use more CPU than it has: with a target above 0.9
	// of that, the HPA would never scale up.
	p.HPACPU = min(p.PerReplica/(1+c.Headroom), 0.85*c.Capacity) * c.CPUSeconds
	p.QueuePerReplica = max(1, int(c.Capacity*c.waitAllowed()/2))
	return p, nil
}

func (c Config) withDefaults() Config {
	c.CPUs, c.MaxReplicas = cmp.Or(c.CPUs, 1), cmp.Or(c.MaxReplicas, 10_000)
	// A replica may meet the limit at its measured capacity by chance; in a queue this is impossible.
	c.Rate = min(c.Rate, 0.98*c.Capacity)
	if c.CPUSeconds == 0 && c.Capacity > 0 {
		c.CPUSeconds = c.CPUs / c.Capacity
	}
	return c
}

func (c Config) validate() error {
	switch {
	case !(c.Rate > 0) || math.IsInf(c.Capacity, 0):
		return errors.New("one replica meets the limit at no rate")
	case !(c.Limit > 0 && c.Share > 0 && c.Share < 1):
		return errors.New("the limit is not on a percentile, such as p99<500ms")
	case len(c.Schedule.Rates) == 0 || c.Schedule.Expected() == 0:
		return errors.New("the schedule sends nothing")
	case c.Headroom < 0 || c.CPUs < 0:
		return errors.New("headroom and CPUs must not be negative")
	}
	return nil
}

// replicas is the minimum number that meets the limit at a rate.
func (p *Plan) replicas(rate float64) int {
	if rate == 0 {
		return 1
	}
	return queueing.Servers(rate, p.Capacity, p.Variability, p.waitAllowed(), p.Share*(1+1e-9), p.MaxReplicas)
}

// maxRate is the highest rate at which n replicas meet the limit, by bisection.
func (p *Plan) maxRate(n int) float64 {
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
		Utilization: images / (replicas * p.Schedule.Duration().Seconds() * p.Capacity),
	}
	b.PerMillion = (b.CPUHours*p.Prices.CPUHour + b.GiBHours*p.Prices.GiBHour) / images * 1e6
	return b
}

// roundMemory adds a quarter for peaks between the samples, and rounds up to 32 MiB.
func roundMemory(bytes float64) float64 {
	const step = 32 << 20
	return math.Ceil(bytes*1.25/step) * step
}
