package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/measure"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type benchCmd struct {
	Model     string   `help:"Weight file; by default the one that model pull fetched, else random weights, which take as long." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	Precision []string `help:"Arithmetics to measure: fp32, int8; by default both, or int8 alone if the weights are quantized." enum:"fp32,int8" placeholder:"fp32,int8"`
	Threads   []int    `help:"Numbers of threads to measure on." default:"1"`
	Batch     []int    `help:"Numbers of images at a time. A single one is computed by all threads together; of several, each thread takes one after the other." default:"1"`
	Count     int      `help:"Batches to measure." default:"50"`
	Images    string   `help:"Folder of images: measures decode and preprocess too, on one thread, over the first 100." type:"existingdir" placeholder:"DIR"`
	JSON      bool     `help:"Print JSON; durations are in nanoseconds."`
}

// Help adds to kong's text what an option cannot say.
func (benchCmd) Help() string {
	return `GMAC/s counts the multiplications of a direct convolution, so that Winograd's algorithm can be above the peak, which is
what this CPU's multipliers reached just now with nothing else to do. RESNET18_CPU=avx2 measures a lower level.
Weights in float32 are rounded for int8 without calibration: the labels would be poor, the times are the same.

  resnet18cloud bench --threads 1,2 --images images/imagenet-sample-images
  resnet18cloud bench --precision int8 --threads 2 --batch 1,16`
}

// benchmark is everything measured.
type benchmark struct {
	Weights  string                    `json:"weights"`
	Networks []measure.Network         `json:"networks"`
	Stages   map[string]measure.Spread `json:"stages,omitempty"`
}

// Run measures and prints.
func (c benchCmd) Run(ctx context.Context, env *environment) error {
	set, err := c.weights()
	if err != nil {
		return err
	}
	b := benchmark{Weights: "random"}
	if set != nil {
		defer set.Close()
		b.Weights = set.Identity()
	}
	networks, err := c.networks(set)
	if err != nil {
		return err
	}
	for _, n := range networks {
		for _, threads := range c.Threads {
			for _, batch := range c.Batch {
				if err := ctx.Err(); err != nil {
					return err
				}
				m, err := measure.Run(n, threads, batch, c.Count)
				if err != nil {
					return err
				}
				b.Networks = append(b.Networks, m)
			}
		}
	}
	if c.Images != "" {
		if b.Stages, err = c.stages(ctx, set); err != nil {
			return err
		}
	}
	if c.JSON {
		encoder := json.NewEncoder(env.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(b)
	}
	return b.print(env.stdout)
}

// networks packs the weights for each precision wanted.
func (c benchCmd) networks(set *weights.Set) (all []*resnet.Network, err error) {
	if set != nil && len(set.Int8) > 0 {
		if slices.Contains(c.Precision, engine.PrecisionFP32) {
			return nil, errors.New("bench: these weights are quantized: they can be measured in int8 only")
		}
		q, err := resnet.LoadQuantized(set)
		if err != nil {
			return nil, err
		}
		n, err := resnet.New(q, nil)
		return []*resnet.Network{n}, err
	}
	params := resnet.Random(1)
	if set != nil {
		if params, err = resnet.Fold(set); err != nil {
			return nil, err
		}
	}
	precisions := c.Precision
	if len(precisions) == 0 {
		precisions = []string{engine.PrecisionFP32, engine.PrecisionInt8}
	}
	for _, p := range precisions {
		n, err := pack(params, p)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// pack makes a network to take the time of.
func pack(params *resnet.Params, precision string) (*resnet.Network, error) {
	if precision == engine.PrecisionFP32 {
		return resnet.New(params, nil)
	}
	scales := map[string]float32{}
	for _, name := range resnet.Activations() {
		scales[name] = 1.0 / 32
	}
	q, err := resnet.Quantize(params, &resnet.Calibration{Scale: scales})
	if err != nil {
		return nil, err
	}
	return resnet.New(q, nil)
}

// weights is nil when there are none: then random ones do.
func (c benchCmd) weights() (*weights.Set, error) {
	path, err := model.Find(c.Model)
	if errors.Is(err, model.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return weights.Load(path)
}

// stages times real files through the whole way.
func (c benchCmd) stages(ctx context.Context, set *weights.Set) (map[string]measure.Spread, error) {
	e, err := engine.New(engine.Config{Weights: set, Concurrency: 1})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	files, err := load.FindImages(c.Images)
	if err != nil {
		return nil, err
	}
	times := map[string][]time.Duration{}
	var logits imagenet.Logits
	for _, file := range files[:min(len(files), 100)] {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		image := resnet18cloud.Image{Name: file, Bytes: data}
		if _, err := e.Logits(ctx, image, &logits); err != nil { // warms the caches
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		t, err := e.Logits(ctx, image, &logits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, s := range t.Stages() {
			times[s.Name] = append(times[s.Name], s.Duration)
		}
	}
	stages := map[string]measure.Spread{}
	for name, t := range times {
		stages[name] = measure.SpreadOf(t)
	}
	return stages, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (b benchmark) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, n := range b.Networks {
		fmt.Fprintf(w, "%s, %s kernels, %d threads, %d images at a time, weights %s: %.2f ms (quartiles %.2f, %.2f), %.1f images/s, %.1f GMAC/s; peak %.1f\n",
			n.Precision, n.Kernels, n.Threads, n.Batch, b.Weights, milliseconds(n.Pass.Median), milliseconds(n.Pass.Low), milliseconds(n.Pass.High),
			n.Images, n.GMACs, n.Peak)
		if len(n.Layers) == 0 {
			fmt.Fprintln(w)
			continue
		}
		fmt.Fprintln(tw, "layer\talgorithm\tms\tquartiles\tGMAC/s\tof peak\t")
		for _, l := range n.Layers {
			fmt.Fprintf(tw, "%s\t%s\t%.3f\t%.3f-%.3f\t%.1f\t%.0f %%\t\n", l.Name, l.Algorithm, milliseconds(l.Time.Median),
				milliseconds(l.Time.Low), milliseconds(l.Time.High), l.GMACs, 100*l.GMACs/n.Peak)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	for _, name := range []string{"decode", "preprocess", "inference"} {
		if s, ok := b.Stages[name]; ok {
			fmt.Fprintf(w, "%-11s %7.2f ms a picture (quartiles %.2f, %.2f)\n", name, milliseconds(s.Median), milliseconds(s.Low), milliseconds(s.High))
		}
	}
	return nil
}
