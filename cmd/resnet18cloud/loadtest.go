package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/target"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

type loadtestCmd struct {
	Replay loadtestRunCmd   `cmd:"" name:"run" default:"withargs" help:"Replay a schedule of images per second and report what a user would have felt (when no other is named)."`
	Merge  loadtestMergeCmd `cmd:"" help:"Join results of several machines, or of one, and report."`
	Plan   loadtestPlanCmd  `cmd:"" help:"Say how many replicas a schedule needs, by what a search found of one."`
}

// Help adds to kong's text what an option cannot say.
func (loadtestCmd) Help() string {
	return `'loadtest --schedule ...' is short for 'loadtest run --schedule ...', whose options 'loadtest run --help' lists.`
}

type loadtestRunCmd struct {
	loadtestTarget

	Schedule       string        `help:"Images per second: ${schedules}." default:"prototype" env:"RESNET18_LOADTEST_SCHEDULE"`
	Workers        int           `help:"Requests under way at once; 0 for no bound, an open loop. A bound lets a slow server delay the requests it is to be tested with. -1 means 50 for the prototype's schedule, as it had, and no bound for others." default:"-1" env:"RESNET18_LOADTEST_WORKERS"`
	MaxOutstanding int           `help:"Requests without an answer beyond which an open loop counts further ones as errors instead of sending them; guards this machine." default:"10000" env:"RESNET18_LOADTEST_MAX_OUTSTANDING"`
	Timeout        time.Duration `help:"How long an answer may take, from the time at which its image was to be sent." default:"60s" env:"RESNET18_LOADTEST_TIMEOUT"`
	Seed           uint64        `help:"Decides which images are drawn, and random schedules." default:"1" env:"RESNET18_LOADTEST_SEED"`
	Search         bool          `help:"Look for the highest rate at which the conditions of --slo hold, instead of replaying a schedule." env:"RESNET18_LOADTEST_SEARCH"`
	SLO            []string      `name:"slo" help:"What must hold in a search, repeatable or with semicolons between; without --search the same as --threshold. For conditions see there." sep:";" placeholder:"CONDITION" env:"RESNET18_LOADTEST_SLO"`
	SearchFrom     float64       `help:"First rate of a search, in requests per second." default:"10" env:"RESNET18_LOADTEST_SEARCH_FROM"`
	SearchMost     float64       `help:"Highest rate of a search, in requests per second." default:"10000" env:"RESNET18_LOADTEST_SEARCH_MOST"`
	SearchDuration time.Duration `help:"How long a search tries a rate; up to five times as long where percentiles need more requests." default:"20s" env:"RESNET18_LOADTEST_SEARCH_DURATION"`
	Log            bool          `help:"Print a line for each second, as the prototype did, also where a terminal would be drawn on." env:"RESNET18_LOADTEST_LOG"`
	Records        string        `help:"File to write every request to as it ends, as JSON lines; times in nanoseconds since the start." type:"path" placeholder:"FILE" env:"RESNET18_LOADTEST_RECORDS"`

	loadtestOutputs
}

// Help adds to kong's text what an option cannot say.
func (loadtestRunCmd) Help() string {
	return `Latency counts from the time at which the schedule wanted an image sent, so that a server that stalls does
not look better than it is. The exit status is 1 when an image did not get its labels, or a threshold is broken.

  resnet18cloud loadtest --images images/imagenet-sample-images
  resnet18cloud loadtest --workers 0 --schedule poisson:40:60s
  resnet18cloud loadtest --schedule constant:20:1m --threshold 'p99<500ms' --threshold 'errors<1%'
  resnet18cloud loadtest --search --slo 'p99<500ms' --json search.json`
}

// Run replays and reports.
func (c *loadtestRunCmd) Run(ctx context.Context, env *environment) error {
	plan, err := schedule.Parse(c.Schedule)
	if err != nil {
		return err
	}
	thresholds, err := parseConditions(append(c.Threshold, c.SLO...))
	if err != nil {
		return err
	}
	if err := c.validate(); err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, c.MaxOutstanding
	transport.DisableCompression = true
	transport.WriteBufferSize = 64 << 10
	defer transport.CloseIdleConnections()
	config, err := c.config(ctx, &http.Client{Transport: transport})
	if err != nil {
		return c.absent(err)
	}
	workers := c.Workers
	if workers < 0 {
		workers = 0
		if c.Schedule == "prototype" {
			workers = 50
		}
	}
	records, err := createRecords(c.Records)
	if err != nil {
		return err
	}
	defer records.Close()

	config.Seed, config.Workers, config.MaxOutstanding, config.Timeout = c.Seed, max(0, c.Workers), c.MaxOutstanding, c.Timeout
	if c.Search {
		return c.absent(c.search(ctx, env, config))
	}
	config.Schedule, config.Workers = plan, workers
	config.Begin, config.Record = records.Begin, records.Write
	end := c.show(env.stderr, &config)
	summary, err := load.Run(ctx, config)
	end()
	if summary == nil {
		return c.absent(err)
	}
	records.End(summary.Elapsed)
	verdict := errors.Join(records.Close(), c.write(env.stdout, summary, thresholds))
	if err != nil {
		fmt.Fprintf(env.stderr, "load test stopped early, after %s of %s: %v\n", summary.Elapsed.Round(time.Second), plan.Duration(), context.Cause(ctx))
		if verdict == nil {
			verdict = errReported
		}
	}
	return verdict
}

// validate checks the options that a schedule and conditions do not.
func (c *loadtestRunCmd) validate() error {
	switch {
	case c.Search && len(c.SLO) == 0:
		return errors.New("--search needs to know what must hold: --slo 'p99<500ms'")
	case c.Workers < -1:
		return fmt.Errorf("--workers is %d, want 0 or more, or -1 for the schedule's own", c.Workers)
	case c.MaxOutstanding < 1:
		return fmt.Errorf("--max-outstanding is %d, want 1 or more", c.MaxOutstanding)
	case c.Timeout <= 0:
		return fmt.Errorf("--timeout is %s, want more than nothing", c.Timeout)
	case !(c.SearchFrom > 0 && c.SearchFrom <= 1e6 && c.SearchMost > 0 && c.SearchMost <= 1e6):
		return fmt.Errorf("--search-from is %v and --search-most %v, want rates above 0, up to 1000000", c.SearchFrom, c.SearchMost)
	case c.SearchDuration < time.Second:
		return fmt.Errorf("--search-duration is %s, want a second or more", c.SearchDuration)
	}
	return c.check()
}

// absent adds what to do when no server is there.
func (loadtestTarget) absent(err error) error {
	if errors.Is(err, target.ErrUnreachable) {
		return fmt.Errorf("%w ('make up' starts one here; --url says where it is)", err)
	}
	if errors.Is(err, target.ErrNotAsync) {
		return fmt.Errorf("%w (--api=sync asks a replica)", err)
	}
	return err
}
