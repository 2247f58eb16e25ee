// Package metrics has what the metrics of all servers have in common: a registry with the build, the start and the requests of a
// server, and histograms. The metrics of each part are in its metrics.go. Series of labels with known values are created at
// zero, because rate() does not see the increase of a series from nothing to its first value.
//
// See docs/decisions/0138-series-start-at-zero.md.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Build identifies a program. Empty fields mean unknown.
type Build struct {
	Version  string // of the release
	Revision string // commit
}

// Set is the registry of one server, and makes collectors in it. The names of its own metrics begin with those of the system
// and the part, such as "resnet18_dispatcher_".
type Set struct {
	*prometheus.Registry
	promauto.Factory
	prefix  string
	startup prometheus.Gauge
}

// processStart is close enough to the start of the process: packages are initialized within milliseconds.
var processStart = time.Now()

// New returns a registry for a part, such as "dispatcher", with the metrics of Go's runtime, of the process and of the build.
func New(part string, b Build) *Set {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := &Set{Registry: reg, Factory: promauto.With(reg), prefix: "resnet18_" + part + "_"}
	s.NewGauge(prometheus.GaugeOpts{Name: s.prefix + "build_info", Help: "Always 1; the labels describe the program.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": runtime.Version(), "goarch": runtime.GOARCH}}).Set(1)
	s.startup = s.NewGauge(prometheus.GaugeOpts{Name: s.prefix + "startup_duration_seconds",
		Help: "Time from the start of the process until the server was ready; 0 before."})
	return s
}

// Ready records that the server is ready.
func (s *Set) Ready() { s.startup.Set(time.Since(processStart).Seconds()) }

// Handler serves the registry in the format that the client asks for. OpenMetrics and protobuf have exemplars, and protobuf
// native histograms.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Values are the values of a label. They are few and known.
func Values[T ~string](values ...T) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return texts
}

// Counters makes a counter with one label, at zero for each value.
func (s *Set) Counters(name, help, label string, values []string) *prometheus.CounterVec {
	c := s.NewCounterVec(prometheus.CounterOpts{Name: s.prefix + name, Help: help}, []string{label})
	for _, v := range values {
		c.WithLabelValues(v)
	}
	return c
}

// Histograms makes a histogram with one label, at zero for each value.
func (s *Set) Histograms(name, help string, buckets []float64, label string, values []string) *prometheus.HistogramVec {
	h := s.NewHistogramVec(s.options(name, help, buckets), []string{label})
	for _, v := range values {
		h.WithLabelValues(v)
	}
	return h
}

// Histogram makes a histogram.
func (s *Set) Histogram(name, help string, buckets []float64) prometheus.Histogram {
	return s.NewHistogram(s.options(name, help, buckets))
}

// Gauge makes a gauge that is read at each scrape.
func (s *Set) Gauge(name, help string, value func() float64) {
	s.NewGaugeFunc(prometheus.GaugeOpts{Name: s.prefix + name, Help: help}, value)
}

// Counter makes a counter that is read at each scrape.
func (s *Set) Counter(name, help string, value func() float64) {
	s.NewCounterFunc(prometheus.CounterOpts{Name: s.prefix + name, Help: help}, value)
}

// Number adapts a count to a [Set.Gauge] or a [Set.Counter].
func Number[T int | int64 | uint64](value func() T) func() float64 {
	return func() float64 { return float64(value()) }
}

// Bool adapts a condition: 1 if it holds, else 0.
func Bool(condition func() bool) func() float64 {
	return func() float64 {
		if condition() {
			return 1
		}
		return 0
	}
}

// Durations are buckets from 0.5 ms, a cache hit, to 60 s, a long queue. 0.5 s is the default objective of scaling and of the
// alerts, so it is one of the bounds.
func Durations() []float64 {
	return []float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60}
}

// nativeFactor is how far apart two bounds of a native histogram are at most: a quantile is at most 5 % wrong.
const nativeFactor = 1.1

// options returns those of a histogram with buckets, and with the native ones that Prometheus can ask for instead.
func (s *Set) options(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: s.prefix + name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}
}

// Observe records a duration. If the context has the trace of a request that is sampled, the trace is an exemplar: a link from
// the histogram to a request of that duration.
func Observe(ctx context.Context, to prometheus.Observer, d time.Duration) {
	t := resnet18cloud.TraceFrom(ctx)
	if with, ok := to.(prometheus.ExemplarObserver); ok && t.Sampled() {
		with.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": t.ID})
		return
	}
	to.Observe(d.Seconds())
}

// httpBuckets are fewer than [Durations], because there are many routes.
var httpBuckets = []float64{0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 20}

// classes are the classes of statuses that have series from the start.
var classes = []string{"2xx", "4xx", "5xx"}

// other is the method or the route of requests whose own could be anything.
const other = "other"

// Requests are the metrics of requests to a server. The class of the status is a label of the histogram. What went wrong is
// counted apart, by code: with that label too, each route would have a hundred series.
type Requests struct {
	duration *prometheus.HistogramVec
	errors   *prometheus.CounterVec
	methods  map[string]bool // of the endpoints
}

// Requests makes the metrics of requests.
func (s *Set) Requests() *Requests {
	return &Requests{
		duration: s.NewHistogramVec(s.options("http_request_duration_seconds",
			"Time to respond to requests, by the endpoint's pattern and the class of the status. Streams count when they end.", httpBuckets),
			[]string{"method", "route", "status"}),
		errors: s.NewCounterVec(prometheus.CounterOpts{Name: s.prefix + "http_errors_total",
			Help: "Requests that were answered with an error, by its code."}, []string{"method", "code"}),
		methods: map[string]bool{},
	}
}

// Add creates the series of endpoints, by their patterns, such as "POST /predict": those of the histogram for requests with
// effects, and those of errors for all. With the histogram of all endpoints a dispatcher that has done nothing would export
// 1800 series more. Call Add before Handler serves.
func (m *Requests) Add(routes []string) {
	for _, route := range routes {
		method, path := split(route)
		m.methods[method] = true
		for _, class := range classes {
			if method != http.MethodGet {
				m.duration.WithLabelValues(method, path, class)
			}
		}
		for _, code := range resnet18cloud.Codes() {
			m.errors.WithLabelValues(method, string(code))
		}
	}
}

// Handler measures the requests that next handles.
func (m *Requests) Handler(next http.Handler) http.Handler { return httpx.Observed(next, m.Observe) }

// Observe records a request.
func (m *Requests) Observe(ctx context.Context, r httpx.Served) {
	method, path := r.Method, other
	if r.Route != "" {
		method, path = split(r.Route)
	} else if !m.methods[method] {
		method = other
	}
	Observe(ctx, m.duration.WithLabelValues(method, path, string('0'+byte(r.Status/100))+"xx"), r.Took)
	if r.Code != "" {
		m.errors.WithLabelValues(method, string(r.Code)).Inc()
	}
}

// split splits a pattern of http.ServeMux into method and path. A pattern without a method is for all.
func split(route string) (method, path string) {
	method, path, found := strings.Cut(route, " ")
	if !found {
		return other, route
	}
	return method, path
}
