package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// net/http negotiates HTTP/2 only on a *tls.Conn that it gets from its listener, and there is then no place between TLS
// and HTTP/1.1. The hooks of conn must be there: below TLS, the end of a client's data and the start of a response
// cannot be seen. So the listener does the handshakes. It passes on an HTTP/1.1 connection as a secureConn, with the
// hooks above TLS, and an HTTP/2 connection as the *tls.Conn that net/http expects; HTTP/2 has other hooks, see
// stream.go.

// socket is the connection below TLS. It names the conn that it belongs to.
type socket struct {
	net.Conn
	owner *conn
}

// secureConn is an HTTP/1.1 connection over TLS. net/http takes Request.TLS from it.
type secureConn struct{ *conn }

// ConnectionState is called by net/http.
func (s secureConn) ConnectionState() tls.ConnectionState {
	return s.Conn.(*tls.Conn).ConnectionState()
}

// ownerOf returns the conn of a connection that a listener has passed to net/http.
func ownerOf(c net.Conn) *conn {
	switch c := c.(type) {
	case *conn:
		return c
	case secureConn:
		return c.conn
	case *tls.Conn:
		return c.NetConn().(*socket).owner
	}
	panic(fmt.Sprintf("httpx: unexpected connection of type %T", c))
}

// secureListener accepts connections of a listener with TLS after their handshakes, which run concurrently. Their number
// is limited by the number of connections, and the time of each by timeout. Until its handshake is done, a connection
// counts as one that sends its headers.
type secureListener struct {
	*listener
	timeout time.Duration
	ready   chan net.Conn

	ctx        context.Context // ends when the listener is closed; cancels handshakes
	cancel     context.CancelFunc
	handshakes sync.WaitGroup
}

func newSecureListener(l *listener, timeout time.Duration) *secureListener {
	s := &secureListener{listener: l, timeout: timeout, ready: make(chan net.Conn)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// run accepts connections until the socket is closed, and waits for their handshakes, which go on until Close.
func (l *secureListener) run() {
	defer l.handshakes.Wait()
	for {
		accepted, err := l.listener.Accept()
		if err != nil {
			return // it is closed
		}
		l.handshakes.Go(func() { l.handshake(accepted.(*conn)) })
	}
}

// Close implements net.Listener.
func (l *secureListener) Close() error {
	l.cancel()
	return l.listener.Close()
}

// handshake does the handshake of a connection and passes it to Accept.
func (l *secureListener) handshake(c *conn) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	secured := c.Conn.(*tls.Conn)
	if err := secured.HandshakeContext(ctx); err != nil {
		answerPlainHTTP(err)
		l.log.DebugContext(ctx, "TLS handshake failed", "client", c.RemoteAddr(), "error", err)
		c.abort()
		return
	}
	var established net.Conn = secureConn{c}
	if secured.ConnectionState().NegotiatedProtocol == "h2" {
		established = secured
	}
	select {
	case l.ready <- established:
	case <-l.closed:
		c.abort()
	}
}

// plainBody and plainAnswer are the response to a client that sends HTTP without TLS.
const (
	plainBody   = `{"error":"This address serves HTTPS only","hint":"use a URL with https://","code":"invalid"}` + "\n"
	plainAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" + plainBody
)

// methodStarts are the first bytes of HTTP requests, as many as a TLS record's header has for them.
var methodStarts = []string{"GET ", "HEAD", "POST", "PUT ", "OPTI", "DELE", "PATC"}

// answerPlainHTTP answers the client if the handshake has failed because it sent an HTTP request.
func answerPlainHTTP(err error) {
	header, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || header.Conn == nil || !slices.Contains(methodStarts, string(header.RecordHeader[:4])) {
		return
	}
	_ = header.Conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(header.Conn, plainAnswer, len(plainBody))
	// The rest of the request must be read, or the client would get a reset instead of the response.
	if half, ok := header.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, header.Conn, 64<<10)
}

// CloseWrite lets answerPlainHTTP end a response.
func (s *socket) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// goodbye limits how long a closed connection waits to tell its client so. It fits into the socket buffer unless the
// client does not read. crypto/tls allows five seconds, in which a server that stops could not close the others.
const goodbye = time.Millisecond

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(t time.Time) error {
	if last := time.Now().Add(goodbye); s.owner.gone.Load() && t.After(last) {
		t = last
	}
	return s.Conn.SetWriteDeadline(t)
}

// Accept implements net.Listener.
func (l *secureListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
