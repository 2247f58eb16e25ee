package forward

import (
	"context"
	"slices"

	"github.com/resnet18cloud/resnet18cloud"
)

// Classify sends the image to a replica and returns its result, with Result.Replica set. Errors caused by the image
// are the replica's own, or CodeTooLarge if it takes longer than Config.AttemptTimeout twice. The codes of other errors
// show whether the image may have reached a replica: CodeFull and CodeUnavailable mean no, CodeInternal means yes. If
// a replica stops responding, its images go to another one within seconds; see Config.ProbeTimeout.
func (p *Pool) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	var tried []string
	var failure error
	var slow *flight // the attempt that was too slow although its replica was alive
	var slowness error
	for range p.cfg.Attempts {
		f, err := p.acquire(ctx, tried)
		if err != nil && slow != nil && ctx.Err() == nil { // there is no other replica
			tried = slices.DeleteFunc(tried, func(url string) bool { return url == slow.endpoint.url })
			f, err = p.acquire(ctx, tried)
		}
		if err != nil {
			if failure != nil && ctx.Err() == nil {
				return resnet18cloud.Result{}, failure // more specific than the error that no other endpoint is left
			}
			return resnet18cloud.Result{}, err
		}
		result, o := p.attempt(ctx, f, image)
		p.release(ctx, f, o)
		if o.event == attemptAnswered && slow != nil && slow.endpoint != f.endpoint {
			p.blame(ctx, slow, slowness)
		}
		if o.err == nil {
			p.cfg.Attempted("completed")
			return result, nil
		}
		p.cfg.Attempted(string(resnet18cloud.AsError(o.err).Code))
		switch {
		case !o.retry:
			return resnet18cloud.Result{}, o.err
		case o.event == attemptSlow && slow != nil:
			return resnet18cloud.Result{}, tooSlow(o.err, p.cfg.AttemptTimeout)
		case o.event == attemptSlow:
			slow, slowness = f, o.err
		}
		tried = append(tried, f.endpoint.url)
		failure = worse(failure, o.err)
	}
	return resnet18cloud.Result{}, failure
}

// blame notes that an attempt that was too slow was not the image's fault: another replica has answered it.
func (p *Pool) blame(ctx context.Context, f *flight, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.observe(ctx, f.endpoint, attemptBroken, err)
}

// acquire takes a slot of the healthy endpoint with the most free slots, waiting for one if necessary. It skips
// endpoints in tried. It returns an error if no other endpoint is healthy. The flight must be released.
func (p *Pool) acquire(ctx context.Context, tried []string) (*flight, error) {
	f := &flight{}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	for {
		candidates, changed := p.pick(f, tried)
		if f.endpoint != nil {
			return f, nil
		}
		if candidates == 0 {
			f.cancel(nil)
			return nil, &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "No replica is reachable",
				Hint: "start replicas, or check the dispatcher's endpoints in /status"}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			f.cancel(nil)
			return nil, context.Cause(ctx)
		}
	}
}

// pick takes a slot for the flight if one is free. candidates is the number of endpoints worth waiting for.
func (p *Pool) pick(f *flight, tried []string) (candidates int, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *endpoint
	for u, e := range p.endpoints {
		if !e.health.healthy || slices.Contains(tried, u) {
			continue
		}
		candidates++
		if e.load.hasRoom() && (best == nil || e.load.before(best.load)) {
			best = e
		}
	}
	if best != nil {
		p.picks++
		best.load.picked = p.picks
		best.add(f)
	}
	return candidates, p.changed
}

// release returns the flight's slot and applies the outcome to the endpoint's health.
func (p *Pool) release(ctx context.Context, f *flight, o outcome) {
	f.cancel(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := f.endpoint
	e.remove(f)
	p.observe(ctx, e, o.event, o.err)
	if len(e.flights) == 0 && p.leaving[e.url] == e {
		e.wake() // stops watching it
	}
	p.announce()
}
