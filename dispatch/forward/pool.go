// Package forward sends images to replicas. It keeps a pool of endpoints, from a list or from DNS, asks each
// how many images it takes at a time, sends to the one with most room, tries another when one fails, and
// leaves sick ones alone until they answer again. The one thing to know: a [Pool] is a
// [resnet18cloud.Classifier], so whoever classifies through it need not know that replicas exist.
package forward

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
)

var _ resnet18cloud.Classifier = (*Pool)(nil)

// Pool forwards images to endpoints. Make it with [New] and Run it once; all methods are safe for
// concurrent use.
type Pool struct {
	cfg    Config
	client *http.Client
	kick   chan struct{} // the configured endpoints have changed

	mu         sync.Mutex
	configured []string             // guarded by mu: as given to New or SetEndpoints
	endpoints  map[string]*endpoint // guarded by mu: by URL, after DNS
	changed    chan struct{}        // guarded by mu: closed and replaced when room may have come
	answering  Answering            // guarded by mu: of the endpoints as they are
	picks      uint64               // guarded by mu: counts choices, to take turns among equals
}

// New makes a pool. It starts nothing; every endpoint is sick until Run has looked at it.
func New(cfg Config) (*Pool, error) {
	p := &Pool{
		cfg: cfg.withDefaults(),
		client: &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 256,
			// Below the 120 s after which a replica hangs up on an idle connection.
			IdleConnTimeout: 60 * time.Second,
		}},
		kick:      make(chan struct{}, 1),
		endpoints: map[string]*endpoint{},
		changed:   make(chan struct{}),
	}
	if err := p.SetEndpoints(cfg.Endpoints); err != nil {
		return nil, err
	}
	return p, nil
}

// SetEndpoints replaces the list of endpoints. Images on their way to one that is gone from the list finish
// there.
func (p *Pool) SetEndpoints(endpoints []string) error {
	trimmed := make([]string, len(endpoints))
	for i, e := range endpoints {
		if err := checkEndpoint(e); err != nil {
			return err
		}
		trimmed[i] = strings.TrimRight(e, "/")
	}
	p.mu.Lock()
	p.configured = trimmed
	p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default: // Run has not yet seen the last change; it will see both
	}
	return nil
}

// Configured returns the endpoints as they were given, before DNS.
func (p *Pool) Configured() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.configured)
}

// Run watches endpoints until ctx ends. Without it none is ever healthy.
func (p *Pool) Run(ctx context.Context) error {
	defer p.client.CloseIdleConnections()
	var g errgroup.Group
	resolve := time.NewTicker(p.cfg.ResolveInterval)
	defer resolve.Stop()
	for {
		p.reconcile(ctx, &g)
		select {
		case <-ctx.Done():
			return g.Wait()
		case <-p.kick:
		case <-resolve.C:
		}
	}
}

// reconcile starts watching endpoints that are new and lets go of those that have left.
func (p *Pool) reconcile(ctx context.Context, g *errgroup.Group) {
	wanted := map[string]bool{}
	for _, configured := range p.Configured() {
		urls, err := resolve(ctx, configured)
		if err != nil {
			// A name server that is away says nothing about replicas: keep those we know.
			if ctx.Err() == nil {
				p.cfg.Log.WarnContext(ctx, "endpoint not resolved", "endpoint", configured, "error", err)
			}
			urls = p.resolvedFrom(configured)
		}
		for _, u := range urls {
			wanted[u] = true
			p.add(ctx, g, u, configured)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for u, e := range p.endpoints {
		if !wanted[u] {
			p.cfg.Log.InfoContext(ctx, "endpoint gone", "endpoint", u)
			e.stop()
			delete(p.endpoints, u)
		}
	}
	p.describe()
	p.announce()
}

// add starts watching the endpoint unless it is watched.
func (p *Pool) add(ctx context.Context, g *errgroup.Group, u, from string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endpoints[u] != nil {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	e := &endpoint{pool: p, url: u, from: from, stop: stop, suspect: make(chan struct{}, 1)}
	p.endpoints[u] = e
	g.Go(func() error { defer stop(); e.watch(ctx); return nil })
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

// resolve turns a dns+ URL into one URL per address, and leaves others alone.
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
		host := addr
		if u.Port() != "" {
			host = net.JoinHostPort(addr, u.Port())
		} else if strings.Contains(addr, ":") {
			host = "[" + addr + "]"
		}
		at := *u
		at.Host = host
		urls[i] = at.String()
	}
	return urls, nil
}

// announce wakes whoever waits for room. The caller holds mu.
func (p *Pool) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Slots is how many images the healthy endpoints take at a time together, and a channel that is closed when
// that may have changed.
func (p *Pool) Slots() (int, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.endpoints {
		if e.healthy {
			n += e.slots
		}
	}
	return n, p.changed
}

// Endpoint is what a pool knows of one endpoint.
type Endpoint struct {
	URL       string `json:"url"`
	Healthy   bool   `json:"healthy"`
	Slots     int    `json:"slots"`             // images it takes at a time
	Workers   int    `json:"workers,omitempty"` // images it works on at the same time; 0 if it does not say
	InFlight  int    `json:"in_flight"`         // images it has now from this pool
	Model     string `json:"model,omitempty"`
	Precision string `json:"precision,omitempty"`
	Warning   string `json:"warning,omitempty"`
	Problem   string `json:"problem,omitempty"` // why it is not healthy
}

// Endpoints lists the endpoints by URL.
func (p *Pool) Endpoints() []Endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Endpoint, 0, len(p.endpoints))
	for _, u := range slices.Sorted(maps.Keys(p.endpoints)) {
		e := p.endpoints[u]
		list = append(list, Endpoint{URL: u, Healthy: e.healthy, Slots: e.slots, InFlight: e.inFlight, Workers: e.info.Concurrency,
			Model: e.info.Weights, Precision: e.info.Precision, Warning: e.info.Warning, Problem: e.problem})
	}
	return list
}

