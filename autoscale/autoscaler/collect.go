package autoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/internal/dnsurl"
)

// maxPolls bounds the dispatchers that are asked at the same time.
const maxPolls = 100

// collector asks dispatchers, and looks up where they are.
type collector struct {
	configured []string
	http       *http.Client
	lookup     dnsurl.Lookup
	every      time.Duration // between two lookups
	ledger     *ledger       // of the loop alone

	mu       sync.Mutex
	resolved map[string][]string // guarded by mu: URLs by configured one; replaced whole
	unknown  map[string]error    // guarded by mu: why a name cannot be looked up
	latest   []*status           // guarded by mu: the ledger's; replaced whole
}

func newCollector(cfg Config) *collector {
	c := &collector{http: cfg.HTTP, lookup: cfg.Lookup, every: cfg.LookupInterval, ledger: newLedger(cfg.Interval),
		resolved: map[string][]string{}, unknown: map[string]error{}}
	for _, u := range cfg.Dispatchers {
		u = strings.TrimRight(u, "/")
		c.configured = append(c.configured, u)
		if !dnsurl.IsName(u) {
			c.resolved[u] = []string{u}
		}
	}
	return c
}

// keepLookingUp looks names up from time to time until ctx ends.
func (c *collector) keepLookingUp(ctx context.Context) error {
	if !slices.ContainsFunc(c.configured, dnsurl.IsName) {
		return nil
	}
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			c.lookUp(ctx)
		}
	}
}

// lookUp looks all names up at once. When one cannot be, the addresses that are known stay.
func (c *collector) lookUp(ctx context.Context) {
	var g errgroup.Group
	for _, u := range c.configured {
		if !dnsurl.IsName(u) {
			continue
		}
		g.Go(func() error {
			urls, err := dnsurl.Resolve(ctx, c.lookup, u)
			if ctx.Err() != nil {
				return nil
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				c.unknown[u] = fmt.Errorf("look up %s: %w", u, lasting(err))
				return nil
			}
			delete(c.unknown, u)
			c.resolved[u] = urls
			return nil
		})
	}
	_ = g.Wait() // unknown has the errors
}

// known returns the dispatchers' URLs, and why there may be others.
func (c *collector) known() (urls []string, problems []error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.configured {
		urls = append(urls, c.resolved[u]...)
		if err := c.unknown[u]; err != nil {
			problems = append(problems, err)
		}
	}
	return urls, problems
}

// poll asks all dispatchers at once, and returns what went wrong with each.
func (c *collector) poll(ctx context.Context) error {
	known, problems := c.known()
	c.ledger.list(known)
	urls := c.ledger.urls()
	type answer struct {
		status *status
		at     time.Time
		err    error
	}
	answers := make([]answer, len(urls))
	var g errgroup.Group
	g.SetLimit(maxPolls)
	for i, u := range urls {
		g.Go(func() error {
			s, err := c.ask(ctx, u)
			answers[i] = answer{s, time.Now(), err}
			return nil
		})
	}
	_ = g.Wait() // answers has the errors
	incomplete := len(problems) > 0
	for i, a := range answers {
		switch {
		case a.err == nil:
			c.ledger.take(urls[i], a.at, a.status)
		case c.ledger.listed(urls[i]):
			problems = append(problems, a.err)
		}
	}
	c.ledger.settle(time.Now(), incomplete)
	c.mu.Lock()
	c.latest = c.ledger.latest
	c.mu.Unlock()
	return errors.Join(problems...)
}

// view returns the last answers of dispatchers, for use beside the loop.
func (c *collector) view() []*status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// snapshot joins what dispatchers and scaler say.
func (c *collector) snapshot(scale autoscale.Scale) autoscale.Snapshot {
	return c.ledger.snapshot(scale)
}

func (c *collector) ask(ctx context.Context, url string) (*status, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status", nil)
	if err != nil {
		return nil, fmt.Errorf("dispatcher %s: %w", url, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("dispatcher %s: %w", url, lasting(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("dispatcher %s: /status answers %s", url, resp.Status)
	}
	var s status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&s); err != nil {
		return nil, fmt.Errorf("dispatcher %s: /status is not what a dispatcher answers: %w", url, err)
	}
	return &s, nil
}

// lasting removes from a network error what differs each time, such as the local port, so that trouble which lasts
// reads the same and is logged once.
func lasting(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsTimeout {
		return errors.New("the name server does not answer")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
