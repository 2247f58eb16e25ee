package autoscaler

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// Defaults that flags and manifests repeat.
const (
	DefaultAddr     = ":8000"
	DefaultInterval = time.Second
)

// Config says how an [Autoscaler] works. Dispatchers, Scaler and NewPolicy must be given; the rest is usable
// as zero.
type Config struct {
	// Dispatchers are the base URLs of all dispatchers. They share one queue.
	Dispatchers []string
	// Scaler has the replicas. If it is an autoscale.Gate it is run, and asked for leave; if it is an
	// autoscale.RemovalOrderer it is told which replicas are idlest.
	Scaler autoscale.Scaler
	// NewPolicy makes the policy; explaining makes further ones.
	NewPolicy func() autoscale.Policy

	// Interval is the time between decisions. Zero means a second.
	Interval time.Duration
	// Addr is the TCP address of /decisions, /explain, /metrics and /health. Empty means :8000; "-" none.
	Addr string
	// DryRun decides, and sets nothing.
	DryRun bool
	// StateFile keeps what the policy remembers, so that a restart goes on where it was. Empty means that
	// a restart begins anew: it does not shrink for a while.
	StateFile string
	// Log receives changes and what went wrong. Nil discards them.
	Log *slog.Logger
	// HTTP asks dispatchers. Nil means a client of its own.
	HTTP *http.Client
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Addr = cmp.Or(c.Addr, DefaultAddr)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2}}
	}
	return c
}

func (c Config) validate() error {
	switch {
	case len(c.Dispatchers) == 0:
		return errors.New("autoscaler: no dispatcher to ask")
	case c.Scaler == nil || c.NewPolicy == nil:
		return errors.New("autoscaler: no scaler, or no policy")
	case c.Interval < 10*time.Millisecond:
		return errors.New("autoscaler: interval below 10 ms")
	}
	return nil
}
