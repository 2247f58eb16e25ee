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

// routes returns the handler of the dispatcher's HTTP API. docs/api.md documents it for users.
func (d *Dispatcher) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, need access.Scopes, h httpx.HandlerFunc) {
		mux.Handle(pattern, httpx.Handler(d.cfg.Log, d.cfg.Access.Require(need, h)))
	}
	handle("POST /predict_async", toPredict, d.whenReady(d.predictAsync))
	handle("POST /predict", toPredict, d.whenReady(d.predict))
	handle("POST /predict_batch", toPredict, d.whenReady(d.predictBatch))
	handle("GET /result/{id}", toResults, d.whenReady(d.result))
	handle("DELETE /result/{id}", toPredict, d.whenReady(d.cancelResult))
	handle("GET /results", toResults, d.whenReady(d.results))
	handle("GET /status", toRead, d.whenReady(d.status))
	handle("GET /cache/stats", toRead, d.cacheStats)
	handle("POST /cache/clear", toAdmin, d.cacheClear)
	handle("GET /health", toAll, d.health)
	handle("GET /health/live", toAll, d.health)
	handle("GET /health/ready", toAll, d.healthReady)
	handle("GET /metrics", toRead, httpx.Plain(d.recorder.metrics.handler()))
	if d.cfg.Page != nil {
		mux.Handle("GET /{$}", d.cfg.Page)
		mux.Handle("GET /page/", d.cfg.Page)
	}
	return httpx.JSONErrors(mux)
}
