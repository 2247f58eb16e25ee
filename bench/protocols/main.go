//go:build linux

// Command protocols compares the throughput of one replica by protocol: pictures by POST /predict, and by the Open Inference
// Protocol over gRPC. A replica on all CPUs runs as a process of the real binary. Short turns of both alternate, each with the same
// number of requests in flight, and of each pair of turns the ratio is taken, so that what else the machine does meets both. Printed
// are the medians of the ratios with their quartiles: of images per second, and of the CPU time that the replica takes per image,
// which others on the machine disturb least.
//
//	make protocols                   # twelve pairs of turns, 4 s each
//	go run ./bench/protocols -binary bin/resnet18cloud -rounds 30
//
// The client shares the CPUs, where a service has clients of its own.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/resnet18cloud/resnet18cloud/bench/internal/serving"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
)

type options struct {
	binary, images, weights string
	clients, rounds         int
	turn                    time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/resnet18cloud", "the program to measure (make build)")
	flag.StringVar(&o.images, "images", "images/imagenet-sample-images", "folder of pictures (make images)")
	flag.StringVar(&o.weights, "model", "", "weight file; by default random weights, which take as long")
	flag.IntVar(&o.clients, "clients", 4, "requests in flight")
	flag.IntVar(&o.rounds, "rounds", 12, "pairs of turns")
	flag.DurationVar(&o.turn, "turn", 4*time.Second, "length of each turn")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "protocols:", err)
		os.Exit(1) //nolint:gocritic // the process ends: no signal is to be caught any more
	}
}

func (o options) run(ctx context.Context, w io.Writer) (err error) {
	pictures, err := o.read()
	if err != nil {
		return err
	}
	args := []string{"--log-format", "json", "replica", "--addr", "127.0.0.1:0", "--random-weights"}
	if o.weights != "" {
		args = append(args[:5], "--model", o.weights)
	}
	replica, err := serving.Start(ctx, serving.ReplicaReady, o.binary, args...)
	if err != nil {
		return fmt.Errorf("%w (make build)", err)
	}
	defer replica.Stop()
	predict := func(ctx context.Context, picture []byte) error {
		_, err := replica.Predict(ctx, picture)
		return err
	}
	conn, err := grpc.NewClient(strings.TrimPrefix(replica.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is in flight
	infer := modelInfer(oippb.NewGRPCInferenceServiceClient(conn))
	var pairs []pair
	for i := range o.rounds + 1 {
		var p pair
		for _, turn := range []struct {
			serving.Send
			to *rate
		}{{predict, &p.predict}, {infer, &p.grpc}} {
			if *turn.to, err = o.measure(ctx, replica, turn.Send, pictures); err != nil {
				return err
			}
		}
		if i > 0 { // the first pair warms up
			pairs = append(pairs, p)
			fmt.Fprintf(w, "%2d  /predict %.1f/s, %.2f ms of the replica's CPU; gRPC %.1f/s, %.2f ms\n", i,
				p.predict.images, 1000*p.predict.cpu, p.grpc.images, 1000*p.grpc.cpu)
		}
	}
	return report(w, pairs)
}

// read returns up to 200 pictures.
func (o options) read() (pictures [][]byte, err error) {
	files, err := images.Find(o.images)
	if err != nil {
		return nil, fmt.Errorf("%w (make images fetches a thousand)", err)
	}
	for _, f := range files[:min(len(files), 200)] {
		picture, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, picture)
	}
	return pictures, nil
}

// modelInfer sends pictures over gRPC, and asks for the five best classes, as /predict answers.
func modelInfer(c oippb.GRPCInferenceServiceClient) serving.Send {
	return func(ctx context.Context, picture []byte) error {
		response, err := c.ModelInfer(ctx, &oippb.ModelInferRequest{ModelName: "resnet18",
			Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{1},
				Contents: &oippb.InferTensorContents{BytesContents: [][]byte{picture}}}},
			Outputs: []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "scores",
				Parameters: map[string]*oippb.InferParameter{"classification": {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: 5}}}}}})
		if err == nil && len(response.GetOutputs()[0].GetContents().GetBytesContents()) != 5 {
			err = errors.New("the answer does not have five classes")
		}
		return err
	}
}

// rate is what a turn has measured.
type rate struct {
	images float64 // per second
	cpu    float64 // seconds of the replica's CPU time per image
}

// pair are two turns one after the other.
type pair struct{ predict, grpc rate }

// measure keeps requests in flight for a turn.
func (o options) measure(ctx context.Context, replica *serving.Server, send serving.Send, pictures [][]byte) (rate, error) {
	before, err := replica.CPUTime()
	if err != nil {
		return rate{}, err
	}
	answered, took, err := serving.Turn(ctx, o.clients, o.turn, pictures, send)
	if err != nil {
		return rate{}, err
	}
	after, err := replica.CPUTime()
	n := float64(answered)
	return rate{n / took.Seconds(), (after - before).Seconds() / n}, err
}

// report prints the ratios.
func report(w io.Writer, pairs []pair) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\ngRPC to /predict\tmedian\tquartiles")
	for _, row := range []struct {
		name  string
		ratio func(pair) float64
	}{
		{"images/s", func(p pair) float64 { return p.grpc.images / p.predict.images }},
		{"images per second of the replica's CPU", func(p pair) float64 { return p.predict.cpu / p.grpc.cpu }},
	} {
		var all []float64
		for _, p := range pairs {
			all = append(all, row.ratio(p))
		}
		slices.SortFunc(all, cmp.Compare[float64])
		quantile := func(q float64) float64 { return all[int(q*float64(len(all)-1)+0.5)] }
		fmt.Fprintf(t, "%s\t%.3f\t%.3f to %.3f\n", row.name, quantile(0.5), quantile(0.25), quantile(0.75))
	}
	return t.Flush()
}
