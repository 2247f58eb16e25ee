package httpx

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Limits on HTTP/2. A connection has several requests at a time, its streams.
const (
	maxStreams        = 100       // of one connection; RFC 9113, section 6.5.2, recommends at least 100
	streamBufferBytes = 256 << 10 // sent by the client but not yet read by a handler, of one stream
	connBufferBytes   = 1 << 20   // and of all streams of a connection
	pingAfter         = 30 * time.Second
	flushTime         = time.Second // to send the last responses of a connection that has to go
)

// http2Config limits what a client with HTTP/2 may do. Slow uploads are limited by [Uploads], slow readers by
// streamWriter and the time to write anything at all.
func http2Config(write time.Duration) *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReceiveBufferPerStream:     streamBufferBytes,
		MaxReceiveBufferPerConnection: connBufferBytes,
		SendPingTimeout:               pingAfter, // a client that is gone is noticed while its requests wait
		WriteByteTimeout:              write,
	}
}

// freeResets is how many requests of a connection a client may reset before the others count.
const freeResets = 100

// resetsTooMuch reports whether a client opens requests only to reset them: it costs the client nothing, as many requests
// as it likes can be in progress one after the other, and the server does the work of each (CVE-2023-44487). A client may
// have its reasons to give up half of its requests.
//
// For example, a client that has reset 101 of 201 requests has to connect again, and one with 101 of 202 has not.
func resetsTooMuch(resets, requests int) bool { return resets > freeResets && 2*resets > requests }

// stream is a request of an HTTP/2 connection.
type stream struct {
	conn     *conn
	activity // guarded by conn.open.mu
}

type streamKey struct{}

// enterFunc returns the function that sets the activity of a request: that of its stream or, of HTTP/1, its connection.
// It does nothing if there is no connection, as in tests.
func enterFunc(ctx context.Context) func(activity) {
	if st, ok := ctx.Value(streamKey{}).(*stream); ok {
		return st.enter
	}
	return connOf(ctx).enter
}

// enter sets the stream's activity.
func (st *stream) enter(h activity) {
	st.conn.open.mu.Lock()
	defer st.conn.open.mu.Unlock()
	h.since = time.Now()
	st.activity = h
}

// openStream adds a request to a connection. It returns nil if the request must be refused: its connection is leaving,
// or there are too many requests. Each request of a connection after its first counts; there may be as many of these
// as connections. At the limit, a connection whose requests only wait, or whose client is slow, has to go.
func (s *connections) openStream(c *conn) *stream {
	st, end := s.placeStream(c, time.Now())
	end()
	return st
}

// placeStream is openStream without the work that must be done outside the lock.
func (s *connections) placeStream(c *conn, now time.Time) (st *stream, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end = func() {}
	if c.leaving {
		return nil, end
	}
	if len(c.streams) > 0 {
		if s.extra >= s.limit {
			if first := s.firstOf(now, false, func(other *conn) bool { return other != c && len(other.streams) > 1 }); first != nil {
				end = s.end(first)
			}
			return nil, end
		}
		s.extra++
	}
	st = &stream{conn: c, activity: activity{phase: serving, since: now}}
	if c.streams == nil {
		c.streams = map[*stream]struct{}{}
	}
	c.streams[st] = struct{}{}
	return st, end
}

// closeStream removes a request, which the client may have reset. It reports whether the connection has to go for it.
func (s *connections) closeStream(st *stream, reset bool) (tooMuch bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := st.conn
	delete(c.streams, st)
	if len(c.streams) > 0 {
		s.extra--
	}
	c.requests++
	if reset {
		c.resets++
	}
	return resetsTooMuch(c.resets, c.requests)
}

// serveStream handles a request of HTTP/2.
func (s *connections) serveStream(c *conn, w http.ResponseWriter, r *http.Request, next http.Handler) {
	c.multiplexed.Store(true)
	st := s.openStream(c)
	if st == nil {
		w.Header().Set("Connection", "close") // HTTP/2: the client shall open another connection
		WriteError(w, r, errTooManyRequests())
		return
	}
	defer func() {
		reset := r.Context().Err() != nil
		if s.closeStream(st, reset) && !c.gone.Load() {
			report(slog.New(slog.DiscardHandler), r, errResets())
			c.abort()
		}
	}()
	next.ServeHTTP(&streamWriter{ResponseWriter: w, control: http.NewResponseController(w), stream: st, timeout: s.times.write},
		r.WithContext(context.WithValue(r.Context(), streamKey{}, st)))
}

// errResets is the reason in the log for closing a connection.
func errResets() *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeRateLimited, Message: "Client resets most of its requests: connection closed"}
}

// streamWriter limits the time in which the client must take each piece of a response, as conn does for HTTP/1.
type streamWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stream  *stream
	timeout time.Duration
}

// Unwrap lets http.ResponseController find the methods of the response.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter.
func (w *streamWriter) Write(p []byte) (int, error) {
	w.stream.enter(activity{phase: writing})
	defer w.stream.enter(activity{phase: serving})
	for written := 0; ; {
		// The deadline also covers what is buffered and sent when the handler returns.
		_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout)) // always supported
		n, err := w.ResponseWriter.Write(p[written:min(len(p), written+writePiece)])
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}
