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
	Delays        []Variant // on the twelve traces, with other start delays or service times
	Shed          sim.Outcome
	Zero          []Variant // on sparse loads, from none and from one replica
	Ablation      sim.Outcome
	Sweeps        []Sweep
	Took          time.Duration
	Images        int
}

// Variant is an outcome with another start delay or other service times.
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
		name     string
		delay    sim.Delay
		relative []float32 // service times
	}{
		{"1 to 5 s, one in twenty 10 s more", stragglers, nil},
		{"10 to 20 s", sim.Uniform(10*time.Second, 20*time.Second), nil},
		{"30 s", sim.Fixed(30 * time.Second), nil},
		{"60 s", sim.Fixed(time.Minute), nil},
		{"0.5 s", sim.Fixed(500 * time.Millisecond), nil},
		{"1 to 5 s, and one image in a hundred takes 4 to 9 times as long", nil, sim.HeavyTailed(sim.Measured(), 0.01, 4, 9)},
	} {
		cfg := base
		cfg.Delay, cfg.Service.Relative = v.delay, v.relative
		jobs = append(jobs, job{sim.Experiment{Traces: traces, Contestants: main4, Seeds: few, Base: cfg},
			func(o sim.Outcome) { s.Delays = append(s.Delays, Variant{v.name, o}) }})
	}
	shed := base
	shed.Shed = true
	jobs = append(jobs, job{sim.Experiment{Traces: traces, Contestants: main4, Seeds: few, Base: shed}, func(o sim.Outcome) { s.Shed = o }})
	for _, v := range []Variant{{Name: "0.3 s"}, {Name: "1 to 5 s"}} {
		cfg := sim.Config{Limits: autoscale.Limits{Min: autoscale.ToZero, Max: autoscale.DefaultMax}}
		if v.Name == "0.3 s" {
			cfg.Delay = sim.Fixed(300 * time.Millisecond)
		}
		jobs = append(jobs, job{sim.Experiment{Traces: sim.Sparse(), Contestants: sparing(), Seeds: max(3, seeds), Base: cfg},
			func(o sim.Outcome) { s.Zero = append(s.Zero, Variant{v.Name, o}) }})
	}
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

// sparing are the policy deadline with and without a last replica.
func sparing() []sim.Contestant {
	return []sim.Contestant{
		sim.Deadline("0 to 50 replicas", func(*autoscale.DeadlineConfig) {}),
		sim.Deadline("1 to 50 replicas", func(c *autoscale.DeadlineConfig) { c.Min = 1 }),
	}
}

// ablations are the policy deadline without one of its parts, or with another setting.
func ablations() []sim.Contestant {
	type D = autoscale.DeadlineConfig
	return []sim.Contestant{
		sim.Deadline("as it is", func(*D) {}),
		sim.Deadline("no margin", func(c *D) { c.MarginQuantile = -1 }),
		sim.Deadline("a margin for 99 % of seconds instead of 95", func(c *D) { c.MarginQuantile = 0.99 }),
		sim.Deadline("no hedged start", func(c *D) { c.Hedge = -1 }),
		sim.Deadline("backlog to be gone in 4 s instead of 0.25", func(c *D) { c.DrainTime = 4 * time.Second }),
		sim.Deadline("no care for the backlog", func(c *D) { c.DrainTime = 1000 * time.Hour }),
		sim.Deadline("hold 6 start delays instead of 10", func(c *D) { c.HoldDelays = 6 }),
		sim.Deadline("hold 24 start delays", func(c *D) { c.HoldDelays = 24 }),
		sim.Deadline("1 in 1000 may be late instead of 1 in 100", func(c *D) { c.Late = 0.001 }),
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
	deadline.policy, deadline.knob = "deadline", "share of seconds that a margin prepares for, from none on; the last two hold for 20 and 40 start delays too"
	for _, v := range []struct{ quantile, hold float64 }{{-1, 0}, {0.9, 0}, {0.95, 0}, {0.98, 0}, {0.99, 0}, {1, 20}, {1, 40}} {
		value := fmt.Sprint(v.quantile)
		if v.quantile < 0 {
			value = "none"
		}
		add(&deadline, value, sim.Deadline("", func(c *autoscale.DeadlineConfig) { c.MarginQuantile, c.HoldDelays = v.quantile, v.hold }))
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
