package access

import (
	"log/slog"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Anyone is the need of endpoints that require no key.
const Anyone Scopes = 0

// Mux is an http.ServeMux that knows what clients need for its endpoints.
type Mux struct {
	*http.ServeMux
	guard    *Guard
	log      *slog.Logger
	patterns []string
}

// NewMux returns a Mux without endpoints. A nil guard admits everyone. The log receives the errors of handlers.
func NewMux(guard *Guard, log *slog.Logger) *Mux { return &Mux{http.NewServeMux(), guard, log, nil} }

// Add adds an endpoint by its pattern, such as "GET /status", for clients with at least one of the scopes in need. It
// panics like http.ServeMux if the pattern is invalid or taken.
func (m *Mux) Add(pattern string, need Scopes, h httpx.HandlerFunc) {
	m.Handle(pattern, httpx.Handler(m.log, m.guard.Require(need, h)))
}

// Handle adds an endpoint that needs no key.
func (m *Mux) Handle(pattern string, h http.Handler) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.Handle(pattern, h)
}

// Patterns returns the patterns of Add and Handle.
func (m *Mux) Patterns() []string { return m.patterns }
