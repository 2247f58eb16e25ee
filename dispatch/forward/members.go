package forward

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// reconcile starts to watch endpoints that are new, and lets those go that are no longer wanted.
func (p *Pool) reconcile(ctx context.Context, watches *errgroup.Group) {
	wanted := map[string]bool{}
	for _, configured := range p.Configured() {
		urls, err := resolve(ctx, configured)
		if err != nil {
			// A name server that is down says nothing about replicas: keep those that are known.
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

// addEndpoint starts to watch the endpoint unless it is watched. One that is just leaving comes back with its images.
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
		e = &endpoint{url: u, from: from, nudge: make(chan struct{}, 1)}
		watches.Go(func() error { p.watch(ctx, e); return nil })
	}
	p.endpoints[u] = e
}

// resolvedFrom lists the endpoints that a name gave when it was last resolved.
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

// resolve turns a dns+ URL into one URL per address, and returns others as they are.
func resolve(ctx context.Context, endpoint string) ([]string, error) {
	plain, isName := strings.CutPrefix(endpoint, dnsScheme)
	if !isName {
		return []string{endpoint}, nil
	}
	u, err := url.Parse(plain)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		return nil, err
	}
	urls := make([]string, len(addrs))
	for i, addr := range addrs {
		urls[i] = at(*u, addr)
	}
	return urls, nil
}

// at puts an address in the place of the URL's host name.
func at(u url.URL, addr string) string {
	switch {
	case u.Port() != "":
		u.Host = net.JoinHostPort(addr, u.Port())
	case strings.Contains(addr, ":"):
		u.Host = "[" + addr + "]"
	default:
		u.Host = addr
	}
	return u.String()
}
