// Package client speaks the dispatcher's HTTP API (docs/api.md) in Go types: images in, tickets and results
// out. What a server refuses comes back as *resnet18cloud.Error, with the code, the hint and the time after
// which to try again that it gave. The API is stable.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/lend"
)

// Client talks to one dispatcher, or to anything that balances between several. It is safe for concurrent
// use and must not be changed once in use.
type Client struct {
	// BaseURL is where the dispatcher is: "http://127.0.0.1:8080".
	BaseURL string
	// HTTP makes the requests. Nil means http.DefaultClient.
	HTTP *http.Client
}

// Options go with an image. The zero value asks for nothing special.
type Options struct {
	Timeout        time.Duration          // from arrival, after which the answer is worth nothing; 0 means none
	Priority       resnet18cloud.Priority // empty means interactive
	IdempotencyKey string                 // the same key and image are the same request, however often sent
}

// Ticket is what a dispatcher says on accepting an image.
type Ticket struct {
	RequestID     string
	FromCache     bool                  // known bytes: Result is there
	QueueSize     int                   // images waiting, this one among them
	EstimatedWait time.Duration         // to the result; 0 while unknown
	Result        *resnet18cloud.Result // nil unless the answer is known already
	Warning       string                // set when answers mean nothing
}

// Outcome is where a request stands.
type Outcome struct {
	RequestID   string
	Status      resnet18cloud.Status
	Result      *resnet18cloud.Result // when completed
	Err         *resnet18cloud.Error  // when failed: why
	FromCache   bool
	QueuedAt    time.Time
	CompletedAt time.Time // zero before the end
	Replica     string    // URL of the replica that answered
	Attempts    int
	Timing      resnet18cloud.Timing
}

// Submit hands an image over and returns as soon as the dispatcher has stored it (POST /predict_async). The
// image's memory may then be used for something else; so it is with Predict.
func (c *Client) Submit(ctx context.Context, image resnet18cloud.Image, o Options) (Ticket, error) {
	var body struct {
		RequestID     string                `json:"request_id"`
		FromCache     bool                  `json:"from_cache"`
		QueueSize     int                   `json:"queue_size"`
		EstimatedWait float64               `json:"estimated_wait"`
		Result        *resnet18cloud.Result `json:"result"`
		Warning       string                `json:"warning"`
	}
	if err := c.send(ctx, "/predict_async", image, o, &body); err != nil {
		return Ticket{}, fmt.Errorf("submit %s: %w", image.Name, err)
	}
	return Ticket{body.RequestID, body.FromCache, body.QueueSize, resnet18cloud.Seconds(body.EstimatedWait), body.Result, body.Warning}, nil
}

// Predict hands an image over and waits for its labels (POST /predict), of a dispatcher or of a replica.
func (c *Client) Predict(ctx context.Context, image resnet18cloud.Image, o Options) (resnet18cloud.Result, error) {
	var result resnet18cloud.Result
	if err := c.send(ctx, "/predict", image, o, &result); err != nil {
		return resnet18cloud.Result{}, fmt.Errorf("predict %s: %w", image.Name, err)
	}
	if len(result.Predictions) == 0 {
		// A dispatcher that is slow answers 202 after a minute; then there are no labels in the body.
		return resnet18cloud.Result{}, fmt.Errorf("predict %s: %w", image.Name, &resnet18cloud.Error{
			Code: resnet18cloud.CodeDeadline, Message: "no answer yet", Hint: "use Submit and Wait for work that takes this long"})
	}
	return result, nil
}

// Result asks where a request stands. With a wait (at most a minute) the answer comes when the request has
// ended or the time is up, whichever is first.
func (c *Client) Result(ctx context.Context, id string, wait time.Duration) (Outcome, error) {
	path := "/result/" + url.PathEscape(id)
	if wait > 0 {
		path += "?wait=" + strconv.FormatFloat(wait.Seconds(), 'f', -1, 64) + "s"
	}
	o, err := c.outcome(ctx, http.MethodGet, path)
	if err != nil {
		return Outcome{}, fmt.Errorf("result of %s: %w", id, err)
	}
	return o, nil
}

// Wait returns when a request has ended, or ctx has.
func (c *Client) Wait(ctx context.Context, id string) (Outcome, error) {
	for {
		o, err := c.Result(ctx, id, 20*time.Second)
		if err != nil || o.Status.Final() {
			return o, err
		}
		if err := ctx.Err(); err != nil {
			return o, fmt.Errorf("result of %s: %w", id, err)
		}
	}
}

// Cancel withdraws a request (DELETE /result/{id}). One that has ended already is an error with
// resnet18cloud.CodeConflict.
func (c *Client) Cancel(ctx context.Context, id string) (Outcome, error) {
	o, err := c.outcome(ctx, http.MethodDelete, "/result/"+url.PathEscape(id))
	if err != nil {
		return Outcome{}, fmt.Errorf("cancel %s: %w", id, err)
	}
	return o, nil
}

// Healthy returns nil when the server answers GET /health.
func (c *Client) Healthy(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url("/health"), http.NoBody)
	if err != nil {
		return fmt.Errorf("health of %s: %w", c.BaseURL, err)
	}
	if err := c.do(request, nil); err != nil {
		return fmt.Errorf("health of %s: %w", c.BaseURL, err)
	}
	return nil
}

