package replica

import (
	"net/http"
	"os"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// endpoints are the paths of a replica, as listed in /info.
var endpoints = []string{"/predict", "/health", "/health/live", "/health/ready", "/info", "/metrics"}

// routes returns the handler of the replica's HTTP API.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, need access.Scopes, h httpx.HandlerFunc) {
		mux.Handle(pattern, httpx.Handler(s.cfg.Log, s.cfg.Access.Require(need, h)))
	}
	const all access.Scopes = 0 // no key
	handle("POST /predict", access.Predict, s.metrics.counted(s.predict))
	handle("GET /health", all, s.health)
	handle("GET /health/live", all, s.health)
	handle("GET /health/ready", all, s.healthReady)
	handle("GET /info", access.Predict, s.info) // dispatchers detect a wrong key by it
	handle("GET /metrics", access.Read, httpx.Plain(s.metrics.handler()))
	return httpx.JSONErrors(mux)
}

// healthBody is the prototype's response to GET /health.
type healthBody struct {
	Model  string `json:"model"`
	Status string `json:"status"`
}

// health reports that the process is alive.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, healthBody{Model: "resnet18", Status: "healthy"})
	return nil
}

// readyBody is the response of a ready replica. The process ID tells the process that started the replica that the response
// does not come from another process on the same port.
type readyBody struct {
	healthBody
	PID int `json:"pid"`
}

// healthReady reports whether to send images to this replica: not before the warm-up. While draining, the listener is
// closed, which has the same effect.
func (s *Server) healthReady(w http.ResponseWriter, _ *http.Request) error {
	select {
	case <-s.ready:
		httpx.WriteJSON(w, http.StatusOK, readyBody{healthBody{Model: "resnet18", Status: "ready"}, os.Getpid()})
	default: // a regular response, not an error to log
		httpx.WriteError(w, &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "Replica is starting"})
	}
	return nil
}

// Info is the JSON of GET /info. The first five fields are the prototype's.
type Info struct {
	Model       string   `json:"model"`
	Framework   string   `json:"framework"`
	InputSize   string   `json:"input_size"`
	Classes     int      `json:"classes"`
	Endpoints   []string `json:"endpoints"`
	Weights     string   `json:"weights"`
	Precision   string   `json:"precision"`
	Kernels     string   `json:"kernels"`
	Concurrency int      `json:"concurrency"` // images processed at a time
	Queue       int      `json:"queue"`       // maximum number of waiting requests
	Version     string   `json:"version,omitempty"`
	Warning     string   `json:"warning,omitempty"`

	Quantization *Quantization `json:"quantization,omitempty"`
}

// info returns the description of the model and the replica's capacity.
func (s *Server) info(w http.ResponseWriter, _ *http.Request) error {
	m := s.cfg.Model()
	httpx.WriteJSON(w, http.StatusOK, Info{
		Model: "resnet18", Framework: "resnet18cloud (Go)", InputSize: "224x224", Classes: 1000,
		Endpoints: endpoints, Weights: m.Weights, Precision: m.Precision, Kernels: m.Kernels,
		Concurrency: s.cfg.Concurrency, Queue: s.cfg.Queue, Version: m.Version, Warning: m.Warning,
		Quantization: m.Quantization,
	})
	return nil
}
