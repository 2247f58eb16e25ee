package httpx

import (
	"context"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Served is what a server did with a request, for metrics.
type Served struct {
	Method string             // of the request
	Route  string             // pattern of the endpoint, such as "POST /predict"; empty if the request reached none
	Status int                // of the response; for gRPC, that of Code
	Code   resnet18cloud.Code // of the error that the response has; empty if it has none
	Took   time.Duration      // until the response was written, or the client has left
}

type servedKey struct{}

// Observed calls observe after each request that next has handled. The endpoints below next are those of [JSONErrors], which
// tells the route, and the errors those of [Handler], [GRPC] and [JSONErrors].
func Observed(next http.Handler, observe func(ctx context.Context, s Served)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &Served{Method: r.Method}
		start := time.Now()
		defer func() { // also of a handler that panics, to close the connection
			if s.Status == 0 {
				s.Status = http.StatusOK
			}
			if s.Code != "" && s.Status < http.StatusBadRequest { // gRPC has its status in trailers
				s.Status = Status(s.Code)
			}
			s.Took = time.Since(start)
			observe(r.Context(), *s)
		}()
		next.ServeHTTP(&statusWriter{ResponseWriter: w, served: s}, r.WithContext(context.WithValue(r.Context(), servedKey{}, s)))
	})
}

// noteRoute records the endpoint that handles a request.
func noteRoute(r *http.Request, pattern string) {
	if s, ok := r.Context().Value(servedKey{}).(*Served); ok {
		s.Route = pattern
	}
}

// noteCode records the error with which a request is answered.
func noteCode(r *http.Request, code resnet18cloud.Code) {
	if s, ok := r.Context().Value(servedKey{}).(*Served); ok {
		s.Code = code
	}
}

// statusWriter records the status of a response.
type statusWriter struct {
	http.ResponseWriter
	served *Served
}

// WriteHeader implements http.ResponseWriter. Informational responses precede the one that counts.
func (w *statusWriter) WriteHeader(status int) {
	if w.served.Status == 0 && status >= http.StatusOK {
		w.served.Status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