func (c *Client) outcome(ctx context.Context, method, path string) (Outcome, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url(path), http.NoBody)
	if err != nil {
		return Outcome{}, err
	}
	var body struct {
		RequestID   string                `json:"request_id"`
		Status      resnet18cloud.Status  `json:"status"`
		Result      *resnet18cloud.Result `json:"result"`
		Error       string                `json:"error"`
		Hint        string                `json:"hint"`
		Code        resnet18cloud.Code    `json:"code"`
		FromCache   bool                  `json:"from_cache"`
		QueuedAt    stamp                 `json:"queued_at"`
		CompletedAt stamp                 `json:"completed_at"`
		Replica     string                `json:"replica_used"`
		Attempts    int                   `json:"attempts"`
		Timing      resnet18cloud.Timing  `json:"timing"`
	}
	if err := c.do(request, &body); err != nil {
		return Outcome{}, err
	}
	o := Outcome{RequestID: body.RequestID, Status: body.Status, Result: body.Result, FromCache: body.FromCache,
		QueuedAt: time.Time(body.QueuedAt), CompletedAt: time.Time(body.CompletedAt), Replica: body.Replica,
		Attempts: body.Attempts, Timing: body.Timing}
	if body.Status == resnet18cloud.StatusFailed {
		o.Err = &resnet18cloud.Error{Code: body.Code, Message: body.Error, Hint: body.Hint}
	}
	return o, nil
}

// stamp is an ISO 8601 time; the prototype's have no zone and mean UTC.
type stamp time.Time

// UnmarshalJSON reads both forms.
func (s *stamp) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if text == "" || text == "null" {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if t, err = time.Parse("2006-01-02T15:04:05.999999", text); err != nil {
			return err
		}
	}
	*s = stamp(t)
	return nil
}

func (c *Client) url(path string) string { return strings.TrimSuffix(c.BaseURL, "/") + path }

// send posts an image as the form field "image", which the prototype understands too. The image's bytes are
// not copied, and not read any more when it has returned.
func (c *Client) send(ctx context.Context, path string, image resnet18cloud.Image, o Options, answer any) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", multipart.FileContentDisposition("image", image.Name))
	header.Set("Content-Type", "application/octet-stream")
	if _, err := w.CreatePart(header); err != nil {
		return err
	}
	before := form.Len()
	if err := w.Close(); err != nil {
		return err
	}
	body := lend.New(form.Bytes()[:before], image.Bytes, form.Bytes()[before:])
	defer body.Return()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url(path), http.NoBody)
	if err != nil {
		return err
	}
	body.Attach(request)
	request.Header.Set("Content-Type", w.FormDataContentType())
	if o.Timeout > 0 {
		request.Header.Set("X-Request-Timeout", strconv.FormatFloat(o.Timeout.Seconds(), 'f', -1, 64))
	}
	if o.Priority != "" {
		request.Header.Set("X-Priority", string(o.Priority))
	}
	if o.IdempotencyKey != "" {
		request.Header.Set("Idempotency-Key", o.IdempotencyKey)
	}
	return c.do(request, answer)
}

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 1 << 20

// do sends a request and reads the JSON answer, or the error that stands in it.
func (c *Client) do(request *http.Request, answer any) error {
	h := c.HTTP
	if h == nil {
		h = http.DefaultClient
	}
	response, err := h.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode >= 300 {
		return refusal(response, body)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer is not the JSON of a dispatcher: %w", err)
	}
	return nil
}

// refusal is the error in an answer; a server that is not ours may have given only a status.
func refusal(response *http.Response, body []byte) error {
	var b struct {
		Error      string             `json:"error"`
		Hint       string             `json:"hint"`
		Code       resnet18cloud.Code `json:"code"`
		RetryAfter float64            `json:"retry_after"`
	}
	if err := json.Unmarshal(body, &b); err != nil || b.Error == "" {
		b.Error = response.Status
	}
	if b.Code == "" {
		b.Code = codes[response.StatusCode]
	}
	if b.Code == "" {
		b.Code = resnet18cloud.CodeInternal
	}
	e := &resnet18cloud.Error{Code: b.Code, Message: b.Error, Hint: b.Hint, RetryAfter: resnet18cloud.Seconds(b.RetryAfter)}
	if seconds, err := strconv.ParseFloat(response.Header.Get("Retry-After"), 64); err == nil && e.RetryAfter == 0 {
		e.RetryAfter = resnet18cloud.Seconds(seconds)
	}
	return e
}

// codes gives a meaning to answers without one.
var codes = map[int]resnet18cloud.Code{
	http.StatusBadRequest:            resnet18cloud.CodeInvalid,
	http.StatusNotFound:              resnet18cloud.CodeNotFound,
	http.StatusConflict:              resnet18cloud.CodeConflict,
	http.StatusRequestEntityTooLarge: resnet18cloud.CodeTooLarge,
	http.StatusUnsupportedMediaType:  resnet18cloud.CodeUnsupported,
	http.StatusUnprocessableEntity:   resnet18cloud.CodeUndecodable,
	http.StatusServiceUnavailable:    resnet18cloud.CodeUnavailable,
	http.StatusGatewayTimeout:        resnet18cloud.CodeDeadline,
}

// IsFull reports whether err says that the dispatcher's queue is full: sending again later may succeed.
func IsFull(err error) bool {
	e, ok := errors.AsType[*resnet18cloud.Error](err)
	return ok && e.Code == resnet18cloud.CodeFull
}
