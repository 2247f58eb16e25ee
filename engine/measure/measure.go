// Package measure times the network on this machine: whole passes, each layer, and the peak rate of the CPU's
// multipliers, of which a layer's speed is reported as a share. The bench command prints the results.
package measure

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

// Spread is the distribution of repeated measurements of one thing.
type Spread struct {
	Median time.Duration `json:"median"`
	Low    time.Duration `json:"low"`  // first quartile
	High   time.Duration `json:"high"` // third quartile
}

// SpreadOf summarizes durations, which it sorts in place. Without any, all fields are zero.
func SpreadOf(times []time.Duration) Spread {
	if len(times) == 0 {
		return Spread{}
	}
	slices.Sort(times)
	at := func(q int) time.Duration { return times[(len(times)-1)*q/4] }
	return Spread{Median: at(2), Low: at(1), High: at(3)}
}

// Layer is the measured time of one step of the forward pass.
type Layer struct {
	Name      string  `json:"name"`
	Algorithm string  `json:"algorithm"`
	MACs      int     `json:"macs"` // of a direct computation
	Time      Spread  `json:"time"` // nanoseconds
	GMACs     float64 `json:"gmac_per_second"`
}

// Network is the measured time of forward passes.
type Network struct {
	Precision string  `json:"precision"`
	Kernels   string  `json:"kernels"`
	Threads   int     `json:"threads"`
	Batch     int     `json:"batch"`             // images at a time
	Pass      Spread  `json:"pass"`              // nanoseconds for the batch, without timing layers
	Images    float64 `json:"images_per_second"` // at the median
	GMACs     float64 `json:"gmac_per_second"`
	Peak      float64 `json:"peak_gmac_per_second"` // of the same number of threads
	Layers    []Layer `json:"layers,omitempty"`     // of a batch of one
}

// Run times count batches of images. A single image is computed by all threads together, and is also timed layer by
// layer. Several images are distributed over the threads, one at a time for each, as in replicas under load.
func Run(n *resnet.Network, threads, batch, count int) (Network, error) {
	if threads < 1 || batch < 1 || count < 1 {
		return Network{}, fmt.Errorf("measure: %d threads, batches of %d, %d times: want at least 1 of each", threads, batch, count)
	}
	peak, err := Peak(n.Precision(), threads)
	if err != nil {
		return Network{}, err
	}
	result := Network{Precision: n.Precision(), Kernels: n.Kernels(), Threads: threads, Batch: batch, Peak: peak}
	if batch == 1 {
		result.one(n, count)
	} else {
		result.several(n, count)
	}
	total := 0
	for _, l := range n.Layers() {
		total += l.MACs * batch
	}
	result.GMACs = rate(total, result.Pass.Median)
	result.Images = float64(batch) / result.Pass.Median.Seconds()
	return result, nil
}

// picture returns an input without structure.
func picture(n *resnet.Network) []byte {
	rgb := make([]byte, n.InputBytes())
	for i := range rgb {
		rgb[i] = byte(i * 2654435761 >> 13)
	}
	return rgb
}

// warmUp is the number of passes before the measured ones.
const warmUp = 3

// one times single images.
func (m *Network) one(n *resnet.Network, count int) {
	r := n.NewRunner(m.Threads)
	defer r.Close()
	logits, rgb := make([]float32, n.Classes()), picture(n)
	m.Pass = timed(count, func() { r.Forward(logits, rgb) })
	layers := n.Layers()
	times := make([][]time.Duration, len(layers))
	for range count {
		for i, t := range r.Profile(logits, rgb) {
			times[i] = append(times[i], t)
		}
	}
	for i, l := range layers {
		spread := SpreadOf(times[i])
		m.Layers = append(m.Layers, Layer{l.Name, l.Algorithm, l.MACs, spread, rate(l.MACs, spread.Median)})
	}
}

// several times batches.
func (m *Network) several(n *resnet.Network, count int) {
	runners := make([]*resnet.Runner, m.Threads)
	for i := range runners {
		runners[i] = n.NewRunner(1)
		defer runners[i].Close()
	}
	rgb := picture(n)
	m.Pass = timed(count, func() {
		var wait sync.WaitGroup
		var taken atomic.Int64
		for _, r := range runners {
			wait.Go(func() {
				logits := make([]float32, n.Classes())
				for taken.Add(1) <= int64(m.Batch) {
					r.Forward(logits, rgb)
				}
			})
		}
		wait.Wait()
	})
}

// timed calls f a few times, and then count times with a clock.
func timed(count int, f func()) Spread {
	for range warmUp {
		f()
	}
	times := make([]time.Duration, count)
	for i := range times {
		start := time.Now()
		f()
		times[i] = time.Since(start)
	}
	return SpreadOf(times)
}

func rate(macs int, t time.Duration) float64 { return float64(macs) / t.Seconds() / 1e9 }
