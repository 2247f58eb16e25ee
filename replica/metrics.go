package replica

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/metrics"
)

// replicaMetrics are the metrics of one replica, in its own registry. docs/metrics.md lists them for users.
type replicaMetrics struct {
	*metrics.Set
	requests *prometheus.CounterVec
	stages   *prometheus.HistogramVec
	http     *metrics.Requests
}

// outcomeCompleted is the outcome of a request that got its answer.
const outcomeCompleted = "completed"

func newMetrics(a, large *admission, uploads *httpx.Uploads, s *Server) *replicaMetrics {
	set := metrics.New("replica", metrics.Build{Version: s.cfg.Model().Version, Revision: s.cfg.Revision})
	m := &replicaMetrics{Set: set, http: set.Requests()}
	m.requests = set.Counters("requests_total", "Prediction requests, by outcome: completed, or the error code.",
		"outcome", append([]string{outcomeCompleted}, metrics.Values(resnet18cloud.Codes()...)...))
	m.stages = set.Histograms("stage_duration_seconds",
		"Time completed images spent in each stage; stage replica is the total time including waiting.", metrics.Durations(),
		"stage", []string{"replica", "decode", "preprocess", "inference"})
	set.Gauge("requests_working", "Images being classified.", metrics.Number(a.working))
	set.Gauge("requests_waiting", "Accepted requests not yet started.", metrics.Number(a.waiting))
	set.Gauge("large_working", "Large images being classified, and those found to be slow, which take no slots of the others.", metrics.Number(large.working))
	set.Gauge("large_waiting", "Accepted requests with large images not yet started.", metrics.Number(large.waiting))
	set.Gauge("slots", "Maximum number of images classified at a time.", func() float64 { return float64(cap(a.slots)) })
	set.Gauge("queue_places", "Maximum number of waiting requests.", func() float64 { return float64(cap(a.places) - cap(a.slots)) })
	set.Counter("busy_seconds_total", "Time for which slots were taken: its rate divided by the slots is the utilization. Large images do not count.",
		func() float64 { return a.busyTime().Seconds() })
	set.Gauge("uploads", "Images being received.", metrics.Number(uploads.Receiving))
	set.Gauge("upload_bytes", "Memory of images that are being received, wait or are being classified.", metrics.Number(uploads.Held))
	set.Gauge("upload_capacity_bytes", "Maximum memory of uploads.", metrics.Number(uploads.Limit))
	set.Gauge("connections", "Open connections of clients.", metrics.Number(s.http.Connections))
	set.Gauge("connections_capacity", "Maximum number of connections; 0 before the server runs.", metrics.Number(s.http.ConnectionLimit))
	set.Gauge("load_duration_seconds", "Time to find, read, check and pack the weights at the start.", s.cfg.LoadTime.Seconds)
	set.MustRegister(modelCollector{s.cfg.Model})
	if s.cfg.Models != nil {
		set.MustRegister(modelsCollector{s.cfg.Models})
	}
	return m
}

// counted counts h's requests by outcome.
func (m *replicaMetrics) counted(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		outcome := outcomeCompleted
		if err != nil {
			outcome = string(resnet18cloud.AsError(err).Code)
		}
		m.requests.WithLabelValues(outcome).Inc()
		return err
	}
}

// observe records the stages of a completed image.
func (m *replicaMetrics) observe(ctx context.Context, t resnet18cloud.Timing) {
	for _, stage := range t.Stages() {
		metrics.Observe(ctx, m.stages.WithLabelValues(stage.Name), stage.Duration)
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
		"Images classified in fp32 and in int8 or bf16, by whether the best label was equal.", []string{"equal"}, nil)
	agreementDesc = prometheus.NewDesc("resnet18_replica_quantization_agreement_ratio",
		"Share of recently compared images with the same best label in fp32 and in int8 or bf16.", nil, nil)
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
