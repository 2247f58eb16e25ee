// Package measure times the network on this machine: whole passes, each layer of them, and what the CPU's
// multipliers can do at most, so that a layer's speed can be told as a share of that. The bench command prints
// it.
package measure

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

// Spread is the distribution of repeated measurements of one thing.
type Spread struct {
	Median time.Duration `json:"median"`
	Low    time.Duration `json:"low"`  // first quartile
	High   time.Duration `json:"high"` // third quartile
}

// SpreadOf sums durations up; they are sorted in place. None at all gives zeros.
func SpreadOf(times []time.Duration) Spread {
	if len(times) == 0 {
		return Spread{}
	}
	slices.Sort(times)
	at := func(q int) time.Duration { return times[(len(times)-1)*q/4] }
	return Spread{Median: at(2), Low: at(1), High: at(3)}
}

// Layer is what one step of the forward pass took.
type Layer struct {
	Name      string  `json:"name"`
	Algorithm string  `json:"algorithm"`
	MACs      int     `json:"macs"` // of a direct computation
	Time      Spread  `json:"time"` // nanoseconds
	GMACs     float64 `json:"gmac_per_second"`
}

// Network is what forward passes took.
type Network struct {
	Threads int     `json:"threads"`
	Kernels string  `json:"kernels"`
	Pass    Spread  `json:"pass"` // nanoseconds, measured without the clock in between layers
	GMACs   float64 `json:"gmac_per_second"`
	Peak    float64 `json:"peak_gmac_per_second"` // of as many threads
	Layers  []Layer `json:"layers"`
}

// Run times so many forward passes of a network on so many threads: first whole ones, then layer by layer.
func Run(n *resnet.Network, threads, count int) (Network, error) {
	if threads < 1 || count < 1 {
		return Network{}, fmt.Errorf("measure: %d threads, %d passes: want at least 1 of each", threads, count)
	}
	peak, err := Peak(threads)
	if err != nil {
		return Network{}, err
	}
	r := n.NewRunner(threads)
	defer r.Close()
	var logits [resnet.Classes]float32
	rgb := new([resnet.Pixels]byte)
	for i := range rgb {
		rgb[i] = byte(i * 2654435761 >> 13)
	}
	for range 3 {
		r.Forward(&logits, rgb)
	}
	passes := make([]time.Duration, count)
	for i := range passes {
		start := time.Now()
		r.Forward(&logits, rgb)
		passes[i] = time.Since(start)
	}
	layers := n.Layers()
	times := make([][]time.Duration, len(layers))
	for range count {
		for i, t := range r.Profile(&logits, rgb) {
			times[i] = append(times[i], t)
		}
	}
	result := Network{Threads: threads, Kernels: n.Kernels(), Pass: SpreadOf(passes), Peak: peak}
	total := 0
	for i, l := range layers {
		spread := SpreadOf(times[i])
		result.Layers = append(result.Layers, Layer{l.Name, l.Algorithm, l.MACs, spread, rate(l.MACs, spread.Median)})
		total += l.MACs
	}
	result.GMACs = rate(total, result.Pass.Median)
	return result, nil
}

func rate(macs int, t time.Duration) float64 { return float64(macs) / t.Seconds() / 1e9 }

// Peak is the most multiplications and additions per second, in units of a billion, that so many threads reach
// together with operands in the first-level cache: the best of several short runs of the matrix kernel.
func Peak(threads int) (float64, error) {
	level, err := cpu.Best()
	if err != nil {
		return 0, fmt.Errorf("choose kernels: %w", err)
	}
	k := kernel.For(level)
	const depth = 128
	turns := 4000 // some ten milliseconds
	if level == cpu.Generic {
		turns = 80
	}
	macs := k.Rows * k.Columns * depth * turns
	best := time.Duration(1<<63 - 1)
	for range 8 {
		var wait sync.WaitGroup
		start := time.Now()
		for range threads {
			wait.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				a, b := make([]float32, k.Rows*depth), make([]float32, depth*k.Columns)
				c, bias := make([]float32, k.Rows*k.Columns), make([]float32, k.Columns)
				for range turns {
					k.Tile(k.Rows, c, k.Columns, a, depth, 0, 1, depth, b, bias, nil, false, nil)
				}
			})
		}
		wait.Wait()
		best = min(best, time.Since(start))
	}
	return rate(macs*threads, best), nil
}
