// Package httpx has the common parts of the HTTP servers: handlers that return errors, an adapter that logs them and
// writes the responses, JSON bodies, image uploads, and a server with graceful shutdown.
package httpx

import (
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// StatusClientClosed is the status recorded (and sent in vain) if the client disconnected before the response.
const StatusClientClosed = 499

// HandlerFunc handles a request or returns an error. After writing a body it returns nil.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// ErrorBody is the JSON body of every error response, unless the client asks for a [ProblemBody]. Error is the prototype's
// field.
type ErrorBody struct {
	Error      string             `json:"error"`
	Hint       string             `json:"hint,omitempty"`
	Code       resnet18cloud.Code `json:"code"`
	RetryAfter float64            `json:"retry_after,omitempty"` // seconds
}

// Handler adapts h: it converts an error to a status and an [ErrorBody] and logs it once, refusals together with others
// of the same second, and it converts a panic to a 500 response.
func Handler(log *slog.Logger, h HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
					panic(p)
				}
				log.ErrorContext(r.Context(), "handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p)
				e := &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "Internal error", Hint: "the server's log has the cause"}
				failSpan(r, e)
				WriteError(w, r, e)
			}
		}()
		nameSpan(r)
		err := h(w, r)
		if err == nil {
			return
		}
		e := resnet18cloud.AsError(err)
		report(log, r, e)
		WriteError(w, r, e)
	})
}

// Plain adapts a handler that returns no errors to a [HandlerFunc].
func Plain(h http.Handler) HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

// WriteError writes e as a status, a Retry-After header if known, and an [ErrorBody], or a [ProblemBody] if the request asks
// for one.
func WriteError(w http.ResponseWriter, r *http.Request, e *resnet18cloud.Error) {
	body := ErrorBody{Error: e.Message, Hint: e.Hint, Code: e.Code, RetryAfter: e.RetryAfter.Seconds()}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(RetryAfterSeconds(e.RetryAfter)))
	}
	writeErrorBody(w, r, Status(e.Code), body)
}

// RetryAfterSeconds rounds d up to whole seconds for a Retry-After header (RFC 9110, section 10.2.3), at least 1.
func RetryAfterSeconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}

// WriteJSON writes v with the given status. It ignores write errors, which are the client's concern.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	writeJSON(w, status, "application/json", v)
}

func writeJSON(w http.ResponseWriter, status int, mediaType string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // v has one of our own types, so this is a programming error
		panic(err)
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

var statusOf = map[resnet18cloud.Code]int{
	resnet18cloud.CodeInvalid:      http.StatusBadRequest,
	resnet18cloud.CodeUnauthorized: http.StatusUnauthorized,
	resnet18cloud.CodeForbidden:    http.StatusForbidden,
	resnet18cloud.CodeNotFound:     http.StatusNotFound,
	resnet18cloud.CodeSlow:         http.StatusRequestTimeout,
	resnet18cloud.CodeConflict:     http.StatusConflict,
	resnet18cloud.CodeTooLarge:     http.StatusRequestEntityTooLarge,
	resnet18cloud.CodeUnsupported:  http.StatusUnsupportedMediaType,
	resnet18cloud.CodeUndecodable:  http.StatusUnprocessableEntity,
	resnet18cloud.CodeUnsuited:     http.StatusUnprocessableEntity,
	resnet18cloud.CodeRateLimited:  http.StatusTooManyRequests,
	resnet18cloud.CodeCancelled:    StatusClientClosed,
	resnet18cloud.CodeInternal:     http.StatusInternalServerError,
	resnet18cloud.CodeFull:         http.StatusServiceUnavailable,
	resnet18cloud.CodeUnavailable:  http.StatusServiceUnavailable,
	resnet18cloud.CodeLost:         http.StatusServiceUnavailable,
	resnet18cloud.CodeDeadline:     http.StatusGatewayTimeout,
}

// Status returns the HTTP status of a code, 500 if it is unknown.
func Status(c resnet18cloud.Code) int {
	if s, ok := statusOf[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// CodeOf returns the code for an HTTP status of any server. It is the reverse of Status for our own servers, except where
// several codes have the same status.
func CodeOf(status int) resnet18cloud.Code {
	switch status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return resnet18cloud.CodeFull
	case http.StatusBadGateway:
		return resnet18cloud.CodeUnavailable
	case http.StatusUnprocessableEntity:
		return resnet18cloud.CodeUndecodable
	}
	for c, s := range statusOf {
		if s == status {
			return c
		}
	}
	if status >= 400 && status < 500 {
		return resnet18cloud.CodeInvalid
	}
	return resnet18cloud.CodeInternal
}
