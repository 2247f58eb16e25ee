// Package keda offers our policy to KEDA: a gRPC server that is an external scaler. KEDA asks how many
// replicas are needed and has a HorizontalPodAutoscaler, which it makes itself, set that number. In goes the
// latest decision; out come a metric, replicas_needed with a target of 1 a replica, and whether there is
// anything to do. The one thing to know: advice that is missing or old is an error, on which KEDA and
// Kubernetes leave the number of replicas as it is.
package keda

import (
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

// Metric is the name of the one metric: the replicas that the policy asks for.
const Metric = "replicas_needed"

// Config says what to serve. Advice must be given.
type Config struct {
	// Addr is the TCP address to listen on, such as ":9090"; port 0 takes a free one.
	Addr string
	// Advice returns what the policy decided last. It must be quick and safe for concurrent use.
	Advice func() Advice
	// MaxAge is the age from which on advice is not passed on. Zero means 10 s.
	MaxAge time.Duration
	// IdleAfter is how long nothing must have been done for KEDA to hear that there is nothing to do. Zero
	// means 60 s; KEDA's own cooldownPeriod begins then.
	IdleAfter time.Duration
	// Log receives what the server complains of. Nil discards it.
	Log *slog.Logger
}

// Advice is what the policy decided.
type Advice struct {
	At       time.Time // of the figures it rests on; zero when there are none
	Replicas int
	Working  bool // images wait or are being worked on
}

func (c Config) withDefaults() Config {
	if c.MaxAge == 0 {
		c.MaxAge = 10 * time.Second
	}
	if c.IdleAfter == 0 {
		c.IdleAfter = time.Minute
	}
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
	worked  time.Time     // guarded by mu: when there was something to do last
	active  bool          // guarded by mu: what KEDA is to hear
	changed chan struct{} // guarded by mu: closed and replaced when active changes
	closing chan struct{} // closed when Run ends
}

// New makes a server. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Advice == nil {
		return nil, errors.New("keda: no advice to serve")
	}
	// Without knowledge there may be something to do: nothing is scaled to zero.
	return &Server{cfg: cfg.withDefaults(), active: true, changed: make(chan struct{}), closing: make(chan struct{})}, nil
}

// Listen takes the address; it fails at once when another process has it.
func (s *Server) Listen() error {
	l, err := net.Listen("tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen for KEDA: %w", err)
	}
	s.listener = l
	return nil
}

// Addr is the address that was taken; valid after Listen.
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

// watch looks at the advice once a second.
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

// look notes whether there is something to do. What is not known counts as that.
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

// advice is the latest, or the error to answer with.
func (s *Server) advice(now time.Time) (Advice, error) {
	advice := s.cfg.Advice()
	switch {
	case advice.At.IsZero():
		return advice, status.Error(codes.Unavailable, "no decision yet: the dispatcher has not been read")
	case now.Sub(advice.At) > s.cfg.MaxAge:
		return advice, status.Errorf(codes.Unavailable, "the dispatcher was read %s ago, at most %s are taken",
			now.Sub(advice.At).Round(time.Second), s.cfg.MaxAge)
	}
	return advice, nil
}

func (s *Server) state() (active bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, s.changed
}
