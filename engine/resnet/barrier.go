package resnet

import (
	"sync"
	"sync/atomic"
)

// barrier makes workers wait for each other. Steps take tens of microseconds, about the time to park and wake a
// goroutine, so it spins. It does not spin for long: the worker it waits for may have lost its CPU to another process,
// and gets it back sooner if the waiters sleep.
type barrier struct {
	parties int32
	arrived atomic.Int32
	passed  atomic.Uint32 // times that all had arrived

	asleep atomic.Int32 // workers in or before wake.Wait
	mu     sync.Mutex
	wake   sync.Cond // on mu: passed has changed
}

// spins is how often to look before sleeping: about a millisecond. With much less, a worker that slept comes back so
// late that the next one falls asleep waiting for it, and so on through the whole pass.
const spins = 1 << 20

// yieldEvery is how often to look before yielding the CPU, some ten microseconds: the thread that gets it may be the
// one this waits for.
const yieldEvery = 1 << 13

// idleSpins is how often to look for the next pass before sleeping: a few dozen microseconds, about the time to wake.
// Images that follow each other closely then find all workers awake.
const idleSpins = 1 << 15

func (b *barrier) init(parties int) {
	b.parties = int32(parties)
	b.wake.L = &b.mu
}

// wait returns when all parties have called it. It looks spins times before it sleeps.
func (b *barrier) wait(spins int) {
	if b.parties == 1 {
		return
	}
	passed := b.passed.Load()
	if b.arrived.Add(1) == b.parties {
		b.arrived.Store(0)
		b.passed.Add(1)
		// A worker counts itself asleep before it looks at passed for the last time, so either it sees the new
		// value or this sees it asleep.
		if b.asleep.Load() > 0 {
			b.mu.Lock()
			b.mu.Unlock() //nolint:staticcheck // it is in Wait now, or has seen the new value
			b.wake.Broadcast()
		}
		return
	}
	for i := range spins {
		if b.passed.Load() != passed {
			return
		}
		if i%yieldEvery == yieldEvery-1 {
			yield()
		}
	}
	b.asleep.Add(1)
	b.mu.Lock()
	for b.passed.Load() == passed {
		b.wake.Wait()
	}
	b.mu.Unlock()
	b.asleep.Add(-1)
}
