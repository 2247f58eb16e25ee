package forward

import (
	"errors"
	"io"
	"sync"
)

// payload is the body of an attempt: the image, and the surrounding form if one is needed, without copying either.
// The HTTP transport reads it in its own goroutine, again from the start if it retries a request on another
// connection, and possibly after the attempt has ended; close prevents that, because the image belongs to the caller.
type payload struct {
	parts [3][]byte // sent in this order; set before the first reader is created

	mu     sync.Mutex
	sent   bool // guarded by mu: some of it was read
	closed bool // guarded by mu
}

var errPayloadClosed = errors.New("attempt has ended")

// size returns the number of bytes.
func (p *payload) size() int64 {
	n := 0
	for _, part := range p.parts {
		n += len(part)
	}
	return int64(n)
}

// reader returns a body that starts at the first byte.
func (p *payload) reader() io.ReadCloser { return &payloadReader{payload: p} }

// close makes all readers fail. After it returns, none of them accesses the image.
func (p *payload) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// wasSent reports whether any of it may have reached a replica.
func (p *payload) wasSent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// payloadReader is one reader of a payload.
type payloadReader struct {
	payload  *payload
	part, at int // next byte
}

func (r *payloadReader) Read(b []byte) (int, error) {
	r.payload.mu.Lock()
	defer r.payload.mu.Unlock()
	if r.payload.closed {
		return 0, errPayloadClosed
	}
	r.payload.sent = true
	n := 0
	for r.part < len(r.payload.parts) {
		part := r.payload.parts[r.part]
		copied := copy(b[n:], part[r.at:])
		n, r.at = n+copied, r.at+copied
		if r.at < len(part) {
			return n, nil
		}
		r.part, r.at = r.part+1, 0
	}
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close does nothing: the payload outlives its readers.
func (*payloadReader) Close() error { return nil }
