// Package lend uses byte slices as the body of an HTTP request without copying them. A transport may read a request's
// body after the call has returned, if the response came early or the call was aborted, so the caller must take the
// bytes back before reusing them. The client and the load tester use this package.
package lend

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// Loan is one body, consisting of consecutive parts. It is safe for concurrent use.
type Loan struct {
	parts [][]byte
	size  int64

	mu   sync.RWMutex // readers hold it while they copy from parts
	over bool
}

// New returns a body that consists of the parts.
func New(parts ...[]byte) *Loan {
	l := &Loan{parts: parts}
	for _, p := range parts {
		l.size += int64(len(p))
	}
	return l
}

// Attach sets the request's body, including retries by the transport.
func (l *Loan) Attach(r *http.Request) {
	r.ContentLength = l.size
	r.GetBody = func() (io.ReadCloser, error) { return &reader{loan: l}, nil }
	r.Body, _ = r.GetBody()
}

// Return takes the bytes back: after it returns no reader accesses them, and further reads return ErrOver.
func (l *Loan) Return() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
}

// ErrOver is returned by reads of a body that was taken back.
var ErrOver = errors.New("body was taken back")

// reader is one reader of a loan.
type reader struct {
	loan     *Loan
	part, at int
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	l := r.loan
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.over {
		return 0, ErrOver
	}
	n := 0
	for n < len(p) && r.part < len(l.parts) {
		m := copy(p[n:], l.parts[r.part][r.at:])
		n, r.at = n+m, r.at+m
		if r.at == len(l.parts[r.part]) {
			r.part, r.at = r.part+1, 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (r *reader) Close() error { return nil }
