package httpx

import (
	"log/slog"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// JSONErrors serves mux. The mux's own errors (404 for an unknown path, 405 for a method) are plain text; JSONErrors
// replaces them with an [ErrorBody].
func JSONErrors(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refusal, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		told := refusalRecorder{header: w.Header()}
		refusal.ServeHTTP(&told, r)
		e := &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "No such endpoint: " + logs.Clip(r.URL.Path)}
		if told.status == http.StatusMethodNotAllowed {
			e = &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: logs.Clip(r.Method) + " is not allowed here",
				Hint: "allowed: " + w.Header().Get("Allow")}
		}
		report(slog.New(slog.DiscardHandler), r, e)
		WriteJSON(w, told.status, ErrorBody{Error: e.Message, Hint: e.Hint, Code: e.Code})
	})
}

// refusalRecorder records a handler's status and headers, and discards its body.
type refusalRecorder struct {
	header http.Header
	status int
}

func (r *refusalRecorder) Header() http.Header         { return r.header }
func (r *refusalRecorder) WriteHeader(status int)      { r.status = status }
func (r *refusalRecorder) Write(p []byte) (int, error) { return len(p), nil }
