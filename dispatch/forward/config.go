package forward

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// Config configures a [Pool]. The zero value is usable: a pool without endpoints, which SetEndpoints adds.
type Config struct {
	// Endpoints are the base URLs of replicas, such as http://10.0.0.7:5000. With dns+http:// the host name is
	// resolved every ResolveInterval and each of its addresses is an endpoint; use it with a headless Service.
	Endpoints []string
	// TLS are files for endpoints with https: the authorities to trust, and the certificate to show. They are read again
	// when they change. Zero means the authorities of the system. Endpoints from dns+https:// are verified by the name
	// that was resolved.
	TLS tlsfiles.Files
	// Attempts is the maximum number of replicas to try for one image. Zero means 3.
	Attempts int
	// AttemptTimeout limits one attempt: connecting, sending, waiting in the replica and reading the response. Zero
	// means 30 s.
	AttemptTimeout time.Duration
	// Slots is how many images to send at a time to a replica whose /info does not report it. Zero means 4.
	Slots int
	// ProbeInterval is the time between two probes of a healthy endpoint. Zero means 1 s. An unhealthy endpoint is
	// probed after 0.1 s, then at doubling intervals up to this one, or up to MaxBackoff if it has failed images.
	ProbeInterval time.Duration
	// ProbeTimeout limits one probe. An endpoint that misses two probes in a row counts as hung, and its images go to
	// others: a replica that stops responding is detected within ProbeInterval + 2 * ProbeTimeout. Zero means 1 s.
	ProbeTimeout time.Duration
	// MaxBackoff is the maximum time between two probes of an unhealthy endpoint that has failed images. Zero means 5 s.
	MaxBackoff time.Duration
	// ResolveInterval is the time between two DNS lookups. Zero means 2 s.
	ResolveInterval time.Duration
	// Token, if not nil, returns the token to send to replicas, in the header Authorization: Bearer.
	Token func() string
	// Attempted, if not nil, is called after each attempt with "completed" or the error's code. It must be fast and
	// safe for concurrent use.
	Attempted func(outcome string)
	// Tracer records each attempt. Nil records none.
	Tracer *tracing.Tracer
	// Log receives changes: endpoints that are added or removed, become unhealthy or healthy. Nil discards them.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Attempts = cmp.Or(c.Attempts, 3)
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 30*time.Second)
	c.Slots = cmp.Or(c.Slots, 4)
	c.ProbeInterval = cmp.Or(c.ProbeInterval, time.Second)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, time.Second)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, 5*time.Second)
	c.ResolveInterval = cmp.Or(c.ResolveInterval, 2*time.Second)
	if c.Token == nil {
		c.Token = func() string { return "" }
	}
	if c.Attempted == nil {
		c.Attempted = func(string) {}
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}
