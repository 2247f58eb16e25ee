package dispatch

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// routes returns the handlers of the dispatcher's HTTP API and of the server for operators, which is nil if there is
// none: the API then has its endpoints. docs/api.md documents both for users.
func (d *Dispatcher) routes() (public, admin http.Handler) {
	mux := http.NewServeMux()
	handle := func(pattern string, h httpx.HandlerFunc) { mux.Handle(pattern, httpx.Handler(d.cfg.Log, h)) }
	handle("POST /predict_async", d.whenReady(d.predictAsync))
	handle("POST /predict", d.whenReady(d.predict))
	handle("POST /predict_batch", d.whenReady(d.predictBatch))
	handle("GET /result/{id}", d.whenReady(d.result))
	handle("DELETE /result/{id}", d.whenReady(d.cancelResult))
	handle("GET /results", d.whenReady(d.results))
	handle("GET /status", d.whenReady(d.status))
	d.handleHealth(mux)
	if d.cfg.Page != nil {
		mux.Handle("GET /{$}", d.cfg.Page)
		mux.Handle("GET /page/", d.cfg.Page)
	}
	if d.cfg.AdminAddr == "" {
		d.handleAdmin(mux)
		return httpx.JSONErrors(mux), nil
	}
	operators := http.NewServeMux()
	d.handleHealth(operators)
	d.handleAdmin(operators)
	httpx.HandleProfiles(operators)
	return httpx.JSONErrors(mux), httpx.JSONErrors(operators)
}

// handleHealth adds the endpoints for probes. Both servers have them: where clients must show a certificate, the kubelet
// needs the one for operators.
func (d *Dispatcher) handleHealth(mux *http.ServeMux) {
	handle := func(pattern string, h httpx.HandlerFunc) { mux.Handle(pattern, httpx.Handler(d.cfg.Log, h)) }
	handle("GET /health", d.health)
	handle("GET /health/live", d.health)
	handle("GET /health/ready", d.healthReady)
}

// handleAdmin adds the endpoints for operators.
func (d *Dispatcher) handleAdmin(mux *http.ServeMux) {
	handle := func(pattern string, h httpx.HandlerFunc) { mux.Handle(pattern, httpx.Handler(d.cfg.Log, h)) }
	handle("GET /cache/stats", d.cacheStats)
	handle("POST /cache/clear", d.cacheClear)
	mux.Handle("GET /metrics", d.recorder.metrics.handler())
}
