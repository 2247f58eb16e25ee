//go:build linux

// Command replica compares the throughput of a whole replica with that of a server that does the same with Node.js, sharp and ONNX
// Runtime (server.mjs): pictures by POST /predict, labels back. Both run on all CPUs of this machine, which this program's clients
// share. Short turns alternate, and ratios are taken of turns one after the other, so that what else the machine does meets both.
//
// Node.js runs once as one process whose ONNX Runtime has all CPUs, and once as a process per CPU. Beside the rates stands how many
// pictures have the best label of torchvision's fp32 network.
//
//	make compare-replica                          # twelve rounds of turns of 4 s, in fp32 and in int8
//	go run ./bench/replica -precisions int8 -rounds 30
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/resnet18cloud/resnet18cloud/bench/internal/serving"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type options struct {
	binary, models, images, reference, keep, precisions string
	clients, rounds, pictures                           int
	turn                                                time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/resnet18cloud", "the program to measure (make build)")
	flag.StringVar(&o.models, "models", "../shared/models", "folder with the weights in all formats")
	flag.StringVar(&o.images, "images", "../shared/images/imagenet-sample", "folder of pictures")
	flag.StringVar(&o.reference, "reference", "../shared/reference", "folder with torchvision's labels of the pictures, and the names of all")
	flag.StringVar(&o.keep, "keep", "", "folder for our quantized weights; those that it has are used (default: a temporary one)")
	flag.StringVar(&o.precisions, "precisions", "fp32,int8", "precisions to compare: fp32, int8")
	flag.IntVar(&o.clients, "clients", 4, "requests in flight")
	flag.IntVar(&o.rounds, "rounds", 12, "rounds; in each, every server has a turn")
	flag.IntVar(&o.pictures, "pictures", 200, "pictures that are sent")
	flag.DurationVar(&o.turn, "turn", 4*time.Second, "length of each turn")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "replica:", err)
		os.Exit(1) //nolint:gocritic // the process ends: no signal is to be caught any more
	}
}

// picture is a file, and torchvision's best label of it.
type picture struct {
	bytes []byte
	label string
}

func (o options) run(ctx context.Context, w io.Writer) error {
	if o.rounds < 1 || o.clients < 1 || o.pictures < 1 {
		return fmt.Errorf("-rounds, -clients and -pictures must be at least 1")
	}
	pictures, err := o.read()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "replica")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var all []*measured
	for precision := range strings.SplitSeq(o.precisions, ",") {
		commands, err := o.commands(ctx, precision, cmp.Or(o.keep, dir))
		if err != nil {
			return err
		}
		some, err := o.compare(ctx, commands, pictures)
		if err != nil {
			return fmt.Errorf("%s: %w", precision, err)
		}
		all = append(all, some...)
	}
	return report(w, all)
}

// read returns the first pictures of the reference.
func (o options) read() (pictures []picture, err error) {
	f, err := os.Open(filepath.Join(o.reference, "torchvision.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := json.NewDecoder(f); lines.More() && len(pictures) < o.pictures; {
		var line struct {
			File  string   `json:"file"`
			Names []string `json:"top5_names"`
		}
		if err := lines.Decode(&line); err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		if len(line.Names) == 0 {
			return nil, fmt.Errorf("%s has no labels of %q", f.Name(), line.File)
		}
		data, err := os.ReadFile(filepath.Join(o.images, line.File))
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, picture{data, line.Names[0]})
	}
	return pictures, nil
}

// command starts a server.
type command struct {
	precision, name string
	args            []string
}

