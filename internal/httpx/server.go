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

	// MaxConnections bounds the connections at a time. At the bound, a connection that is idle, or whose client is slow
	// to send its headers or to read its answer, makes place for a new one; when there is none, the new one is refused.
	// Zero means three quarters of the descriptors that the process may have, at most 8192.
	MaxConnections int

	// Bounds on what a slow or hostile client can hold. Zero means the default of each.

	// HeaderTimeout is how long a request's headers may take, counted from its first byte or from a connection's
	// beginning: 10 s.
	HeaderTimeout time.Duration
	// ReadTimeout is how long a request may take to arrive with its body, unless [Uploads] reads it: 60 s.
	ReadTimeout time.Duration
	// WriteTimeout is how long each 64 KiB of an answer may stay unread: 30 s.
	WriteTimeout time.Duration

	listener net.Listener
}

// idleTimeout is how long a connection may stay open between two requests.
const idleTimeout = 120 * time.Second

// handler is Handler, with a word to the connection before each request.
func (s *Server) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connOf(r.Context()).begin(r)
		s.Handler.ServeHTTP(w, r)
	})
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
	open := &connections{
		limit: cmp.Or(s.MaxConnections, connectionLimit(maxFiles())),
		times: times{header: cmp.Or(s.HeaderTimeout, 10*time.Second), idle: idleTimeout, write: cmp.Or(s.WriteTimeout, 30*time.Second)},
		open:  map[*conn]struct{}{},
	}
	log.DebugContext(ctx, "connections are bounded", "url", s.URL(), "limit", open.limit, "descriptors", maxFiles())
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
		err = errors.Join(fmt.Errorf("requests still running after %s were cut: %w", timeout, err), srv.Close())
	}
	<-served //nolint:errcheck // http.ErrServerClosed
	return err
}
