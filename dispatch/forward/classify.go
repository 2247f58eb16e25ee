package forward

import (
	"context"
	"slices"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// Classify sends the image to a replica and returns its result, with Result.Replica set. Errors caused by the image
// are the replica's own, or CodeTooLarge if it takes longer than Config.AttemptTimeout twice. The codes of other errors
// show whether the image may have reached a replica: CodeFull and CodeUnavailable mean no, CodeInternal means yes. If
// a replica stops responding, its images go to another one within seconds; see Config.ProbeTimeout. An image for a model
// that the client names goes only to replicas that have it. CodeNotFound means that none has it, or none any more.
func (p *Pool) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	var tried []string
	var failure error
	var slow *flight // the attempt that was too slow although its replica was alive
	var slowness error
	for left := p.cfg.Attempts; left > 0; {
		f, err := p.acquire(ctx, image.Want.Model, tried)
		if err != nil && slow != nil && ctx.Err() == nil { // there is no other replica
			tried = slices.DeleteFunc(tried, func(url string) bool { return url == slow.endpoint.url })
			f, err = p.acquire(ctx, image.Want.Model, tried)
		}
		if err != nil {
			if failure != nil && ctx.Err() == nil {
				return resnet18cloud.Result{}, failure // more specific than the error that no other endpoint is left
			}
			return resnet18cloud.Result{}, err
		}
		var span *tracing.Span
		f.ctx, span = p.startSpan(f.ctx, f.endpoint.url, image.Want, len(tried))
		result, o := p.attempt(ctx, f, image)
		span.Fail(o.err)
		span.End()
		p.release(ctx, f, image.Want, result, o)
		if o.event == attemptLacking {
			p.settle(ctx, []string{f.endpoint.url}) // to say which models there are now
		} else { // there are no more of the others than endpoints
			left--
		}
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

// acquire takes a slot of the healthy endpoint with the most free slots that has the model, waiting for one if necessary. It
// skips endpoints in tried. It returns an error if there is no other endpoint. The flight must be released.
func (p *Pool) acquire(ctx context.Context, model string, tried []string) (*flight, error) {
	f := &flight{}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	for {
		changed, lacking := p.pick(f, model, tried)
		if f.endpoint != nil {
			return f, nil
		}
		if lacking != nil {
			f.cancel(nil)
			return nil, lacking
		}
		select {
		case <-changed:
		case <-ctx.Done():
			f.cancel(nil)
			return nil, context.Cause(ctx)
		}
	}
}

// pick takes a slot for the flight if one is free. It returns an error if no endpoint is worth waiting for.
func (p *Pool) pick(f *flight, model string, tried []string) (changed <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *endpoint
	candidates := 0
	for u, e := range p.endpoints {
		if !e.health.healthy || slices.Contains(tried, u) || !e.has(model) {
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
	if candidates == 0 {
		return nil, p.lacking(model, tried)
	}
	return p.changed, nil
}

// lacking returns why there is no endpoint to wait for, apart from those that were tried. The caller holds mu.
func (p *Pool) lacking(model string, tried []string) error {
	var others []teller
	for _, e := range p.list() {
		if !slices.Contains(tried, e.URL) {
			others = append(others, teller{e.Healthy, e.models})
		}
	}
	return lacking(model, others)
}

// release returns the flight's slot and applies the outcome to what is known of the endpoint: its health and its models.
func (p *Pool) release(ctx context.Context, f *flight, want resnet18cloud.Want, result resnet18cloud.Result, o outcome) {
	f.cancel(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := f.endpoint
	e.remove(f)
	switch {
	case o.event == attemptLacking:
		e.recheck()
		p.describe()
	case o.err == nil && !e.expects(want.Model, ModelOf(result)) && e.doubt(result.Model+" in "+result.Precision):
		p.describe()
	}
	p.observe(ctx, e, o.event, o.err)
	if len(e.flights) == 0 && p.leaving[e.url] == e {
		e.wake() // stops watching it
	}
	p.announce()
}
