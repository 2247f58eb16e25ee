package dispatch

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// routes returns the handler of the dispatcher's HTTP API. docs/api.md documents it for users.
func (d *Dispatcher) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h httpx.HandlerFunc) { mux.Handle(pattern, httpx.Handler(d.cfg.Log, h)) }
	handle("POST /predict_async", d.whenReady(d.predictAsync))
	handle("POST /predict", d.whenReady(d.predict))
	handle("POST /predict_batch", d.whenReady(d.predictBatch))
	handle("GET /result/{id}", d.whenReady(d.result))
	handle("DELETE /result/{id}", d.whenReady(d.cancelResult))
	handle("GET /results", d.whenReady(d.results))
	handle("GET /status", d.whenReady(d.status))
	handle("GET /cache/stats", d.cacheStats)
	handle("POST /cache/clear", d.cacheClear)
	handle("GET /health", d.health)
	handle("GET /health/live", d.health)
	handle("GET /health/ready", d.healthReady)
	mux.Handle("GET /metrics", d.recorder.metrics.handler())
	if d.cfg.Page != nil {
		mux.Handle("GET /{$}", d.cfg.Page)
		mux.Handle("GET /page/", d.cfg.Page)
	}
	return httpx.JSONErrors(mux)
}
