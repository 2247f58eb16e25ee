package dispatch

import (
	"context"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// statusBody is the answer of GET /status: the prototype's fields with its names, nesting and units, and
// ours behind them. Counts are of this dispatcher; queue and stored results are of all on the same NATS.
type statusBody struct {
	CacheMetrics       cacheMetrics       `json:"cache_metrics"`
	EndpointURL        string             `json:"endpoint_url"`
	FailedRequests     int                `json:"failed_requests"`
	HealthMetrics      healthMetrics      `json:"health_metrics"`
	PerformanceMetrics performanceMetrics `json:"performance_metrics"`
	QueueMetrics       queueMetrics       `json:"queue_metrics"`
	QueueSize          int                `json:"queue_size"`
	StoredResults      int                `json:"stored_results"`
	SuccessfulRequests int                `json:"successful_requests"`
	TotalRequests      int                `json:"total_requests"`

	Instance          string             `json:"instance"` // random, new at each start: totals of another instance start at 0
	CancelledRequests int                `json:"cancelled_requests"`
	Endpoints         []forward.Endpoint `json:"endpoints"`
	Processing        int                `json:"processing"`               // images this dispatcher has sent to replicas
	Slots             int                `json:"slots"`                    // images that healthy replicas take at a time
	Scaling           scalingMetrics     `json:"scaling"`                  // totals of this dispatcher, for autoscalers
	EstimatedWait     *float64           `json:"estimated_wait,omitempty"` // seconds, for an image that arrived now
	Warning           string             `json:"warning,omitempty"`
	StorageProblem    string             `json:"storage_problem,omitempty"` // why nothing can be stored now
}

// cacheMetrics appear in /status and are all of /cache/stats. Rates are percentages.
type cacheMetrics struct {
	CacheHitRate float64 `json:"cache_hit_rate"`
	CacheHits    int64   `json:"cache_hits"`
	HitRate      float64 `json:"hit_rate"`
	Hits         int64   `json:"hits"`
	MaxSize      int     `json:"max_size"`
	Misses       int64   `json:"misses"`
	Size         int     `json:"size"`
	Utilization  float64 `json:"utilization"`
}

// scalingMetrics are totals since the start, from which an autoscaler takes differences.
type scalingMetrics struct {
	Offered         int64   `json:"offered"`          // images that wanted a replica: not answered from the cache
	Refused         int64   `json:"refused"`          // those that found the queue full
	Completed       int64   `json:"completed"`        // those a replica has answered
	Failed          int64   `json:"failed"`           // those that ended without an answer
	ServiceSeconds  float64 `json:"service_seconds"`  // time that workers of replicas were busy with Completed
	QueueingSeconds float64 `json:"queueing_seconds"` // time that requests waited for a replica
}

type healthMetrics struct {
	ErrorRate            float64 `json:"error_rate"`             // percent of all requests
	LastRequestTimestamp float64 `json:"last_request_timestamp"` // seconds since 1970; 0 before the first
	Uptime               float64 `json:"uptime"`                 // seconds
}

type performanceMetrics struct {
	AvgProcessingTime float64 `json:"avg_processing_time"` // seconds, of requests not answered from the cache
	AvgQueueTime      float64 `json:"avg_queue_time"`      // seconds, of the same
	Throughput        float64 `json:"throughput"`          // successes per second of uptime
}

type queueMetrics struct {
	PeakQueueSize    int     `json:"peak_queue_size"`
	QueueCapacity    int     `json:"queue_capacity"`
	QueueUtilization float64 `json:"queue_utilization"` // percent
	Interactive      int     `json:"interactive"`       // waiting, by priority
	Bulk             int     `json:"bulk"`
}

// percent is part of whole, 0..100 with two digits; 0 of nothing.
func percent[T int | int64](part, whole T) float64 {
	if whole == 0 {
		return 0
	}
	return round(100*float64(part)/float64(whole), 2)
}

func (d *Dispatcher) cacheMetrics() cacheMetrics {
	s := d.cache.Stats()
	rate := percent(s.Hits, s.Hits+s.Misses)
	return cacheMetrics{
		CacheHitRate: rate, HitRate: rate, CacheHits: s.Hits, Hits: s.Hits, Misses: s.Misses,
		MaxSize: s.MaxSize, Size: s.Size, Utilization: percent(s.Size, s.MaxSize),
	}
}

// queueDepth is the queue's, or nothing while it is not open.
func (d *Dispatcher) queueDepth() queue.Depth {
	select {
	case <-d.ready:
		return d.queue.Waiting()
	default:
		return queue.Depth{}
	}
}

// status tells how the dispatcher is doing: GET /status.
func (d *Dispatcher) status(w http.ResponseWriter, r *http.Request) error {
	stored := d.countStored(r.Context())
	waiting := d.queue.Waiting()
	slots, _ := d.backend.Slots()
	body := d.recorder.stats.body(time.Now())
	body.Instance = d.instance
	body.CacheMetrics = d.cacheMetrics()
	body.EndpointURL = endpointURL(d.backend)
	body.QueueMetrics.QueueCapacity = d.cfg.QueueCapacity
	body.QueueMetrics.QueueUtilization = percent(waiting.Total(), d.cfg.QueueCapacity)
	body.QueueMetrics.Interactive, body.QueueMetrics.Bulk = waiting.Interactive, waiting.Bulk
	body.QueueSize = waiting.Total()
	body.StoredResults = stored
	body.Endpoints, body.Slots, body.Processing = d.backend.Endpoints(), slots, d.inFlight.size()
	body.Warning = d.backend.Answering().Warning
	if problem := d.problem(); problem != nil {
		body.StorageProblem = problem.Error()
	}
	if estimate := d.estimate(); estimate > 0 {
		seconds := round(estimate.Seconds(), 3)
		body.EstimatedWait = &seconds
	}
	httpx.WriteJSON(w, http.StatusOK, body)
	return nil
}

// countStored is the number of results stored, or what it was when the storage last answered.
func (d *Dispatcher) countStored(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if n, err := d.store.Count(ctx); err == nil {
		d.stored.Store(int64(n))
	}
	return int(d.stored.Load())
}

// body fills in what the counters know.
func (s *stats) body(now time.Time) statusBody {
	s.mu.Lock()
	defer s.mu.Unlock()
	uptime := now.Sub(s.started).Seconds()
	body := statusBody{
		TotalRequests: s.total, SuccessfulRequests: s.completed, FailedRequests: s.failed, CancelledRequests: s.cancelled,
		HealthMetrics: healthMetrics{ErrorRate: percent(s.failed, s.total), Uptime: round(uptime, 2)},
		QueueMetrics:  queueMetrics{PeakQueueSize: s.peak},
	}
	body.Scaling = s.demand
	body.Scaling.Failed, body.Scaling.QueueingSeconds = int64(s.failed), round(s.queueing.Seconds(), 6)
	body.Scaling.ServiceSeconds = round(s.demand.ServiceSeconds, 6)
	if !s.last.IsZero() {
		body.HealthMetrics.LastRequestTimestamp = float64(s.last.UnixMicro()) / 1e6
	}
	body.PerformanceMetrics.Throughput = round(float64(s.completed)/max(uptime, 1e-3), 2)
	if s.worked > 0 {
		n := float64(s.worked)
		body.PerformanceMetrics.AvgProcessingTime = round(s.processing.Seconds()/n, 6)
		body.PerformanceMetrics.AvgQueueTime = round(s.queueing.Seconds()/n, 6)
	}
	return body
}

// cacheStats answers GET /cache/stats.
func (d *Dispatcher) cacheStats(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, d.cacheMetrics())
	return nil
}

