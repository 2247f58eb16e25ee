package httpx

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// writePiece is how much of a response a client must read within Server.WriteTimeout.
const writePiece = 64 << 10

// interim is sent to a client that has closed its sending side, to find out whether it still reads. Every HTTP/1.1
// client ignores it (RFC 9110, section 15.2).
const interim = "HTTP/1.1 100 Continue\r\n\r\n"

// probeTimeout limits sending it. It fits into the socket buffer unless the client has not read earlier responses.
const probeTimeout = 100 * time.Millisecond

// probeAfter are the delays before each interim response.
var probeAfter = [...]time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second, 10 * time.Second}

// conn is a connection of a [Server]. It reports its activity to connections, cuts off a client that does not read
// its response, and distinguishes a client that has closed only its sending side, and still waits for the response,
// from one that has disconnected. Of HTTP/2 it limits only the time to write; the rest is done for each request, a
// stream. Of HTTP/2 over TLS it only counts and closes the connection.
type conn struct {
	net.Conn // a *tls.Conn over a *socket if the server uses TLS
	open     *connections
	activity                      // guarded by open.mu
	unused   bool                 // guarded by open.mu: nothing has arrived on it yet
	streams  map[*stream]struct{} // guarded by open.mu: requests in progress of an HTTP/2 connection
	requests int                  // guarded by open.mu: HTTP/2 requests that have ended
	resets   int                  // guarded by open.mu: of these, those that the client has reset

	multiplexed atomic.Bool // HTTP/2
	gone        atomic.Bool // closed by the server

	mu             sync.Mutex
	pending        bool          // guarded by mu: a request has been read and its handler has not begun
	begun          chan struct{} // guarded by mu: closed when the handler begins; nil if nobody waits for that
	answering      bool          // guarded by mu: the response to the current request has begun
	acceptsInterim bool          // guarded by mu: the client supports interim responses
	readBy         time.Time     // guarded by mu: the read deadline
	writeBy        time.Time     // guarded by mu: the write deadline set by the handler
	wake           chan struct{} // guarded by mu: closed when a read must end; nil if none is waiting
	closed         bool          // guarded by mu
}

// Limits on what is read after the response.
const (
	lingerBytes   = 128 << 20
	lingerTimeout = 10 * time.Second
)

type connKey struct{}

// connOf returns the connection of a request, or nil if there is none, as in tests.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// arrived marks that a request has been read, before the server reads on.
func (c *conn) arrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = true
}

// begin marks the start of a request's handler.
func (c *conn) begin(r *http.Request) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answering, c.acceptsInterim, c.pending = false, r.ProtoAtLeast(1, 1), false
	if c.begun != nil {
		close(c.begun)
		c.begun = nil
	}
}

// enter sets the connection's activity.
func (c *conn) enter(h activity) {
	if c != nil {
		c.open.enter(c, h)
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.multiplexed.Load() {
		return c.Conn.Read(p)
	}
	// While a request is handled, the server reads one byte to detect that the client disconnects.
	if len(p) == 1 {
		n, err := c.Conn.Read(p)
		if errors.Is(err, io.EOF) {
			err = c.awaitLeave()
		}
		return n, err
	}
	skipping := c.open.expect(c)
	n, err := c.Conn.Read(p)
	c.open.received(c, n, skipping)
	return n, err
}

// awaitLeave returns io.EOF if the client that has closed its sending side does not read either, or after its
// response was sent. A closed socket answers the first interim response with a reset, so the second one fails.
func (c *conn) awaitLeave() error {
	if err := c.awaitHandler(); err != nil {
		return err
	}
	for _, pause := range probeAfter {
		wake, err := c.sleeping()
		if err != nil {
			return err
		}
		select {
		case <-wake:
			return c.awakened()
		case <-time.After(pause):
		}
		if !c.probe() {
			return io.EOF
		}
	}
	wake, err := c.sleeping()
	if err != nil {
		return err
	}
	<-wake
	return c.awakened()
}

// awaitHandler waits until the handler of the request begins: the end of the client's data may arrive together with the
// request, which says what the client understands. It returns an error if the read must end.
func (c *conn) awaitHandler() error {
	c.mu.Lock()
	if c.pending && c.begun == nil {
		c.begun = make(chan struct{})
	}
	begun := c.begun
	c.mu.Unlock()
	if begun == nil {
		return nil
	}
	wake, err := c.sleeping()
	if err != nil {
		return err
	}
	select {
	case <-begun:
		return nil
	case <-wake:
		return c.awakened()
	}
}

// sleeping returns a channel that is closed when the read must end, or the error if it must end now.
func (c *conn) sleeping() (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if !c.readBy.IsZero() {
		return nil, os.ErrDeadlineExceeded
	}
	if c.wake == nil {
		c.wake = make(chan struct{})
	}
	return c.wake, nil
}

func (c *conn) awakened() error {
	_, err := c.sleeping()
	if err == nil {
		err = os.ErrDeadlineExceeded // it was set, and cleared again
	}
	return err
}

// wakeUp ends a waiting read. The caller holds mu.
func (c *conn) wakeUp() {
	if c.wake != nil {
		close(c.wake)
		c.wake = nil
	}
}

// probe reports whether the client may still read: an interim response could be sent.
func (c *conn) probe() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answering || !c.acceptsInterim {
		return false
	}
	if c.Conn.SetWriteDeadline(time.Now().Add(probeTimeout)) != nil {
		return false
	}
	_, err := io.WriteString(c.Conn, interim)
	return err == nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 1")) {
		c.mu.Lock()
		c.answering = true
		c.mu.Unlock()
	}
	if !c.multiplexed.Load() {
		defer c.open.restore(c, c.open.enter(c, activity{phase: writing}))
	}
	for written := 0; ; {
		c.setWriteDeadline()
		n, err := c.Conn.Write(p[written:min(len(p), written+writePiece)])
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// setWriteDeadline sets the deadline for the next piece.
func (c *conn) setWriteDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := time.Now().Add(c.open.times.write)
	if !c.writeBy.IsZero() && c.writeBy.Before(deadline) {
		deadline = c.writeBy
	}
	_ = c.Conn.SetWriteDeadline(deadline) // fails on a closed connection, as the write will
}

// SetWriteDeadline implements net.Conn. In addition, each piece of a response has its own deadline.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeBy = t
	return c.Conn.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = t
	if !t.IsZero() {
		c.wakeUp()
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// abort closes the connection without saying goodbye.
func (c *conn) abort() {
	c.leave()
	if secured, ok := c.Conn.(*tls.Conn); ok {
		_ = secured.NetConn().Close()
		return
	}
	_ = c.Conn.Close()
}

// leave gives up the connection's place and ends a waiting read.
func (c *conn) leave() {
	c.open.remove(c)
	c.gone.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.wakeUp()
}

// CloseWrite is called by net/http if a request was answered before its body was read, for example one that is too
// large, and the connection is to be closed. It discards what the client still sends for a while: a client that reads
// the response only after sending everything would otherwise see a broken connection (RFC 9112, section 9.6).
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return err
		}
	}
	c.enter(activity{phase: discarding})
	if err := c.SetReadDeadline(time.Now().Add(lingerTimeout)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c.Conn, lingerBytes)
	return err
}
