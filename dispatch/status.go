package dispatch

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// statusBody is the response of GET /status: the prototype's fields with its names, nesting and units, followed by
// additional ones. Counts are of this dispatcher; queue and stored results are shared by all dispatchers on the same
// NATS.
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

	Instance          string             `json:"instance"` // random, new at each start; the totals of a new instance start at 0
	CancelledRequests int                `json:"cancelled_requests"`
	UnusableImages    int                `json:"unusable_images"` // part of FailedRequests: their images cannot be classified
	Endpoints         []forward.Endpoint `json:"endpoints"`
	Processing        int                `json:"processing"`               // images this dispatcher has sent to replicas
	Slots             int                `json:"slots"`                    // images that healthy replicas can process at a time
	Scaling           scalingMetrics     `json:"scaling"`                  // totals of this dispatcher, for autoscalers
	EstimatedWait     *float64           `json:"estimated_wait,omitempty"` // seconds, for an image that arrives now
	Warning           string             `json:"warning,omitempty"`
	StorageProblem    string             `json:"storage_problem,omitempty"` // why storage rejects writes
}

// cacheMetrics are part of /status and the body of /cache/stats. Rates are percentages.
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

// scalingMetrics are totals since the start. An autoscaler uses their differences.
type scalingMetrics struct {
	Offered         int64   `json:"offered"`          // images that needed a replica, not answered from the cache
	Refused         int64   `json:"refused"`          // images that found the queue full
	Completed       int64   `json:"completed"`        // images that a replica has classified
	Failed          int64   `json:"failed"`           // images that ended without a result
	ServiceSeconds  float64 `json:"service_seconds"`  // time that the replicas' workers spent on Completed
	QueueingSeconds float64 `json:"queueing_seconds"` // time that requests waited for a replica
}

type healthMetrics struct {
	ErrorRate            float64 `json:"error_rate"`             // percent of all requests
	LastRequestTimestamp float64 `json:"last_request_timestamp"` // seconds since 1970; 0 before the first request
	Uptime               float64 `json:"uptime"`                 // seconds
}

type performanceMetrics struct {
	AvgProcessingTime float64 `json:"avg_processing_time"` // seconds, of requests not answered from the cache
	AvgQueueTime      float64 `json:"avg_queue_time"`      // seconds, of the same requests
	Throughput        float64 `json:"throughput"`          // successes per second of uptime
}

type queueMetrics struct {
	PeakQueueSize    int     `json:"peak_queue_size"`
	QueueCapacity    int     `json:"queue_capacity"`
	QueueUtilization float64 `json:"queue_utilization"` // percent
	Interactive      int     `json:"interactive"`       // waiting, by priority
	Bulk             int     `json:"bulk"`
}

// percent returns part as a percentage of whole with two digits; 0 if whole is 0.
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

// waiting returns the number of accepted jobs that no replica has: those that were never taken, and those that this
// dispatcher has taken and returned, which the queue does not count.
func (d *Dispatcher) waiting() queue.Depth {
	depth, returned := d.queue.Waiting(), d.holdings.givenBack()
	return queue.Depth{Interactive: depth.Interactive + returned.Interactive, Bulk: depth.Bulk + returned.Bulk}
}

// isReady reports whether queue and results are open.
func (d *Dispatcher) isReady() bool {
	select {
	case <-d.ready:
		return true
	default:
		return false
	}
}

// queueDepth returns the queue's depth, or zero while the queue is not open.
func (d *Dispatcher) queueDepth() queue.Depth {
	if !d.isReady() {
		return queue.Depth{}
	}
	return d.waiting()
}

// queueID identifies the queue in metrics. Dispatchers that share a queue share the secret of its results.
func (d *Dispatcher) queueID() string {
	return hex.EncodeToString(keyedHash(d.store.Secret(), "metrics", "")[:4])
}

