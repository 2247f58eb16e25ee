package forward

import (
	"log/slog"
	"time"
)

// Config says where the replicas are and how long to wait for them. The zero value is usable: a pool without
// endpoints, which SetEndpoints adds.
type Config struct {
	// Endpoints are the base URLs of replicas, such as http://10.0.0.7:5000. With dns+http:// the host name
	// is looked up every ResolveInterval and each of its addresses is an endpoint: give a headless Service.
	Endpoints []string
	// Attempts is how many replicas are tried for one image before Classify gives up. Zero means 3.
	Attempts int
	// AttemptTimeout bounds one attempt: connecting, sending, waiting in the replica and reading the answer.
	// Zero means 30 s.
	AttemptTimeout time.Duration
	// Slots is how many images to send at a time to a replica whose /info does not say. Zero means 4.
	Slots int
	// ProbeInterval is the time between two probes of a healthy endpoint. Zero means 1 s. An unhealthy endpoint
	// is probed after 0.1 s, then at doubling intervals up to MaxBackoff.
	ProbeInterval time.Duration
	// ProbeTimeout bounds one probe. An endpoint that misses two probes in a row counts as hung, and its images
	// go to others: a replica that stops answering is found within ProbeInterval + 2 * ProbeTimeout. Zero means 1 s.
	ProbeTimeout time.Duration
	// MaxBackoff is the longest time between two probes of an unhealthy endpoint. Zero means 5 s.
	MaxBackoff time.Duration
	// ResolveInterval is the time between two DNS lookups. Zero means 5 s.
	ResolveInterval time.Duration
	// Attempted, when not nil, is told how each attempt ended: "completed", or the error's code. It must be
	// quick and safe for concurrent use.
	Attempted func(outcome string)
	// Log receives changes: endpoints that are added or removed, become unhealthy or healthy. Nil discards it.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Attempts == 0 {
		c.Attempts = 3
	}
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = 30 * time.Second
	}
	if c.Slots == 0 {
		c.Slots = 4
	}
	if c.ProbeInterval == 0 {
		c.ProbeInterval = time.Second
	}
	if c.ProbeTimeout == 0 {
		c.ProbeTimeout = time.Second
	}
	if c.MaxBackoff == 0 {
		c.MaxBackoff = 5 * time.Second
	}
	if c.ResolveInterval == 0 {
		c.ResolveInterval = 5 * time.Second
	}
	if c.Attempted == nil {
		c.Attempted = func(string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
