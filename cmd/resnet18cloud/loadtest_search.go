//go:build !only_replica && !only_dispatcher

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/report"
	"github.com/resnet18cloud/resnet18cloud/load/search"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// search looks for the highest rate at which the SLO holds, and writes the result, even if it was stopped.
func (c *loadtestRunCmd) search(ctx context.Context, env *environment, config load.Config) error {
	conditions, err := parseConditions(c.SLO)
	if err != nil {
		return err
	}
	var screen screen
	if c.drawable(env.stderr) {
		screen.watch(&config)
	}
	found, err := search.Run(ctx, search.Config{
		Load: config, SLO: conditions, From: c.SearchFrom, Max: c.SearchMax, Duration: c.SearchDuration,
		TrialStarted: func(rate float64, duration time.Duration) {
			fmt.Fprintf(env.stderr, "%.1f requests/s for %s ...\n", rate, duration)
			if c.drawable(env.stderr) {
				screen.start(env.stderr, fmt.Sprintf("%.1f/s", rate), schedule.Constant(rate, duration).PerSecond())
			}
		},
		TrialEnded: func(t search.Trial) {
			screen.end()
			for _, v := range t.Verdicts {
				fmt.Fprintf(env.stderr, "  %s\n", v)
			}
		},
	})
	screen.end()
	if len(found.Trials) == 0 {
		return err
	}
	written := report.Search(env.stdout, found)
	if c.JSON != "" {
		written = errors.Join(written, found.WriteFile(c.JSON))
	}
	best := found.Best()
	var verdicts []slo.Verdict
	for _, condition := range conditions {
		verdicts = append(verdicts, condition.Check(best))
	}
	written = errors.Join(written, c.draw(report.Report{Summary: best, Verdicts: verdicts, Search: found}))
	if ctx.Err() != nil {
		fmt.Fprintf(env.stderr, "search stopped early, after %d trials\n", len(found.Trials))
		return cmp.Or(written, errReported)
	}
	if err := errors.Join(written, err); err != nil {
		return err
	}
	thresholds, err := parseConditions(c.Threshold)
	for _, condition := range thresholds {
		v := condition.Check(best)
		fmt.Fprintln(env.stdout, v)
		if !v.Holds {
			err = errReported
		}
	}
	return err
}