// Answering is what the endpoints say of the models that answer there.
type Answering struct {
	Models  []Model // of the healthy ones, each once: one, but for the time of a rolling update
	Warning string  // why answers should not be believed, by the first that says so; empty when none does
}

// Model is what makes answers equal: weights and arithmetic.
type Model struct{ Weights, Precision string }

// Answering tells which models answer now. It is asked for each image; the caller does not change what it gets.
func (p *Pool) Answering() Answering {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answering
}

// describe makes answering anew, when endpoints have come or gone, or say otherwise. The caller holds mu.
func (p *Pool) describe() {
	p.answering = Answering{}
	for _, u := range slices.Sorted(maps.Keys(p.endpoints)) {
		e := p.endpoints[u]
		if p.answering.Warning == "" {
			p.answering.Warning = e.info.Warning
		}
		m := Model{e.info.Weights, e.info.Precision}
		if e.healthy && !slices.Contains(p.answering.Models, m) {
			p.answering.Models = append(p.answering.Models, m)
		}
	}
}

// acquire takes a slot of the healthy endpoint with most room, waiting for one when all are taken. Endpoints
// in tried are not asked again. It fails when no other is healthy.
func (p *Pool) acquire(ctx context.Context, tried map[string]bool) (*endpoint, error) {
	for {
		e, candidates, changed := p.pick(tried)
		if e != nil {
			return e, nil
		}
		if candidates == 0 {
			return nil, &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "No replica is reachable",
				Hint: "start replicas, or check the dispatcher's endpoints in /status"}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// pick takes a slot if one is free. candidates counts the endpoints worth waiting for.
func (p *Pool) pick(tried map[string]bool) (best *endpoint, candidates int, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for u, e := range p.endpoints {
		if !e.healthy || tried[u] {
			continue
		}
		candidates++
		if e.inFlight < e.slots && (best == nil || e.before(best)) {
			best = e
		}
	}
	if best != nil {
		p.picks++
		best.picked = p.picks
		best.inFlight++
	}
	return best, candidates, p.changed
}

// release gives a slot back.
func (p *Pool) release(e *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.inFlight--
	p.announce()
}

// Classify sends the image to a replica and returns its answer, with Result.Replica set. Errors that blame
// the image are the replica's own. The others say whether the image ever reached a replica that tried:
// CodeFull and CodeUnavailable mean no, CodeInternal yes.
func (p *Pool) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	tried := map[string]bool{}
	var failure error
	for range p.cfg.Attempts {
		e, err := p.acquire(ctx, tried)
		if err != nil {
			if failure != nil && ctx.Err() == nil {
				return resnet18cloud.Result{}, failure // says more than that nobody is left
			}
			return resnet18cloud.Result{}, err
		}
		tried[e.url] = true
		result, err := e.attempt(ctx, image)
		p.release(e)
		if err == nil {
			p.cfg.Attempted("completed")
			return result, nil
		}
		p.cfg.Attempted(string(resnet18cloud.AsError(err).Code))
		if ctx.Err() != nil || blamesImage(err) {
			return resnet18cloud.Result{}, err
		}
		failure = worse(failure, err)
	}
	return resnet18cloud.Result{}, failure
}

// blamesImage reports whether every other replica would say the same.
func blamesImage(err error) bool {
	switch resnet18cloud.AsError(err).Code {
	case resnet18cloud.CodeInvalid, resnet18cloud.CodeTooLarge, resnet18cloud.CodeUnsupported, resnet18cloud.CodeUndecodable:
		return true
	}
	return false
}

// worse keeps the failure that matters more to the caller: one of a replica that had the image.
func worse(a, b error) error {
	if a != nil && resnet18cloud.AsError(a).Code == resnet18cloud.CodeInternal {
		return a
	}
	return b
}

// errorf is an error about a replica.
func errorf(code resnet18cloud.Code, cause error, format string, args ...any) error {
	return &resnet18cloud.Error{Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
}
