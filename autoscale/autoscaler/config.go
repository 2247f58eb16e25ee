package autoscaler

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/dnsurl"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

// Defaults, which flags and manifests repeat.
const (
	DefaultAddr     = ":8000"
	DefaultInterval = time.Second
)

// DefaultLookupInterval is the time between two DNS lookups.
const DefaultLookupInterval = 5 * time.Second

// Config configures an [Autoscaler]. Dispatchers, Scaler and NewPolicy must be given; the rest is usable
// as zero.
type Config struct {
	// Dispatchers are the base URLs of all dispatchers, which share one queue. With dns+http:// the host name is
	// looked up every LookupInterval and each of its addresses is a dispatcher: give a headless Service. Through
	// one URL of several dispatchers, such as an ordinary Service, only one is visible at a time.
	Dispatchers []string
	// Scaler sets the number of replicas. An autoscale.Gate is run, and must allow it; an autoscale.RemovalOrderer is
	// told which replicas are the idlest.
	Scaler autoscale.Scaler
	// NewPolicy makes the policy, and copies of it for explanations.
	NewPolicy func() autoscale.Policy

	// Interval is the time between decisions. Zero means a second.
	Interval time.Duration
	// Addr is the TCP address of /decisions, /explain, /metrics and /health. Empty means :8000; "-" means none.
	Addr string
	// TLS are the files of the server's certificate and, if clients must have one, of the authorities that sign
	// theirs. Zero means HTTP.
	TLS tlsfiles.Files
	// AdminAddr is the TCP address of a second server, without TLS, for operators: it has all endpoints and profiles. The
	// first one then has only /health. Empty means none.
	AdminAddr string
	// Guard says which hosts and origins of web pages requests may have.
	Guard httpx.Guard
	// Access, if not nil, admits clients by their keys: /decisions and /explain need scope admin, /metrics scope read. The
	// caller runs it.
	Access *access.Guard
	// Token, if not nil, returns the token to send to dispatchers. Its key needs scope read, or admin, with which
	// dispatchers also report the addresses of replicas, so that the idlest are removed first.
	Token func() string
	// Version and Revision are the program's release and commit, for metrics.
	Version, Revision string
	// DryRun decides without setting the number of replicas. If the policy is an autoscale.Shadow, its decisions are about
	// replicas of its own.
	DryRun bool
	// ToZero says that 0 replicas mean that there is no load. Otherwise they were set by hand, and stay.
	ToZero bool
	// StateFile keeps the state of the policy across restarts. If it is empty, the autoscaler does not scale down for a
	// while after a restart.
	StateFile string
	// Log receives changes and problems. Nil discards them.
	Log *slog.Logger
	// DispatcherTLS are files for dispatchers with https: the authorities to trust, and the certificate to show them. They
	// are read again when they change. Zero means the authorities of the system. Dispatchers from dns+https:// are
	// verified by the name that was looked up.
	DispatcherTLS tlsfiles.Files
	// HTTP polls dispatchers. Nil means a client that opens a connection for each request, so that a Service in front
	// of several dispatchers leads to a different one each time. With HTTP, DispatcherTLS is not used.
	HTTP *http.Client
	// Lookup returns the addresses of a host. Nil means the system's resolver.
	Lookup dnsurl.Lookup
	// LookupInterval is the time between two lookups. Zero means 5 s.
	LookupInterval time.Duration
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Addr = cmp.Or(c.Addr, DefaultAddr)
	c.LookupInterval = cmp.Or(c.LookupInterval, DefaultLookupInterval)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Token == nil {
		c.Token = func() string { return "" }
	}
	return c
}

func (c Config) validate() error {
	switch {
	case len(c.Dispatchers) == 0:
		return errors.New("autoscaler: no dispatcher configured")
	case c.Scaler == nil || c.NewPolicy == nil:
		return errors.New("autoscaler: no scaler or no policy")
	case c.Interval < 10*time.Millisecond:
		return errors.New("autoscaler: interval below 10 ms")
	case c.LookupInterval < 10*time.Millisecond:
		return errors.New("autoscaler: lookup interval below 10 ms")
	}
	for _, err := range []error{c.TLS.ValidateServer(), c.Guard.Validate(), c.DispatcherTLS.Validate()} {
		if err != nil {
			return fmt.Errorf("autoscaler: %w", err)
		}
	}
	for _, u := range c.Dispatchers {
		if err := dnsurl.Check(u); err != nil {
			return fmt.Errorf("autoscaler: dispatcher: %w", err)
		}
	}
	return nil
}
