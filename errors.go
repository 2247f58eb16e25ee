package resnet18cloud

import (
	"context"
	"errors"
	"time"
)

// Code classifies an [Error] by what the caller can do about it. Each code has one HTTP status.
type Code string

// The codes, with the HTTP status that internal/httpx gives each.
const (
	CodeInvalid     Code = "invalid"     // 400: the request is malformed; sending it again is useless
	CodeNotFound    Code = "not_found"   // 404: no such thing, or not any more
	CodeSlow        Code = "slow"        // 408: the client sends too slowly
	CodeConflict    Code = "conflict"    // 409: contradicts what is already there
	CodeTooLarge    Code = "too_large"   // 413: more bytes or pixels than the limit
	CodeUnsupported Code = "unsupported" // 415: a format or media type that we do not take
	CodeUndecodable Code = "undecodable" // 422: the right kind of file, but broken
	CodeCancelled   Code = "cancelled"   // 499: the client left or withdrew the request
	CodeInternal    Code = "internal"    // 500: our fault
	CodeFull        Code = "full"        // 503: no room; try again after RetryAfter
	CodeUnavailable Code = "unavailable" // 503: a part that is needed is not there now
	CodeLost        Code = "lost"        // 503: an accepted image was lost with its storage; send it again
	CodeDeadline    Code = "deadline"    // 504: the time the client granted has passed
)

// Error is what our parts tell a user: what is wrong in words that are safe to show, and what to do about
// it. The cause is for the log only.
type Error struct {
	Code       Code
	Message    string        // one sentence without a full stop, safe to show to anybody
	Hint       string        // what to do about it; may be empty
	RetryAfter time.Duration // when a retry may succeed; zero means unknown
	Err        error         // the cause, for the log; may be nil
}

// Error returns the message, with the cause behind it where there is one.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError finds the *Error in err's chain. Other errors become one: a context's end is CodeCancelled or
// CodeDeadline, the rest is CodeInternal with a message that gives nothing away. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeCancelled, Message: "Request was cancelled", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeDeadline, Message: "Time ran out", Err: err}
	}
	return &Error{Code: CodeInternal, Message: "Internal error", Hint: "the server's log has the cause", Err: err}
}
