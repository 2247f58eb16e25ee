package dispatch

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// What a client needs for an endpoint, if clients have keys. One of several scopes is enough.
const (
	toAll     access.Scopes = 0 // no key
	toPredict               = access.Predict
	toResults               = access.Predict | access.Read // of the same client; see owns
	toRead                  = access.Read
	toAdmin                 = access.Admin
)

// routes returns the handlers of the dispatcher's HTTP API and of the server for operators, which is nil if there is
// none: the API then has its endpoints. docs/api.md documents both for users.
func (d *Dispatcher) routes() (public, admin http.Handler) {
	mux := http.NewServeMux()
	handle := d.handlerOf(mux)
	handle("POST /predict_async", toPredict, d.whenReady(d.predictAsync))
	handle("POST /predict", toPredict, d.whenReady(d.predict))
	handle("POST /predict_batch", toPredict, d.whenReady(d.predictBatch))
	handle("GET /result/{id}", toResults, d.whenReady(d.result))
	handle("DELETE /result/{id}", toPredict, d.whenReady(d.cancelResult))
	handle("GET /results", toResults, d.whenReady(d.results))
	handle("GET /status", toRead, d.whenReady(d.status))
	d.handleHealth(mux)
	if d.cfg.Page != nil {
		mux.Handle("GET /{$}", d.cfg.Page)
		mux.Handle("GET /page/", d.cfg.Page)
	}
	if d.cfg.AdminAddr == "" {
		d.handleAdmin(mux, toRead)
		return httpx.JSONErrors(mux), nil
	}
	operators := http.NewServeMux()
	d.handleHealth(operators)
	d.handleAdmin(operators, toAll)
	httpx.HandleProfiles(operators)
	return httpx.JSONErrors(mux), httpx.JSONErrors(operators)
}

// handlerOf returns a function that adds an endpoint, and what a client needs for it.
func (d *Dispatcher) handlerOf(mux *http.ServeMux) func(pattern string, need access.Scopes, h httpx.HandlerFunc) {
	return func(pattern string, need access.Scopes, h httpx.HandlerFunc) {
		mux.Handle(pattern, httpx.Handler(d.cfg.Log, d.cfg.Access.Require(need, h)))
	}
}

// handleHealth adds the endpoints for probes. Both servers have them: where clients must show a certificate, the kubelet
// needs the one for operators.
func (d *Dispatcher) handleHealth(mux *http.ServeMux) {
	handle := d.handlerOf(mux)
	handle("GET /health", toAll, d.health)
	handle("GET /health/live", toAll, d.health)
	handle("GET /health/ready", toAll, d.healthReady)
}

// handleAdmin adds the endpoints for operators. Reading what reveals nothing about clients needs the given scope.
func (d *Dispatcher) handleAdmin(mux *http.ServeMux, reading access.Scopes) {
	handle := d.handlerOf(mux)
	handle("GET /cache/stats", reading, d.cacheStats)
	handle("POST /cache/clear", toAdmin, d.cacheClear)
	handle("GET /metrics", reading, httpx.Plain(d.recorder.metrics.handler()))
}
