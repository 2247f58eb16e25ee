package replica

import (
	"fmt"
	"net/http"
	"os"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/openapi"
)

// endpoints are the paths of a replica, as listed in /info. With a server for operators, that one has /metrics.
var endpoints = []string{"/predict", "/embed", "/labels", "/models", "/health", "/health/live", "/health/ready", "/info", "/metrics"}

// routes returns the handlers of the replica's HTTP API and of the server for operators, which is nil if there is none.
func (s *Server) routes() (public, admin http.Handler) {
	mux, operators := s.muxes()
	if operators == nil {
		s.metrics.http.Add(mux.Patterns())
		return httpx.JSONErrors(mux.ServeMux), nil
	}
	s.metrics.http.Add(append(mux.Patterns(), operators.Patterns()...))
	return httpx.JSONErrors(mux.ServeMux), httpx.JSONErrors(operators.ServeMux)
}

// muxes returns the endpoints of both servers.
func (s *Server) muxes() (mux, operators *access.Mux) {
	mux = access.NewMux(s.cfg.Access, s.cfg.Log)
	mux.Add("POST /predict", access.Predict, s.metrics.counted(s.predict))
	mux.Add("POST /embed", access.Predict, s.metrics.counted(s.predict))
	mux.Add("GET /labels", access.Predict, s.labels)
	mux.Add("GET /info", access.Predict, s.info) // dispatchers detect a wrong key by it
	mux.Add("GET /models", access.Predict|access.Read, s.models)
	if s.cfg.Models != nil {
		mux.Add("POST /models/reload", access.Admin, s.reloadModels)
	}
	s.handleHealth(mux)
	s.handleOIP(mux)
	openapi.Add(mux, openAPI)
	if s.cfg.AdminAddr == "" {
		mux.Add("GET /metrics", access.Read, httpx.Plain(s.metrics.Handler()))
		return mux, nil
	}
	operators = access.NewMux(s.cfg.Access, s.cfg.Log)
	s.handleHealth(operators)
	operators.Add("GET /metrics", access.Anyone, httpx.Plain(s.metrics.Handler()))
	httpx.HandleProfiles(operators.ServeMux)
	return mux, operators
}

// handleHealth adds the endpoints for probes. Both servers have them: where clients must show a certificate, the kubelet
// needs the one for operators.
func (s *Server) handleHealth(mux *access.Mux) {
	mux.Add("GET /health", access.Anyone, s.health)
	mux.Add("GET /health/live", access.Anyone, s.health)
	mux.Add("GET /health/ready", access.Anyone, s.healthReady)
}

// modelName stands for the model in paths and in the prototype's responses, whatever the name of its weights.
const modelName = "resnet18"

// healthBody is the prototype's response to GET /health.
type healthBody struct {
	Model  string `json:"model"`
	Status string `json:"status"`
}

// health reports that the process is alive.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, healthBody{Model: modelName, Status: "healthy"})
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
func (s *Server) healthReady(w http.ResponseWriter, r *http.Request) error {
	select {
	case <-s.ready:
		httpx.WriteJSON(w, http.StatusOK, readyBody{healthBody{Model: modelName, Status: "ready"}, os.Getpid()})
	default: // a regular response, not an error to log
		httpx.WriteError(w, r, &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "Replica is starting"})
	}
	return nil
}

// Info is the JSON of GET /info. The first five fields are the prototype's.
type Info struct {
	Model           string   `json:"model"`
	Framework       string   `json:"framework"`
	InputSize       string   `json:"input_size"`
	Classes         int      `json:"classes"`
	Endpoints       []string `json:"endpoints"`
	Weights         string   `json:"weights"`
	Precision       string   `json:"precision"`
	PrecisionReason string   `json:"precision_reason,omitempty"` // what --precision auto chose, and why
	Kernels         string   `json:"kernels"`
	Concurrency     int      `json:"concurrency"` // images processed at a time
	Queue           int      `json:"queue"`       // maximum number of waiting requests
	Version         string   `json:"version,omitempty"`
	Warning         string   `json:"warning,omitempty"`
	Notes           []string `json:"notes,omitempty"` // about the model, for people

	ModelInfo    *resnet18cloud.ModelInfo `json:"model_info,omitempty"`
	Quantization *Quantization            `json:"quantization,omitempty"`
}

// info returns the description of the model and the replica's capacity.
func (s *Server) info(w http.ResponseWriter, _ *http.Request) error {
	m := s.cfg.Model()
	if m.InputSize == 0 {
		m.InputSize, m.Info.Classes = 224, 1000
	}
	httpx.WriteJSON(w, http.StatusOK, Info{
		Model: modelName, Framework: "resnet18cloud (Go)", InputSize: fmt.Sprintf("%dx%d", m.InputSize, m.InputSize), Classes: m.Info.Classes,
		Endpoints: endpoints, Weights: m.Weights, Precision: m.Precision, PrecisionReason: m.PrecisionReason, Kernels: m.Kernels,
		Concurrency: s.cfg.Concurrency, Queue: s.cfg.Queue, Version: m.Version, Warning: m.Warning,
		Quantization: m.Quantization, Notes: m.Notes, ModelInfo: described(m.Info),
	})
	return nil
}

// described returns nil for a model that nobody has described.
func described(i resnet18cloud.ModelInfo) *resnet18cloud.ModelInfo {
	if i.Name == "" {
		return nil
	}
	return &i
}

// labels returns the classes of the model: GET /labels.
func (s *Server) labels(w http.ResponseWriter, r *http.Request) error {
	if err := httpx.CheckQuery(r, "model"); err != nil {
		return err
	}
	want, err := resnet18cloud.ParseWant("/predict", r.URL.Query())
	if err == nil {
		err = s.checkModel(r.Context(), want)
	}
	if err != nil {
		return err
	}
	c, release := s.classifier, func() {}
	if s.cfg.Models != nil {
		if c, _, release, err = s.cfg.Models.Hold(want.Model); err != nil {
			return err
		}
	}
	defer release()
	l, ok := c.(resnet18cloud.Labeler)
	if !ok {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "The classes are not known"}
	}
	classes, err := l.Labels(r.Context())
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, classes)
	return nil
}
