// Package keda is an external scaler for KEDA, over gRPC. KEDA asks it how many replicas are needed, and a
// HorizontalPodAutoscaler made by KEDA sets that number. It exports the latest decision as the metric replicas_needed
// with a target of 1 per replica, and whether the system is active. Advice that is missing or old is an error, on which
// KEDA and Kubernetes keep the number of replicas.
package keda

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/resnet18cloud/resnet18cloud/autoscale/keda/externalscaler"
)

// Metric is the name of the metric: the number of replicas that the policy wants.
const Metric = "replicas_needed"

// Sync is the time between two looks of the HorizontalPodAutoscaler that KEDA makes: Kubernetes' default.
const Sync = 15 * time.Second

// Config configures a [Server]. Advice must be given.
type Config struct {
	// Addr is the TCP address to listen on, such as ":9090"; port 0 means any free port.
	Addr string
	// Advice returns the latest decision. It must be fast and safe for concurrent use.
	Advice func() Advice
	// MaxAge is the maximum age of advice. Zero means 10 s.
	MaxAge time.Duration
	// IdleAfter is the time without work after which the system is reported as inactive. Zero means 60 s; KEDA's own
	// cooldownPeriod starts then.
	IdleAfter time.Duration
	// Log receives changes of activity. Nil discards them.
	Log *slog.Logger
}

// Advice is a decision of the policy.
type Advice struct {
	At       time.Time // of the metrics it is based on; zero if there are none
	Replicas int
	Working  bool // images wait or are in progress
}

func (c Config) withDefaults() Config {
	c.MaxAge = cmp.Or(c.MaxAge, 10*time.Second)
	c.IdleAfter = cmp.Or(c.IdleAfter, time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Server is the external scaler. Make it with [New], then Listen and Run it once.
type Server struct {
	externalscaler.UnimplementedExternalScalerServer
	cfg      Config
	listener net.Listener

	mu      sync.Mutex
	worked  time.Time     // guarded by mu: the last time that there was work
	active  bool          // guarded by mu: as reported to KEDA
	changed chan struct{} // guarded by mu: closed and replaced when active changes
	closing chan struct{} // closed when Run ends
}

// New makes a server. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Advice == nil {
		return nil, errors.New("keda: no Advice function")
	}
	// Until it is known whether there is work, the system is active and not scaled to zero.
	return &Server{cfg: cfg.withDefaults(), active: true, changed: make(chan struct{}), closing: make(chan struct{})}, nil
}

// Listen listens on the address.
func (s *Server) Listen() error {
	l, err := net.Listen("tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen for KEDA: %w", err)
	}
	s.listener = l
	return nil
}

// Addr is the address listened on; valid after Listen.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends. Call Listen first.
func (s *Server) Run(ctx context.Context) error {
	server := grpc.NewServer()
	externalscaler.RegisterExternalScalerServer(server, s)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(s.listener); err != nil {
			return fmt.Errorf("serve KEDA: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		s.watch(ctx)
		close(s.closing) // ends the streams, which GracefulStop waits for
		server.GracefulStop()
		return nil
	})
	return g.Wait()
}

// watch updates the activity once per second.
func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for s.look(time.Now()); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.look(now)
		}
	}
}

// look updates the activity. Without advice the system counts as active.
func (s *Server) look(now time.Time) {
	advice, err := s.advice(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || advice.Working || s.worked.IsZero() {
		s.worked = now
	}
	if active := now.Sub(s.worked) < s.cfg.IdleAfter; active != s.active {
		s.active = active
		close(s.changed)
		s.changed = make(chan struct{})
		s.cfg.Log.Info("activity changed", "active", active)
	}
}

// advice is the latest advice, or the error to respond with.
func (s *Server) advice(now time.Time) (Advice, error) {
	advice := s.cfg.Advice()
	switch {
	case advice.At.IsZero():
		return advice, status.Error(codes.Unavailable, "no decision yet: no metrics of the dispatcher")
	case now.Sub(advice.At) > s.cfg.MaxAge:
		return advice, status.Errorf(codes.Unavailable, "metrics of the dispatcher are %s old, the limit is %s",
			now.Sub(advice.At).Round(time.Second), s.cfg.MaxAge)
	}
	return advice, nil
}

func (s *Server) state() (active bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, s.changed
}
