package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// ServerStatus is the state of a dispatcher (GET /status). Counts are of this dispatcher since its start; queue and stored
// results are those of all dispatchers that share a NATS.
type ServerStatus struct {
	Instance       string        `json:"instance"` // random, new at each start
	Total          int           `json:"total_requests"`
	Completed      int           `json:"successful_requests"`
	Failed         int           `json:"failed_requests"`
	Cancelled      int           `json:"cancelled_requests"`
	UnusableImages int           `json:"unusable_images"` // of Failed, those whose images cannot be classified
	QueueSize      int           `json:"queue_size"`      // images waiting
	Processing     int           `json:"processing"`      // images at replicas
	Slots          int           `json:"slots"`           // images that may be at replicas at a time
	StoredResults  int           `json:"stored_results"`
	EstimatedWait  time.Duration `json:"-"` // of an image that arrives now; 0 if unknown
	Queue          struct {
		Capacity    int `json:"queue_capacity"`
		Interactive int `json:"interactive"` // of QueueSize
		Bulk        int `json:"bulk"`        // of QueueSize
	} `json:"queue_metrics"`
	Cache struct {
		Hits    int64   `json:"hits"`
		Misses  int64   `json:"misses"`
		HitRate float64 `json:"hit_rate"` // percent
		Size    int     `json:"size"`
		MaxSize int     `json:"max_size"`
	} `json:"cache_metrics"`
	Endpoints []Endpoint `json:"endpoints"`
	// Warning is set if results are meaningless, as with random weights.
	Warning string `json:"warning"`
	// StorageProblem says why nothing can be stored; empty if it can.
	StorageProblem string `json:"storage_problem"`
}

// Endpoint is a replica, as a dispatcher sees it.
type Endpoint struct {
	URL     string `json:"url"` // or a name for it, if the key has no scope admin
	Healthy bool   `json:"healthy"`
	Problem string `json:"problem"` // why it is not healthy
	Model   string `json:"model"`   // identifies the weights
	Workers int    `json:"workers"`
}

// Status returns the state of a dispatcher (GET /status).
func (c *Client) Status(ctx context.Context) (ServerStatus, error) {
	var body struct {
		ServerStatus
		EstimatedWait float64 `json:"estimated_wait"`
	}
	if err := c.get(ctx, "/status", &body); err != nil {
		return ServerStatus{}, fmt.Errorf("status of %s: %w", c.BaseURL, err)
	}
	body.ServerStatus.EstimatedWait = resnet18cloud.Seconds(body.EstimatedWait)
	return body.ServerStatus, nil
}

// Results returns at most n of the most recently changed requests that the client may see, newest first, and the number
// of all that are stored (GET /results). A server returns at most 1000.
func (c *Client) Results(ctx context.Context, n int) (list []Outcome, total int, err error) {
	var body struct {
		Total   int           `json:"total"`
		Results []outcomeBody `json:"results"`
	}
	if err := c.get(ctx, "/results?limit="+strconv.Itoa(n), &body); err != nil {
		return nil, 0, fmt.Errorf("results of %s: %w", c.BaseURL, err)
	}
	for _, b := range body.Results {
		list = append(list, b.outcome())
	}
	return list, body.Total, nil
}

// Labels returns the classes of the model that answers (GET /labels). Dispatchers and replicas offer it.
func (c *Client) Labels(ctx context.Context) (resnet18cloud.Labels, error) {
	return c.LabelsOf(ctx, "")
}

// LabelsOf returns the classes of a model, "name" or "name@version", of a server with several. An empty name means the
// default model.
func (c *Client) LabelsOf(ctx context.Context, model string) (resnet18cloud.Labels, error) {
	path := "/labels"
	if model != "" {
		path += "?" + url.Values{"model": {model}}.Encode()
	}
	var l resnet18cloud.Labels
	if err := c.get(ctx, path, &l); err != nil {
		return resnet18cloud.Labels{}, fmt.Errorf("labels of %s: %w", c.BaseURL, err)
	}
	return l, nil
}

// Models returns the models of a server that has several (GET /models).
func (c *Client) Models(ctx context.Context) (resnet18cloud.Models, error) {
	var m resnet18cloud.Models
	if err := c.get(ctx, "/models", &m); err != nil {
		return resnet18cloud.Models{}, fmt.Errorf("models of %s: %w", c.BaseURL, err)
	}
	return m, nil
}

// Healthy returns nil if the server answers GET /health.
func (c *Client) Healthy(ctx context.Context) error {
	if err := c.get(ctx, "/health", nil); err != nil {
		return fmt.Errorf("health of %s: %w", c.BaseURL, err)
	}
	return nil
}

// Ready returns nil if the server can classify images now (GET /health/ready).
func (c *Client) Ready(ctx context.Context) error {
	if err := c.get(ctx, "/health/ready", nil); err != nil {
		return fmt.Errorf("readiness of %s: %w", c.BaseURL, err)
	}
	return nil
}

// get reads the JSON at a path.
func (c *Client) get(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(path), http.NoBody)
	if err != nil {
		return err
	}
	return c.do(request, answer)
}
