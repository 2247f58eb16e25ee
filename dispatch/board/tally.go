package board

import (
	"maps"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Stages are the stages of which a sample has quantiles, in order. total is the time from the arrival of a request to its
// result; the others are those of [resnet18cloud.Timing].
var Stages = [...]string{"total", "cache", "queue", "forward", "replica", "decode", "preprocess", "inference"}

// Tally counts what happens between two samples. The zero value is ready to use. Its methods are safe for concurrent use.
type Tally struct {
	mu       sync.Mutex
	counts   counts                 // guarded by mu
	stages   [len(Stages)]histogram // guarded by mu
	replicas map[string]Work        // guarded by mu: by URL
}

// counts are images since the last sample.
type counts struct{ offered, refused, completed, cached, failed, unusable int }

// Work is what a replica did between two samples.
type Work struct {
	Images  int
	Busy    time.Duration // sum of the times for which images occupied a worker: decode, preprocess and inference
	Latency time.Duration // sum of the times from sending an image to its result
}

// Accepted counts a request that was accepted, or answered from the cache.
func (t *Tally) Accepted() { t.count(func(c *counts) { c.offered++ }) }

// Refused counts a request that the server had no room for. What the client did wrong is not refused.
func (t *Tally) Refused() { t.count(func(c *counts) { c.offered++; c.refused++ }) }

// Failed counts an accepted request that ended without a result, for another reason than its image.
func (t *Tally) Failed() { t.count(func(c *counts) { c.failed++ }) }

// Unusable counts an accepted request whose image cannot be classified, whoever tries.
func (t *Tally) Unusable() { t.count(func(c *counts) { c.unusable++ }) }

func (t *Tally) count(f func(*counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.counts)
}

// Completed counts a request with a result, and the time of its stages.
func (t *Tally) Completed(fromCache bool, took time.Duration, timing resnet18cloud.Timing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.completed++
	if fromCache {
		t.counts.cached++
	}
	t.stages[0].add(took)
	for i, d := range [...]time.Duration{timing.Cache, timing.Queue, timing.Forward, timing.Replica, timing.Decode, timing.Preprocess, timing.Inference} {
		if d > 0 {
			t.stages[i+1].add(d)
		}
	}
}

// Answered counts an image that a replica classified.
func (t *Tally) Answered(url string, busy, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.replicas == nil {
		t.replicas = map[string]Work{}
	}
	w := t.replicas[url]
	t.replicas[url] = Work{w.Images + 1, w.Busy + busy, w.Latency + took}
}

// Take adds to the sample what was counted in the given time, and starts again. It returns the work of each replica by its
// URL.
func (t *Tally) Take(s *Sample, elapsed time.Duration) map[string]Work {
	t.mu.Lock()
	defer t.mu.Unlock()
	per := func(n int) float64 { return float64(n) / max(1e-3, elapsed.Seconds()) }
	c := t.counts
	s.Offered, s.Completed, s.Cached, s.Refused = per(c.offered), per(c.completed), per(c.cached), per(c.refused)
	s.Failed, s.Unusable = per(c.failed), per(c.unusable)
	for i := range t.stages {
		for j, q := range [...]float64{0.5, 0.95, 0.99} {
			s.Latency[i][j] = t.stages[i].quantile(q)
		}
	}
	work := maps.Clone(t.replicas)
	clear(t.replicas)
	t.counts, t.stages = counts{}, [len(Stages)]histogram{}
	return work
}
