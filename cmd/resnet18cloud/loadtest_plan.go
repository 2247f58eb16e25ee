//go:build !only_replica && !only_dispatcher

package main

import (
	"errors"
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/load/plan"
	"github.com/resnet18cloud/resnet18cloud/load/report"
	"github.com/resnet18cloud/resnet18cloud/load/search"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

type loadtestPlanCmd struct {
	Search   string  `arg:"" help:"Result file of 'loadtest --search --json' against one replica." type:"existingfile"`
	Schedule string  `help:"Images per second to plan for; same syntax as for 'loadtest run'." placeholder:"SCHEDULE" default:"prototype" env:"RESNET18_LOADTEST_SCHEDULE"`
	CPUs     float64 `name:"cpus" help:"Number of CPUs of the measured replica." default:"1" env:"RESNET18_LOADTEST_PLAN_CPUS"`
	Memory   float64 `help:"Memory of the replica in MiB; 0 means the maximum in its metrics during the search." default:"0" env:"RESNET18_LOADTEST_PLAN_MEMORY"`
	Headroom float64 `help:"Extra capacity to plan for, as a share of the scheduled rate." default:"0.2" env:"RESNET18_LOADTEST_PLAN_HEADROOM"`
	CPUHour  float64 `name:"price-cpu-hour" help:"Price of one CPU for one hour, in any currency." default:"0.04" env:"RESNET18_LOADTEST_PLAN_PRICE_CPU_HOUR"`
	GiBHour  float64 `name:"price-gib-hour" help:"Price of one GiB of memory for one hour." default:"0.005" env:"RESNET18_LOADTEST_PLAN_PRICE_GIB_HOUR"`
}

// Help adds to kong's text what an option cannot say.
func (loadtestPlanCmd) Help() string {
	return `Prints how many replicas meet the condition of the search over the schedule, what they cost, and the matching values for an
HPA, KEDA or a Helm chart. CPU and memory are taken from the replica's metrics if the search recorded them.

  resnet18cloud loadtest --search --api sync --slo 'p99<1s' --json search.json
  resnet18cloud loadtest plan search.json
  resnet18cloud loadtest plan search.json --schedule twitter:400:24h:1`
}

// Run makes the plan and prints it.
func (c *loadtestPlanCmd) Run(env *environment) error {
	found, err := search.ReadFile(c.Search)
	if err != nil {
		return err
	}
	limit, share, ok := found.Limit()
	if !ok {
		return errors.New("plan: the search had no condition on a percentile of the latency; search with --slo 'p99<500ms'")
	}
	s, err := schedule.Parse(c.Schedule)
	if err != nil {
		return seeHelp("loadtest", err)
	}
	cpuSeconds, memory, seen := found.ReplicaCost()
	if !seen {
		fmt.Fprintln(env.stderr, "The search recorded no metrics of a replica (--metrics); CPU per image is estimated from its capacity.")
	}
	if note := report.Cached(found.Best()); note != "" {
		fmt.Fprintln(env.stderr, "The plan is too optimistic:", note)
	}
	if c.Memory > 0 {
		memory = c.Memory * (1 << 20)
	}
	p, err := plan.Make(plan.Config{
		Replica: plan.Replica{
			Rate: found.Rate, Capacity: found.Capacity(), Limit: limit, Share: share,
			CPUSeconds: cpuSeconds, MemoryBytes: memory, CPUs: c.CPUs,
		},
		Schedule: s, Headroom: c.Headroom, Prices: plan.Prices{CPUHour: c.CPUHour, GiBHour: c.GiBHour},
	})
	if err != nil {
		return err
	}
	if err := p.Text(env.stdout); err != nil {
		return err
	}
	fmt.Fprintln(env.stdout)
	return p.YAML(env.stdout)
}
