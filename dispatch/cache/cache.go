// Package cache returns results for images that were classified before, and classifies identical images in flight
// only once. Keys consist of the SHA-256 of the bytes and the model's identity, so that results of one model are
// never returned for another.
package cache

import (
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/resnet18cloud/resnet18cloud"
)

// Question is what is asked about an image. Equal questions have equal answers of one model, by whatever name it was asked
// for: Want.Model is empty.
type Question struct {
	Digest [32]byte // SHA-256 of the image's bytes
	Want   resnet18cloud.Want
}

// Key identifies a result: the question and the model.
type Key struct {
	Question
	Model string // identity of weights and arithmetic; differs between models whose labels may differ
}

// Flight identifies what may share a call: a question, and what is known of the models that may answer it. A client that asks
// after models have changed does not get the answer of a call that began before.
type Flight struct {
	Question
	Models string
}

// Cache is an LRU cache of results. All methods are safe for concurrent use. Create it with [New].
type Cache struct {
	entries      *otter.Cache[Key, resnet18cloud.Result] // nil if the cache is disabled
	size         int
	hits, misses atomic.Int64

	mu      sync.Mutex
	flights map[Flight]*flight // guarded by mu: images being classified
}

// maxResultBytes is the size of the largest result that is cached. Typical results have about 500 bytes; that of a
// third-party replica may have 1 MiB, and a thousand of those would be too much. A cache of the default size stays
// below 4 MiB.
const maxResultBytes = 4 << 10

// New returns a cache of at most size results of at most 4 KiB each. With size 0 it stores no results, but identical
// images in flight are still classified once.
func New(size int) *Cache {
	c := &Cache{size: size, flights: map[Flight]*flight{}}
	if size > 0 {
		c.entries = otter.Must(&otter.Options[Key, resnet18cloud.Result]{MaximumSize: size})
	}
	return c
}

// Get returns a result of any of the models, and counts a hit or a miss.
func (c *Cache) Get(q Question, models []string) (resnet18cloud.Result, bool) {
	r, ok := c.Peek(q, models)
	if ok {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
	}
	return r, ok
}

// Peek is Get without counting, for a second lookup of the same request.
func (c *Cache) Peek(q Question, models []string) (resnet18cloud.Result, bool) {
	if c.entries != nil {
		for _, m := range models {
			if r, ok := c.entries.GetIfPresent(Key{q, m}); ok {
				return r, true
			}
		}
	}
	return resnet18cloud.Result{}, false
}

// Put stores a result unless it is larger than 4 KiB.
func (c *Cache) Put(k Key, r resnet18cloud.Result) {
	if c.entries != nil && textBytes(r) <= maxResultBytes {
		c.entries.Set(k, r)
	}
}

// textBytes returns the size of the result's strings and lists, the only parts that a replica can make long.
func textBytes(r resnet18cloud.Result) int {
	const element = 32 // approximate size of a slice element besides its text
	n := len(r.Filename) + len(r.Model) + len(r.Precision) + len(r.Warning) + len(r.Replica)
	n += 4 * len(r.Embedding)
	if i := r.ModelInfo; i != nil {
		n += len(i.Name) + len(i.Version) + len(i.Precision) + len(i.Preprocessing) + len(i.Activation)
	}
	for _, label := range r.Predictions {
		n += element + len(label)
	}
	for _, s := range r.Scores {
		n += element + len(s.Label)
	}
	return n
}

// Clear deletes all results and returns their number. Hit and miss counts are kept.
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

// Stats returns the current counters.
func (c *Cache) Stats() Stats {
	s := Stats{Hits: c.hits.Load(), Misses: c.misses.Load(), MaxSize: c.size}
	if c.entries != nil {
		c.entries.CleanUp()
		s.Size = c.entries.EstimatedSize()
	}
	return s
}
