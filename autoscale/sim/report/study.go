package report

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
)

// compared are the policies that the smaller experiments compare.
var compared = []string{"deadline", "kpa", "threshold", "hpa-cpu"}

// Study has all experiments of docs/autoscaling.md.
type Study struct {
	Main, HoldOut sim.Outcome
	Delays        []Variant // on the twelve traces, with other start delays
	Shed          sim.Outcome
	Ablation      sim.Outcome
	Sweeps        []Sweep
	Took          time.Duration
	Images        int
}

// Variant is an outcome with another start delay.
type Variant struct {
	Name string
	sim.Outcome
}

// Sweep is one policy with its main knob turned through a range.
type Sweep struct {
	Policy, Knob string
	Values       []string
	sim.Outcome
}

// Run runs the study with seeds in the main experiments and fewer in the others. progress is called with the number of
// completed runs.
func Run(ctx context.Context, seeds int, progress func(done, total int)) (*Study, error) {
	began := time.Now()
	base := sim.Config{Limits: sim.TraceLimits}
	few := max(2, seeds/2+1)
	all, traces := sim.Contestants(), sim.Traces()
	main4 := slices.DeleteFunc(slices.Clone(all), func(c sim.Contestant) bool { return !slices.Contains(compared, c.Name) })
	s := &Study{}
	type job struct {
		e    sim.Experiment
		keep func(sim.Outcome)
	}
	jobs := []job{
		{sim.Experiment{Traces: traces, Contestants: all, Seeds: seeds, Base: base}, func(o sim.Outcome) { s.Main = o }},
		{sim.Experiment{Traces: sim.HoldOut(), Contestants: all, Seeds: seeds, Base: base}, func(o sim.Outcome) { s.HoldOut = o }},
		{sim.Experiment{Traces: traces, Contestants: ablations(), Seeds: seeds, Base: base}, func(o sim.Outcome) { s.Ablation = o }},
	}
	for _, v := range []struct {
		name  string
		delay sim.Delay
	}{
		{"1 to 5 s, one in twenty 10 s more", stragglers},
		{"10 to 20 s", sim.Uniform(10*time.Second, 20*time.Second)},
		{"30 to 60 s", sim.Uniform(30*time.Second, 60*time.Second)},
		{"0.5 s", sim.Fixed(500 * time.Millisecond)},
	} {
		cfg := base
		cfg.Delay = v.delay
		jobs = append(jobs, job{sim.Experiment{Traces: traces, Contestants: main4, Seeds: few, Base: cfg},
			func(o sim.Outcome) { s.Delays = append(s.Delays, Variant{v.name, o}) }})
	}
	shed := base
	shed.Shed = true
	jobs = append(jobs, job{sim.Experiment{Traces: traces, Contestants: main4, Seeds: few, Base: shed}, func(o sim.Outcome) { s.Shed = o }})
	for _, sw := range sweeps() {
		jobs = append(jobs, job{sim.Experiment{Traces: traces, Contestants: sw.contestants, Seeds: few, Base: base},
			func(o sim.Outcome) { s.Sweeps = append(s.Sweeps, Sweep{sw.policy, sw.knob, sw.values, o}) }})
	}
	total, done := 0, 0
	for _, j := range jobs {
		total += len(j.e.Traces) * len(j.e.Contestants) * j.e.Seeds
	}
	for _, j := range jobs {
		o, err := j.e.Run(ctx, func(n, _ int) { progress(done+n, total) })
		if err != nil {
			return nil, err
		}
		done += len(j.e.Traces) * len(j.e.Contestants) * j.e.Seeds
		s.Images += o.Images
		j.keep(o)
	}
	s.Took = time.Since(began)
	return s, nil
}

var stragglers = sim.WithStragglers(sim.Uniform(time.Second, 5*time.Second), 20, 10*time.Second)

// ablations are the policy deadline without one of its parts, or with another setting.
func ablations() []sim.Contestant {
	type D = autoscale.DeadlineConfig
	return []sim.Contestant{
		sim.Deadline("as it is", func(*D) {}),
		sim.Deadline("a margin by the 80th percentile, at most 1.1", func(c *D) { c.MaxMargin = 1.1 }),
		sim.Deadline("a margin by the 90th percentile, at most 1.3", func(c *D) { c.MarginQuantile, c.MaxMargin = 0.9, 1.3 }),
		sim.Deadline("no hedged start", func(c *D) { c.Hedge = -1 }),
		sim.Deadline("backlog to be gone in 4 s instead of 0.25", func(c *D) { c.DrainTime = 4 * time.Second }),
		sim.Deadline("no care for the backlog", func(c *D) { c.DrainTime = 1000 * time.Hour }),
		sim.Deadline("hold 6 start delays instead of 10", func(c *D) { c.HoldDelays = 6 }),
		sim.Deadline("hold 24 start delays", func(c *D) { c.HoldDelays = 24 }),
		sim.Deadline("1 in 1000 may be late instead of 1 in 200", func(c *D) { c.Late = 0.001 }),
		sim.Deadline("1 in 50 may be late", func(c *D) { c.Late = 0.02 }),
	}
}

type sweep struct {
	policy, knob string
	values       []string
	contestants  []sim.Contestant
}

// sweeps vary the main setting of each policy.
func sweeps() []sweep {
	var deadline, kpa, cpu, rate, inSystem, threshold sweep
	deadline.policy, deadline.knob = "deadline", "start delays that capacity is held; from 24 on with a margin of up to 2 and 4 times"
	for _, hold := range []float64{6, 8, 10, 15, 24, 48} {
		add(&deadline, fmt.Sprint(hold), sim.Deadline("", func(c *autoscale.DeadlineConfig) {
			c.HoldDelays = hold
			if hold >= 24 { // much insurance: a margin too
				c.MarginQuantile, c.MaxMargin = 0.98, hold/12
			}
		}))
	}
	kpa.policy, kpa.knob = "kpa", "target utilization"
	for _, u := range []float64{0.95, 0.85, 0.7, 0.6, 0.5} {
		add(&kpa, fmt.Sprint(u), sim.KPA("", u))
	}
	cpu.policy, cpu.knob = "hpa-cpu", "target utilization"
	for _, u := range []float64{0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3} {
		add(&cpu, fmt.Sprint(u), sim.HPACPU("", u))
	}
	rate.policy, rate.knob = sim.HPARateTuned, "target as a share of a replica's speed"
	for _, u := range []float64{0.9, 0.7, 0.5, 0.35, 0.25} {
		add(&rate, fmt.Sprint(u), sim.HPARate("", "", u, true))
	}
	inSystem.policy, inSystem.knob = sim.HPAImages, "images a replica"
	for _, u := range []float64{2, 1.2, 0.8, 0.5} {
		add(&inSystem, fmt.Sprint(u), sim.HPAInSystem("", "", u))
	}
	threshold.policy, threshold.knob = "threshold", "images that wait before one replica is added; twice as many double"
	for _, n := range []int{100, 50, 25, 10, 5} {
		add(&threshold, fmt.Sprint(n), sim.Contestant{Make: func(c sim.Config) autoscale.Policy {
			return autoscale.NewThreshold(autoscale.ThresholdConfig{Limits: c.Limits, Queue: n, Emergency: 2 * n})
		}})
	}
	return []sweep{deadline, kpa, threshold, inSystem, rate, cpu}
}

func add(s *sweep, value string, c sim.Contestant) {
	c.Name = s.policy + " " + value
	s.values = append(s.values, value)
	s.contestants = append(s.contestants, c)
}
