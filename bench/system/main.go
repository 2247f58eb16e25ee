//go:build linux

// Command system measures what the way through the system costs beside the classifying itself. One replica on all
// CPUs, a dispatcher and the load tester run on this machine as processes of the real binary; the load tester keeps
// a constant number of images in flight, all of them distinct to the dispatcher, whose cache is off. In turns with that,
// this program's own engine classifies the same files on the same CPUs with nothing around it: what the cores can do.
// Printed are the ratio of the two rates, and where the CPUs' time went meanwhile.
//
//	make system                      # three turns each, 8 s long
//	go run ./bench/system -binary bin/resnet18cloud -precision int8
//
// The load tester shares the CPUs, where a service has clients of its own, so the second ratio leaves its part out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type options struct {
	binary    string
	images    string
	weights   string
	precision string
	clients   int
	turn      time.Duration
	rounds    int
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/resnet18cloud", "the program to measure (make build)")
	flag.StringVar(&o.images, "images", "images/imagenet-sample-images", "folder of pictures (make images)")
	flag.StringVar(&o.weights, "model", "", "weight file; by default the one that model pull fetched, else random weights, which take as long")
	flag.StringVar(&o.precision, "precision", "", "arithmetic: fp32 or int8 (needs quantized weights); by default what the weights are made for")
	flag.IntVar(&o.clients, "clients", 8, "images that the load tester keeps in flight")
	flag.DurationVar(&o.turn, "turn", 8*time.Second, "length of each measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "measurements of each kind, in turns")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "system:", err)
		os.Exit(1) //nolint:gocritic // the process ends: no signal is to be caught any more
	}
}

// round is one turn of each.
type round struct {
	alone float64 // images/s of the engine by itself
	usage usage   // of the system
}

func (o options) run(ctx context.Context) (err error) {
	files, err := images.Find(o.images)
	if err != nil {
		return fmt.Errorf("%w (make images fetches a thousand)", err)
	}
	if o.weights, err = model.Find(o.weights); err != nil && !errors.Is(err, model.ErrNone) {
		return err
	}
	alone, err := newBaseline(o.weights, o.precision, files)
	if err != nil {
		return err
	}
	defer alone.close()
	s, err := o.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	var rounds []round
	for i := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, o.rounds)
		var r round
		if r.alone, err = alone.measure(ctx, o.turn); err != nil {
			return err
		}
		if r.usage, err = s.measure(ctx, o.turn); err != nil {
			return err
		}
		rounds = append(rounds, r)
	}
	return o.report(os.Stdout, alone, rounds)
}

// report prints the rounds, the median ratio first.
func (o options) report(w io.Writer, alone *baseline, rounds []round) error {
	fmt.Fprintf(w, "%d CPUs, %s, weights %s, %d images in flight, %d rounds of %s each\n\n",
		runtime.NumCPU(), alone.describe(), alone.weights(), o.clients, o.rounds, o.turn)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "round\tengine alone\tsystem\tratio\twithout load tester\treplica\tdispatcher\tload tester\tothers\tidle\tCPU-ms/image of the dispatcher\t")
	var raw, net []float64
	for i, r := range rounds {
		u := r.usage
		ratio := u.images / r.alone
		raw, net = append(raw, ratio), append(net, ratio/(1-u.tester))
		fmt.Fprintf(tw, "%d\t%.1f/s\t%.1f/s\t%.3f\t%.3f\t%.1f %%\t%.1f %%\t%.1f %%\t%.1f %%\t%.1f %%\t%.2f\t\n", i+1, r.alone, u.images,
			ratio, net[i], 100*u.replica, 100*u.dispatcher, 100*u.tester, 100*u.others, 100*u.idle,
			1000*u.dispatcher*float64(runtime.NumCPU())/u.images)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nmedian ratio %.3f, and %.3f of what the CPUs had left beside the load tester\n", median(raw), median(net))
	return nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
