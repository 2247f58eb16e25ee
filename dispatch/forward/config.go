package forward

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// Config says where replicas are and how patient to be with them. The zero value is usable: a pool without
// endpoints, which wait for SetEndpoints.
type Config struct {
	// Endpoints are the base URLs of replicas, such as http://10.0.0.7:5000. With dns+http:// the host name
	// is looked up every ResolveInterval and each of its addresses is an endpoint: give a headless Service.
	Endpoints []string
	// Attempts is how many replicas are tried for one image before Classify gives up. Zero means 3.
	Attempts int
	// AttemptTimeout bounds one attempt, connecting and waiting in the replica included. Zero means 30 s.
	AttemptTimeout time.Duration
	// Slots is how many images to send at a time to a replica whose /info does not say. Zero means 4.
	Slots int
	// ProbeInterval is the time between two looks at a healthy endpoint. Zero means 2 s. A sick one is
	// looked at after 0.1 s, then at doubling intervals up to MaxBackoff.
	ProbeInterval time.Duration
	// MaxBackoff is the longest time a sick endpoint goes without a look. Zero means 5 s.
	MaxBackoff time.Duration
	// ResolveInterval is the time between two DNS lookups. Zero means 5 s.
	ResolveInterval time.Duration
	// Attempted, when not nil, is told how each attempt ended: "completed", or the error's code. It must be
	// quick and safe for concurrent use.
	Attempted func(outcome string)
	// Log receives what changes: endpoints that come, go, fall sick and recover. Nil discards it.
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
		c.ProbeInterval = 2 * time.Second
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

// dnsScheme marks a URL whose host stands for all its addresses.
const dnsScheme = "dns+"

// checkEndpoint explains what is wrong with an endpoint's URL.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(strings.TrimPrefix(endpoint, dnsScheme))
	if err != nil {
		return fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("endpoint %q: want a URL such as http://10.0.0.7:5000, or dns+http://name:5000", endpoint)
	}
	return nil
}
