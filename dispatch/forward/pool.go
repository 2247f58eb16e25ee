// Package forward sends images to replicas. It keeps a pool of endpoints, from a list or from DNS, asks each
// how many images it takes at a time, sends to the one with most room, tries another when one fails, and
// leaves unhealthy ones alone until they answer again. The one thing to know: a [Pool] is a
// [resnet18cloud.Classifier], so its caller need not know that replicas exist.
//
// The rules are functions of values, each in a file of its own: health.go says when an endpoint is healthy, when it
// is probed and when its images are taken away; choice.go which endpoint gets the next image; info.go how many it
// gets; outcome.go what the end of an attempt means. The other files carry them out.
package forward

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/dnsurl"
)

var _ resnet18cloud.Classifier = (*Pool)(nil)

// Pool forwards images to endpoints. Make it with [New] and Run it once; all methods are safe for
// concurrent use.
type Pool struct {
	cfg    Config
	client *http.Client
	pace   pace          // of an endpoint without images
	kick   chan struct{} // the configured endpoints have changed

	mu         sync.Mutex
	configured []string             // guarded by mu: as given to New or SetEndpoints
	endpoints  map[string]*endpoint // guarded by mu: by URL, after DNS
	leaving    map[string]*endpoint // guarded by mu: removed, but watched while they have images
	changed    chan struct{}        // guarded by mu: closed and replaced when room may have come
	answering  Answering            // guarded by mu: of the endpoints as they are
	picks      uint64               // guarded by mu: counts choices, to take turns among equals
}

// New makes a pool. It starts nothing; no endpoint is healthy until Run has probed it.
func New(cfg Config) (*Pool, error) {
	cfg = cfg.withDefaults()
	p := &Pool{
		cfg:       cfg,
		pace:      pace{interval: cfg.ProbeInterval, maxBackoff: cfg.MaxBackoff},
		client:    newClient(),
		kick:      make(chan struct{}, 1),
		endpoints: map[string]*endpoint{},
		leaving:   map[string]*endpoint{},
		changed:   make(chan struct{}),
	}
	if err := p.SetEndpoints(cfg.Endpoints); err != nil {
		return nil, err
	}
	return p, nil
}

// newClient makes the client for probes and images.
func newClient() *http.Client {
	return &http.Client{
		// A redirect would send the image to a host that nobody configured. It counts as an error of the replica.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         dial,
			MaxIdleConnsPerHost: 256,
			// Below the 120 s after which a replica closes an idle connection.
			IdleConnTimeout:        60 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// SetEndpoints replaces the list of endpoints. An endpoint that is no longer in it finishes the images it has; they
// go to another only if it stops answering.
func (p *Pool) SetEndpoints(endpoints []string) error {
	trimmed := make([]string, len(endpoints))
	for i, e := range endpoints {
		if err := dnsurl.Check(e); err != nil {
			return fmt.Errorf("endpoint: %w", err)
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
	var watches errgroup.Group
	resolve := time.NewTicker(p.cfg.ResolveInterval)
	defer resolve.Stop()
	for {
		p.reconcile(ctx, &watches)
		select {
		case <-ctx.Done():
			return watches.Wait()
		case <-p.kick:
		case <-resolve.C:
		}
	}
}
