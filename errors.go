package resnet18cloud

import (
	"context"
	"errors"
	"time"
)

// Code classifies an [Error] by what the caller can do about it. Each code maps to one HTTP status.
type Code string

// The codes, with the HTTP status that internal/httpx maps each one to.
const (
	CodeInvalid      Code = "invalid"      // 400: the request is malformed; retrying does not help
	CodeUnauthorized Code = "unauthorized" // 401: the request has no key, or one that is not valid
	CodeForbidden    Code = "forbidden"    // 403: not allowed; the hint says what would allow it
	CodeNotFound     Code = "not_found"    // 404: does not exist, or no longer exists
	CodeSlow         Code = "slow"         // 408: the client sends too slowly
	CodeConflict     Code = "conflict"     // 409: conflicts with the current state
	CodeTooLarge     Code = "too_large"    // 413: exceeds the limit on bytes or pixels
	CodeUnsupported  Code = "unsupported"  // 415: unsupported image format or media type
	CodeUndecodable  Code = "undecodable"  // 422: a supported format, but the data is damaged
	CodeUnsuited     Code = "unsuited"     // 422: the model cannot answer this, such as one without classes
	CodeRateLimited  Code = "rate_limited" // 429: the client sends too many requests; retry after RetryAfter
	CodeCancelled    Code = "cancelled"    // 499: the client disconnected or cancelled the request
	CodeInternal     Code = "internal"     // 500: a fault of the server
	CodeFull         Code = "full"         // 503: no capacity; retry after RetryAfter
	CodeUnavailable  Code = "unavailable"  // 503: a required component is not available
	CodeLost         Code = "lost"         // 503: an accepted image was lost from storage; send it again
	CodeDeadline     Code = "deadline"     // 504: the client's deadline has passed
)

// Codes returns all codes, for metrics and lists.
func Codes() []Code {
	return []Code{CodeInvalid, CodeUnauthorized, CodeForbidden, CodeNotFound, CodeSlow, CodeConflict, CodeTooLarge, CodeUnsupported,
		CodeUndecodable, CodeUnsuited, CodeRateLimited, CodeCancelled, CodeInternal, CodeFull, CodeUnavailable, CodeLost, CodeDeadline}
}

// Error is an error that is shown to clients. Message and Hint are safe to show; the cause in Err is only logged.
type Error struct {
	Code       Code
	Message    string        // one sentence without a full stop; safe to show to anyone
	Hint       string        // how to fix the problem; may be empty
	RetryAfter time.Duration // when a retry may succeed; zero means unknown
	Err        error         // the cause, for logs; may be nil
}

// Error returns the message, followed by the cause if there is one.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError returns the first *Error in err's chain. It converts other errors: the end of a context becomes
// CodeCancelled or CodeDeadline, and everything else becomes CodeInternal with a generic message. It returns nil for
// nil.
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
		return &Error{Code: CodeDeadline, Message: "Deadline exceeded", Err: err}
	}
	return &Error{Code: CodeInternal, Message: "Internal error", Hint: "see the server's log for the cause", Err: err}
}
