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

// engineFlags are the options of all commands that run the network themselves.
type engineFlags struct {
	Model         string `help:"Weight file: PyTorch checkpoint, safetensors or ONNX, gzipped or not; by default the one that model pull left in your cache." type:"path" placeholder:"FILE" env:"RESNET18_MODEL"`
	RandomWeights bool   `help:"Without a weight file start on random weights, whose answers mean nothing." env:"RESNET18_RANDOM_WEIGHTS"`
	Precision     string `help:"Arithmetic: fp32 or int8; by default what the weights are made for." enum:",fp32,int8" default:"" env:"RESNET18_PRECISION"`
	Concurrency   int    `help:"Images classified at a time, each on one CPU; 0 means the CPUs that the cgroup grants." default:"0" env:"RESNET18_CONCURRENCY"`
	MaxPixels     int    `help:"Largest picture in pixels; -1 for no limit." default:"50000000" env:"RESNET18_MAX_PIXELS"`
	Orient        bool   `help:"Turn pictures as their EXIF orientation says, which torchvision does not." env:"RESNET18_ORIENT"`
}

// openEngine finds and loads the weights and makes an engine with them, to be closed by the caller. Random ones
// are logged loudly. watch, if not nil, is how to come to int8 with weights in float32; shared, if not nil, holds packed
// weights, and is closed.
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
	e, err := engine.New(engine.Config{
		Weights: set, Shared: shared, Precision: f.Precision, Observe: watch, Concurrency: f.Concurrency, MaxPixels: f.MaxPixels, Orient: f.Orient,
	})
	if err != nil {
		return nil, err
	}
	info := e.Info()
	env.log.Debug("weights loaded", "weights", info.Weights, "source", info.Source, "precision", info.Precision,
		"kernels", info.Kernels, "concurrency", info.Concurrency, "shared", info.Shared)
	if shared != nil && !info.Shared {
		env.log.Warn("the shared weights are not what is to be served: packed others")
	}
	if info.Warning != "" {
		env.log.Warn(info.Warning)
	}
	return e, nil
}

// loadWeights is nil without an error when random weights shall be used.
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
