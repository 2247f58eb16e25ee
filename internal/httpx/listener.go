package httpx

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	firstAcceptPause = 5 * time.Millisecond
	lastAcceptPause  = time.Second
	refusalLogEvery  = 10 * time.Second
)

// refusalBody and refusal are what a client reads for which there is no connection.
const (
	refusalBody = `{"error":"Too many connections","hint":"send it again after retry_after seconds","code":"full","retry_after":1}` + "\n"
	refusal     = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" +
		"Retry-After: 1\r\nConnection: close\r\n\r\n" + refusalBody
)

// listener accepts connections, as many as there are places for. Errors that pass, such as a lack of descriptors, are
// waited out.
type listener struct {
	net.Listener
	open *connections
	log  *slog.Logger

	closeOnce sync.Once
	closed    chan struct{}

	// Of Accept, which one goroutine calls.
	refused int       // connections since the last line in the log
	logged  time.Time // when that was
}

func newListener(l net.Listener, open *connections, log *slog.Logger) *listener {
	return &listener{Listener: l, open: open, log: log, closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for pause := firstAcceptPause; ; {
		accepted, err := l.Listener.Accept()
		switch {
		case err == nil:
			c := &conn{Conn: accepted, open: l.open}
			if l.open.add(c) {
				return c, nil
			}
			l.refuse(accepted)
			continue
		case errors.Is(err, net.ErrClosed):
			return nil, err
		}
		l.log.Warn("connection not accepted", "error", err, "retry_after", pause)
		l.open.shed() // descriptors may be what is missing
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastAcceptPause)
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// refuse answers a client for which there is no place.
func (l *listener) refuse(c net.Conn) {
	// The answer fits the socket's buffer, and a client that does not get it sees that the connection is closed.
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(c, refusal, len(refusalBody))
	_ = c.Close()
	l.refused++
	if now := time.Now(); now.Sub(l.logged) >= refusalLogEvery {
		l.log.Warn("connections refused: all others are in use", "refused", l.refused, "limit", l.open.limit)
		l.refused, l.logged = 0, now
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
