//go:build !only_dispatcher

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/model"
)

// describeFlags say of a model what its files do not, or replace what they say.
type describeFlags struct {
	Labels     string `help:"File with the names of the classes: one on each line, or JSON. Default: those that the model's files have." type:"path" placeholder:"FILE" env:"RESNET18_LABELS"`
	Preprocess string `help:"How pictures are prepared, instead of what the model's files say: ${preprocess}. Default: as the files say, else torchvision." placeholder:"PARTS" env:"RESNET18_PREPROCESS"`
	Activation string `help:"How outputs become scores: softmax (one class of several), sigmoid (classes that do not exclude each other, or one output) or none. Default: as the model's files say, else softmax." enum:",softmax,sigmoid,none" default:"" env:"RESNET18_ACTIVATION"`
}

// modelVars are the values that the help of flags about models has.
func modelVars() kong.Vars {
	return kong.Vars{"preprocess": spec.Usage, "hub": model.HubEndpoint}
}

func (f describeFlags) options() model.Options {
	return model.Options{Labels: f.Labels, Preprocess: f.Preprocess, Activation: f.Activation}
}

// args are the flags of another command with the same meaning.
func (f describeFlags) args() (args []string) {
	for _, flag := range []struct{ name, value string }{{"--labels", f.Labels}, {"--preprocess", f.Preprocess}, {"--activation", f.Activation}} {
		if flag.value != "" {
			args = append(args, flag.name, flag.value)
		}
	}
	return args
}

// engineFlags are the options of commands that run the network in their own process.
type engineFlags struct {
	Model string `help:"Weight file: PyTorch checkpoint, safetensors or ONNX, optionally gzipped. Default: the file that 'model pull' fetched." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	describeFlags
	RandomWeights bool   `help:"Use random weights if there is no weight file; the results are meaningless." env:"RESNET18_RANDOM_WEIGHTS"`
	Precision     string `help:"Arithmetic: fp32, bf16, int8, or auto, the fastest on this CPU that the weights allow. Default: that of the weights." enum:",auto,fp32,bf16,int8" default:"" env:"RESNET18_PRECISION"`
	Concurrency   int    `help:"Number of images to classify at a time, each on one CPU; 0 means the number of CPUs available (cgroup limit)." default:"0" env:"RESNET18_CONCURRENCY"`
	MaxPixels     int    `help:"Maximum size of an image in pixels; off disables the limit." type:"off" default:"50000000" env:"RESNET18_MAX_PIXELS" group:"limits"`
	decodeFlags   `group:"limits"`
	Orient        bool `help:"Rotate images by their EXIF orientation, which torchvision ignores." env:"RESNET18_ORIENT"`
}

// openEngine finds and loads the weights and makes an engine, which the caller closes. It warns of random weights.
// watch, if not nil, says how to get to bf16 or int8 from weights in float32; shared are files with packed weights.
func openEngine(ctx context.Context, f engineFlags, watch *observe.Config, shared []*os.File, env *environment) (*engine.Engine, error) {
	path, err := model.Find(f.Model)
	if errors.Is(err, model.ErrNone) && f.RandomWeights {
		path, err = "", nil
	}
	if err != nil {
		return nil, fmt.Errorf("find weights: %w", err)
	}
	e, err := f.open(ctx, path, watch, shared, nil, env)
	if err == nil && len(shared) > 0 && !e.Info().Shared {
		env.log.Warn("shared weights do not match; packing weights again")
	}
	return e, err
}

// open makes an engine of a weight file, or with random weights if path is empty, and checks the file's golden pictures.
// inferring is engine.Config's.
func (f engineFlags) open(ctx context.Context, path string, watch *observe.Config, shared []*os.File, inferring *atomic.Int64, env *environment) (*engine.Engine, error) {
	var set *weights.Set
	var metadata map[string]string
	if path != "" {
		var err error
		if set, err = model.Load(path, f.options()); err != nil {
			return nil, err
		}
		defer set.Close()
		metadata = set.Metadata
	}
	if f.MaxDecodeTime == 0 {
		f.MaxDecodeTime = -1
	}
	e, err := engine.New(engine.Config{
		Weights: set, Shared: shared, Precision: f.Precision, Observe: watch, Concurrency: f.Concurrency, MaxPixels: f.MaxPixels, Orient: f.Orient,
		MaxDecodeBytes: f.MaxDecodeBytes, MaxDecodeTime: f.MaxDecodeTime, Inferring: inferring,
	})
	if err != nil {
		return nil, err
	}
	if err := checkGolden(ctx, e, metadata); err != nil {
		e.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	info := e.Info()
	env.log.Debug("weights loaded", "weights", info.Weights, "source", info.Source, "precision", info.Precision,
		"kernels", info.Kernels, "concurrency", info.Concurrency, "shared", info.Shared)
	if info.Why != "" {
		env.log.Info("precision chosen", "why", info.Why)
	}
	for _, note := range info.Notes {
		env.log.Warn("model: " + note)
	}
	if info.Warning != "" {
		env.log.Warn(info.Warning)
	}
	return e, nil
}
