package dispatch

import (
	"math"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// durationBuckets double from 0.5 ms, a cache hit, to 65 s, a long queue.
var durationBuckets = prometheus.ExponentialBuckets(0.0005, 2, 18)

// metrics are the metrics of one dispatcher, in its own registry.
type metrics struct {
	registry *prometheus.Registry
	accepted *prometheus.CounterVec
	refused  *prometheus.CounterVec
	limited  *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	attempts *prometheus.CounterVec
	retries  prometheus.Counter
	webhooks *prometheus.CounterVec
	stages   *prometheus.HistogramVec
	total    prometheus.Histogram
	estimate prometheus.Histogram
}

func newMetrics(d *Dispatcher) *metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(reg)
	m := &metrics{registry: reg}
	m.accepted = f.NewCounterVec(prometheus.CounterOpts{
		Name: "resnet18_dispatcher_requests_accepted_total",
		Help: "Requests accepted into the queue or answered from the cache, by priority.",
	}, []string{"priority"})
	m.refused = f.NewCounterVec(prometheus.CounterOpts{
		Name: "resnet18_dispatcher_requests_refused_total",
		Help: "Submissions rejected, by error code.",
	}, []string{"code"})
	m.limited = f.NewCounterVec(prometheus.CounterOpts{
		Name: "resnet18_dispatcher_requests_limited_total",
		Help: "Submissions rejected because of what their client has or sends, by limit: rate, in_flight, its share of the places or bytes in the queue, or the wait for its other requests; or because of the wait in the queue as a whole.",
	}, []string{"limit"})
	for _, l := range []limit{limitRate, limitInFlight, limitPlaces, limitBytes, limitWait, limitQueue} {
		m.limited.WithLabelValues(string(l))
	}
	m.outcomes = f.NewCounterVec(prometheus.CounterOpts{
		Name: "resnet18_dispatcher_requests_ended_total",
		Help: "Requests ended by this dispatcher, by outcome: completed, cached, cancelled, or the error code.",
	}, []string{"outcome"})
	m.attempts = f.NewCounterVec(prometheus.CounterOpts{
		Name: "resnet18_dispatcher_forward_attempts_total",
		Help: "Attempts to classify an image on a replica, by outcome: completed, or the error code.",
	}, []string{"outcome"})
	m.retries = f.NewCounter(prometheus.CounterOpts{
		Name: "resnet18_dispatcher_retries_total",
		Help: "Jobs returned to the queue because replicas failed or had no free slot.",
	})
	m.webhooks = f.NewCounterVec(prometheus.CounterOpts{
		Name: "resnet18_dispatcher_webhooks_total",
		Help: "Attempts to send a webhook, by outcome: delivered, retried (a later one follows) or failed (given up).",
	}, []string{"outcome"})
	for _, outcome := range []string{"delivered", "retried", "failed"} {
		m.webhooks.WithLabelValues(outcome)
	}
	m.stages = f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "resnet18_dispatcher_stage_duration_seconds",
		Help:    "Time completed requests spent in each stage; replica is the total time in the replica.",
		Buckets: durationBuckets,
	}, []string{"stage"})
	m.total = f.NewHistogram(prometheus.HistogramOpts{
		Name:    "resnet18_dispatcher_request_duration_seconds",
		Help:    "Time from the arrival of a completed request to its result.",
		Buckets: durationBuckets,
	})
	m.estimate = f.NewHistogram(prometheus.HistogramOpts{
		Name:    "resnet18_dispatcher_estimate_error_seconds",
		Help:    "Absolute difference between the estimated wait returned to clients and the actual one.",
		Buckets: durationBuckets,
	})
	m.register(f, d)
	return m
}

// register adds the metrics that are computed on each scrape.
func (m *metrics) register(f promauto.Factory, d *Dispatcher) {
	gauge := func(name, help string, labels prometheus.Labels, value func() int) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value()) })
	}
	counter := func(name, help string, value func() int64) {
		f.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	const waiting, waitingHelp = "resnet18_dispatcher_queue_waiting", "Accepted requests not yet started, across all dispatchers on the queue."
	gauge(waiting, waitingHelp, prometheus.Labels{"priority": string(resnet18cloud.PriorityInteractive)},
		func() int { return d.queueDepth().Interactive })
	gauge(waiting, waitingHelp, prometheus.Labels{"priority": string(resnet18cloud.PriorityBulk)},
		func() int { return d.queueDepth().Bulk })
	gauge("resnet18_dispatcher_queue_capacity", "Maximum number of waiting jobs.", nil, func() int { return d.cfg.QueueCapacity })
	gauge("resnet18_dispatcher_jobs_working", "Jobs that this dispatcher is processing.", nil, d.inFlight.size)
	gauge("resnet18_dispatcher_slots", "Images that healthy replicas can process at a time.", nil,
		func() int { n, _ := d.backend.Slots(); return n })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "resnet18_dispatcher_upload_bytes",
		Help: "Memory used by uploads in progress, limited by --max-upload-bytes."},
		func() float64 { return float64(d.uploads.Held()) })
	const endpoints, endpointsHelp = "resnet18_dispatcher_endpoints", "Known replicas, by health."
	for label, healthy := range map[string]bool{"true": true, "false": false} {
		gauge(endpoints, endpointsHelp, prometheus.Labels{"healthy": label}, func() (n int) {
			for _, e := range d.backend.Endpoints() {
				if e.Healthy == healthy {
					n++
				}
			}
			return n
		})
	}
	gauge("resnet18_dispatcher_cache_entries", "Number of results in the cache.", nil, func() int { return d.cache.Stats().Size })
	gauge("resnet18_dispatcher_cache_capacity", "Maximum number of results in the cache.", nil, func() int { return d.cache.Stats().MaxSize })
	counter("resnet18_dispatcher_cache_hits_total", "Cache hits on arrival of a request.", func() int64 { return d.cache.Stats().Hits })
	counter("resnet18_dispatcher_cache_misses_total", "Cache misses on arrival of a request.", func() int64 { return d.cache.Stats().Misses })
}

// handler serves the registry.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// ended records the end of a request.
func (m *metrics) ended(r store.Record) {
	switch {
	case r.Status == resnet18cloud.StatusCancelled:
		m.outcomes.WithLabelValues("cancelled").Inc()
		return
	case r.Failure != nil:
		m.outcomes.WithLabelValues(string(r.Failure.Code)).Inc()
		return
	case r.FromCache:
		m.outcomes.WithLabelValues("cached").Inc()
	default:
		m.outcomes.WithLabelValues("completed").Inc()
	}
	for _, stage := range r.Result.Timing.Stages() {
		m.stages.WithLabelValues(stage.Name).Observe(stage.Duration.Seconds())
	}
	took := r.CompletedAt.Sub(r.QueuedAt)
	m.total.Observe(took.Seconds())
	if r.Estimate > 0 {
		m.estimate.Observe(math.Abs((took - r.Estimate).Seconds()))
	}
}
