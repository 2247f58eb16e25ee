package dispatch

import (
	"context"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/metrics"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// dispatcherMetrics are the metrics of one dispatcher, in its own registry. docs/metrics.md lists them for users.
type dispatcherMetrics struct {
	*metrics.Set
	accepted    *prometheus.CounterVec
	refused     *prometheus.CounterVec
	limited     *prometheus.CounterVec
	outcomes    *prometheus.CounterVec
	attempts    *prometheus.CounterVec
	redelivered prometheus.Counter
	retries     prometheus.Counter
	webhooks    *prometheus.CounterVec
	stages      *prometheus.HistogramVec
	total       *prometheus.HistogramVec
	estimate    *prometheus.HistogramVec
	storage     *prometheus.CounterVec // errors
	restarts    prometheus.Counter
	http        *metrics.Requests
}

// The label values of the dispatcher's own metrics, beside codes and stages.
const (
	outcomeCompleted = "completed"
	outcomeCached    = "cached"

	early = "early" // the result came before the estimate
	late  = "late"
)

// What the storage was asked for when it failed.
const (
	storageProbe  = "probe"  // to check that it accepts writes
	storageSubmit = "submit" // to store an image or its record, or to read one for a client
	storageTake   = "take"   // to deliver an image
	storageResult = "result" // to store a result
)

func newMetrics(d *Dispatcher) *dispatcherMetrics {
	s := metrics.New("dispatcher", metrics.Build{Version: d.cfg.Version, Revision: d.cfg.Revision})
	codes := metrics.Values(resnet18cloud.Codes()...)
	priorities := metrics.Values(resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk)
	m := &dispatcherMetrics{Set: s, http: s.Requests()}
	m.accepted = s.Counters("requests_accepted_total",
		"Requests accepted into the queue or answered from the cache, by priority.", "priority", priorities)
	m.refused = s.Counters("requests_refused_total",
		"Images refused when they were submitted, by error code. Errors before that, such as of uploads and keys, are in http_errors_total.", "code", codes)
	m.limited = s.Counters("requests_limited_total",
		"Images refused because of what their client has or sends, by limit: rate, in_flight, its share of the places or bytes in the queue, or the wait for its other requests; or because of the wait in the queue as a whole.",
		"limit", metrics.Values(limitRate, limitInFlight, limitPlaces, limitBytes, limitWait, limitQueue))
	m.outcomes = s.Counters("requests_ended_total",
		"Requests ended by this dispatcher, by outcome: completed, cached, cancelled, or the error code.",
		"outcome", append([]string{outcomeCompleted, outcomeCached}, codes...))
	m.attempts = s.Counters("forward_attempts_total",
		"Attempts to classify an image on a replica, by outcome: completed, or the error code.",
		"outcome", append([]string{outcomeCompleted}, codes...))
	m.retries = counter(s, "retries_total", "Jobs returned to the queue because replicas failed or had no free slot.")
	m.redelivered = counter(s, "queue_redeliveries_total",
		"Jobs that the queue has delivered to this dispatcher and that were delivered before, here or elsewhere: after a retry, or without heartbeats of their dispatcher.")
	m.webhooks = s.Counters("webhooks_total",
		"Attempts to send a webhook, by outcome: delivered, retried (a later one follows) or failed (given up).",
		"outcome", []string{"delivered", "retried", "failed"})
	m.stages = s.Histograms("stage_duration_seconds",
		"Time completed requests spent in each stage; replica is the total time in the replica.",
		metrics.Durations(), "stage", resnet18cloud.StageNames())
	m.total = s.Histograms("request_duration_seconds",
		"Time from the arrival of a completed request to its result, by priority.", metrics.Durations(), "priority", priorities)
	m.estimate = s.Histograms("estimate_error_seconds",
		"Difference between the estimated wait returned to clients and the actual one, by direction: the result came early, or late.",
		metrics.Durations(), "direction", []string{early, late})
	m.storage = s.Counters("storage_errors_total",
		"Failed operations of queue and results, by what was to be done: probe, submit, take (a job), result (store one).",
		"operation", []string{storageProbe, storageSubmit, storageTake, storageResult})
	m.restarts = counter(s, "storage_restarts_total", "Restarts of the built-in NATS server after write errors.")
	m.register(d)
	return m
}

// counter makes a counter without labels.
func counter(s *metrics.Set, name, help string) prometheus.Counter {
	return s.NewCounter(prometheus.CounterOpts{Name: "resnet18_dispatcher_" + name, Help: help})
}

// register adds the metrics that are read at each scrape.
func (m *dispatcherMetrics) register(d *Dispatcher) {
	labelled := func(name, help, label string, values map[string]func() float64) {
		for v, read := range values {
			m.NewGaugeFunc(prometheus.GaugeOpts{Name: "resnet18_dispatcher_" + name, Help: help, ConstLabels: prometheus.Labels{label: v}}, read)
		}
	}
	labelled("queue_waiting", "Accepted requests not yet started, across all dispatchers on the queue.", "priority", map[string]func() float64{
		string(resnet18cloud.PriorityInteractive): func() float64 { return float64(d.queueDepth().Interactive) },
		string(resnet18cloud.PriorityBulk):        func() float64 { return float64(d.queueDepth().Bulk) },
	})
	m.Gauge("queue_capacity", "Maximum number of waiting jobs.", func() float64 { return float64(d.cfg.QueueCapacity) })
	m.MustRegister(queueCollector{d})
	m.Gauge("jobs_working", "Jobs that this dispatcher is processing.", metrics.Number(d.inFlight.size))
	m.Gauge("slots", "Images that healthy replicas can process at a time.", func() float64 { n, _ := d.backend.Slots(); return float64(n) })
	endpoints := func(healthy bool) func() float64 {
		return func() (n float64) {
			for _, e := range d.backend.Endpoints() {
				if e.Healthy == healthy {
					n++
				}
			}
			return n
		}
	}
	labelled("endpoints", "Known replicas, by health.", "healthy", map[string]func() float64{"true": endpoints(true), "false": endpoints(false)})
	m.Gauge("cache_entries", "Number of results in the cache.", func() float64 { return float64(d.cache.Stats().Size) })
	m.Gauge("cache_capacity", "Maximum number of results in the cache.", func() float64 { return float64(d.cache.Stats().MaxSize) })
	m.Counter("cache_hits_total", "Cache hits on arrival of a request.", func() float64 { return float64(d.cache.Stats().Hits) })
	m.Counter("cache_misses_total", "Cache misses on arrival of a request.", func() float64 { return float64(d.cache.Stats().Misses) })
	m.Gauge("uploads", "Images being received.", metrics.Number(d.uploads.Receiving))
	m.Gauge("upload_bytes", "Memory used by uploads in progress, limited by --max-upload-bytes.", metrics.Number(d.uploads.Held))
	m.Gauge("upload_capacity_bytes", "Maximum memory of uploads.", metrics.Number(d.uploads.Limit))
	m.Gauge("connections", "Open connections of clients.", metrics.Number(d.http.Connections))
	m.Gauge("connections_capacity", "Maximum number of connections; 0 before the server runs.", metrics.Number(d.http.ConnectionLimit))
	m.registerStorage(d, labelled)
}

// registerStorage adds the metrics of queue and results, and of the connection to NATS if they are there.
func (m *dispatcherMetrics) registerStorage(d *Dispatcher, labelled func(name, help, label string, values map[string]func() float64)) {
	m.Gauge("storage_writable", "1 if queue and results accept writes, else 0.", metrics.Bool(func() bool { return d.isReady() && d.monitor.Problem() == nil }))
	if d.cfg.Queue != nil { // in memory
		return
	}
	labelled("storage_bytes", "Size of what queue and results store, as of the last seconds.", "store", map[string]func() float64{
		"queue":   func() float64 { return float64(d.monitor.size("queue")) },
		"results": func() float64 { return float64(d.monitor.size("results")) },
	})
	labelled("storage_capacity_bytes", "Maximum size of queue and results. A full queue refuses images; results drop the oldest.", "store", map[string]func() float64{
		"queue":   func() float64 { return float64(d.monitor.capacity().queue) },
		"results": func() float64 { return float64(d.monitor.capacity().results) },
	})
	if d.cfg.NATS.URL == "" {
		m.Gauge("storage_free_bytes", "Free space on the disk of the built-in NATS server; NaN while it is unknown.", func() float64 {
			if free := d.monitor.free(); free >= 0 {
				return float64(free)
			}
			return math.NaN()
		})
	}
	conn := func(read func(*natsconn.Conn) float64) func() float64 {
		return func() float64 {
			if c := d.monitor.conn.Load(); c != nil {
				return read(c)
			}
			return 0
		}
	}
	m.Gauge("nats_connected", "1 if there is a connection to NATS, else 0.", conn(func(c *natsconn.Conn) float64 { return metrics.Bool(c.Connected)() }))
	m.Counter("nats_disconnects_total", "Lost connections to NATS.", conn(func(c *natsconn.Conn) float64 { return float64(c.Disconnects()) }))
}

// queueInfo describes the queue, of which several dispatchers may have the same.
var queueInfo = prometheus.NewDesc("resnet18_dispatcher_queue_info",
	"Always 1; the label is the same for dispatchers that share a queue, and for no others.", []string{"queue"}, nil)

// queueCollector exports the identity of the queue, once it is open.
type queueCollector struct{ d *Dispatcher }

// Describe implements prometheus.Collector.
func (queueCollector) Describe(to chan<- *prometheus.Desc) { to <- queueInfo }

// Collect implements prometheus.Collector.
func (c queueCollector) Collect(to chan<- prometheus.Metric) {
	if !c.d.isReady() {
		return
	}
	to <- prometheus.MustNewConstMetric(queueInfo, prometheus.GaugeValue, 1, c.d.queueID())
}

// ended records the end of a request.
func (m *dispatcherMetrics) ended(ctx context.Context, r store.Record) {
	switch {
	case r.Status == resnet18cloud.StatusCancelled:
		m.outcomes.WithLabelValues(string(resnet18cloud.CodeCancelled)).Inc()
		return
	case r.Failure != nil:
		m.outcomes.WithLabelValues(string(r.Failure.Code)).Inc()
		return
	case r.FromCache:
		m.outcomes.WithLabelValues(outcomeCached).Inc()
	default:
		m.outcomes.WithLabelValues(outcomeCompleted).Inc()
	}
	for _, stage := range r.Result.Timing.Stages() {
		metrics.Observe(ctx, m.stages.WithLabelValues(stage.Name), stage.Duration)
	}
	took := r.CompletedAt.Sub(r.QueuedAt)
	metrics.Observe(ctx, m.total.WithLabelValues(string(r.Priority)), took)
	switch by := r.Estimate - took; {
	case r.Estimate == 0: // it was not known
	case by >= 0:
		metrics.Observe(ctx, m.estimate.WithLabelValues(early), by)
	default:
		metrics.Observe(ctx, m.estimate.WithLabelValues(late), -by)
	}
}
