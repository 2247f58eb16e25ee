package autoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// status is what we read of a dispatcher's GET /status. The prototype's has no scaling: its other fields
// stand in.
type status struct {
	QueueSize          int `json:"queue_size"`
	SuccessfulRequests int `json:"successful_requests"`
	FailedRequests     int `json:"failed_requests"`
	TotalRequests      int `json:"total_requests"`
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

// count holds a total to what a dispatcher can have counted: what others send must not overflow a sum.
func count(n int64) int64 { return min(1<<50, max(0, n)) }

// seconds does so with a time.
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

// collector adds up what dispatchers say.
type collector struct {
	urls []string
	http *http.Client

	state collected // of the loop alone

	mu     sync.Mutex
	latest []*status // guarded by mu: of each dispatcher; nil before its first answer; never changed once here
}

// collected survives a restart.
type collected struct {
	Total autoscale.Counters            `json:"total"`
	Seen  map[string]autoscale.Counters `json:"seen"` // by dispatcher, when last asked
	At    map[string]time.Time          `json:"at"`   // when that was
}

func newCollector(urls []string, client *http.Client) *collector {
	c := &collector{http: client, latest: make([]*status, len(urls))}
	for _, u := range urls {
		c.urls = append(c.urls, strings.TrimRight(u, "/"))
	}
	c.state = collected{Seen: map[string]autoscale.Counters{}, At: map[string]time.Time{}}
	return c
}

// poll asks all dispatchers at once, and returns what went wrong with each.
func (c *collector) poll(ctx context.Context) error {
	answers, problems := make([]*status, len(c.urls)), make([]error, len(c.urls))
	times := make([]time.Time, len(c.urls))
	var g errgroup.Group
	for i, u := range c.urls {
		g.Go(func() error {
			answers[i], problems[i] = c.ask(ctx, u)
			times[i] = time.Now()
			return nil
		})
	}
	_ = g.Wait() // problems has them
	for i, s := range answers {
		if s != nil {
			c.mu.Lock()
			c.latest[i] = s
			c.mu.Unlock()
			c.take(c.urls[i], times[i], s.counters())
		}
	}
	return errors.Join(problems...)
}

// view is what dispatchers said last, those that have said something.
func (c *collector) view() []*status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.latest), func(s *status) bool { return s == nil })
}

// take adds what is new since the dispatcher was last asked; one that began anew counts from zero.
func (c *collector) take(url string, at time.Time, now autoscale.Counters) {
	before := c.state.Seen[url]
	if now.Uptime < before.Uptime || now.Offered < before.Offered || now.Completed < before.Completed {
		before = autoscale.Counters{}
	}
	t := &c.state.Total
	t.Offered += now.Offered - before.Offered
	t.Refused += max(0, now.Refused-before.Refused)
	t.Completed += now.Completed - before.Completed
	t.Failed += max(0, now.Failed-before.Failed)
	t.Service += max(0, now.Service-before.Service)
	t.Queueing += max(0, now.Queueing-before.Queueing)
	t.Uptime = max(t.Uptime, now.Uptime)
	c.state.Seen[url], c.state.At[url] = now, at
}

func (c *collector) ask(ctx context.Context, url string) (*status, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status", nil)
	if err != nil {
		return nil, fmt.Errorf("dispatcher %s: %w", url, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("dispatcher %s: %w", url, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("dispatcher %s: /status answers %s", url, resp.Status)
	}
	var s status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&s); err != nil {
		return nil, fmt.Errorf("dispatcher %s: /status is not what a dispatcher answers: %w", url, err)
	}
	return &s, nil
}

// snapshot joins what dispatchers and scaler say. It is as old as the oldest answer, so that a dispatcher
// that is away does not look like one without load.
func (c *collector) snapshot(scale autoscale.Scale) autoscale.Snapshot {
	s := autoscale.Snapshot{Counters: c.state.Total, Desired: scale.Desired}
	type figures struct{ inFlight, workers int }
	endpoints := map[string]figures{}
	for i, latest := range c.latest {
		if latest == nil {
			s.At = time.Time{}
			break
		}
		if at := c.state.At[c.urls[i]]; i == 0 || at.Before(s.At) {
			s.At = at
		}
		// Dispatchers share the queue: each tells of the whole. The fullest view is the latest.
		s.Queue = max(s.Queue, latest.QueueSize)
		s.QueueCapacity = max(s.QueueCapacity, latest.QueueMetrics.QueueCapacity)
		s.InFlight += latest.Processing
		for _, e := range latest.Endpoints {
			f := endpoints[e.URL]
			endpoints[e.URL] = figures{f.inFlight + e.InFlight, max(f.workers, e.Workers)}
		}
	}
	s.Replicas = make([]autoscale.Replica, len(scale.Replicas))
	for i, r := range scale.Replicas {
		if f, known := endpoints[strings.TrimRight(r.URL, "/")]; known {
			r.InFlight = f.inFlight
			if f.workers > 0 {
				r.Workers = f.workers
			}
		}
		s.Replicas[i] = r
	}
	return s
}
