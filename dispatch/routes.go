package dispatch

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// routes is the whole surface of a dispatcher. docs/api.md describes it to users.
func (d *Dispatcher) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h httpx.HandlerFunc) { mux.Handle(pattern, httpx.Handler(d.cfg.Log, h)) }
	handle("POST /predict_async", d.opened(d.predictAsync))
	handle("POST /predict", d.opened(d.predict))
	handle("POST /predict_batch", d.opened(d.predictBatch))
	handle("GET /result/{id}", d.opened(d.result))
	handle("DELETE /result/{id}", d.opened(d.cancelResult))
	handle("GET /results", d.opened(d.results))
	handle("GET /status", d.opened(d.status))
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
