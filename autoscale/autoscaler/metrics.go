package autoscaler

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/internal/metrics"
)

// autoscalerMetrics are the metrics of an autoscaler, in a registry of its own. docs/metrics.md lists them for users.
type autoscalerMetrics struct {
	*metrics.Set
	decisions *prometheus.CounterVec
	changes   *prometheus.CounterVec
	failures  *prometheus.CounterVec
	starts    prometheus.Histogram
	figures   *figuresCollector
	http      *metrics.Requests

	mu     sync.Mutex
	latest Record              // guarded by mu
	known  map[string]struct{} // guarded by mu: replicas that have been ready; nil before the first call of started
}

// startBuckets are from a process on this machine, 50 ms, to a node that has to be bought.
var startBuckets = []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300}

// What failed in an interval.
const (
	failureDispatcher = "dispatcher" // one did not respond
	failureScaler     = "scaler"     // replicas could not be read or set
	failureState      = "state"      // the policy's state could not be saved
)

func newMetrics(a *Autoscaler) *autoscalerMetrics {
	s := metrics.New("autoscaler", metrics.Build{Version: a.cfg.Version, Revision: a.cfg.Revision})
	m := &autoscalerMetrics{Set: s, http: s.Requests(), figures: newFigures(), latest: Record{Age: -1}}
	m.decisions = s.Counters("decisions_total", "Decisions by the rule that made them.", "rule", metrics.Values(autoscale.Rules()...))
	m.changes = s.Counters("changes_total", "Changes that the scaler accepted, by direction: up or down.", "direction", []string{"up", "down"})
	m.failures = s.Counters("failures_total", "Intervals with a failure, by what failed: a dispatcher did not respond, the scaler refused, or the policy's state could not be saved.",
		"operation", []string{failureDispatcher, failureScaler, failureState})
	m.starts = s.Histogram("replica_start_duration_seconds", "Time from the creation of a replica until it was ready. Their number is that of cold starts.", startBuckets)
	latest := func(name, help string, value func(Record) float64) {
		s.Gauge(name, help, func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			return value(m.latest)
		})
	}
	latest("desired_replicas", "Number of replicas by the last decision.", func(r Record) float64 { return float64(r.Replicas) })
	latest("ready_replicas", "Ready replicas.", func(r Record) float64 { return float64(r.Ready) })
	latest("starting_replicas", "Starting replicas.", func(r Record) float64 { return float64(r.Starting) })
	latest("figures_age_seconds", "Age of the dispatchers' metrics at the last decision; -1 if there were none.", func(r Record) float64 { return r.Age })
	latest("blind", "1 if at the last decision the dispatchers' metrics were too old or incomplete to scale down, else 0.",
		func(r Record) float64 { return metrics.Bool(func() bool { return r.Blind })() })
	s.Gauge("leading", "1 if this autoscaler may set the number of replicas.", metrics.Bool(func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.leading
	}))
	s.MustRegister(m.figures)
	m.prototype(s.Factory, a)
	return m
}

// figuresCollector exports what the policy computed for its last decision, each under its own name, because their units differ.
// There are none before the first decision.
type figuresCollector struct {
	descs map[string]*prometheus.Desc // by name of the figure

	mu     sync.Mutex
	latest []autoscale.Figure // guarded by mu
}

func newFigures() *figuresCollector {
	c := &figuresCollector{descs: map[string]*prometheus.Desc{}}
	for name, help := range autoscale.FigureHelp() {
		c.descs[name] = prometheus.NewDesc("resnet18_autoscaler_"+name, help+", at the last decision.", nil, nil)
	}
	return c
}

func (c *figuresCollector) set(figures []autoscale.Figure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = figures
}

// Describe implements prometheus.Collector.
func (c *figuresCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *figuresCollector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.latest {
		if d := c.descs[f.Name]; d != nil {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, f.Value)
		}
	}
}

// prototype adds the gauges of the prototype's autoscaler, with its names and units: those of /status. Of several
// dispatchers they are the mean, weighted by completed images.
func (m *autoscalerMetrics) prototype(f promauto.Factory, a *Autoscaler) {
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
func (m *autoscalerMetrics) decided(r Record) {
	m.decisions.WithLabelValues(string(r.Because().Rule)).Inc()
	if r.Applied {
		direction := "up"
		if r.Replicas < r.Was {
			direction = "down"
		}
		m.changes.WithLabelValues(direction).Inc()
	}
	m.figures.set(r.Figures)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest = r
}

// started records the starts of replicas that have become ready since the last call. Those that were ready at the first one were
// counted by another process, or by none.
func (m *autoscalerMetrics) started(replicas []autoscale.Replica) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := make(map[string]struct{}, len(replicas))
	for i := range replicas {
		r := &replicas[i]
		if r.ReadyAt.IsZero() {
			continue
		}
		known[r.Name] = struct{}{}
		if _, before := m.known[r.Name]; !before && m.known != nil {
			m.starts.Observe(max(0, r.ReadyAt.Sub(r.Created)).Seconds())
		}
	}
	m.known = known
}
