package main

import (
	"context"

	"github.com/resnet18cloud/resnet18cloud/replica"
)

type replicaCmd struct {
	engineFlags   `embed:""`
	Addr          string `help:"TCP address to listen on." default:":5000" env:"RESNET18_REPLICA_ADDR"`
	Queue         int    `help:"Requests that may wait behind those being worked on; further ones are refused with 503. -1 means none." default:"16" env:"RESNET18_REPLICA_QUEUE"`
	MaxImageBytes int64  `help:"Largest upload in bytes." default:"10485760" env:"RESNET18_MAX_IMAGE_BYTES"`
}

// Run serves until the first signal, then finishes what is in the house.
func (c replicaCmd) Run(ctx context.Context, env *environment) error {
	e, err := openEngine(c.engineFlags, env)
	if err != nil {
		return err
	}
	defer e.Close()
	info := e.Info()
	s, err := replica.New(replica.Config{
		Addr: c.Addr, Queue: c.Queue, MaxImageBytes: c.MaxImageBytes, Log: env.log, Concurrency: info.Concurrency,
		Model: replica.Model{Weights: info.Weights, Precision: info.Precision, Kernels: info.Kernels,
			Version: version, Warning: info.Warning},
	}, e)
	if err != nil {
		return err
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Run(ctx)
}
