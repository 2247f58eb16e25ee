package httpx

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// JSONErrors serves mux. The mux's own errors (404 for an unknown path, 405 for a method) are plain text; JSONErrors
// replaces them with an [ErrorBody]. A path such as //status is redirected only if there is an endpoint at its shorter form.
func JSONErrors(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refusal, pattern := mux.Handler(r)
		if pattern != "" {
			noteRoute(r, pattern)
			mux.ServeHTTP(w, r)
			return
		}
		told := refusalRecorder{header: w.Header()}
		refusal.ServeHTTP(&told, r)
		if told.status != http.StatusMethodNotAllowed { // not found, or a redirect to what is not found
			w.Header().Del("Location")
			told.status = http.StatusNotFound
		}
		writeTextError(w, r, told.status, "endpoint")
	})
}

// TextErrors serves h, for example a file server, and replaces its errors in plain text, those of [http.Error], with an
// [ErrorBody].
func TextErrors(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&textErrorWriter{ResponseWriter: w, request: r}, r)
	})
}

// textErrorWriter is the writer for the handler of TextErrors.
type textErrorWriter struct {
	http.ResponseWriter
	request  *http.Request
	replaced bool // the response is an ErrorBody: the handler's text is discarded
}

func (w *textErrorWriter) WriteHeader(status int) {
	if w.replaced {
		return
	}
	if status < http.StatusBadRequest || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.replaced = true
	writeTextError(w.ResponseWriter, w.request, status, "file")
}

func (w *textErrorWriter) Write(p []byte) (int, error) {
	if w.replaced {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *textErrorWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// writeTextError writes and reports an error of net/http's own. what is what a path stands for.
func writeTextError(w http.ResponseWriter, r *http.Request, status int, what string) {
	e := &resnet18cloud.Error{Code: CodeOf(status), Message: http.StatusText(status)}
	switch status {
	case http.StatusNotFound:
		e.Message = "No such " + what + ": " + logs.Clip(r.URL.Path)
	case http.StatusMethodNotAllowed:
		e.Message, e.Hint = logs.Clip(r.Method)+" is not allowed here", "allowed: "+w.Header().Get("Allow")
	}
	report(slog.New(slog.DiscardHandler), r, e)
	writeErrorBody(w, r, status, ErrorBody{Error: e.Message, Hint: e.Hint, Code: e.Code})
}

// refusalRecorder records a handler's status and headers, and discards its body.
type refusalRecorder struct {
	header http.Header
	status int
}

func (r *refusalRecorder) Header() http.Header         { return r.header }
func (r *refusalRecorder) WriteHeader(status int)      { r.status = status }
func (r *refusalRecorder) Write(p []byte) (int, error) { return len(p), nil }