// commands lists the servers of a precision, ours first. Our int8 weights are made in the folder dir, unless they are there.
func (o options) commands(ctx context.Context, precision, dir string) ([]command, error) {
	weights := filepath.Join(o.models, "resnet18-ktb.pth")
	onnx := map[string]string{"fp32": "resnet18-ktb.onnx.gz", "int8": "resnet18-ktb-int8-qdq.onnx"}[precision]
	switch precision {
	case "fp32":
	case "int8":
		quantized := filepath.Join(dir, "replica-int8.safetensors")
		if _, err := os.Stat(quantized); err != nil {
			if err := o.quantize(ctx, weights, quantized); err != nil {
				return nil, fmt.Errorf("quantize our weights: %w", err)
			}
		}
		weights = quantized
	default:
		return nil, fmt.Errorf("unknown precision %q, want fp32 or int8", precision)
	}
	list := []command{{precision, "ResNet18Cloud", []string{o.binary, "--log-format", "json", "replica", "--addr", "127.0.0.1:0",
		"--model", weights, "--precision", precision}}}
	for _, processes := range slices.Compact([]int{1, runtime.NumCPU()}) {
		list = append(list, command{precision, fmt.Sprintf("Node.js, processes: %d", processes), []string{"node", "bench/replica/server.mjs",
			filepath.Join(o.models, onnx), filepath.Join(o.reference, "imagenet_classes.json"), fmt.Sprint(processes)}})
	}
	return list, nil
}

// quantize makes int8 weights as model quantize does.
func (o options) quantize(ctx context.Context, from, to string) error {
	files, err := images.Find(o.images)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	_, err = model.Quantize(ctx, model.QuantizeConfig{Model: from, Images: files, Calibrate: 256, Out: to, Progress: func(done, of int) {
		if done%100 == 0 || done == of {
			fmt.Fprintf(os.Stderr, "\rcalibrate int8: pass %d of %d ", done, of)
		}
	}})
	fmt.Fprintln(os.Stderr)
	return err
}

// measured is what one server did.
type measured struct {
	command
	rates         []float64 // images/s in each turn
	equal, labels int       // pictures with torchvision's label, of how many
}

// compare lets servers take turns. First each labels every picture, which also warms it up.
func (o options) compare(ctx context.Context, commands []command, pictures []picture) (all []*measured, err error) {
	var sent [][]byte
	for _, p := range pictures {
		sent = append(sent, p.bytes)
	}
	var servers []*serving.Server
	defer func() {
		for _, s := range servers {
			s.Stop()
		}
	}()
	for _, c := range commands {
		server, err := serving.Start(ctx, serving.ReplicaReady, c.args[0], c.args[1:]...)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
		m := &measured{command: c, labels: len(pictures)}
		for _, p := range pictures {
			labels, err := server.Predict(ctx, p.bytes)
			if err != nil {
				return nil, err
			}
			if labels[0] == p.label {
				m.equal++
			}
		}
		all = append(all, m)
	}
	for round := range o.rounds {
		for i, m := range all {
			n, took, err := serving.Turn(ctx, o.clients, o.turn, sent, func(ctx context.Context, picture []byte) error {
				_, err := servers[i].Predict(ctx, picture)
				return err
			})
			if err != nil {
				return nil, err
			}
			m.rates = append(m.rates, float64(n)/took.Seconds())
		}
		fmt.Fprintf(os.Stderr, "\r%s: round %d of %d ", commands[0].precision, round+1, o.rounds)
	}
	fmt.Fprintln(os.Stderr)
	return all, nil
}

// report prints medians of the rates, and of the ratios of ours to the others' in the same round.
func report(w io.Writer, all []*measured) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| precision\t| server\t| images/s\t| ours has\t| quartiles\t| labels as torchvision's\t|")
	fmt.Fprintln(t, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	var ours *measured
	for _, m := range all {
		if ours == nil || ours.precision != m.precision {
			ours = m
		}
		var ratios []float64
		for i, rate := range m.rates {
			ratios = append(ratios, ours.rates[i]/rate)
		}
		fmt.Fprintf(t, "| %s\t| %s\t| %.1f\t| %.2f times as many\t| %.2f to %.2f\t| %.1f %%\t|\n", m.precision, m.name, quantile(m.rates, 0.5),
			quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75), 100*float64(m.equal)/float64(m.labels))
	}
	return t.Flush()
}

// quantile of values, the nearest one.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}
