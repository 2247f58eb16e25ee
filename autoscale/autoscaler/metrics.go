package autoscaler

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the metrics of an autoscaler, in a registry of its own.
type metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	changes   *prometheus.CounterVec
	failures  prometheus.Counter
	figures   *prometheus.GaugeVec
	desired   prometheus.Gauge
	ready     prometheus.Gauge
	starting  prometheus.Gauge
	age       prometheus.Gauge
}

func newMetrics(a *Autoscaler) *metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(reg)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		registry: reg,
		decisions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "resnet18_autoscaler_decisions_total", Help: "Decisions by the rule that made them."}, []string{"rule"}),
		changes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "resnet18_autoscaler_changes_total", Help: "Changes that the scaler accepted, by direction: up or down."}, []string{"direction"}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "resnet18_autoscaler_failures_total", Help: "Intervals in which a dispatcher did not respond or the scaler failed."}),
		figures: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "resnet18_autoscaler_figure", Help: "Intermediate values of the last decision; the name ends in the unit."}, []string{"name"}),
		desired:  gauge("resnet18_autoscaler_desired_replicas", "Number of replicas by the last decision."),
		ready:    gauge("resnet18_autoscaler_ready_replicas", "Ready replicas."),
		starting: gauge("resnet18_autoscaler_starting_replicas", "Starting replicas."),
		age:      gauge("resnet18_autoscaler_figures_age_seconds", "Age of the dispatchers' metrics at the last decision; -1 if there were none."),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "resnet18_autoscaler_leading", Help: "1 if this autoscaler may set the number of replicas."},
		func() float64 {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.leading {
				return 1
			}
			return 0
		})
	m.prototype(f, a)
	return m
}

// prototype adds the gauges of the prototype's autoscaler, with its names and units: those of /status. Of several
// dispatchers they are the mean, weighted by completed images.
func (m *metrics) prototype(f promauto.Factory, a *Autoscaler) {
	for name, g := range map[string]struct {
		help  string
		value func(s *status) float64
		sum   bool
	}{
		"autoscaler_queue_size":          {"Current queue size", func(s *status) float64 { return float64(s.QueueSize) }, false},
		"autoscaler_queue_utilization":   {"Current queue utilization in percent", func(s *status) float64 { return s.QueueMetrics.QueueUtilization }, false},
		"autoscaler_avg_processing_time": {"Average processing time in seconds", func(s *status) float64 { return s.PerformanceMetrics.AvgProcessingTime }, false},
		"autoscaler_avg_queue_time":      {"Average queue time in seconds", func(s *status) float64 { return s.PerformanceMetrics.AvgQueueTime }, false},
		"autoscaler_error_rate":          {"Error rate in percent", func(s *status) float64 { return s.HealthMetrics.ErrorRate }, false},
		"autoscaler_throughput":          {"Request throughput per second", func(s *status) float64 { return s.PerformanceMetrics.Throughput }, true},
	} {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: g.help + ", as in the prototype."}, func() float64 {
			sum, weights := 0.0, 0.0
			for _, s := range a.collect.view() {
				weight := 1 + float64(s.SuccessfulRequests)
				if g.sum {
					weight = 1
				}
				sum, weights = sum+weight*g.value(s), weights+weight
			}
			if weights == 0 || g.sum {
				return sum
			}
			return sum / weights
		})
	}
}

// decided records a decision.
func (m *metrics) decided(r Record) {
	m.decisions.WithLabelValues(string(r.Because().Rule)).Inc()
	if r.Applied {
		direction := "up"
		if r.Replicas < r.Was {
			direction = "down"
		}
		m.changes.WithLabelValues(direction).Inc()
	}
	for _, f := range r.Figures {
		m.figures.WithLabelValues(f.Name).Set(f.Value)
	}
	m.desired.Set(float64(r.Replicas))
	m.ready.Set(float64(r.Ready))
	m.starting.Set(float64(r.Starting))
	m.age.Set(r.Age)
}

// handler serves the registry.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}
