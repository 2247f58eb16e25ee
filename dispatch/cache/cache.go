// Package cache answers images whose bytes were classified before, and has equal images that are in flight
// at the same time classified once. Keys are made of the bytes' SHA-256 and the model's identity, so that
// another model never answers with this one's labels.
package cache

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/resnet18cloud/resnet18cloud"
)

// Key names an answer: what was asked, and who answers.
type Key struct {
	Digest [32]byte // SHA-256 of the image's bytes
	Model  string   // identity of weights and arithmetic; two models that may differ in a label differ here
}

// Cache is an LRU cache of results. All methods are safe for concurrent use. The zero value is not usable;
// see [New].
type Cache struct {
	entries      *otter.Cache[Key, resnet18cloud.Result] // nil when the cache is off
	size         int
	hits, misses atomic.Int64

	mu      sync.Mutex
	flights map[[32]byte]*flight // guarded by mu: images being classified now
}

// maxResultBytes is the size of the largest answer that is kept. Ours have some 500 bytes, and a foreign replica's are
// read up to a mebibyte, of which a thousand would be too much; so a cache of the default size stays below 4 MiB.
const maxResultBytes = 4 << 10

// New makes a cache of at most size results, of at most 4 KiB each; with 0 it keeps none, but equal images in flight
// still run once.
func New(size int) *Cache {
	c := &Cache{size: size, flights: map[[32]byte]*flight{}}
	if size > 0 {
		c.entries = otter.Must(&otter.Options[Key, resnet18cloud.Result]{MaximumSize: size})
	}
	return c
}

// Get looks up an answer by any of the models that might be asked now, and counts a hit or a miss.
func (c *Cache) Get(digest [32]byte, models []string) (resnet18cloud.Result, bool) {
	r, ok := c.Peek(digest, models)
	if ok {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
	}
	return r, ok
}

// Peek is Get without counting, for a second look at an image that was counted when it arrived.
func (c *Cache) Peek(digest [32]byte, models []string) (resnet18cloud.Result, bool) {
	if c.entries != nil {
		for _, m := range models {
			if r, ok := c.entries.GetIfPresent(Key{digest, m}); ok {
				return r, true
			}
		}
	}
	return resnet18cloud.Result{}, false
}

// Put keeps an answer, unless it is a giant.
func (c *Cache) Put(k Key, r resnet18cloud.Result) {
	if c.entries != nil && textBytes(r) <= maxResultBytes {
		c.entries.Set(k, r)
	}
}

// textBytes is what the answer's words take, which is all that a replica can make long.
func textBytes(r resnet18cloud.Result) int {
	const slot = 32 // of a slice, for an empty word
	n := len(r.Filename) + len(r.Model) + len(r.Precision) + len(r.Warning) + len(r.Replica)
	for _, label := range r.Predictions {
		n += slot + len(label)
	}
	for _, s := range r.Scores {
		n += slot + len(s.Label)
	}
	return n
}

// Clear forgets all answers and returns how many there were. The counts of hits and misses stay.
func (c *Cache) Clear() int {
	if c.entries == nil {
		return 0
	}
	n := c.Stats().Size
	c.entries.InvalidateAll()
	return n
}

// Stats are a cache's counters.
type Stats struct {
	Hits, Misses  int64
	Size, MaxSize int // entries
}

// Stats returns the counters of now.
func (c *Cache) Stats() Stats {
	s := Stats{Hits: c.hits.Load(), Misses: c.misses.Load(), MaxSize: c.size}
	if c.entries != nil {
		c.entries.CleanUp()
		s.Size = c.entries.EstimatedSize()
	}
	return s
}

// flight is one run of a function that several callers wait for.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // guarded by Cache.mu
	result  resnet18cloud.Result
	err     error
}

// Once runs f, unless a run for the same digest is in flight: then it waits for that one's outcome. f's
// context ends when all its callers' contexts have; one caller that leaves does not spoil the others. shared
// reports that another caller's run gave the answer.
func (c *Cache) Once(ctx context.Context, digest [32]byte,
	f func(context.Context) (resnet18cloud.Result, error)) (r resnet18cloud.Result, shared bool, err error) {
	c.mu.Lock()
	fl, shared := c.flights[digest]
	if !shared {
		var run context.Context
		fl = &flight{done: make(chan struct{})}
		run, fl.cancel = context.WithCancel(context.WithoutCancel(ctx))
		c.flights[digest] = fl
		go func() {
			defer fl.cancel()
			fl.result, fl.err = f(run)
			c.land(digest, fl)
			close(fl.done)
		}()
	}
	fl.waiters++
	c.mu.Unlock()

	select {
	case <-fl.done:
		return fl.result, shared, fl.err
	case <-ctx.Done():
	}
	if c.leave(digest, fl) {
		fl.cancel()
		<-fl.done // a caller may reuse what f reads once Once has returned
	}
	return resnet18cloud.Result{}, shared, context.Cause(ctx)
}

// Waiting is how many callers wait for the image in flight; 0 when it is not.
func (c *Cache) Waiting(digest [32]byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fl := c.flights[digest]; fl != nil {
		return fl.waiters
	}
	return 0
}

// leave reports whether the last caller left. Nobody can join the flight then.
func (c *Cache) leave(digest [32]byte, fl *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	fl.waiters--
	if fl.waiters == 0 && c.flights[digest] == fl {
		delete(c.flights, digest)
	}
	return fl.waiters == 0
}

// land takes the flight off the board.
func (c *Cache) land(digest [32]byte, fl *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[digest] == fl {
		delete(c.flights, digest)
	}
}
