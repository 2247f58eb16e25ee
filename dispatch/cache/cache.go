// Package cache answers images whose bytes were classified before, and has equal images that are in flight
// at the same time classified once. Keys are made of the bytes' SHA-256 and the model's identity, so that
// another model never answers with this one's labels.
package cache

import (
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/resnet18cloud/resnet18cloud"
)

// Key names an answer: the image and the model.
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

// maxResultBytes is the size of the largest answer that is kept. Ours have some 500 bytes; a foreign replica's answer
// may have a mebibyte, and a thousand of these would be too much. So a cache of the default size stays below 4 MiB.
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

// Get looks up an answer of any of the models, and counts a hit or a miss.
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

// Put keeps an answer unless it is larger than 4 KiB.
func (c *Cache) Put(k Key, r resnet18cloud.Result) {
	if c.entries != nil && textBytes(r) <= maxResultBytes {
		c.entries.Set(k, r)
	}
}

// textBytes is the size of the answer's texts, which are all that a replica can make long.
func textBytes(r resnet18cloud.Result) int {
	const element = 32 // bytes of a slice's element beside its text, about
	n := len(r.Filename) + len(r.Model) + len(r.Precision) + len(r.Warning) + len(r.Replica)
	for _, label := range r.Predictions {
		n += element + len(label)
	}
	for _, s := range r.Scores {
		n += element + len(s.Label)
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

// Stats returns the present counters.
func (c *Cache) Stats() Stats {
	s := Stats{Hits: c.hits.Load(), Misses: c.misses.Load(), MaxSize: c.size}
	if c.entries != nil {
		c.entries.CleanUp()
		s.Size = c.entries.EstimatedSize()
	}
	return s
}
