package httpx

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// refusalInterval is the time between two lines about refused requests.
const refusalInterval = time.Second

// isRefusal reports whether an error with the code is the client's affair or a lack of capacity. There may be any number
// of these; other errors are faults of the server, and each is logged.
func isRefusal(c resnet18cloud.Code) bool {
	status := Status(c)
	return status < http.StatusInternalServerError || status == http.StatusServiceUnavailable
}

// refusals logs refused requests: one line a second for each code, with their number and the first of them. A line for
// each request would let clients fill the disk: 400 requests with long headers made 15 MB.
type refusals struct {
	log  *slog.Logger
	some chan struct{} // holds a value if some have been counted since the last line

	mu    sync.Mutex
	count map[resnet18cloud.Code]*refused // guarded by mu: since the last line
}

// refused are the requests that were refused with one code.
type refused struct {
	requests     int
	trace        resnet18cloud.Trace // of the first, like the following
	method, path string
	err          error
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, some: make(chan struct{}, 1), count: map[resnet18cloud.Code]*refused{}}
}

// add counts a request that was refused with the error.
func (s *refusals) add(r *http.Request, e *resnet18cloud.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[e.Code] == nil {
		s.count[e.Code] = &refused{trace: resnet18cloud.TraceFrom(r.Context()), method: logs.Clip(r.Method), path: logs.Clip(r.URL.Path), err: e}
	}
	s.count[e.Code].requests++
	select {
	case s.some <- struct{}{}:
	default:
	}
}

// run writes the lines until ctx ends, and then what is left.
func (s *refusals) run(ctx context.Context) {
	defer s.write()
	for {
		select {
		case <-s.some:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(refusalInterval):
			s.write()
		case <-ctx.Done():
			return
		}
	}
}

// write logs what has been counted.
func (s *refusals) write() {
	s.mu.Lock()
	count := s.count
	s.count = map[resnet18cloud.Code]*refused{}
	s.mu.Unlock()
	for _, code := range slices.Sorted(maps.Keys(count)) {
		r := count[code]
		message := "requests refused"
		if code == resnet18cloud.CodeCancelled {
			message = "clients left before the response"
		}
		// The context is that of the first request, for the IDs of its trace.
		s.log.InfoContext(resnet18cloud.WithTrace(context.Background(), r.trace), message,
			"requests", r.requests, "code", string(code), "method", r.method, "path", r.path, "error", r.err)
	}
}

type refusalsKey struct{}

// withRefusals returns a context in which refused requests are counted.
func withRefusals(ctx context.Context, s *refusals) context.Context {
	return context.WithValue(ctx, refusalsKey{}, s)
}

// report logs a request that failed: with others of its kind if it was refused, on a line of its own otherwise, or if
// there is no server, as in tests.
func report(log *slog.Logger, r *http.Request, e *resnet18cloud.Error) {
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
