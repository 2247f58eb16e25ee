package dispatch

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rates limits how many requests each client sends per second: a token bucket per client that holds the requests of one
// second, at least one. The zero value is ready to use. All methods are safe for concurrent use.
type rates struct {
	mu      sync.Mutex
	buckets map[string]*rate.Limiter // guarded by mu: by client; a client without one has a full bucket
	prune   int                      // guarded by mu: number of buckets at which full ones are dropped
}

// maxBuckets bounds the memory, about 200 bytes for each. Beyond it, half of the clients get a full bucket.
const maxBuckets = 1 << 16

// take takes a token for a request that arrives now. If there is none, it returns the time until there is one.
func (r *rates) take(c client, now time.Time) time.Duration {
	if c.rate <= 0 {
		return 0
	}
	token := r.bucket(c, now).ReserveN(now, 1)
	wait := token.DelayFrom(now)
	if wait > 0 {
		token.CancelAt(now)
	}
	return wait
}

// wait returns the time until there is a token, without taking one.
func (r *rates) wait(c client, now time.Time) time.Duration {
	if c.rate <= 0 {
		return 0
	}
	missing := 1 - r.bucket(c, now).TokensAt(now)
	return time.Duration(max(0, missing) / c.rate * float64(time.Second))
}

// bucket returns the client's bucket. A limit that has changed applies from now on.
func (r *rates) bucket(c client, now time.Time) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit, burst := rate.Limit(c.rate), int(min(max(1, math.Ceil(c.rate)), 1<<30))
	b := r.buckets[c.name]
	switch {
	case b == nil:
		r.dropFull(now)
		b = rate.NewLimiter(limit, burst)
		if r.buckets == nil {
			r.buckets = map[string]*rate.Limiter{}
		}
		r.buckets[c.name] = b
	case b.Limit() != limit:
		b.SetLimitAt(now, limit)
		b.SetBurstAt(now, burst)
	}
	return b
}

// dropFull drops buckets that are full, which are like new ones, whenever their number has doubled. The caller holds mu.
func (r *rates) dropFull(now time.Time) {
	if len(r.buckets) < max(r.prune, 64) {
		return
	}
	for name, b := range r.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(r.buckets, name)
		}
	}
	for name := range r.buckets {
		if len(r.buckets) <= maxBuckets/2 {
			break
		}
		delete(r.buckets, name)
	}
	r.prune = min(2*len(r.buckets), maxBuckets)
}
