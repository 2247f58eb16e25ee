//go:build !only_replica && !only_dispatcher

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/measure"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type benchCmd struct {
	Model      string   `help:"Weight file. Default: the file that 'model pull' fetched, else random weights, which take as long." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	Preprocess string   `help:"How pictures are prepared, which sets the size of the network's input: ${preprocess}. Default: as the model's files say, else torchvision." placeholder:"PARTS" env:"RESNET18_PREPROCESS"`
	Precision  []string `help:"Precisions to measure: fp32, bf16, int8. Default: fp32 and int8, or only int8 if the weights are quantized." enum:"fp32,bf16,int8" placeholder:"fp32,int8"`
	Threads    []int    `help:"Numbers of threads to measure with." default:"1"`
	Batch      []int    `help:"Batch sizes to measure. All threads share a single image; of several images, each thread takes one at a time." default:"1"`
	Count      int      `help:"Number of batches to measure." default:"50"`
	Images     string   `help:"Folder of images: also measure decode and preprocess on the first 100 of them, with one thread." type:"existingdir" placeholder:"DIR"`
	JSON       bool     `help:"Print JSON; durations are in nanoseconds."`
}

// Help adds to kong's text what an option cannot say.
func (benchCmd) Help() string {
	return `GMAC/s counts the multiplications of a direct convolution, so Winograd's algorithm can exceed the peak, which is the
measured throughput of this CPU's multipliers. RESNET18_CPU=avx2 measures a lower instruction set.
For int8, weights in float32 are rounded without calibration: the labels would be poor, the times are the same.

  resnet18cloud bench --threads 1,2 --images images/imagenet-sample-images
  resnet18cloud bench --precision int8 --threads 2 --batch 1,16
  resnet18cloud bench --model mine.safetensors --preprocess crop=160`
}

// benchmark is everything measured.
type benchmark struct {
	Weights  string                    `json:"weights"`
	Networks []measure.Network         `json:"networks"`
	Stages   map[string]measure.Spread `json:"stages,omitempty"`
}

// Run measures and prints.
func (c benchCmd) Run(ctx context.Context, env *environment) error {
	for _, n := range slices.Concat(c.Threads, c.Batch, []int{c.Count}) {
		if n < 1 {
			return badUsage(fmt.Errorf("--threads, --batch and --count: %d, want 1 or more", n))
		}
	}
	set, err := c.weights()
	if err != nil {
		return err
	}
	b := benchmark{Weights: "random"}
	if set != nil {
		defer set.Close()
		b.Weights = set.Identity()
	}
	networks, err := measure.Networks(set, c.Precision)
	if err != nil {
		return err
	}
	for _, n := range networks {
		for _, threads := range c.Threads {
			for _, batch := range c.Batch {
				if err := ctx.Err(); err != nil {
					return err
				}
				fmt.Fprintf(env.stderr, "measuring %s, threads %d, batch %d: %d of %d\n", n.Precision(), threads, batch, len(b.Networks)+1,
					len(networks)*len(c.Threads)*len(c.Batch))
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

// weights returns nil if there are none; random weights take their place.
func (c benchCmd) weights() (*weights.Set, error) {
	path, err := model.Find(c.Model)
	if errors.Is(err, model.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return model.Load(path, model.Options{Preprocess: c.Preprocess})
}

// maxStageImages bounds the images whose stages are timed.
const maxStageImages = 100

// stages times decoding, preprocessing and inference of image files.
func (c benchCmd) stages(ctx context.Context, set *weights.Set) (map[string]measure.Spread, error) {
	e, err := engine.New(engine.Config{Weights: set, Concurrency: 1})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	files, err := images.Find(c.Images)
	if err != nil {
		return nil, err
	}
	return measure.Stages(ctx, e, files[:min(len(files), maxStageImages)])
}

// maxShare is the highest share of the peak that a layer can reach: Winograd's algorithm does in one multiplication the work of
// up to 4 (F(4,3) in two dimensions), less its transformations.
const maxShare = 4

// disturbed reports whether other programs must have taken CPU time during a measurement: passes differ by half and more, or a
// layer was faster than the peak allows, so that the peak was measured too low.
func disturbed(n measure.Network) bool {
	if n.Pass.High > n.Pass.Low+n.Pass.Low/2 {
		return true
	}
	for _, l := range n.Layers {
		if l.GMACs > maxShare*n.Peak {
			return true
		}
	}
	return false
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (b benchmark) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, n := range b.Networks {
		fmt.Fprintf(w, "%s, %s kernels, %d threads, %d images at a time, weights %s: %.2f ms (quartiles %.2f, %.2f), %.1f images/s, %.1f GMAC/s; peak %.1f\n",
			n.Precision, n.Kernels, n.Threads, n.Batch, b.Weights, milliseconds(n.Pass.Median), milliseconds(n.Pass.Low), milliseconds(n.Pass.High),
			n.Images, n.GMACs, n.Peak)
		if disturbed(n) {
			fmt.Fprintln(w, "This machine is busy: times vary, and shares of the peak mean little. Stop other programs and measure again.")
		}
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
			fmt.Fprintf(w, "%-11s %7.2f ms per image (quartiles %.2f, %.2f)\n", name, milliseconds(s.Median), milliseconds(s.Low), milliseconds(s.High))
		}
	}
	return nil
}
