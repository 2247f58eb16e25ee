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
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// Server is an http.Server with graceful shutdown: Listen fails early, and Run returns after its context has ended
// and requests in flight are done. It serves HTTP/1.1 and HTTP/2, over TLS if it has a certificate; without TLS a client
// must know that it may use HTTP/2 ("prior knowledge", RFC 9113, section 3.3).
type Server struct {
	// Addr is the TCP address to listen on, such as ":8080"; port 0 picks a free port, see URL.
	Addr string
	// Handler handles requests.
	Handler http.Handler
	// TLS are the files of the certificate. They are read again when they change. Zero means HTTP without TLS.
	TLS tlsfiles.Files
	// Log receives the HTTP server's errors, and once a second the number of refused requests; nil discards them.
	Log *slog.Logger
	// Tracer records the requests that change something, and others whose client sends a traceparent. Nil records none.
	Tracer *tracing.Tracer
	// BeforeShutdown, if not nil, is called after the context has ended and before the listener closes. It should
	// make readiness checks fail and end long polls.
	BeforeShutdown func()
	// ShutdownDelay is how long, after BeforeShutdown, the server goes on with requests at most. It tells the clients to
	// use other connections, and a client that has left does not send a request on one that is being closed. The delay
	// ends early when all have left. Zero means none.
	ShutdownDelay time.Duration
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

	open     atomic.Pointer[connections] // nil before Run
	leaving  atomic.Bool                 // responses tell their clients to use other connections
	listener net.Listener
	certs    *tlsfiles.Reloader // nil without TLS
}

// idleTimeout is how long a connection may stay open between two requests.
const idleTimeout = 120 * time.Second

// arrivalGrace is how long a server that stops waits for requests that are on their way: on new connections, whose TLS handshakes take
// half a second on a busy machine, and where headers have begun. Clients also open connections as a reserve, and send nothing.
const arrivalGrace = time.Second

// handler wraps Handler, marks the start of each request and gives it its trace.
func (s *Server) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r.Context())
		if s.leaving.Load() {
			w.Header().Set("Connection", "close") // in HTTP/2, net/http tells the client that this connection takes no more
		}
		w, r, done := traced(s.Tracer, w, r)
		defer done()
		if r.ProtoMajor == 2 {
			c.open.serveStream(c, w, r, s.Handler)
			return
		}
		c.begin(r)
		s.Handler.ServeHTTP(w, r)
	})
}

// Listen reads the certificate and binds the address. It returns an error if the certificate cannot be used or the
// address is in use, before anything else has started.
func (s *Server) Listen() error {
	if err := s.TLS.ValidateServer(); err != nil {
		return err
	}
	if s.TLS.Enabled() {
		s.certs = tlsfiles.New(s.TLS, s.Log)
		if err := s.certs.Load(); err != nil {
			return err
		}
	}
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
	scheme := "http://"
	if s.certs != nil {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

// Connections returns the number of open connections.
func (s *Server) Connections() int {
	open := s.open.Load()
	if open == nil {
		return 0
	}
	open.mu.Lock()
	defer open.mu.Unlock()
	return len(open.open)
}

// ConnectionLimit returns the maximum number of connections, or 0 before Run.
func (s *Server) ConnectionLimit() int {
	if open := s.open.Load(); open != nil {
		return open.limit
	}
	return 0
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
	s.open.Store(open)
	log.DebugContext(ctx, "connection limit", "url", s.URL(), "limit", open.limit, "descriptors", maxFiles())
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: open.times.header,
		ReadTimeout:       cmp.Or(s.ReadTimeout, 60*time.Second),
		IdleTimeout:       open.times.idle,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, ownerOf(c))
		},
		ConnState: func(c net.Conn, state http.ConnState) { open.state(ownerOf(c), state) },
		Protocols: protocols(),
		HTTP2:     http2Config(open.times.write),
	}
	refused := newRefusals(log)
	srv.BaseContext = func(net.Listener) context.Context { return withRefusals(context.Background(), refused) }
	var background sync.WaitGroup
	defer background.Wait()
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCounting()
	background.Go(func() { refused.run(counting) })
	ctx, cancelAll := context.WithCancel(ctx)
	defer cancelAll()
	listener := s.listen(ctx, open, log, &background)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()

	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.Addr, err)
	case <-ctx.Done():
	}
	s.leaving.Store(s.ShutdownDelay > 0) // before anybody can know that the server stops
	if s.BeforeShutdown != nil {
		s.BeforeShutdown()
	}
	s.letLeave(open)
	timeout := cmp.Or(s.ShutdownTimeout, 25*time.Second)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	s.leaving.Store(true)
	s.settle(stop, open, min(arrivalGrace, timeout/2))
	err := srv.Shutdown(stop)
	if err != nil {
		open.abort()
		err = errors.Join(fmt.Errorf("requests still running after %s were aborted: %w", timeout, err), srv.Close())
	}
	<-served //nolint:errcheck // http.ErrServerClosed
	return err
}

// letLeave serves on until all clients have left or ShutdownDelay has passed.
func (s *Server) letLeave(open *connections) {
	if s.ShutdownDelay <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.ShutdownDelay)
	defer cancel()
	open.whenEmpty(cancel)
	<-ctx.Done()
}

// settle accepts no more connections, and serves until no request is arriving on those that are open, or for the time of grace. net/http
// drops requests that arrive while it shuts down, and waits 5 s for connections on which nothing has arrived.
func (s *Server) settle(ctx context.Context, open *connections, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	_ = s.listener.Close() // net/http closes it again, and reports what goes wrong
	for open.receiving() && ctx.Err() == nil {
		pause.For(ctx, settleInterval)
	}
	open.abortUnused()
}

// settleInterval is the time between two looks at the connections. net/http looks as often when it shuts down.
const settleInterval = 10 * time.Millisecond

// protocols are those of all servers; clients choose.
func protocols() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return &p
}

// listen returns the listener for net/http. With TLS it starts what does the handshakes until the listener is closed,
// and what follows the certificate's files until ctx ends.
func (s *Server) listen(ctx context.Context, open *connections, log *slog.Logger, background *sync.WaitGroup) net.Listener {
	if s.certs == nil {
		return newListener(s.listener, open, nil, log)
	}
	secure := newSecureListener(newListener(s.listener, open, s.certs.Server(), log), open.times.header)
	background.Go(secure.run)
	background.Go(func() { s.certs.Run(ctx) })
	return secure
}
