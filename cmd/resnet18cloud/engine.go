package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/model"
)

// engineFlags are the options of commands that run the network in their own process.
type engineFlags struct {
	Model         string `help:"Weight file: PyTorch checkpoint, safetensors or ONNX, optionally gzipped. Default: the file that 'model pull' fetched." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	RandomWeights bool   `help:"Use random weights if there is no weight file; the results are meaningless." env:"RESNET18_RANDOM_WEIGHTS"`
	Precision     string `help:"Arithmetic: fp32 or int8. Default: that of the weights." enum:",fp32,int8" default:"" env:"RESNET18_PRECISION"`
	Concurrency   int    `help:"Number of images to classify at a time, each on one CPU; 0 means the number of CPUs available (cgroup limit)." default:"0" env:"RESNET18_CONCURRENCY"`
	MaxPixels     int    `help:"Maximum size of an image in pixels; -1 disables the limit." default:"50000000" env:"RESNET18_MAX_PIXELS" group:"limits"`
	decodeFlags   `group:"limits"`
	Orient        bool `help:"Rotate images by their EXIF orientation, which torchvision ignores." env:"RESNET18_ORIENT"`
}

// openEngine finds and loads the weights and makes an engine, which the caller closes. It warns of random weights.
// watch, if not nil, says how to get to int8 from weights in float32; shared, if not nil, holds packed weights and is
// closed.
func openEngine(f engineFlags, watch *observe.Config, shared *os.File, env *environment) (*engine.Engine, error) {
	if shared != nil {
		defer shared.Close()
	}
	set, err := f.loadWeights()
	if err != nil {
		return nil, err
	}
	if set != nil {
		defer set.Close()
	}
	if f.MaxDecodeTime == 0 {
		f.MaxDecodeTime = -1
	}
	e, err := engine.New(engine.Config{
		Weights: set, Shared: shared, Precision: f.Precision, Observe: watch, Concurrency: f.Concurrency, MaxPixels: f.MaxPixels, Orient: f.Orient,
		MaxDecodeBytes: f.MaxDecodeBytes, MaxDecodeTime: f.MaxDecodeTime,
	})
	if err != nil {
		return nil, err
	}
	info := e.Info()
	env.log.Debug("weights loaded", "weights", info.Weights, "source", info.Source, "precision", info.Precision,
		"kernels", info.Kernels, "concurrency", info.Concurrency, "shared", info.Shared)
	if shared != nil && !info.Shared {
		env.log.Warn("shared weights do not match; packing weights again")
	}
	if info.Warning != "" {
		env.log.Warn(info.Warning)
	}
	return e, nil
}

// loadWeights returns nil without an error if random weights are to be used.
func (f engineFlags) loadWeights() (*weights.Set, error) {
	path, err := model.Find(f.Model)
	if errors.Is(err, model.ErrNone) && f.RandomWeights {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find weights: %w", err)
	}
	return weights.Load(path)
}
