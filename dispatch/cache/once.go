package cache

import (
	"context"

	"github.com/resnet18cloud/resnet18cloud"
)

// flight is one run of a function whose outcome several callers may wait for.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // guarded by Cache.mu
	result  resnet18cloud.Result
	err     error
}

// Once runs f, unless a run for the same digest is in flight: then it waits for that run's outcome. f's context ends
// when the contexts of all its callers have, so that one caller that leaves does not harm the others. The last caller
// to leave waits until f has returned. shared reports that another caller started the run.
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
		<-fl.done // the caller may reuse what f reads when Once has returned
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

// leave reports whether it was the last caller that left. Nobody can join the flight then.
func (c *Cache) leave(digest [32]byte, fl *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	fl.waiters--
	if fl.waiters == 0 && c.flights[digest] == fl {
		delete(c.flights, digest)
	}
	return fl.waiters == 0
}

// land removes the flight, unless a later one has taken its place.
func (c *Cache) land(digest [32]byte, fl *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[digest] == fl {
		delete(c.flights, digest)
	}
}
