package replica

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// stageBuckets reach from a small image's decoding to a long wait, doubling: 0.5 ms to 8 s.
var stageBuckets = prometheus.ExponentialBuckets(0.0005, 2, 15)

// metrics are what a replica measures of itself, in a registry of its own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	stages   *prometheus.HistogramVec
}

func newMetrics(l *line, cfg Config) *metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(reg)
	m := &metrics{
		registry: reg,
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "resnet18_replica_requests_total",
			Help: "Images asked for, by outcome: completed, or the code of the error.",
		}, []string{"outcome"}),
		stages: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "resnet18_replica_stage_duration_seconds",
			Help:    "Time completed images spent in each stage; stage replica is their whole stay, waiting included.",
			Buckets: stageBuckets,
		}, []string{"stage"}),
	}
	gauge := func(name, help string, value func() int) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	gauge("resnet18_replica_requests_working", "Images being classified now.", l.working)
	gauge("resnet18_replica_requests_waiting", "Requests in the house that no worker has taken yet.", l.waiting)
	gauge("resnet18_replica_slots", "Images that can be classified at a time.", func() int { return cap(l.slots) })
	gauge("resnet18_replica_queue_places", "Requests that may wait behind those.",
		func() int { return cap(l.places) - cap(l.slots) })
	f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "resnet18_replica_info",
		Help: "Always 1; the labels say what this replica runs.",
	}, []string{"weights", "precision", "kernels", "version"}).
		WithLabelValues(cfg.Model.Weights, cfg.Model.Precision, cfg.Model.Kernels, cfg.Model.Version).Set(1)
	return m
}

// handler serves the registry.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// counted counts h's requests by outcome.
func (m *metrics) counted(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		outcome := "completed"
		if err != nil {
			outcome = string(resnet18cloud.AsError(err).Code)
		}
		m.requests.WithLabelValues(outcome).Inc()
		return err
	}
}

// observe records the stages of a completed image.
func (m *metrics) observe(t resnet18cloud.Timing) {
	for _, stage := range t.Stages() {
		m.stages.WithLabelValues(stage.Name).Observe(stage.Duration.Seconds())
	}
}
