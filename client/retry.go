package client

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Retry says how often and how long a [Client] repeats requests that failed for a reason that passes: the server has no
// room (503, 429) or lost the image, or the connection failed. The zero value sends each request once.
//
// A request whose connection broke may have been accepted. It is sent again only if that does no harm: if it reads or
// cancels, if it has an idempotency key, or if no connection was made at all.
type Retry struct {
	// Attempts is how often a request is sent at most. Zero and one mean once.
	Attempts int
	// MaxPause is the longest pause before the next attempt. If a server asks for a longer one (Retry-After), or the
	// context ends before it is over, the error is returned immediately. Zero means 30 s.
	MaxPause time.Duration
}

// Pauses after errors that do not say how long to wait: 0.2, 0.4, 0.8 s and so on.
const (
	firstPause      = 200 * time.Millisecond
	defaultMaxPause = 30 * time.Second
	// spread is the share by which a pause is longer at random, so that clients which were refused together do not come
	// back together.
	spread = 0.25
)

// pause returns how long to wait before a request is sent again. attempts counts those made, random is from 0 to 1, and
// harmless says that the request may be sent again although the server may have accepted it. ok is false if the error is
// final.
//
// For example, the second attempt that fails without a Retry-After is followed by a pause of 0.4 to 0.5 s.
func (r Retry) pause(attempts int, err error, harmless bool, random float64) (pause time.Duration, ok bool) {
	if attempts >= r.Attempts || !passes(err, harmless) {
		return 0, false
	}
	longest := r.MaxPause
	if longest == 0 {
		longest = defaultMaxPause
	}
	pause = min(firstPause<<min(attempts-1, 16), longest)
	if e, refused := errors.AsType[*resnet18cloud.Error](err); refused && e.RetryAfter > 0 {
		if pause = e.RetryAfter; pause > longest {
			return 0, false
		}
	}
	return pause + time.Duration(spread*random*float64(pause)), true
}

// passes reports whether the cause of an error may pass.
func passes(err error, harmless bool) bool {
	if e, refused := errors.AsType[*resnet18cloud.Error](err); refused {
		switch e.Code {
		case resnet18cloud.CodeFull, resnet18cloud.CodeUnavailable, resnet18cloud.CodeRateLimited, resnet18cloud.CodeLost:
			return true
		}
		return false
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return false
	}
	_, broken := errors.AsType[*connectionError](err)
	return broken && harmless
}

// connectionError is an error of the connection, not an answer of the server.
type connectionError struct{ error }

// Unwrap returns the cause.
func (e *connectionError) Unwrap() error { return e.error }

// harmless reports whether a request may be sent again although the server may have accepted it.
func harmless(r *http.Request) bool {
	return r.Method != http.MethodPost || r.Header.Get("Idempotency-Key") != ""
}