// status reports the dispatcher's state: GET /status.
func (d *Dispatcher) status(w http.ResponseWriter, r *http.Request) error {
	stored := d.countStored(r.Context())
	waiting := d.waiting()
	slots, _ := d.backend.Slots()
	body := d.recorder.stats.body(time.Now())
	body.Instance = d.instance
	body.CacheMetrics = d.cacheMetrics()
	caller := d.caller(r.Context())
	if caller.Admin() {
		body.EndpointURL = endpointURL(d.backend)
	}
	body.QueueMetrics.QueueCapacity = d.cfg.QueueCapacity
	body.QueueMetrics.QueueUtilization = percent(waiting.Total(), d.cfg.QueueCapacity)
	body.QueueMetrics.Interactive, body.QueueMetrics.Bulk = waiting.Interactive, waiting.Bulk
	body.QueueSize = waiting.Total()
	body.StoredResults = stored
	body.Endpoints = append([]forward.Endpoint{}, d.shownEndpoints(caller, d.backend.Endpoints())...) // in JSON [], and not null
	body.Slots, body.Processing = slots, d.inFlight.size()
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

// countStored returns the number of stored results, or the last known number if the storage does not respond.
func (d *Dispatcher) countStored(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if n, err := d.store.Count(ctx); err == nil {
		d.stored.Store(int64(n))
	}
	return int(d.stored.Load())
}

// body fills in the counters.
func (s *stats) body(now time.Time) statusBody {
	s.mu.Lock()
	defer s.mu.Unlock()
	uptime := now.Sub(s.started).Seconds()
	body := statusBody{
		TotalRequests: s.total, SuccessfulRequests: s.completed, FailedRequests: s.failed, CancelledRequests: s.cancelled,
		UnusableImages: s.unusable,
		HealthMetrics:  healthMetrics{ErrorRate: percent(s.failed, s.total), Uptime: round(uptime, 2)},
		QueueMetrics:   queueMetrics{PeakQueueSize: s.peak},
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

// cacheStats handles GET /cache/stats.
func (d *Dispatcher) cacheStats(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, d.cacheMetrics())
	return nil
}

// clearedBody is the response of POST /cache/clear.
type clearedBody struct {
	Message string `json:"message"`
	Cleared int    `json:"cleared"` // number of deleted entries
}

// cacheClear handles POST /cache/clear.
func (d *Dispatcher) cacheClear(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, clearedBody{Message: "Cache cleared", Cleared: d.cache.Clear()})
	return nil
}

// healthBody is the response of the health endpoints.
type healthBody struct {
	Status string `json:"status"`
}

// health reports that the process is alive: GET /health and /health/live.
func (d *Dispatcher) health(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, healthBody{Status: "healthy"})
	return nil
}

// storageProblem returns why storage rejects writes, or nil if it accepts them.
func (d *Dispatcher) storageProblem() error {
	select {
	case <-d.ready:
	default:
		e := errUnavailable("Dispatcher is starting: queue and results are not open yet", "", time.Second)
		if reason := d.startup.reason(); reason != nil {
			e.Message += ": " + reason.Error()
		}
		return e
	}
	if problem := d.problem(); problem != nil {
		return errUnavailable("Queue and results reject writes: "+problem.Error(),
			"the dispatcher recovers automatically once the storage works again", 2*time.Second)
	}
	return nil
}

// startupWait is how long a request waits for queue and results to open at startup.
const startupWait = 2 * time.Second

// whenReady makes requests wait until queue and results are open, and rejects them if that takes too long.
func (d *Dispatcher) whenReady(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		select {
		case <-d.ready:
			return h(w, r)
		default:
		}
		patience := time.NewTimer(startupWait)
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

// healthReady reports whether to send images to this dispatcher: GET /health/ready. It is not ready while draining,
// while storage rejects writes, or while no replica is healthy. With ?exclude=replicas (as in the Kubernetes API
// server's /readyz) it ignores the replicas, because images can be queued without them.
func (d *Dispatcher) healthReady(w http.ResponseWriter, r *http.Request) error {
	if err := d.notReady(r.URL.Query().Get("exclude") != "replicas"); err != nil {
		e := resnet18cloud.AsError(err)
		if d.cfg.Access != nil { // anyone may ask, and reasons name folders and servers
			e = &resnet18cloud.Error{Code: e.Code, Message: "Dispatcher is not ready", Hint: "the log has the reason", RetryAfter: e.RetryAfter}
		}
		httpx.WriteError(w, r, e) // a regular response, not an error to log
		return nil
	}
	httpx.WriteJSON(w, http.StatusOK, healthBody{Status: "ready"})
	return nil
}

// notReady returns why no images should be sent to this dispatcher, or nil if they should.
func (d *Dispatcher) notReady(withReplicas bool) error {
	select {
	case <-d.draining:
		return errUnavailable("Dispatcher is stopping", "", 0)
	default:
	}
	if err := d.storageProblem(); err != nil {
		return err
	}
	if slots, _ := d.backend.Slots(); slots == 0 && withReplicas {
		return errUnavailable("No replica is healthy", hintEndpoints, 0)
	}
	return nil
}
