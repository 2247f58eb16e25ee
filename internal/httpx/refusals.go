package httpx

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// isRefusal reports whether an error with the code is the client's affair, such as a deadline of its own, or a lack of
// capacity. There may be any number of these; other errors are faults of the server, and each is logged.
func isRefusal(c resnet18cloud.Code) bool {
	status := Status(c)
	return status < http.StatusInternalServerError || status == http.StatusServiceUnavailable || c == resnet18cloud.CodeDeadline
}

// refusals logs refused requests: one line a second for each code, with their number and the first of them. A line for
// each request would let clients fill the disk: 400 requests with long headers made 15 MB.
type refusals struct {
	log   *slog.Logger
	count *logs.Tally[resnet18cloud.Code, refused]
}

// refused are the requests that were refused with one code.
type refused struct {
	requests     int
	trace        resnet18cloud.Trace // of the first, like the following
	method, path string
	err          error
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log, logs.NewTally[resnet18cloud.Code, refused]()}
}

// add counts a request that was refused with the error.
func (s *refusals) add(r *http.Request, e *resnet18cloud.Error) {
	s.count.Add(e.Code, func(so refused) refused {
		if so.requests == 0 {
			so = refused{trace: resnet18cloud.TraceFrom(r.Context()), method: logs.Clip(r.Method), path: logs.Clip(r.URL.Path), err: e}
		}
		so.requests++
		return so
	})
}

// run writes the lines until ctx ends, and then what is left.
func (s *refusals) run(ctx context.Context) {
	s.count.Run(ctx, func(code resnet18cloud.Code, r refused) {
		message := "requests refused"
		if code == resnet18cloud.CodeCancelled {
			message = "clients left before the response"
		}
		// The context is that of the first request, for the IDs of its trace.
		s.log.InfoContext(resnet18cloud.WithTrace(context.Background(), r.trace), message,
			"requests", r.requests, "code", string(code), "method", r.method, "path", r.path, "error", r.err)
	})
}

type refusalsKey struct{}

// withRefusals returns a context in which refused requests are counted.
func withRefusals(ctx context.Context, s *refusals) context.Context {
	return context.WithValue(ctx, refusalsKey{}, s)
}

// report logs a request that failed, and notes it in its span: with others of its kind if it was refused, on a line of its own otherwise, or if
// there is no server, as in tests.
func report(log *slog.Logger, r *http.Request, e *resnet18cloud.Error) {
	failSpan(r, e)
	noteCode(r, e.Code)
	if s, ok := r.Context().Value(refusalsKey{}).(*refusals); ok && isRefusal(e.Code) {
		s.add(r, e)
		return
	}
	level := slog.LevelInfo
	if e.Code == resnet18cloud.CodeInternal {
		level = slog.LevelError
	}
	log.Log(r.Context(), level, "request failed", "method", r.Method, "path", r.URL.Path,
		"code", string(e.Code), "error", e.Error())
}
