//go:build !only_dispatcher

package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

type replicaCmd struct {
	engineFlags   `embed:"" group:"model"`
	Addr          string `help:"TCP address to listen on." type:"listen" default:":5000" placeholder:"ADDR" env:"RESNET18_REPLICA_ADDR"`
	Queue         int    `help:"Maximum number of waiting requests; further ones are refused with 503. off means that none waits." type:"off" default:"16" env:"RESNET18_REPLICA_QUEUE" group:"limits"`
	SharedWeights int    `help:"Number of files with packed weights, from descriptor 3 on, that up shares among its replicas." hidden:"" default:"0"`
	modelsFlags   `embed:"" group:"model"`
	serverFlags   `group:"security"`
	uploadFlags   `group:"limits"`
	accessFlags   `group:"security"`
	traceFlags    `group:"traces"`

	Observe          int     `help:"With --precision int8, bf16 or auto and weights in float32: number of images to calibrate int8 with, and to compare, before int8 or bf16 takes over." default:"256" env:"RESNET18_OBSERVE" group:"model"`
	ObserveAgreement float64 `help:"Minimum share of top labels, 0 to 1, that must be equal to those of fp32." default:"0.95" env:"RESNET18_OBSERVE_AGREEMENT" group:"model"`
	ObserveShare     float64 `help:"Share of images, above 0 to 1, that fp32 checks afterwards; off means none." type:"off" default:"0.01" env:"RESNET18_OBSERVE_SHARE" group:"model"`
}

// Help adds to kong's text what an option cannot say.
func (replicaCmd) Help() string {
	return `With --precision int8, weights made by 'model quantize' run in int8 from the start. With weights in float32 the replica runs in
fp32, calibrates on its first images, and switches to int8 if enough labels are equal; /info and /metrics show the progress.
--precision auto does that where int8 is faster than fp32, and stays with fp32 elsewhere. --precision bf16, for CPUs that list this level
in 'resnet18cloud version', needs no calibration: it is compared with fp32 from the first image.

  resnet18cloud replica --precision int8
  resnet18cloud replica --models models --default-model trash --canary 5%`
}

// Run serves until the first signal, then finishes accepted requests.
func (c replicaCmd) Run(ctx context.Context, env *environment) error {
	if err := badUsage(c.serverFlags.check()); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// Weights are most of the live heap and hold no pointers. By default the collector would let as much garbage
		// accumulate as there are weights, to save a replica a few cheap collections per second.
		debug.SetGCPercent(25)
	}
	watch := &observe.Config{Pictures: c.Observe, Agreement: c.ObserveAgreement, Share: c.ObserveShare,
		Changed: logQuantization(env.log)}
	start := time.Now()
	served, err := c.serving(ctx, watch, env)
	loading := time.Since(start)
	if err != nil {
		return err
	}
	defer served.close()
	guard, err := c.guard(env.log)
	if err != nil {
		return err
	}
	exporter, err := c.traceFlags.open(ctx, env, "replica")
	if err != nil {
		return err
	}
	defer exporter.Close()
	s, err := replica.New(replica.Config{
		Access: guard, Addr: c.Addr, TLS: c.files(), AdminAddr: c.AdminAddr, Guard: c.webGuard(), Queue: c.Queue, MaxImageBytes: c.MaxImageBytes,
		MaxUploadBytes: c.MaxUploadBytes, MinUploadRate: c.MinUploadRate, Tracer: exporter.Tracer(), Log: env.log, Concurrency: served.engine().Info().Concurrency,
		Model: func() replica.Model {
			e := served.engine()
			return describe(e.Info(), e.Spec().Preprocess.Crop)
		},
		Large: served.engine().Large, Models: served.models, Revision: ownRevision(), LoadTime: loading,
	}, served.classifier)
	if err != nil {
		return badUsage(err)
	}
	if err := s.Listen(); err != nil {
		return err
	}
	c.warnIfOpen(env.log, c.Addr, guard != nil)
	return runFollowing(ctx, guard, nil, func(ctx context.Context) error { return runBeside(ctx, s.Run, served.run) })
}

// logQuantization logs each state on the way to int8 or bf16.
func logQuantization(log *slog.Logger) func(observe.Status) {
	return func(q observe.Status) {
		log.Info("quantization: "+string(q.State), "precision", q.Precision, "compared", q.Compared, "equal", q.Equal, "problem", q.Problem)
	}
}

// sharedWeights are the files that up passed on.
func (c replicaCmd) sharedWeights() (files []*os.File) {
	for i := range c.SharedWeights {
		files = append(files, os.NewFile(uintptr(3+i), "shared weights")) // procs passes files on from descriptor 3
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// describe is what a replica tells its clients about its engine, whose input has sides of so many pixels.
func describe(i engine.Info, input int) replica.Model {
	m := replica.Model{Weights: i.Weights, Precision: i.Precision, PrecisionReason: i.Why, Kernels: i.Kernels, Version: version,
		Warning: i.Warning, Notes: i.Notes, InputSize: input, Info: i.Model}
	if q := i.Quantization; q != nil {
		m.Quantization = &replica.Quantization{State: string(q.State), Precision: q.Precision, Observed: q.Observed, Compared: q.Compared,
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
