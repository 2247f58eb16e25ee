package dispatch

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/openapi"
)

// What a client needs for an endpoint, if clients have keys. One of several scopes is enough.
const (
	toAll     = access.Anyone
	toPredict = access.Predict
	toResults = access.Predict | access.Read // of the same client; see owns
	toLook    = access.Predict | access.Read
	toRead    = access.Read
	toAdmin   = access.Admin
)

// routes returns the handlers of the dispatcher's HTTP API and of the server for operators, which is nil if there is
// none: the API then has its endpoints. docs/api.md documents both for users, and openapi.yaml for programs.
func (d *Dispatcher) routes() (public, admin http.Handler) {
	mux, operators := d.muxes()
	if operators == nil {
		d.recorder.metrics.http.Add(mux.Patterns())
		return httpx.JSONErrors(mux.ServeMux), nil
	}
	d.recorder.metrics.http.Add(append(mux.Patterns(), operators.Patterns()...))
	return httpx.JSONErrors(mux.ServeMux), httpx.JSONErrors(operators.ServeMux)
}

// muxes returns the endpoints of both servers.
func (d *Dispatcher) muxes() (mux, operators *access.Mux) {
	mux = access.NewMux(d.cfg.Access, d.cfg.Log)
	mux.Add("POST /predict_async", toPredict, d.whenReady(d.predictAsync))
	mux.Add("POST /predict", toPredict, d.whenReady(d.predict))
	mux.Add("POST /predict_batch", toPredict, d.whenReady(d.predictBatch))
	mux.Add("POST /embed_async", toPredict, d.whenReady(d.predictAsync))
	mux.Add("POST /embed", toPredict, d.whenReady(d.predict))
	mux.Add("POST /embed_batch", toPredict, d.whenReady(d.predictBatch))
	mux.Add("GET /labels", toPredict, d.whenReady(d.labels))
	mux.Add("GET /models", toLook, d.whenReady(d.listModels))
	mux.Add("GET /result/{id}", toResults, d.whenReady(d.result))
	mux.Add("DELETE /result/{id}", toPredict, d.whenReady(d.cancelResult))
	mux.Add("GET /result/{id}/events", toResults, d.whenReady(d.resultEvents))
	mux.Add("GET /results", toResults, d.whenReady(d.results))
	mux.Add("GET /results/events", toResults, d.whenReady(d.resultsEvents))
	mux.Add("GET /webhook-secret", toPredict, d.whenReady(d.webhookSecret))
	mux.Add("GET /status", toRead, d.whenReady(d.status))
	mux.Add("GET /dashboard/stream", toRead, d.stream)
	d.handleHealth(mux)
	d.handleOIP(mux)
	openapi.Add(mux, openAPI)
	if d.cfg.Page != nil {
		page := httpx.TextErrors(d.cfg.Page)
		mux.Handle("GET /{$}", page)
		mux.Handle("GET /page/", page)
		mux.Handle("GET /dashboard", page)
	}
	if d.cfg.AdminAddr == "" {
		d.handleAdmin(mux, toRead)
		return mux, nil
	}
	operators = access.NewMux(d.cfg.Access, d.cfg.Log)
	d.handleHealth(operators)
	d.handleAdmin(operators, toAll)
	httpx.HandleProfiles(operators.ServeMux)
	return mux, operators
}

// handleHealth adds the endpoints for probes. Both servers have them: where clients must show a certificate, the kubelet
// needs the one for operators.
func (d *Dispatcher) handleHealth(mux *access.Mux) {
	mux.Add("GET /health", toAll, d.health)
	mux.Add("GET /health/live", toAll, d.health)
	mux.Add("GET /health/ready", toAll, d.healthReady)
}

// handleAdmin adds the endpoints for operators. Reading what reveals nothing about clients needs the given scope.
func (d *Dispatcher) handleAdmin(mux *access.Mux, reading access.Scopes) {
	mux.Add("GET /cache/stats", reading, d.cacheStats)
	mux.Add("POST /cache/clear", toAdmin, d.cacheClear)
	mux.Add("GET /replicas", reading, d.replicas)
	mux.Add("PUT /replicas", toAdmin, d.setReplicas)
	mux.Add("POST /models/reload", toAdmin, d.whenReady(d.reloadModels))
	mux.Add("GET /metrics", reading, httpx.Plain(d.recorder.metrics.Handler()))
}
