//go:build !only_replica && !only_dispatcher

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/target"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

type loadtestCmd struct {
	Replay  loadtestRunCmd     `cmd:"" name:"run" default:"withargs" help:"Send images by a schedule and report latency as users would have seen it (default)."`
	Merge   loadtestMergeCmd   `cmd:"" help:"Merge the results of one or several machines, and report."`
	Compare loadtestCompareCmd `cmd:"" help:"Compare the results of two runs, and say what is more than noise."`
	Plan    loadtestPlanCmd    `cmd:"" help:"Plan the replicas that a schedule needs, from the search result of one replica."`
}

// Help adds to kong's text what an option cannot say.
func (loadtestCmd) Help() string {
	return `'loadtest ...' is short for 'loadtest run ...'; its options are below.`
}

type loadtestRunCmd struct {
	loadtestTarget

	Schedule       string        `help:"Images per second: ${schedules}." placeholder:"SCHEDULE" default:"prototype" env:"RESNET18_LOADTEST_SCHEDULE" group:"load"`
	Workers        int           `help:"Maximum number of concurrent requests. 0 means no limit, an open loop; with a limit, a slow server delays further requests. -1 means 50 for the prototype's schedule and no limit for others." default:"-1" env:"RESNET18_LOADTEST_WORKERS" group:"load"`
	MaxOutstanding int           `help:"Maximum number of outstanding requests in an open loop. Further ones count as errors and are not sent, to protect this machine." default:"10000" env:"RESNET18_LOADTEST_MAX_OUTSTANDING" group:"load"`
	Timeout        time.Duration `help:"Maximum latency of a request, from its scheduled time." default:"60s" env:"RESNET18_LOADTEST_TIMEOUT" group:"load"`
	Seed           uint64        `help:"Seed of random schedules and of the choice of images." default:"1" env:"RESNET18_LOADTEST_SEED" group:"load"`
	Search         bool          `help:"Search for the highest rate at which the conditions of --slo hold, instead of running a schedule." env:"RESNET18_LOADTEST_SEARCH" group:"search"`
	SLO            []string      `name:"slo" help:"Condition of a search; repeatable, or several separated by semicolons. See --threshold for the syntax. Without --search it is the same as --threshold." sep:";" placeholder:"CONDITION" env:"RESNET18_LOADTEST_SLO" group:"search"`
	SearchFrom     float64       `help:"First rate of a search in requests per second." default:"10" env:"RESNET18_LOADTEST_SEARCH_FROM" group:"search"`
	SearchMax      float64       `help:"Maximum rate of a search in requests per second." default:"10000" env:"RESNET18_LOADTEST_SEARCH_MAX" group:"search"`
	SearchDuration time.Duration `help:"Duration of each trial of a search; up to five times as long if a percentile needs more requests." default:"20s" env:"RESNET18_LOADTEST_SEARCH_DURATION" group:"search"`
	Log            bool          `help:"Print a line per second, as the prototype does, instead of the live view on a terminal." env:"RESNET18_LOADTEST_LOG" group:"report"`
	Records        string        `help:"File to write each request to as a JSON line when it ends; times are nanoseconds since the start." type:"path" placeholder:"FILE" env:"RESNET18_LOADTEST_RECORDS" group:"report"`

	loadtestOutputs `group:"report"`
}

// Help adds to kong's text what an option cannot say.
func (loadtestRunCmd) Help() string {
	return `Latency counts from the scheduled time of an image, so that a server that stalls does not look better than it is. The
exit status is 1 if a request failed or, with --threshold, if a condition is not met.

  resnet18cloud loadtest --images images/imagenet-sample-images
  resnet18cloud loadtest --workers 0 --schedule poisson:40:60s
  resnet18cloud loadtest --schedule constant:20:1m --threshold 'p99<500ms'
  resnet18cloud loadtest --search --slo 'p99<500ms' --json search.json`
}

// Run replays and reports.
func (c *loadtestRunCmd) Run(ctx context.Context, env *environment) error {
	plan, err := schedule.Parse(c.Schedule)
	if err != nil {
		return seeHelp("loadtest", err)
	}
	thresholds, err := parseConditions(slices.Concat(c.Threshold, c.SLO))
	if err != nil {
		return err
	}
	if err := badUsage(c.validate()); err != nil {
		return err
	}
	httpClient, err := c.client(true)
	if err != nil {
		return err
	}
	transport := httpClient.Transport.(*http.Transport)
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, c.MaxOutstanding
	transport.DisableCompression = true
	transport.WriteBufferSize = 64 << 10
	defer transport.CloseIdleConnections()
	config, err := c.config(ctx, httpClient)
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
	defer func() { _ = records.Close() }() // for the ways out without a result; the other one checks it below

	config.Seed, config.Workers, config.MaxOutstanding, config.Timeout = c.Seed, max(0, c.Workers), c.MaxOutstanding, c.Timeout
	config.Settings = append(config.Settings, c.settings()...)
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
		fmt.Fprintf(env.stderr, "load test stopped early, after %s of %s; requests in flight are not counted\n", summary.Elapsed.Round(time.Second), plan.Duration())
		if verdict == nil {
			verdict = errReported
		}
	}
	return verdict
}

// settings describe the options of the load, and this machine, in a result.
func (c *loadtestRunCmd) settings() []result.Setting {
	all := []result.Setting{{Name: "seed", Value: strconv.FormatUint(c.Seed, 10)}, {Name: "timeout", Value: c.Timeout.String()}}
	if conditions := slices.Concat(c.Threshold, c.SLO); len(conditions) > 0 {
		all = append(all, result.Setting{Name: "conditions", Value: strings.Join(conditions, " ")})
	}
	return append(all, result.Setting{Name: "tester", Value: fmt.Sprintf("resnet18cloud %s, %s/%s, %d CPUs", version, runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))})
}

// validate checks the options that a schedule and conditions do not.
func (c *loadtestRunCmd) validate() error {
	switch {
	case c.Search && len(c.SLO) == 0:
		return errors.New("--search requires a condition, such as --slo 'p99<500ms'")
	case c.Workers < -1:
		return fmt.Errorf("--workers %d: want 0 or more, or -1 for the default of the schedule", c.Workers)
	case c.MaxOutstanding < 1:
		return fmt.Errorf("--max-outstanding %d: want 1 or more", c.MaxOutstanding)
	case c.Timeout <= 0:
		return fmt.Errorf("--timeout %s: want a time above 0", c.Timeout)
	case !(c.SearchFrom > 0 && c.SearchFrom <= 1e6 && c.SearchMax > 0 && c.SearchMax <= 1e6):
		return fmt.Errorf("--search-from %v and --search-max %v: want rates above 0, up to 1000000", c.SearchFrom, c.SearchMax)
	case c.SearchDuration < time.Second:
		return fmt.Errorf("--search-duration %s: want 1s or more", c.SearchDuration)
	}
	return c.check()
}

// absent adds what to do if no server is there.
func (loadtestTarget) absent(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w (set --ca to the authority that signed the server's certificate, and check the host in --url)", err)
	}
	if errors.Is(err, target.ErrUnreachable) {
		return fmt.Errorf("%w (set --url, or start a server with 'make up')", err)
	}
	if errors.Is(err, target.ErrNotAsync) {
		return fmt.Errorf("%w (use --api=sync for a replica)", err)
	}
	return err
}
