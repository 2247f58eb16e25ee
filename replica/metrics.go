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

// stageBuckets double from 0.5 ms, decoding a small image, to 8 s, a long wait.
var stageBuckets = prometheus.ExponentialBuckets(0.0005, 2, 15)

// metrics are the metrics of one replica, in its own registry.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	stages   *prometheus.HistogramVec
}

func newMetrics(a, large *admission, uploads *httpx.Uploads, cfg Config) *metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(reg)
	m := &metrics{
		registry: reg,
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "resnet18_replica_requests_total",
			Help: "Prediction requests, by outcome: completed, or the error code.",
		}, []string{"outcome"}),
		stages: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "resnet18_replica_stage_duration_seconds",
			Help:    "Time completed images spent in each stage; stage replica is the total time including waiting.",
			Buckets: stageBuckets,
		}, []string{"stage"}),
	}
	gauge := func(name, help string, value func() int) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	gauge("resnet18_replica_requests_working", "Images being classified.", a.working)
	gauge("resnet18_replica_requests_waiting", "Accepted requests not yet started.", a.waiting)
	gauge("resnet18_replica_large_working", "Large images being classified, which take no slots of the others.", large.working)
	gauge("resnet18_replica_large_waiting", "Accepted requests with large images not yet started.", large.waiting)
	gauge("resnet18_replica_slots", "Maximum number of images classified at a time.", func() int { return cap(a.slots) })
	gauge("resnet18_replica_queue_places", "Maximum number of waiting requests.",
		func() int { return cap(a.places) - cap(a.slots) })
	gauge("resnet18_replica_upload_bytes", "Memory of images that are being received, wait or are being classified.",
		func() int { return int(uploads.Held()) })
	reg.MustRegister(modelCollector{cfg.Model})
	if cfg.Models != nil {
		reg.MustRegister(modelsCollector{cfg.Models})
	}
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

// modelCollector exports the model, which may change at run time.
type modelCollector struct{ model func() Model }

var (
	infoDesc = prometheus.NewDesc("resnet18_replica_info",
		"Always 1; the labels describe the model and version.", []string{"weights", "precision", "kernels", "version"}, nil)
	quantizationDesc = prometheus.NewDesc("resnet18_replica_quantization_state",
		"1 for the current state of automatic quantization, 0 for the others.", []string{"state"}, nil)
	comparedDesc = prometheus.NewDesc("resnet18_replica_quantization_compared_total",
		"Images classified in both int8 and fp32, by whether the best label was equal.", []string{"equal"}, nil)
	agreementDesc = prometheus.NewDesc("resnet18_replica_quantization_agreement_ratio",
		"Share of recently compared images with the same best label in int8 and fp32.", nil, nil)
)

// Describe implements prometheus.Collector.
func (modelCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{infoDesc, quantizationDesc, comparedDesc, agreementDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c modelCollector) Collect(to chan<- prometheus.Metric) {
	m := c.model()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(infoDesc, 1, m.Weights, m.Precision, m.Kernels, m.Version)
	q := m.Quantization
	if q == nil {
		return
	}
	for _, state := range q.States {
		v := 0.0
		if state == q.State {
			v = 1
		}
		gauge(quantizationDesc, v, state)
	}
	for label, n := range map[string]int{"true": q.Equal, "false": q.Compared - q.Equal} {
		to <- prometheus.MustNewConstMetric(comparedDesc, prometheus.CounterValue, float64(n), label)
	}
	if q.Agreement != nil {
		gauge(agreementDesc, *q.Agreement)
	}
}

var (
	modelsDesc = prometheus.NewDesc("resnet18_replica_models",
		"Versions of models, by what the replica does with them.", []string{"model", "state"}, nil)
	canaryDesc = prometheus.NewDesc("resnet18_replica_canary_pictures",
		"Pictures that a new version was compared with, in the comparison in progress or the last one, by outcome.", []string{"model", "version", "outcome"}, nil)
)

// modelsCollector exports the models.
type modelsCollector struct{ models Models }

// Describe implements prometheus.Collector.
func (modelsCollector) Describe(to chan<- *prometheus.Desc) {
	to <- modelsDesc
	to <- canaryDesc
}

// Collect implements prometheus.Collector.
func (c modelsCollector) Collect(to chan<- prometheus.Metric) {
	counts := map[string]map[resnet18cloud.ModelState]int{}
	last := map[[2]string]resnet18cloud.Canary{} // by model and version, of which there may be two files for a time
	for _, m := range c.models.Models().Models {
		if counts[m.Name] == nil {
			counts[m.Name] = map[resnet18cloud.ModelState]int{}
		}
		counts[m.Name][m.State]++
		if m.Canary != nil {
			last[[2]string{m.Name, m.Version}] = *m.Canary
		}
	}
	for name, states := range counts {
		for _, state := range resnet18cloud.ModelStates() {
			to <- prometheus.MustNewConstMetric(modelsDesc, prometheus.GaugeValue, float64(states[state]), name, string(state))
		}
	}
	for id, k := range last {
		for outcome, n := range map[string]int{"equal": k.Equal, "different": k.Compared - k.Equal, "failed": k.Failed, "skipped": k.Skipped} {
			to <- prometheus.MustNewConstMetric(canaryDesc, prometheus.GaugeValue, float64(n), id[0], id[1], outcome)
		}
	}
}
