//go:build !only_replica && !only_dispatcher

package main

import (
	"context"
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/model"
)

type modelQuantizeCmd struct {
	Images    string `help:"Folder of images like those to be classified." type:"existingdir" required:"" placeholder:"DIR"`
	Calibrate int    `help:"Number of images to calibrate with, spread evenly over the folder, at most four of five. The others are used to compare." default:"256"`
	Model     string `help:"Weight file in float32. Default: the file that 'model pull' fetched." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	describeFlags
	Out string `arg:"" help:"safetensors file to write." type:"path"`
}

// Help adds to kong's text what an option cannot say.
func (modelQuantizeCmd) Help() string {
	return `Calibrates the 8-bit network on some of the images, then compares its labels with those of the 32-bit network on the others.
Calibration takes about 3.5 passes of the 32-bit network per image; the comparison takes one pass of each network.

  resnet18cloud model quantize --images photos resnet18-int8.safetensors
  resnet18cloud up --model resnet18-int8.safetensors

A model of your own keeps its labels, preprocessing and head.

  resnet18cloud model quantize --model mine.pth --images photos q.safetensors`
}

// Run calibrates, writes the file, and compares.
func (c modelQuantizeCmd) Run(ctx context.Context, env *environment) error {
	if err := c.run(ctx, env); err != nil {
		return fmt.Errorf("model quantize: %w", err)
	}
	return nil
}

func (c modelQuantizeCmd) run(ctx context.Context, env *environment) error {
	path, err := model.Find(c.Model)
	if err != nil {
		return err
	}
	files, err := images.Find(c.Images)
	if err != nil {
		return err
	}
	bar := newPictureBar(env.stderr)
	q, err := model.Quantize(ctx, model.QuantizeConfig{
		Model: path, Options: c.options(), Images: files, Calibrate: c.Calibrate, Out: c.Out,
		Progress: bar.update,
	})
	bar.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "wrote %s, calibrated with %d images\n", c.Out, q.Calibrated)
	if q.Others == 0 {
		fmt.Fprintln(env.stdout, "no other images to compare with fp32")
		return nil
	}
	agreement, err := q.Compare(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.stdout, agreement)
	return err
}
