package main

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"

	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/quantize"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type modelQuantizeCmd struct {
	Images    string `help:"Folder of pictures like those to be classified." type:"existingdir" required:"" placeholder:"DIR"`
	Calibrate int    `help:"Pictures that scales and biases are taken from, spread evenly over the folder; the others are for comparing." default:"256"`
	Model     string `help:"Weight file in float32; by default the one that model pull fetched." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	Out       string `arg:"" help:"safetensors file to write." type:"path"`
}

// Help adds to kong's text what an option cannot say.
func (modelQuantizeCmd) Help() string {
	return `Prints how often the 8-bit network's labels equal the 32-bit one's, on pictures that were not calibrated with.
It runs the 32-bit network three and a half times on each picture that it calibrates with, and both networks once on the others.

  resnet18cloud model quantize --images images/imagenet-sample-images resnet18-int8.safetensors
  resnet18cloud up --model resnet18-int8.safetensors`
}

// Run calibrates, writes the file, and compares.
func (c modelQuantizeCmd) Run(ctx context.Context, env *environment) error {
	path, err := model.Find(c.Model)
	if err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	files, err := load.FindImages(c.Images)
	if err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	if c.Calibrate < 1 {
		return fmt.Errorf("model quantize: %d pictures to calibrate with, want at least 1", c.Calibrate)
	}
	set, err := weights.Load(path)
	if err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	defer set.Close()
	params, err := resnet.Fold(set)
	if err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	exact, err := resnet.New(params, nil)
	if err != nil {
		return err
	}
	chosen, others := choose(files, c.Calibrate)
	pictures, err := cropAll(ctx, chosen)
	if err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	calibration, err := quantize.Calibrate(exact, pictures, func(done, of int) error {
		if done%64 == 0 || done == of {
			env.log.Info("calibrating", "done", done, "of", of)
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	q, err := resnet.Quantize(params, calibration)
	if err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	out := q.Set()
	for _, key := range []string{weights.MetaSource, weights.MetaLicence} {
		out.Metadata[key] = set.Metadata[key]
	}
	out.Metadata[weights.MetaWeights] = set.Name() + "-int8"
	out.Metadata[weights.MetaOrigin] = set.SHA256
	out.Metadata["calibration"] = fmt.Sprintf("%d pictures, least squared error, stem by logits, biases corrected", len(chosen))
	if err := model.Save(c.Out, &safetensors.Content{Tensors: out.Tensors, Int8: out.Int8, Metadata: out.Metadata}); err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	fmt.Fprintf(env.stdout, "wrote %s, calibrated with %d pictures\n", c.Out, len(chosen))
	if len(others) == 0 {
		fmt.Fprintln(env.stdout, "no other pictures to compare with fp32")
		return nil
	}
	rough, err := resnet.New(q, nil)
	if err != nil {
		return err
	}
	agreement, err := compareNetworks(ctx, exact, rough, others)
	if err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	_, err = fmt.Fprintln(env.stdout, agreement)
	return err
}

// choose takes n files spread evenly over the list, and leaves the others.
func choose(files []string, n int) (chosen, others []string) {
	n = min(n, len(files))
	for i, file := range files {
		if len(chosen) < n && i == len(chosen)*len(files)/n {
			chosen = append(chosen, file)
		} else {
			others = append(others, file)
		}
	}
	return chosen, others
}

// cropper turns files into the network's input.
type cropper struct {
	decoder decode.Decoder
	resizer preprocess.Resizer
}

func (c *cropper) crop(file string, to *preprocess.Input) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	rgb, err := c.decoder.Decode(data, decode.Options{Window: func(w, h int) image.Rectangle { return preprocess.Window(w, h) }})
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	c.resizer.Crop(to, rgb.Pix, rgb.Stride, rgb.Width, rgb.Height)
	return nil
}

func cropAll(ctx context.Context, files []string) ([]*preprocess.Input, error) {
	var c cropper
	pictures := make([]*preprocess.Input, len(files))
	for i, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pictures[i] = new(preprocess.Input)
		if err := c.crop(file, pictures[i]); err != nil {
			return nil, err
		}
	}
	return pictures, nil
}

func compareNetworks(ctx context.Context, exact, rough *resnet.Network, files []string) (g quantize.Agreement, err error) {
	slow, fast := exact.NewRunner(1), rough.NewRunner(1)
	defer slow.Close()
	defer fast.Close()
	var c cropper
	var input preprocess.Input
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return g, err
		}
		if err := c.crop(file, &input); err != nil {
			return g, err
		}
		g.Add(topOf(fast, &input), topOf(slow, &input))
	}
	return g, nil
}

func topOf(r *resnet.Runner, input *preprocess.Input) (top [5]int) {
	var logits imagenet.Logits
	r.Forward(&logits, input)
	imagenet.Top(&logits, top[:])
	return top
}
