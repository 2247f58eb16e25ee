package forward

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// reconcile starts watching new endpoints, and removes those that are no longer configured.
func (p *Pool) reconcile(ctx context.Context, watches *errgroup.Group) {
	wanted := map[string]bool{}
	for _, configured := range p.Configured() {
		urls, err := p.names.Resolve(ctx, nil, configured)
		if err != nil {
			// A DNS failure says nothing about the replicas: keep the known ones.
			if ctx.Err() == nil {
				p.cfg.Log.WarnContext(ctx, "endpoint not resolved", "endpoint", configured, "error", err)
			}
			urls = p.resolvedFrom(configured)
		}
		for _, u := range urls {
			wanted[u] = true
			p.addEndpoint(ctx, watches, u, configured)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for u, e := range p.endpoints {
		if !wanted[u] {
			p.cfg.Log.InfoContext(ctx, "endpoint removed", "endpoint", u, "in_flight", len(e.flights))
			delete(p.endpoints, u)
			p.leaving[u] = e
			e.wake()
		}
	}
	p.describe()
	p.announce()
}

// addEndpoint starts watching the endpoint unless it is watched already. An endpoint that is leaving returns with its
// images.
func (p *Pool) addEndpoint(ctx context.Context, watches *errgroup.Group, u, from string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endpoints[u] != nil {
		return
	}
	e := p.leaving[u]
	if e != nil {
		delete(p.leaving, u)
		e.from = from
	} else {
		e = &endpoint{url: u, from: from, changed: make(chan struct{}, 1)}
		watches.Go(func() error { p.watch(ctx, e); return nil })
	}
	p.serial++
	e.serial = p.serial
	p.endpoints[u] = e
}

// resolvedFrom returns the endpoints from the last resolution of a name.
func (p *Pool) resolvedFrom(configured string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var urls []string
	for u, e := range p.endpoints {
		if e.from == configured {
			urls = append(urls, u)
		}
	}
	return urls
}
