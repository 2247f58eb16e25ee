//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// baseline is an engine by itself, and the pictures.
type baseline struct {
	engine *engine.Engine
	images []resnet18cloud.Image
}

func newBaseline(file, precision string, files []string) (*baseline, error) {
	b := &baseline{}
	cfg := engine.Config{Precision: precision}
	if file != "" {
		set, err := weights.Load(file)
		if err != nil {
			return nil, err
		}
		defer set.Close()
		cfg.Weights = set
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		b.images = append(b.images, resnet18cloud.Image{Name: f, Bytes: data})
	}
	var err error
	b.engine, err = engine.New(cfg)
	return b, err
}

func (b *baseline) close() { b.engine.Close() }

func (b *baseline) weights() string { return b.engine.Info().Weights }

func (b *baseline) describe() string {
	return fmt.Sprintf("%s on %s kernels", b.engine.Info().Precision, b.engine.Info().Kernels)
}

// measure has every worker of the engine classify one picture after the other for so long, and returns images/s.
func (b *baseline) measure(ctx context.Context, turn time.Duration) (float64, error) {
	var next, done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for range b.engine.Info().Concurrency {
		g.Go(func() error {
			for time.Since(start) < turn {
				image := b.images[int(next.Add(1))%len(b.images)]
				if _, err := b.engine.Classify(ctx, image); err != nil {
					return fmt.Errorf("%s: %w", image.Name, err)
				}
				done.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), err
}
