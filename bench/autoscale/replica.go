package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// serve is a replica with one worker, on random weights.
func serve(ctx context.Context, addr string, service time.Duration) error {
	e, err := engine.New(engine.Config{Concurrency: 1})
	if err != nil {
		return err
	}
	defer e.Close()
	s, err := replica.New(replica.Config{Addr: addr, Concurrency: 1,
		Model: func() replica.Model { return replica.Model{Weights: e.Info().Weights} }}, slow{e, service})
	if err != nil {
		return err
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Run(ctx)
}

// slow is a classifier that takes its time: mean on average, spread as the sample images spread.
type slow struct {
	resnet18cloud.Classifier
	mean time.Duration
}

// Classify runs the network, and returns when the time is over that it is to take.
func (s slow) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	began, relative := time.Now(), sim.Measured()
	until := began.Add(time.Duration(float64(s.mean) * float64(relative[rand.IntN(len(relative))])))
	result, err := s.Classifier.Classify(ctx, image)
	time.Sleep(time.Until(until))
	result.Timing.Decode, result.Timing.Preprocess, result.Timing.Inference = 0, 0, time.Since(began)
	return result, err
}
