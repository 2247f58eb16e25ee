package main

import (
	"context"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// engine makes an engine that works on one image at a time, on one CPU.
func (o options) engine() (*engine.Engine, error) {
	if o.model == "" {
		return engine.New(engine.Config{Concurrency: 1})
	}
	set, err := weights.Load(o.model)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	return engine.New(engine.Config{Weights: set, Concurrency: 1})
}

// serve is a replica with one worker.
func (o options) serve(ctx context.Context, addr string) error {
	e, err := o.engine()
	if err != nil {
		return err
	}
	defer e.Close()
	s, err := replica.New(replica.Config{Addr: addr, Concurrency: 1,
		Model: func() replica.Model {
			return replica.Model{Weights: e.Info().Weights, InputSize: e.Spec().Preprocess.Crop, Info: e.Info().Model}
		}}, &slow{Classifier: e, mean: o.Service, every: int64(o.Every)})
	if err != nil {
		return err
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Run(ctx)
}

// networkTime is how long one image takes one thread here, when nothing else runs: the least of some.
func (o options) networkTime(ctx context.Context) (time.Duration, error) {
	e, err := o.engine()
	if err != nil {
		return 0, err
	}
	defer e.Close()
	least := time.Duration(math.MaxInt64)
	for range 20 {
		began := time.Now()
		if _, err := e.Classify(ctx, resnet18cloud.Image{Bytes: drawing()}); err != nil {
			return 0, err
		}
		least = min(least, time.Since(began))
	}
	return least, nil
}

// slow is a classifier that takes its time: mean on average, spread as the sample images spread. The network
// runs on one of so many images; the others, which show the same, get the same answer.
type slow struct {
	resnet18cloud.Classifier
	mean  time.Duration
	every int64

	images atomic.Int64
	answer atomic.Pointer[resnet18cloud.Result]
}

// Classify answers when the time is over that it is to take.
func (s *slow) Classify(ctx context.Context, image resnet18cloud.Image) (result resnet18cloud.Result, err error) {
	began, relative := time.Now(), sim.Measured()
	until := began.Add(time.Duration(float64(s.mean) * float64(relative[rand.IntN(len(relative))])))
	if known := s.answer.Load(); known != nil && s.images.Add(1)%s.every != 0 {
		result = *known
	} else if result, err = s.Classifier.Classify(ctx, image); err == nil {
		s.answer.Store(&result)
	}
	time.Sleep(time.Until(until))
	result.Timing.Decode, result.Timing.Preprocess, result.Timing.Inference = 0, 0, time.Since(began)
	return result, err
}
