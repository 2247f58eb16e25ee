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
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/dnsurl"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

// maxPolls limits the dispatchers that are polled at the same time.
const maxPolls = 100

// collector polls dispatchers and looks up their addresses.
type collector struct {
	configured []string
	certs      *tlsfiles.Reloader
	names      dnsurl.Names // of dispatchers that were looked up, for TLS
	http       http.Client
	lookup     dnsurl.Lookup
	token      func() string // for dispatchers; empty means none
	every      time.Duration // time between two lookups
	ledger     *ledger       // used by the loop alone

	mu       sync.Mutex
	resolved map[string][]string // guarded by mu: URLs by configured one; replaced whole
	unknown  map[string]error    // guarded by mu: errors of lookups, by configured URL
	latest   []*status           // guarded by mu: as of the ledger; replaced whole
}

func newCollector(cfg Config) *collector {
	c := &collector{certs: tlsfiles.New(cfg.DispatcherTLS, cfg.Log), lookup: cfg.Lookup, token: cfg.Token,
		every: cfg.LookupInterval, ledger: newLedger(cfg.Interval),
		resolved: map[string][]string{}, unknown: map[string]error{}}
	if cfg.HTTP != nil {
		c.http = *cfg.HTTP
	} else {
		var dialer net.Dialer
		c.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext,
			DialTLSContext: c.certs.Dial(dialer.DialContext, c.names.Name)}
	}
	// Only configured dispatchers are asked, and get the token.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, u := range cfg.Dispatchers {
		u = strings.TrimRight(u, "/")
		c.configured = append(c.configured, u)
		if !dnsurl.IsName(u) {
			c.resolved[u] = []string{u}
		}
	}
	return c
}

// keepLookingUp looks up names periodically until ctx ends.
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

// lookUp looks up all names concurrently. If a lookup fails, the known addresses of the name are kept.
func (c *collector) lookUp(ctx context.Context) {
	var g errgroup.Group
	for _, u := range c.configured {
		if !dnsurl.IsName(u) {
			continue
		}
		g.Go(func() error {
			urls, err := c.names.Resolve(ctx, c.lookup, u)
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

// known returns the URLs of the dispatchers, and why there may be others.
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

// poll polls all dispatchers concurrently, and returns their errors.
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

// view returns the last statuses of dispatchers, for use outside the loop.
func (c *collector) view() []*status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// snapshot joins the states of dispatchers and scaler.
func (c *collector) snapshot(scale autoscale.Scale) autoscale.Snapshot {
	return c.ledger.snapshot(scale)
}

func (c *collector) ask(ctx context.Context, url string) (*status, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status", nil)
	if err != nil {
		return nil, fmt.Errorf("dispatcher %s: %w", url, err)
	}
	access.SetBearer(req.Header, c.token())
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("dispatcher %s: %w", url, lasting(err))
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("dispatcher %s: /status responded %s: it requires a key with scope read; see --token-file", url, resp.Status)
	default:
		return nil, fmt.Errorf("dispatcher %s: /status responded %s", url, resp.Status)
	}
	var s status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&s); err != nil {
		return nil, fmt.Errorf("dispatcher %s: invalid /status: %w", url, err)
	}
	return &s, nil
}

// lasting removes from a network error what differs each time, such as the local port, so that a lasting problem has
// the same text and is logged once.
func lasting(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsTimeout {
		return errors.New("the name server does not respond")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
