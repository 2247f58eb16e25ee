package httpx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is an http.Server with graceful shutdown: Listen fails early, and Run returns after its context has ended
// and requests in flight are done.
type Server struct {
	// Addr is the TCP address to listen on, such as ":8080"; port 0 picks a free port, see URL.
	Addr string
	// Handler handles requests.
	Handler http.Handler
	// Log receives the HTTP server's errors, and once a second the number of refused requests; nil discards them.
	Log *slog.Logger
	// BeforeShutdown, if not nil, is called after the context has ended and before the listener closes. It should
	// make readiness checks fail and end long polls.
	BeforeShutdown func()
	// ShutdownTimeout limits the wait for requests in flight; then their connections are closed. Zero means 25 s,
	// less than Kubernetes' 30 s between SIGTERM and SIGKILL.
	ShutdownTimeout time.Duration

	// MaxConnections limits the concurrent connections. At the limit, a new connection replaces one that is idle or
	// whose client is slow to send its headers or to read its response; if there is none, the new connection is
	// rejected. Zero means three quarters of the process's file descriptors, at most 8192.
	MaxConnections int

	// Limits on slow or hostile clients. Zero means the default.

	// HeaderTimeout limits the time to receive a request's headers, from its first byte or from the start of the
	// connection. The default is 10 s.
	HeaderTimeout time.Duration
	// ReadTimeout limits the time to receive a request with its body, unless [Uploads] reads it. The default is 60 s.
	ReadTimeout time.Duration
	// WriteTimeout limits the time in which the client must read each 64 KiB of a response. The default is 30 s.
	WriteTimeout time.Duration

	listener net.Listener
}

// idleTimeout is how long a connection may stay open between two requests.
const idleTimeout = 120 * time.Second

// handler wraps Handler, marks the start of each request and gives it its trace.
func (s *Server) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connOf(r.Context()).begin(r)
		s.Handler.ServeHTTP(w, traced(w, r))
	})
}

// Listen binds the address. It returns an error if the address is in use, before anything else has started.
func (s *Server) Listen() error {
	l, err := net.Listen("tcp", s.Addr)
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the rest repeats the address
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Addr, err)
	}
	s.listener = l
	return nil
}

// URL returns the server's URL on this machine. It is valid after Listen.
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
	open := &connections{
		limit: cmp.Or(s.MaxConnections, connectionLimit(maxFiles())),
		times: times{header: cmp.Or(s.HeaderTimeout, 10*time.Second), idle: idleTimeout, write: cmp.Or(s.WriteTimeout, 30*time.Second)},
		open:  map[*conn]struct{}{},
	}
	log.DebugContext(ctx, "connection limit", "url", s.URL(), "limit", open.limit, "descriptors", maxFiles())
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: open.times.header,
		ReadTimeout:       cmp.Or(s.ReadTimeout, 60*time.Second),
		IdleTimeout:       open.times.idle,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:         func(c net.Conn, state http.ConnState) { open.state(c.(*conn), state) },
	}
	refused := newRefusals(log)
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx))
	var counted sync.WaitGroup
	counted.Go(func() { refused.run(counting) })
	defer counted.Wait()
	defer stopCounting()
	srv.BaseContext = func(net.Listener) context.Context { return withRefusals(context.Background(), refused) }
	served := make(chan error, 1)
	go func() { served <- srv.Serve(newListener(s.listener, open, log)) }()

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
		err = errors.Join(fmt.Errorf("requests still running after %s were aborted: %w", timeout, err), srv.Close())
	}
	<-served //nolint:errcheck // http.ErrServerClosed
	return err
}
