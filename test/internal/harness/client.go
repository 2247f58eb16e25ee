package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// answerLimit is how long a client waits for a response. A later response counts as none.
const answerLimit = 30 * time.Second

// Answer is what a client read of one response: of a submission, a result or an error, whose JSON fields do not
// overlap.
type Answer struct {
	HTTPStatus int    `json:"-"` // 0 means no response
	RetryAfter string `json:"-"` // the header
	Err        error  `json:"-"` // why there was none, or why its body was unreadable

	RequestID   string `json:"request_id"`
	Status      string `json:"status"`
	Code        string `json:"code"`
	Message     string `json:"error"`
	CompletedAt string `json:"completed_at"`
	ReplicaUsed string `json:"replica_used"`
	Result      struct {
		Predictions []string `json:"predictions"`
	} `json:"result"`
}

// Accepted reports whether the response accepts the image, or has its result.
func (a Answer) Accepted() bool {
	return a.Err == nil && (a.HTTPStatus == http.StatusAccepted || a.HTTPStatus == http.StatusOK) && a.RequestID != ""
}

// Ended reports whether the response shows a request that has ended.
func (a Answer) Ended() bool {
	return a.Err == nil && a.HTTPStatus == http.StatusOK &&
		(a.Status == "completed" || a.Status == "failed" || a.Status == "cancelled")
}

// Client sends requests to dispatchers like a user. It is safe for concurrent use.
type Client struct{ http http.Client }

// NewClient creates a client with at most the given number of connections to each dispatcher, not shared with other
// clients.
func NewClient(connections int) *Client {
	return &Client{http.Client{Timeout: answerLimit,
		Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}}}
}

// Close closes idle connections, because file descriptors of servers are counted afterwards.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Submit sends an image to POST /predict_async. An empty key sends no Idempotency-Key.
func (c *Client) Submit(ctx context.Context, base string, image []byte, key string) Answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/predict_async", bytes.NewReader(image))
	if err != nil {
		return Answer{Err: err}
	}
	req.Header.Set("Content-Type", "image/jpeg")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return c.do(req)
}

// Result reads the state of a request, and makes the dispatcher wait for its end for up to wait.
func (c *Client) Result(ctx context.Context, base, id string, wait time.Duration) Answer {
	url := base + "/result/" + id
	if wait > 0 {
		url += "?wait=" + wait.String()
	}
	return c.get(ctx, url)
}

func (c *Client) get(ctx context.Context, url string) Answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{Err: err}
	}
	return c.do(req)
}

func (c *Client) do(req *http.Request) Answer {
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{Err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{Err: fmt.Errorf("read answer %d: %w", resp.StatusCode, err)}
	}
	var a Answer
	err = json.Unmarshal(text, &a)
	a.HTTPStatus, a.RetryAfter = resp.StatusCode, resp.Header.Get("Retry-After")
	if err != nil {
		a.Err = fmt.Errorf("read answer %d %.100q: %w", resp.StatusCode, text, err)
	}
	return a
}
