// Command autoscale sets live figures beside simulated ones: the same policy scales real replica processes on
// this machine through a load, and simulated ones through the same arrivals. It fails when they lie too far
// apart.
//
// Everything is real, the dispatcher with its queue, replicas as processes that load weights and run the
// network, the autoscaler's loop over HTTP, but for one thing: a replica keeps its worker busy for a tenth of a
// second per image, of which the network takes some hundredth. So a machine of two cores carries a dozen
// replicas that get in each other's way as little as on machines of their own, which is what the simulator
// assumes. What the simulator is told is measured in the run: start delays and the mean service time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim/report"
	"github.com/resnet18cloud/resnet18cloud/load/schedule"
)

// asReplica holds the address to serve on when this program is to be a replica.
const asReplica = "AUTOSCALE_BENCH_REPLICA"

type options struct {
	schedule string
	policies string
	seed     uint64
	limits   autoscale.Limits
	slo      time.Duration
	service  time.Duration
	warmup   time.Duration
	queue    int
	docs     string
	load     schedule.Schedule
}

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.schedule, "schedule", "poisson:step:8:60:180s", schedule.Usage)
	flag.StringVar(&o.policies, "policies", "deadline,kpa,threshold", "policies to run, one after the other")
	flag.Uint64Var(&o.seed, "seed", 1, "decides the arrivals")
	flag.IntVar(&o.limits.Min, "min", 2, "fewest replicas")
	flag.IntVar(&o.limits.Max, "max", 12, "most replicas")
	flag.DurationVar(&o.slo, "slo", 500*time.Millisecond, "how long an answer may take")
	flag.DurationVar(&o.service, "service", 100*time.Millisecond, "mean time of a replica for an image")
	flag.DurationVar(&o.warmup, "warmup", 20*time.Second, "time at the first rate that is not counted")
	flag.IntVar(&o.queue, "queue", 200, "images that may wait")
	flag.StringVar(&o.docs, "docs", "", "file with a section <!-- live:table -->, to be filled, and a folder img beside it")
	flag.Parse()
	var err error
	if addr := os.Getenv(asReplica); addr != "" {
		err = serve(ctx, addr, o.service)
	} else {
		err = o.run(ctx, log)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "autoscale:", err)
		os.Exit(1)
	}
}

// policy makes a policy by name.
func (o options) policy(name string) (autoscale.Policy, error) {
	switch name {
	case "deadline":
		return autoscale.NewDeadline(autoscale.DeadlineConfig{Limits: o.limits, SLO: o.slo}), nil
	case "kpa":
		return autoscale.NewKPA(autoscale.KPAConfig{Limits: o.limits}), nil
	case "threshold":
		return autoscale.NewThreshold(autoscale.ThresholdConfig{Limits: o.limits}), nil
	}
	return nil, fmt.Errorf("no policy %q: want deadline, kpa or threshold (the CPU of these replicas says nothing to hpa-cpu)", name)
}

// pair is a policy's life and its simulations.
type pair struct {
	name      string
	live      outcome
	simulated []sim.Result
}

func (o options) run(ctx context.Context, log *slog.Logger) (err error) {
	if o.load, err = schedule.Parse(o.schedule); err != nil {
		return err
	}
	var pairs []pair
	for name := range strings.SplitSeq(o.policies, ",") {
		policy, err := o.policy(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %s live\n", name, o.warmup+o.load.Duration())
		live, err := o.live(ctx, policy, log)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %d images, %.2f %% late or refused, %.0f replica-seconds, mean service %s\n",
			name, live.offered, 100*live.violations(), live.replicaSeconds, live.service)
		pairs = append(pairs, pair{name: name, live: live})
	}
	for i := range pairs {
		if err := o.simulate(&pairs[i]); err != nil {
			return err
		}
	}
	table, ok := o.table(pairs)
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

// simulations is how many a live run is compared with: the same arrivals, other service times and delays.
const simulations = 40

func (o options) simulate(p *pair) error {
	for seed := range uint64(simulations) {
		policy, err := o.policy(p.name)
		if err != nil {
			return err
		}
		p.simulated = append(p.simulated, sim.Run(sim.Config{
			Load: o.load, Policy: policy, Seed: seed + 1, Arrivals: o.seed, Limits: o.limits, Start: o.start(), SLO: o.slo,
			Queue: o.queue, Warmup: o.warmup, Service: sim.Service{Mean: p.live.service}, Delay: sim.Observed(p.live.delays),
		}))
	}
	return nil
}

// start is how many replicas there are at first.
func (o options) start() int {
	return max(o.limits.Min, int(o.load.Rates[0]*o.service.Seconds()/0.7)+1)
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
