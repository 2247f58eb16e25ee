// Package forward sends images to replicas. It keeps a pool of endpoints, from a list or from DNS, learns how many
// images each accepts at a time, sends to the endpoint with the most free slots, tries another one if it fails, and
// skips unhealthy endpoints until they respond again. A [Pool] is a [resnet18cloud.Classifier], so its caller need
// not know about replicas.
//
// The decisions are pure functions, each in its own file: health.go decides when an endpoint is healthy, when it is
// probed and when its images are cancelled; choice.go which endpoint gets the next image; info.go how many it gets;
// outcome.go what the result of an attempt means. The other files execute them.
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
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

var _ resnet18cloud.Classifier = (*Pool)(nil)

// Pool forwards images to endpoints. Create it with [New] and call Run once; all methods are safe for concurrent use.
type Pool struct {
	cfg    Config
	certs  *tlsfiles.Reloader
	names  dnsurl.Names // of endpoints that were resolved, for TLS
	client *http.Client
	pace   pace          // of an endpoint without images
	reload chan struct{} // receives a value if the configured endpoints have changed

	mu         sync.Mutex
	configured []string                       // guarded by mu: as passed to New or SetEndpoints
	endpoints  map[string]*endpoint           // guarded by mu: by URL, after DNS resolution
	leaving    map[string]*endpoint           // guarded by mu: removed, but watched while they have images in flight
	changed    chan struct{}                  // guarded by mu: closed and replaced when a slot may be free
	answering  Answering                      // guarded by mu: summary of the endpoints
	labels     map[Model]resnet18cloud.Labels // guarded by mu: as asked, of models that are in use
	serial     uint64                         // guarded by mu: of the last endpoint that was added
	picks      uint64                         // guarded by mu: number of picks, for round-robin among equals
}

// New creates a pool. It starts nothing; no endpoint is healthy until Run has probed it.
func New(cfg Config) (*Pool, error) {
	cfg = cfg.withDefaults()
	if err := cfg.TLS.Validate(); err != nil {
		return nil, fmt.Errorf("replicas: %w", err)
	}
	p := &Pool{
		cfg:       cfg,
		pace:      pace{interval: cfg.ProbeInterval, maxBackoff: cfg.MaxBackoff},
		certs:     tlsfiles.New(cfg.TLS, cfg.Log),
		reload:    make(chan struct{}, 1),
		endpoints: map[string]*endpoint{},
		leaving:   map[string]*endpoint{},
		changed:   make(chan struct{}),
		labels:    map[Model]resnet18cloud.Labels{},
	}
	p.client = newClient(p.certs.Dial(dialer.DialContext, p.names.Name))
	if err := p.SetEndpoints(cfg.Endpoints); err != nil {
		return nil, err
	}
	return p, nil
}

// newClient creates the client for probes and images. dialTLS connects to endpoints with https.
func newClient(dialTLS tlsfiles.Dial) *http.Client {
	return &http.Client{
		// A redirect would send the image to a host that is not configured. It counts as an error of the replica.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         buffered(dialer.DialContext),
			DialTLSContext:      buffered(dialTLS),
			MaxIdleConnsPerHost: 256,
			// Shorter than the 120 s after which a replica closes an idle connection.
			IdleConnTimeout:        60 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			// Responses are small, and their size is limited as they arrive.
			DisableCompression: true,
		},
	}
}

// SetEndpoints replaces the list of endpoints. A removed endpoint finishes its images; they go to another one only if
// it stops responding.
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
	case p.reload <- struct{}{}:
	default: // Run has not yet seen the last change; it will see both
	}
	return nil
}

// Configured returns the endpoints as configured, before DNS resolution.
func (p *Pool) Configured() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.configured)
}

// Load reads the files for TLS. Run calls it if necessary; calling it earlier shows errors earlier.
func (p *Pool) Load() error {
	if err := p.certs.Load(); err != nil {
		return fmt.Errorf("replicas: %w", err)
	}
	return nil
}

// Run watches the endpoints until ctx ends. Without it no endpoint is healthy.
func (p *Pool) Run(ctx context.Context) error {
	if err := p.Load(); err != nil {
		return err
	}
	defer p.client.CloseIdleConnections()
	var watches errgroup.Group
	watches.Go(func() error { p.certs.Run(ctx); return nil })
	resolve := time.NewTicker(p.cfg.ResolveInterval)
	defer resolve.Stop()
	for {
		p.reconcile(ctx, &watches)
		select {
		case <-ctx.Done():
			return watches.Wait()
		case <-p.reload:
		case <-resolve.C:
		}
	}
}
