package access

import (
	"log/slog"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Anyone is the need of endpoints that require no key.
const Anyone Scopes = 0

// Mux is an http.ServeMux that knows what clients need for its endpoints. Handlers that are added to the embedded
// ServeMux need no key.
type Mux struct {
	*http.ServeMux
	guard *Guard
	log   *slog.Logger
}

// NewMux returns a Mux without endpoints. A nil guard admits everyone. The log receives the errors of handlers.
func NewMux(guard *Guard, log *slog.Logger) *Mux { return &Mux{http.NewServeMux(), guard, log} }

// Add adds an endpoint by its pattern, such as "GET /status", for clients with at least one of the scopes in need. It
// panics like http.ServeMux if the pattern is invalid or taken.
func (m *Mux) Add(pattern string, need Scopes, h httpx.HandlerFunc) {
	m.Handle(pattern, httpx.Handler(m.log, m.guard.Require(need, h)))
}
