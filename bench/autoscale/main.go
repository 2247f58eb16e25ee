// Command autoscale sets live figures beside simulated ones: the same policy scales real replica processes on
// this machine through a load, and simulated ones through the same arrivals. It fails when they lie too far
// apart.
//
// Everything is real, the dispatcher with its queue, replicas as processes that load weights and run the
// network, the autoscaler's loop over HTTP, but for one thing: a replica keeps its worker busy for a tenth of a
// second per image, of which the network takes a part, on a slow machine only now and then. So two cores carry
// a dozen replicas that get in each other's way as little as on machines of their own, which is what the
// simulator assumes. What the simulator is told is measured in the run: start delays and the mean service time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim/report"
	"github.com/resnet18cloud/resnet18cloud/model"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// asReplica holds the address to serve on when this program is to be a replica.
const asReplica = "AUTOSCALE_BENCH_REPLICA"

// settings are what live and simulated runs have in common, and what live ones ran on.
type settings struct {
	Schedule string           `json:"schedule"`
	Seed     uint64           `json:"seed"`
	Limits   autoscale.Limits `json:"limits"`
	SLO      time.Duration    `json:"slo"`
	Service  time.Duration    `json:"service"`
	Warmup   time.Duration    `json:"warmup"`
	Queue    int              `json:"queue"`
	Every    int              `json:"every"`   // the network runs on one of so many images
	Network  time.Duration    `json:"network"` // that it takes for one
	Machine  string           `json:"machine"`
}

type options struct {
	settings
	policies string
	docs     string
	record   string
	judge    bool
	model    string // weight file; empty means random weights
	load     schedule.Schedule
}

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.Schedule, "schedule", "poisson:step:8:60:150s", schedule.Usage)
	flag.StringVar(&o.policies, "policies", "deadline,kpa,threshold", "policies to run, one after the other")
	flag.Uint64Var(&o.Seed, "seed", 1, "decides the arrivals")
	flag.IntVar(&o.Limits.Min, "min", 2, "fewest replicas")
	flag.IntVar(&o.Limits.Max, "max", 12, "most replicas")
	flag.DurationVar(&o.SLO, "slo", 500*time.Millisecond, "how long an answer may take")
	flag.DurationVar(&o.Service, "service", 100*time.Millisecond, "mean time of a replica for an image")
	flag.DurationVar(&o.Warmup, "warmup", 15*time.Second, "time at the first rate that is not counted")
	flag.IntVar(&o.Queue, "queue", 200, "images that may wait")
	flag.StringVar(&o.docs, "docs", "", "file with a section "+section+", to be filled, and a folder img beside it")
	flag.StringVar(&o.record, "record", "", "file to keep the live runs in, beside those of other policies under the same settings")
	flag.BoolVar(&o.judge, "judge", false, "run nothing live: judge all that -record has")
	flag.IntVar(&o.Every, "every", 0, "run the network on one of so many images; 0 means as many as leave half of the machine free")
	flag.StringVar(&o.model, "model", "", "weight file; by default the one that model pull left in your cache, and without it random weights, which take seconds to make")
	flag.Parse()
	var err error
	if addr := os.Getenv(asReplica); addr != "" {
		err = o.serve(ctx, addr)
	} else {
		err = o.run(ctx, log)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "autoscale:", err)
		os.Exit(1) //nolint:gocritic // the process ends: no signal is to be caught any more
	}
}

// policy makes a policy by name.
func (o settings) policy(name string) (autoscale.Policy, error) {
	switch name {
	case "deadline":
		return autoscale.NewDeadline(autoscale.DeadlineConfig{Limits: o.Limits, SLO: o.SLO}), nil
	case "kpa":
		return autoscale.NewKPA(autoscale.KPAConfig{Limits: o.Limits}), nil
	case "threshold":
		return autoscale.NewThreshold(autoscale.ThresholdConfig{Limits: o.Limits}), nil
	}
	return nil, fmt.Errorf("no policy %q: want deadline, kpa or threshold (the CPU of these replicas says nothing to hpa-cpu)", name)
}

// pair is a policy's life and its simulations.
type pair struct {
	name      string
	live      outcome
	simulated []sim.Result
}

func (o options) run(ctx context.Context, log *slog.Logger) error {
	if err := o.checkDocs(); err != nil {
		return err
	}
	var r record
	var err error
	if o.judge {
		r, err = readRecord(o.record)
	} else {
		r, err = o.runLive(ctx, log)
	}
	if err != nil {
		return err
	}
	pairs, err := r.simulate()
	if err != nil {
		return err
	}
	table, ok := r.table(pairs)
	fmt.Print(table)
	if o.docs != "" {
		if err := o.document(table, pairs); err != nil {
			return err
		}
	}
	if !ok {
		return errors.New("simulation and life lie too far apart")
	}
	return nil
}

// runLive runs the policies, one after the other.
func (o options) runLive(ctx context.Context, log *slog.Logger) (r record, err error) {
	if o.load, err = schedule.Parse(o.Schedule); err != nil {
		return r, err
	}
	if o.model, err = model.Find(o.model); err != nil && !errors.Is(err, model.ErrNone) {
		return r, err
	}
	if o.Network, err = o.networkTime(ctx); err != nil {
		return r, err
	}
	if o.Every == 0 {
		o.fit(runtime.NumCPU())
	}
	o.Machine = machine()
	fmt.Fprintf(os.Stderr, "the network takes %s an image, and runs on one of %d\n", o.Network.Round(time.Millisecond), o.Every)
	r.settings = o.settings
	for name := range strings.SplitSeq(o.policies, ",") {
		policy, err := o.policy(name)
		if err != nil {
			return r, err
		}
		fmt.Fprintf(os.Stderr, "%s: %s live\n", name, o.Warmup+o.load.Duration())
		live, err := o.live(ctx, policy, log)
		if err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %d images, %.2f %% late or refused, %.0f replica-seconds, mean service %s\n",
			name, live.Offered, 100*live.violations(), live.ReplicaSeconds, live.Service)
		r.Runs = append(r.Runs, run{name, live})
	}
	if o.record == "" {
		return r, nil
	}
	return r.keep(o.record)
}

// busiest is the share of the machine that the network may take at the highest rate. The rest is for replicas
// that start, dispatcher and client; an image that finds all CPUs busy then still ends when it is to.
const busiest = 0.5

// fit has so many images go without the network that so many CPUs can do the rest.
func (o *options) fit(cpus int) {
	o.Every = max(1, int(math.Ceil(slices.Max(o.load.Rates)*o.Network.Seconds()/(busiest*float64(cpus)))))
}

// start is how many replicas there are at first.
func (o options) start() int { return o.settings.start(o.load) }

func (o settings) start(load schedule.Schedule) int {
	return max(o.Limits.Min, int(load.Rates[0]*o.Service.Seconds()/0.7)+1)
}

// section marks where in the file the table goes.
const section = "<!-- live:table -->"

// checkDocs checks that there is a place for the result, before it takes ten minutes to get one.
func (o options) checkDocs() error {
	if o.docs == "" {
		return nil
	}
	text, err := os.ReadFile(o.docs)
	if err == nil && !strings.Contains(string(text), section) {
		err = fmt.Errorf("%s has no section %s", o.docs, section)
	}
	return err
}

// document writes the table into the file and draws the picture beside it.
func (o options) document(table string, pairs []pair) error {
	old, err := os.ReadFile(o.docs)
	if err != nil {
		return err
	}
	text, err := report.Replace(string(old), "live", map[string]string{"table": table})
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.docs, []byte(text), 0o644); err != nil {
		return err
	}
	return o.draw(pairs)
}
