package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

type replicaCmd struct {
	engineFlags   `embed:""`
	Addr          string `help:"TCP address to listen on." default:":5000" env:"RESNET18_REPLICA_ADDR"`
	Queue         int    `help:"Requests that may wait behind those being worked on; further ones are refused with 503. -1 means none." default:"16" env:"RESNET18_REPLICA_QUEUE"`
	SharedWeights int    `help:"Descriptor of the packed weights that up shares among its replicas." hidden:"" default:"0"`
	MaxImageBytes int64  `help:"Largest upload in bytes." default:"10485760" env:"RESNET18_MAX_IMAGE_BYTES"`

	MaxUploadBytes int64 `help:"Memory in bytes of all images that arrive, wait or are being classified. When it is used up, slow uploads are refused." default:"268435456" env:"RESNET18_MAX_UPLOAD_BYTES"`
	MinUploadRate  int64 `help:"Least rate of an upload in bytes per second; slower ones are refused with 408. -1 means any." default:"16384" env:"RESNET18_MIN_UPLOAD_RATE"`

	Observe          int     `help:"With --precision int8 and weights in float32: images to take the scales from, and as many to compare, before int8 answers." default:"256" env:"RESNET18_OBSERVE"`
	ObserveAgreement float64 `help:"Share of best labels, 0 to 1, that must be the same in int8 as in fp32." default:"0.95" env:"RESNET18_OBSERVE_AGREEMENT"`
	ObserveShare     float64 `help:"Share of images, above 0 to 1, that fp32 checks once int8 answers; -1 means none." default:"0.01" env:"RESNET18_OBSERVE_SHARE"`
}

// Help adds to kong's text what an option cannot say.
func (replicaCmd) Help() string {
	return `With --precision int8, quantized weights (model quantize) answer in int8 at once. Weights in float32 answer in fp32 while the
replica observes its first images, and change over if enough labels stay the same; /info and /metrics show how far it is.

  resnet18cloud replica --precision int8`
}

// Run serves until the first signal, then finishes what is in the house.
func (c replicaCmd) Run(ctx context.Context, env *environment) error {
	if os.Getenv("GOGC") == "" {
		// Weights are most of what lives, without pointers to follow. By the collector's default as much garbage would
		// gather as there are weights, to save a replica a few cheap collections a second.
		debug.SetGCPercent(25)
	}
	watch := &observe.Config{Pictures: c.Observe, Agreement: c.ObserveAgreement, Share: c.ObserveShare,
		Changed: func(q observe.Status) {
			env.log.Info("quantization: "+string(q.State), "compared", q.Compared, "equal", q.Equal, "problem", q.Problem)
		}}
	e, err := openEngine(c.engineFlags, watch, c.sharedWeights(), env)
	if err != nil {
		return err
	}
	defer e.Close()
	s, err := replica.New(replica.Config{
		Addr: c.Addr, Queue: c.Queue, MaxImageBytes: c.MaxImageBytes,
		MaxUploadBytes: c.MaxUploadBytes, MinUploadRate: c.MinUploadRate, Log: env.log, Concurrency: e.Info().Concurrency,
		Model: func() replica.Model { return describe(e.Info()) },
	}, e)
	if err != nil {
		return err
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Run(ctx)
}

// sharedWeights is the file that up left us; nil if there is none.
func (c replicaCmd) sharedWeights() *os.File {
	if c.SharedWeights == 0 {
		return nil
	}
	return os.NewFile(uintptr(c.SharedWeights), "shared weights")
}

// describe says of an engine what its replica's clients are told.
func describe(i engine.Info) replica.Model {
	m := replica.Model{Weights: i.Weights, Precision: i.Precision, Kernels: i.Kernels, Version: version, Warning: i.Warning}
	if q := i.Quantization; q != nil {
		m.Quantization = &replica.Quantization{State: string(q.State), Observed: q.Observed, Compared: q.Compared,
			Equal: q.Equal, Wanted: q.Wanted, Problem: q.Problem}
		for _, s := range observe.States() {
			m.Quantization.States = append(m.Quantization.States, string(s))
		}
		if q.Compared > 0 {
			m.Quantization.Agreement = &q.Agreement
		}
	}
	return m
}
