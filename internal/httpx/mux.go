package httpx

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
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
		body := ErrorBody{Error: "No such endpoint: " + r.URL.Path, Code: resnet18cloud.CodeNotFound}
		if told.status == http.StatusMethodNotAllowed {
			body = ErrorBody{Error: r.Method + " is not allowed here", Hint: "allowed: " + w.Header().Get("Allow"),
				Code: resnet18cloud.CodeInvalid}
		}
		WriteJSON(w, told.status, body)
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
