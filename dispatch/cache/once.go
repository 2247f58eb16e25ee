package cache

import (
	"context"

	"github.com/resnet18cloud/resnet18cloud"
)

// flight is one call of a function whose result several callers may wait for.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // guarded by Cache.mu
	result  resnet18cloud.Result
	err     error
}

// Once calls f, unless a call for the same question to the same models is in flight: then it waits for that result. f's context ends when
// the contexts of all its callers have ended, so a caller that leaves does not affect the others. The last caller to
// leave waits until f has returned. shared reports that another caller started the call.
func (c *Cache) Once(ctx context.Context, q Flight,
	f func(context.Context) (resnet18cloud.Result, error)) (r resnet18cloud.Result, shared bool, err error) {
	c.mu.Lock()
	fl, shared := c.flights[q]
	if !shared {
		var run context.Context
		fl = &flight{done: make(chan struct{})}
		run, fl.cancel = context.WithCancel(context.WithoutCancel(ctx))
		c.flights[q] = fl
		go func() {
			defer fl.cancel()
			fl.result, fl.err = f(run)
			c.land(q, fl)
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
	if c.leave(q, fl) {
		fl.cancel()
		<-fl.done // after Once returns, the caller may reuse what f reads
	}
	return resnet18cloud.Result{}, shared, context.Cause(ctx)
}

// Waiting returns the number of callers that wait for the answer, or 0 if the image is not in flight.
func (c *Cache) Waiting(q Question) (waiting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for asked, fl := range c.flights {
		if asked.Question == q {
			waiting += fl.waiters
		}
	}
	return waiting
}

// leave removes a caller and reports whether it was the last one. Then no other caller can join the flight.
func (c *Cache) leave(q Flight, fl *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	fl.waiters--
	if fl.waiters == 0 && c.flights[q] == fl {
		delete(c.flights, q)
	}
	return fl.waiters == 0
}

// land removes the flight, unless a later one has replaced it.
func (c *Cache) land(q Flight, fl *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[q] == fl {
		delete(c.flights, q)
	}
}
