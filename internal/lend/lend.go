// Package lend gives bytes to an HTTP request for the time of one call, without a copy. A transport may read
// a request's body after the call has returned, when the answer came early or the call was given up; whoever
// wants to use the bytes' memory again takes the loan back first. The client and the load tester use it.
package lend

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// Loan is one body, in parts that follow each other. It is safe for concurrent use.
type Loan struct {
	parts [][]byte
	size  int64

	mu   sync.RWMutex // readers hold it while they copy from parts
	over bool
}

// New lends parts, as one body.
func New(parts ...[]byte) *Loan {
	l := &Loan{parts: parts}
	for _, p := range parts {
		l.size += int64(len(p))
	}
	return l
}

// Attach makes the loan the request's body, also where a transport has to send it again.
func (l *Loan) Attach(r *http.Request) {
	r.ContentLength = l.size
	r.GetBody = func() (io.ReadCloser, error) { return &reader{loan: l}, nil }
	r.Body, _ = r.GetBody()
}

// Return takes the bytes back: when it returns nobody reads them any more, and who tries gets ErrOver.
func (l *Loan) Return() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
}

// ErrOver is what a body gives after its bytes were taken back.
var ErrOver = errors.New("body was taken back")

// reader is one reading of a loan.
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
