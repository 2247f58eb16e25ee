package httpx

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	minAcceptDelay     = 5 * time.Millisecond
	maxAcceptDelay     = time.Second
	refusalLogInterval = 10 * time.Second
)

// refusalBody and refusal are the response to a client if there are too many connections.
const (
	refusalBody = `{"error":"Too many connections","hint":"retry after retry_after seconds","code":"full","retry_after":1}` + "\n"
	refusal     = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" +
		"Retry-After: 1\r\nConnection: close\r\n\r\n" + refusalBody
)

// listener accepts connections up to the limit. It retries after temporary errors, such as a lack of file
// descriptors.
type listener struct {
	net.Listener
	open   *connections
	config *tls.Config // nil without TLS
	log    *slog.Logger

	closeOnce sync.Once
	closed    chan struct{}

	// Used by Accept, which one goroutine calls.
	refused int       // connections rejected since the last log message
	logged  time.Time // time of the last log message
}

func newListener(l net.Listener, open *connections, config *tls.Config, log *slog.Logger) *listener {
	return &listener{Listener: l, open: open, config: config, log: log, closed: make(chan struct{})}
}

// newConn wraps an accepted connection.
func (l *listener) newConn(accepted net.Conn) *conn {
	c := &conn{Conn: accepted, open: l.open}
	if l.config != nil {
		c.Conn = tls.Server(&socket{accepted, c}, l.config)
	}
	return c
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for pause := minAcceptDelay; ; {
		accepted, err := l.Listener.Accept()
		switch {
		case err == nil:
			c := l.newConn(accepted)
			if l.open.add(c) {
				return c, nil
			}
			l.refuse(accepted)
			continue
		case errors.Is(err, net.ErrClosed):
			return nil, err
		}
		l.log.Warn("accepting a connection failed", "error", err, "retry_after", pause)
		l.open.shed() // there may be too few file descriptors
		select {
		case <-time.After(pause):
			pause = min(2*pause, maxAcceptDelay)
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// refuse rejects a client because the limit is reached.
func (l *listener) refuse(c net.Conn) {
	// The response fits the socket buffer, and a client that does not receive it sees that the connection is closed.
	if l.config == nil { // with TLS it would take a handshake to say this
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = fmt.Fprintf(c, refusal, len(refusalBody))
	}
	_ = c.Close()
	l.refused++
	if now := time.Now(); now.Sub(l.logged) >= refusalLogInterval {
		l.log.Warn("connections rejected: limit reached and none is idle", "refused", l.refused, "limit", l.open.limit)
		l.refused, l.logged = 0, now
	}
}

// Close implements net.Listener. The socket may have been closed before.
func (l *listener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