// clearedBody is the answer of POST /cache/clear.
type clearedBody struct {
	Message string `json:"message"`
	Cleared int    `json:"cleared"` // entries that were forgotten
}

// cacheClear answers POST /cache/clear.
func (d *Dispatcher) cacheClear(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, clearedBody{Message: "Cache cleared", Cleared: d.cache.Clear()})
	return nil
}

// healthBody is the answer of the health endpoints.
type healthBody struct {
	Status string `json:"status"`
}

// health says that the process answers: GET /health and /health/live.
func (d *Dispatcher) health(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, healthBody{Status: "healthy"})
	return nil
}

// storageProblem says why nothing can be stored now; nil when it can.
func (d *Dispatcher) storageProblem() error {
	select {
	case <-d.ready:
	default:
		e := &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "Dispatcher is starting: queue and results are not open yet",
			RetryAfter: time.Second}
		if reason := d.opening.reason(); reason != nil {
			e.Message += ": " + reason.Error()
		}
		return e
	}
	if problem := d.problem(); problem != nil {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "Queue and results cannot be written: " + problem.Error(),
			Hint: "the dispatcher serves again by itself when this has ended", RetryAfter: 2 * time.Second}
	}
	return nil
}

// openingPatience is how long a request waits at the start for queue and results to be open.
const openingPatience = 2 * time.Second

// opened has requests wait until queue and results are open, and refuses them when that takes long.
func (d *Dispatcher) opened(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		select {
		case <-d.ready:
			return h(w, r)
		default:
		}
		patience := time.NewTimer(openingPatience)
		defer patience.Stop()
		select {
		case <-d.ready:
			return h(w, r)
		case <-patience.C:
			return d.storageProblem()
		case <-d.draining:
			return d.storageProblem()
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// healthReady says whether to send images here: not while draining, while queue and results cannot be
// written, or while no replica is healthy. GET /health/ready. With ?exclude=replicas (the word is that of the
// Kubernetes API server's /readyz) replicas do not matter: images can be queued without.
func (d *Dispatcher) healthReady(w http.ResponseWriter, r *http.Request) error {
	if err := d.notReady(r.URL.Query().Get("exclude") != "replicas"); err != nil {
		httpx.WriteError(w, resnet18cloud.AsError(err)) // an answer to a question, not an error to log
		return nil
	}
	httpx.WriteJSON(w, http.StatusOK, healthBody{Status: "ready"})
	return nil
}

// notReady says why no images should be sent here; nil when they should.
func (d *Dispatcher) notReady(withReplicas bool) error {
	select {
	case <-d.draining:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "Dispatcher is stopping"}
	default:
	}
	if err := d.storageProblem(); err != nil {
		return err
	}
	if slots, _ := d.backend.Slots(); slots == 0 && withReplicas {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "No replica is healthy", Hint: "see the endpoints in /status"}
	}
	return nil
}
