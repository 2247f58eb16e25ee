package httpx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server is an http.Server with our life cycle: Listen fails at once or not at all, Run ends when the
// context does and everything in flight has been answered.
type Server struct {
	// Addr is the TCP address to listen on, such as ":8080"; port 0 takes a free one, see URL.
	Addr string
	// Handler answers requests.
	Handler http.Handler
	// Log receives the HTTP server's own complaints; nil discards them.
	Log *slog.Logger
	// BeforeShutdown, when not nil, runs when the context has ended, before the listener closes: the place
	// to turn readiness off and to answer waiting long-polls.
	BeforeShutdown func()
	// ShutdownTimeout bounds the wait for requests in flight; after it their connections are cut. Zero
	// means 25 s, under Kubernetes' 30 s between SIGTERM and SIGKILL.
	ShutdownTimeout time.Duration

	// Bounds on what a slow or hostile client can hold. Zero means the default of each.

	// HeaderTimeout is how long a request's headers may take, counted from its first byte or from a connection's
	// beginning: 10 s.
	HeaderTimeout time.Duration
	// ReadTimeout is how long a request may take to arrive with its body: 60 s; 10 MiB are then a 1.4 Mbit/s line.
	ReadTimeout time.Duration
	// WriteTimeout is how long, from the end of its headers, a request may take to be answered and its answer to be
	// read: 150 s. That is a slow upload, a wait of a minute, and half a minute for the answer.
	WriteTimeout time.Duration

	listener net.Listener
}

// Listen takes the address. An address in use is an error here, before anything else has started.
func (s *Server) Listen() error {
	l, err := net.Listen("tcp", s.Addr)
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the rest of it repeats the address
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Addr, err)
	}
	s.listener = l
	return nil
}

// URL is where the server can be reached from this machine; valid after Listen.
func (s *Server) URL() string {
	addr := s.listener.Addr().(*net.TCPAddr)
	host := "127.0.0.1"
	if !addr.IP.IsUnspecified() {
		host = addr.IP.String()
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

// Run serves until ctx ends, then lets requests in flight finish. Call Listen first.
func (s *Server) Run(ctx context.Context) error {
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	srv := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: cmp.Or(s.HeaderTimeout, 10*time.Second),
		ReadTimeout:       cmp.Or(s.ReadTimeout, 60*time.Second),
		WriteTimeout:      cmp.Or(s.WriteTimeout, 150*time.Second),
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.listener) }()

	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.Addr, err)
	case <-ctx.Done():
	}
	if s.BeforeShutdown != nil {
		s.BeforeShutdown()
	}
	timeout := cmp.Or(s.ShutdownTimeout, 25*time.Second)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	err := srv.Shutdown(stop)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests still running after %s were cut: %w", timeout, err), srv.Close())
	}
	<-served
	return err
}
