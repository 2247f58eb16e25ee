package dispatch

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// acceptedBody is the response to a submission: 202, or 200 with a result from the cache. The prototype's fields come
// first.
type acceptedBody struct {
	FromCache     bool                  `json:"from_cache"`
	Message       string                `json:"message"`
	QueueSize     int                   `json:"queue_size"`
	RequestID     string                `json:"request_id"`
	StatusURL     string                `json:"status_url"`
	Result        *resnet18cloud.Result `json:"result,omitempty"`
	Status        resnet18cloud.Status  `json:"status"`
	EstimatedWait *float64              `json:"estimated_wait,omitempty"` // seconds until the result; absent if unknown
	Warning       string                `json:"warning,omitempty"`
}

const (
	messageQueued = "Request queued for processing"
	messageCached = "Result served from cache"
	messageKnown  = "Request was already accepted"
)

// statusURL returns the path of a result, as the client of the context sees it.
func statusURL(ctx context.Context, id string) string { return httpx.PrefixOf(ctx) + "/result/" + id }

func (d *Dispatcher) newAcceptedBody(ctx context.Context, r store.Record) acceptedBody {
	body := acceptedBody{
		FromCache: r.FromCache, Message: messageQueued, RequestID: r.ID, StatusURL: statusURL(ctx, r.ID),
		QueueSize: d.waiting().Total(), Status: r.Status, Warning: d.backend.Answering().Warning,
	}
	switch {
	case r.Result != nil && r.FromCache:
		body.Message, body.Result = messageCached, r.Result
	case r.Status.Final():
		body.Message, body.Result = messageKnown, r.Result
	case r.Estimate > 0:
		seconds := r.Estimate.Seconds()
		body.EstimatedWait = &seconds
	}
	return body
}

// writeAccepted writes the response to a submission.
func (d *Dispatcher) writeAccepted(ctx context.Context, w http.ResponseWriter, r store.Record) {
	status := http.StatusAccepted
	if r.Result != nil {
		status = http.StatusOK
		writeTiming(w, r)
	}
	w.Header().Set("Location", statusURL(ctx, r.ID))
	httpx.WriteJSON(w, status, d.newAcceptedBody(ctx, r))
}

// writePrediction writes the response to a synchronous request, in the format of a replica.
func (d *Dispatcher) writePrediction(ctx context.Context, w http.ResponseWriter, r store.Record) error {
	w.Header().Set("Location", statusURL(ctx, r.ID))
	switch {
	case r.Result != nil:
		writeTiming(w, r)
		httpx.WriteJSON(w, http.StatusOK, r.Result)
	case r.Failure != nil:
		return &resnet18cloud.Error{Code: r.Failure.Code, Message: r.Failure.Message, Hint: r.Failure.Hint,
			RetryAfter: sendAgainAfter(r.Failure.Code)}
	case r.Status == resnet18cloud.StatusCancelled:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeCancelled, Message: "Request was cancelled"}
	default:
		d.writeAccepted(ctx, w, r)
	}
	return nil
}

// writeTiming sets the headers that tell where the result came from and how long it took.
func writeTiming(w http.ResponseWriter, r store.Record) {
	w.Header().Set("Server-Timing", r.Result.Timing.ServerTiming())
	cached := "MISS"
	if r.FromCache {
		cached = "HIT"
	}
	w.Header().Set("X-Cache", cached)
}

// resultBody is the response of GET /result/{id}. The prototype's fields come first.
type resultBody struct {
	CompletedAt    *stamp                `json:"completed_at,omitempty"`
	Filename       string                `json:"filename"`
	FromCache      *bool                 `json:"from_cache,omitempty"`
	ProcessingTime *float64              `json:"processing_time,omitempty"` // seconds
	QueuedAt       stamp                 `json:"queued_at"`
	ReplicaUsed    string                `json:"replica_used,omitempty"`
	RequestID      string                `json:"request_id"`
	Result         *resnet18cloud.Result `json:"result,omitempty"`
	Status         resnet18cloud.Status  `json:"status"`

	Error         string                 `json:"error,omitempty"` // why the request failed
	Code          resnet18cloud.Code     `json:"code,omitempty"`
	Hint          string                 `json:"hint,omitempty"`
	Attempts      int                    `json:"attempts,omitempty"`
	Deadline      *stamp                 `json:"deadline,omitempty"`
	EstimatedWait *float64               `json:"estimated_wait,omitempty"` // seconds from now until the result
	Priority      resnet18cloud.Priority `json:"priority,omitempty"`
	Timing        *resnet18cloud.Timing  `json:"timing,omitempty"` // seconds in each stage
	Warning       string                 `json:"warning,omitempty"`
	Webhook       *webhookBody           `json:"webhook,omitempty"`
	Owner         string                 `json:"owner,omitempty"` // name of the client; absent if clients have no keys
}

// webhookBody is the state of a request's webhook.
type webhookBody struct {
	URL      string             `json:"url"`
	BatchID  string             `json:"batch_id,omitempty"`
	Status   store.WebhookState `json:"status"` // "pending", "delivered" or "failed"
	Attempts int                `json:"attempts"`
	Error    string             `json:"error,omitempty"` // of the last attempt
}

func newResultBody(r store.Record) resultBody {
	body := resultBody{
		Filename: r.Filename, QueuedAt: stamp(r.QueuedAt), RequestID: r.ID, Status: r.Status,
		ReplicaUsed: r.Replica, Result: r.Result, Attempts: r.Attempts, Priority: r.Priority, Owner: r.Owner,
	}
	if !r.Deadline.IsZero() {
		deadline := stamp(r.Deadline)
		body.Deadline = &deadline
	}
	if r.Status.Final() {
		completed, took, cached := stamp(r.CompletedAt), processingTime(r).Seconds(), r.FromCache
		body.CompletedAt, body.ProcessingTime, body.FromCache = &completed, &took, &cached
	} else if r.Estimate > 0 {
		left := max(0, time.Until(r.QueuedAt.Add(r.Estimate))).Seconds()
		body.EstimatedWait = &left
	}
	if r.Result != nil {
		body.Timing, body.Warning = &r.Result.Timing, r.Result.Warning
	}
	if r.Webhook != nil && (r.Webhook.Batch == "" || r.Webhook.Batch == r.ID) { // the first of a batch has the state of its message
		body.Webhook = &webhookBody{r.Webhook.URL, r.Webhook.Batch, cmp.Or(r.Webhook.State, "pending"), r.Webhook.Attempts, r.Webhook.Problem}
	}
	if r.Failure != nil {
		body.Error, body.Code, body.Hint = r.Failure.Message, r.Failure.Code, r.Failure.Hint
	}
	return body
}

func (d *Dispatcher) writeResult(w http.ResponseWriter, r store.Record) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Result != nil {
		writeTiming(w, r)
	}
	httpx.WriteJSON(w, http.StatusOK, newResultBody(r))
}

// stamp is a time in the prototype's format, ISO 8601 with microseconds, but in UTC with a time zone suffix.
type stamp time.Time

// MarshalJSON writes "2025-06-25T11:22:41.523565Z".
func (s stamp) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(s).UTC().Format(`"2006-01-02T15:04:05.000000Z"`)), nil
}

// round rounds x to the given number of decimal places.
func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}
