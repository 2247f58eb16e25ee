package model

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/quantize"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// QuantizeConfig says what [Quantize] reads and writes. Model, Images and Out must be given.
type QuantizeConfig struct {
	Model   string   // weight file in float32
	Options Options  // what its files do not say
	Images  []string // image files
	// Calibrate is how many of the images to calibrate with, spread evenly over the list: at most four of five, since the
	// others are for [Quantized.Compare].
	Calibrate int
	Out       string // safetensors file to write
	// Progress, if set, is called after each pass of the network during calibration.
	Progress func(done, total int)
}

// Quantized is the outcome of [Quantize].
type Quantized struct {
	Calibrated int // images that were calibrated with
	Others     int // images that were not

	fp32, int8 *resnet.Network // nil if there are no other images
	others     []string
	preprocess spec.Preprocess
}

// Quantize calibrates 8-bit weights on images and writes them. The file appears whole or not at all.
func Quantize(ctx context.Context, c QuantizeConfig) (*Quantized, error) {
	if c.Calibrate < 1 {
		return nil, fmt.Errorf("%d images to calibrate with, want at least 1", c.Calibrate)
	}
	set, err := Load(c.Model, c.Options)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	params, err := resnet.Fold(set)
	if err != nil {
		return nil, err
	}
	fp32, err := resnet.New(params, nil)
	if err != nil {
		return nil, err
	}
	chosen, others := choose(c.Images, c.Calibrate)
	inputs, err := cropAll(ctx, set.Spec.Preprocess, chosen)
	if err != nil {
		return nil, err
	}
	calibration, err := quantize.Calibrate(fp32, inputs, func(done, total int) error {
		if c.Progress != nil {
			c.Progress(done, total)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	quantized, err := resnet.Quantize(params, calibration)
	if err != nil {
		return nil, err
	}
	out := quantized.Set()
	metadata, err := Metadata(set)
	if err != nil {
		return nil, err
	}
	maps.Copy(metadata, out.Metadata)
	metadata[weights.MetaWeights] = set.Name() + "-int8"
	metadata[weights.MetaOrigin] = set.SHA256
	metadata["calibration"] = fmt.Sprintf("%d pictures, least squared error, stem by logits, biases corrected", len(chosen))
	if err := Save(c.Out, &safetensors.Content{Tensors: out.Tensors, Int8: out.Int8, Metadata: metadata}); err != nil {
		return nil, err
	}
	q := &Quantized{Calibrated: len(chosen), Others: len(others), others: others, preprocess: set.Spec.Preprocess}
	if len(others) > 0 { // packed here: the set, whose memory quantized shares, is closed on return
		q.fp32 = fp32
		q.int8, err = resnet.New(quantized, nil)
	}
	return q, err
}

// Compare runs both networks on the images that were not calibrated with, and compares their labels or features.
func (q *Quantized) Compare(ctx context.Context) (quantize.Agreement, error) {
	if len(q.others) == 0 {
		return quantize.Agreement{}, nil
	}
	agreement := quantize.Agreement{Classes: q.fp32.Classes()}
	exact, rounded := q.fp32.NewRunner(1), q.int8.NewRunner(1)
	defer exact.Close()
	defer rounded.Close()
	cropper := preprocess.Cropper{Spec: q.preprocess}
	var input preprocess.Input
	for _, file := range q.others {
		if err := ctx.Err(); err != nil {
			return agreement, err
		}
		if err := crop(&cropper, &input, file); err != nil {
			return agreement, err
		}
		agreement.Add(outputs(rounded, agreement.Classes, input), outputs(exact, agreement.Classes, input))
	}
	return agreement, nil
}

// choose takes n files spread evenly over the list, or four of five if that is less, and returns the others too.
func choose(files []string, n int) (chosen, others []string) {
	n = min(n, len(files)-len(files)/5)
	for i, file := range files {
		if len(chosen) < n && i == len(chosen)*len(files)/n {
			chosen = append(chosen, file)
		} else {
			others = append(others, file)
		}
	}
	return chosen, others
}

func cropAll(ctx context.Context, p spec.Preprocess, files []string) ([][]byte, error) {
	c := preprocess.Cropper{Spec: p}
	inputs := make([][]byte, len(files))
	for i, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var input preprocess.Input
		if err := crop(&c, &input, file); err != nil {
			return nil, err
		}
		inputs[i] = input
	}
	return inputs, nil
}

func crop(c *preprocess.Cropper, to *preprocess.Input, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := c.Crop(to, data); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return nil
}

// outputs returns the logits of an input, or the features if there are no classes.
func outputs(r *resnet.Runner, classes int, input []byte) []float32 {
	logits := make([]float32, classes)
	r.Forward(logits, input)
	if classes == 0 {
		return r.Features()
	}
	return logits
}
