//go:build !only_replica && !only_dispatcher

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim/report"
	progressmeter "github.com/resnet18cloud/resnet18cloud/internal/progress"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// simulatedVars are the texts about simulated policies in flags.
func simulatedVars() kong.Vars {
	var names []string
	for _, c := range sim.Contestants() {
		names = append(names, c.Name)
	}
	return kong.Vars{"contestants": strings.Join(names, ", ")}
}

type simulateCmd struct {
	Schedule string        `help:"Load to compare on, instead of the twelve built-in traces: ${schedules}." placeholder:"SCHEDULE" env:"RESNET18_SIMULATE_SCHEDULE"`
	Trace    []string      `help:"Built-in traces to compare on, separated by commas. Default: the twelve that policies were tuned on." placeholder:"NAME" env:"RESNET18_SIMULATE_TRACE"`
	Policy   []string      `help:"Policies to compare, separated by commas: ${contestants}. Default: all." placeholder:"NAME" env:"RESNET18_SIMULATE_POLICY"`
	Seeds    int           `help:"Number of runs of each policy on each trace. All policies get the same random numbers." default:"5" env:"RESNET18_SIMULATE_SEEDS"`
	Min      int           `help:"Minimum number of replicas." default:"5" env:"RESNET18_MIN_REPLICAS"`
	Max      int           `help:"Maximum number of replicas." default:"50" env:"RESNET18_MAX_REPLICAS"`
	SLO      time.Duration `name:"slo" help:"Maximum response time; later responses count as violations." default:"500ms" env:"RESNET18_SLO"`
	Service  time.Duration `help:"Mean service time of an image; distributed as measured." default:"50ms" env:"RESNET18_SIMULATE_SERVICE"`
	Queue    int           `help:"Maximum number of queued images." default:"500" env:"RESNET18_QUEUE_CAPACITY"`
	DelayMin time.Duration `help:"Minimum start time of a replica." default:"1s" env:"RESNET18_SIMULATE_DELAY_MIN"`
	DelayMax time.Duration `help:"Maximum start time of a replica." default:"5s" env:"RESNET18_SIMULATE_DELAY_MAX"`
	Markdown bool          `help:"Print the table in Markdown."`
	JSON     bool          `help:"Print one JSON line per run instead of a table."`
	Docs     string        `help:"Run the whole study instead, with its own settings; write its tables into this Markdown file and its charts into img/ beside it." type:"existingfile" placeholder:"FILE" env:"RESNET18_SIMULATE_DOCS"`
}

// Help adds to kong's text what an option cannot say.
func (simulateCmd) Help() string {
	return `Equal options give equal tables.

  resnet18cloud simulate
  resnet18cloud simulate --schedule twitter:200:30m:7 --policy deadline,kpa
  resnet18cloud simulate --docs docs/autoscaling.md`
}

// Run compares, and prints a table to stdout and progress to stderr.
func (c *simulateCmd) Run(ctx context.Context, env *environment) error {
	if c.Seeds < 1 {
		return badUsage(fmt.Errorf("--seeds %d: want at least 1", c.Seeds))
	}
	bar := newSteps(env)
	defer bar.end()
	if c.Docs != "" {
		study, err := report.Run(ctx, c.Seeds, bar.update)
		if err != nil {
			return err
		}
		return study.WriteInto(c.Docs)
	}
	e, err := c.experiment()
	if err != nil {
		return badUsage(err)
	}
	o, err := e.Run(ctx, bar.update)
	if err != nil {
		return err
	}
	bar.end()
	if c.JSON {
		return report.WriteJSON(env.stdout, o)
	}
	if table := report.Table(o); c.Markdown {
		fmt.Fprint(env.stdout, table)
	} else if err := plainTable(env.stdout, table); err != nil {
		return err
	}
	fmt.Fprintf(env.stderr, "%d images in %s on %d CPUs: %.1f million per second\n", o.Images, o.Took.Round(time.Millisecond),
		runtime.GOMAXPROCS(0), float64(o.Images)/1e6/o.Took.Seconds())
	return nil
}

// plainTable writes a table in Markdown as aligned columns; other lines are kept.
func plainTable(w io.Writer, markdown string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for line := range strings.Lines(markdown) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			fmt.Fprintln(table, line)
		case strings.Trim(line, "|-: ") != "":
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "*`")
			}
			fmt.Fprintln(table, strings.Join(cells, "\t"))
		}
	}
	return table.Flush()
}

// experiment returns the experiment by the options.
func (c *simulateCmd) experiment() (sim.Experiment, error) {
	limits := autoscale.Limits{Min: c.Min, Max: c.Max}
	if c.SLO <= 0 || c.Service <= 0 || c.Queue < 1 || c.DelayMin < 0 || c.DelayMax < c.DelayMin {
		return sim.Experiment{}, errors.New("--slo, --service and --queue must be above 0, and --delay-max not below --delay-min")
	}
	if err := limits.Validate(); err != nil {
		return sim.Experiment{}, err
	}
	traces, err := c.traces()
	if err != nil {
		return sim.Experiment{}, err
	}
	contestants, err := pick("policy", sim.Contestants(), c.Policy, func(c sim.Contestant) string { return c.Name })
	return sim.Experiment{Traces: traces, Contestants: contestants, Seeds: c.Seeds, Base: sim.Config{
		Limits: limits, SLO: c.SLO, Queue: c.Queue, Service: sim.Service{Mean: c.Service}, Delay: sim.Uniform(c.DelayMin, c.DelayMax),
	}}, err
}

func (c *simulateCmd) traces() ([]sim.Trace, error) {
	if c.Schedule == "" {
		if len(c.Trace) == 0 {
			return sim.Traces(), nil
		}
		return pick("trace", slices.Concat(sim.Traces(), sim.HoldOut()), c.Trace, func(t sim.Trace) string { return t.Name })
	}
	load, err := schedule.Parse(c.Schedule)
	return []sim.Trace{{Name: c.Schedule, Load: load}}, seeHelp("simulate", err)
}

// pick chooses by name; without names it returns all.
func pick[T any](what string, all []T, names []string, name func(T) string) ([]T, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []T
	for _, n := range names {
		i := slices.IndexFunc(all, func(t T) bool { return name(t) == n })
		if i < 0 {
			known := make([]string, len(all))
			for i, t := range all {
				known[i] = name(t)
			}
			return nil, fmt.Errorf("unknown %s %q; available: %s", what, n, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// steps shows progress: a progress bar on a terminal, otherwise a line for every ten percent.
type steps struct {
	env      *environment
	terminal bool
	meter    progressmeter.Meter
	shown    int // percent
	ended    bool
}

func newSteps(env *environment) *steps {
	f, ok := env.stderr.(*os.File)
	return &steps{env: env, terminal: ok && term.IsTerminal(int(f.Fd())), shown: -1}
}

func (s *steps) update(done, total int) {
	percent := 100 * done / max(1, total)
	pace := s.meter.Text(time.Now(), int64(done), int64(total), " runs", 1)
	switch {
	case percent == s.shown || s.ended:
	case s.terminal:
		fmt.Fprintf(s.env.stderr, "\r[%-40s] %3d %%%s\x1b[K", strings.Repeat("=", percent*40/100), percent, pace)
	case percent/10 > s.shown/10 && percent >= 10:
		fmt.Fprintf(s.env.stderr, "simulated %d %%%s\n", percent, pace)
	}
	s.shown = percent
}

// end finishes the line of the bar.
func (s *steps) end() {
	if s.terminal && s.shown >= 0 && !s.ended {
		fmt.Fprintln(s.env.stderr)
	}
	s.ended = true
}
