package autoscaler

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// status is the part of a dispatcher's GET /status that is read. The prototype's has no instance and no scaling; its URL
// and its other fields are used instead.
type status struct {
	Instance           string `json:"instance"` // a random string, new at each start of the process
	QueueSize          int    `json:"queue_size"`
	SuccessfulRequests int    `json:"successful_requests"`
	FailedRequests     int    `json:"failed_requests"`
	TotalRequests      int    `json:"total_requests"`
	QueueMetrics       struct {
		QueueCapacity    int     `json:"queue_capacity"`
		QueueUtilization float64 `json:"queue_utilization"`
	} `json:"queue_metrics"`
	PerformanceMetrics struct {
		AvgProcessingTime float64 `json:"avg_processing_time"`
		AvgQueueTime      float64 `json:"avg_queue_time"`
		Throughput        float64 `json:"throughput"`
	} `json:"performance_metrics"`
	HealthMetrics struct {
		ErrorRate float64 `json:"error_rate"`
		Uptime    float64 `json:"uptime"`
	} `json:"health_metrics"`
	CacheMetrics struct {
		Hits int64 `json:"hits"`
	} `json:"cache_metrics"`
	Endpoints []struct {
		URL      string `json:"url"`
		InFlight int    `json:"in_flight"`
		Workers  int    `json:"workers"`
	} `json:"endpoints"`
	Processing int `json:"processing"`
	Scaling    *struct {
		Offered         int64   `json:"offered"`
		Refused         int64   `json:"refused"`
		Completed       int64   `json:"completed"`
		Failed          int64   `json:"failed"`
		ServiceSeconds  float64 `json:"service_seconds"`
		QueueingSeconds float64 `json:"queueing_seconds"`
	} `json:"scaling"`
}

// count limits a total to a plausible value, so that no input overflows a sum.
func count(n int64) int64 { return min(1<<50, max(0, n)) }

// seconds does the same for a time.
func seconds(s float64) time.Duration { return resnet18cloud.Seconds(min(1e8, max(0, s))) }

// counters are the dispatcher's totals.
func (s *status) counters() autoscale.Counters {
	c := autoscale.Counters{Uptime: seconds(s.HealthMetrics.Uptime)}
	if s.Scaling != nil {
		c.Offered, c.Refused, c.Completed, c.Failed = count(s.Scaling.Offered), count(s.Scaling.Refused), count(s.Scaling.Completed), count(s.Scaling.Failed)
		c.Service, c.Queueing = seconds(s.Scaling.ServiceSeconds), seconds(s.Scaling.QueueingSeconds)
		return c
	}
	hits := count(s.CacheMetrics.Hits)
	c.Offered, c.Failed = count(count(int64(s.TotalRequests))-hits), count(int64(s.FailedRequests))
	c.Completed = count(count(int64(s.SuccessfulRequests)) - hits)
	c.Service = seconds(s.PerformanceMetrics.AvgProcessingTime * float64(s.SuccessfulRequests))
	c.Queueing = seconds(s.PerformanceMetrics.AvgQueueTime * float64(c.Offered))
	return c
}
