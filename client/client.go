// Package client is a client for the dispatcher's HTTP API (docs/api.md): it sends images alone and in batches, waits for
// results or follows them as they change, and reads labels, models and the server's state. If a server refuses a request,
// the error is a *resnet18cloud.Error with the server's code, hint and retry delay; with [Client.Retry] the client waits
// that long and sends the request again. Requests have the trace of their context, see [resnet18cloud.WithTrace]. The API is
// stable.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

// Client sends requests to one dispatcher, or to a load balancer before several. It is safe for concurrent use. Its
// fields must not be changed after the first call.
type Client struct {
	// BaseURL is the dispatcher's address, such as "http://127.0.0.1:8080".
	BaseURL string
	// HTTP sends the requests. Nil means http.DefaultClient. See [Trusting] for a server whose certificate is signed by
	// an authority of your own.
	HTTP *http.Client
	// Token is sent with each request, in the header Authorization: Bearer. Empty means none. Over plain HTTP, everybody on
	// the way can read it. White space around it, such as the end of the line in a file, is left out.
	Token string
	// Header is added to each request.
	Header http.Header
	// Retry repeats requests that failed for a reason that passes. The zero value sends each once.
	Retry Retry
}

// SetHeaders adds Token and Header to a request, and the trace of its context, for requests that other methods do not send.
func (c *Client) SetHeaders(request *http.Request) {
	trace := resnet18cloud.TraceFrom(request.Context())
	for name, value := range map[string]string{"Traceparent": trace.Traceparent(), "Tracestate": trace.State, "X-Request-Id": trace.RequestID} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(c.Token))
	}
	for name, values := range c.Header {
		request.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
}

// Trusting returns an HTTP client, for Client.HTTP, that trusts only servers whose certificate is signed by one of the
// certificate authorities in a PEM file. It reads the file once.
func Trusting(caFile string) (*http.Client, error) {
	h, err := tlsfiles.HTTPClient(tlsfiles.Files{CA: caFile}, true)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return h, nil
}

// Options are the options of a request. The zero value is valid.
type Options struct {
	Timeout        time.Duration          // deadline, counted from arrival; 0 means none
	Priority       resnet18cloud.Priority // empty means interactive
	IdempotencyKey string                 // requests with the same key and image are the same request
	Webhook        string                 // URL to which the dispatcher sends the outcome, if its operator allows the host
	BatchWebhook   string                 // with SubmitBatch, instead of Webhook: URL for one message about all images
}

// Ticket is a dispatcher's answer on accepting an image.
type Ticket struct {
	RequestID     string
	FromCache     bool                  // the result is cached: Result is set
	QueueSize     int                   // images waiting, including this one
	EstimatedWait time.Duration         // until the result; 0 if not known
	Result        *resnet18cloud.Result // nil unless the result is known already
	Warning       string                // set if results are meaningless, as with random weights
}

// Outcome is the state of a request.
type Outcome struct {
	RequestID   string
	Status      resnet18cloud.Status
	Result      *resnet18cloud.Result // set if completed
	Err         *resnet18cloud.Error  // set if failed
	FromCache   bool
	QueuedAt    time.Time
	CompletedAt time.Time // zero until the request has ended
	Replica     string    // URL of the replica that answered, or a name for it if the key has no scope admin
	Attempts    int
	Timing      resnet18cloud.Timing

	Filename      string
	Priority      resnet18cloud.Priority
	Deadline      time.Time     // zero if the client set none
	EstimatedWait time.Duration // from now until the result; 0 if unknown, or if the request has ended
	Warning       string        // set if the result is meaningless, as with random weights
	Owner         string        // name of the client; empty if clients have no keys
}

// Answer returns the result of a request that has ended, or the error with which it ended.
func (o Outcome) Answer() (resnet18cloud.Result, error) {
	switch {
	case o.Result != nil:
		return *o.Result, nil
	case o.Err != nil:
		return resnet18cloud.Result{}, o.Err
	case o.Status == resnet18cloud.StatusCancelled:
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeCancelled, Message: "Request was cancelled"}
	}
	return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeConflict, Message: "Request has not ended: it is " + string(o.Status), Hint: "use Wait"}
}

// ticketBody is the JSON of a ticket.
type ticketBody struct {
	RequestID     string                `json:"request_id"`
	FromCache     bool                  `json:"from_cache"`
	QueueSize     int                   `json:"queue_size"`
	EstimatedWait float64               `json:"estimated_wait"`
	Result        *resnet18cloud.Result `json:"result"`
	Warning       string                `json:"warning"`
}

func (b ticketBody) ticket() Ticket {
	return Ticket{b.RequestID, b.FromCache, b.QueueSize, resnet18cloud.Seconds(b.EstimatedWait), b.Result, b.Warning}
}

// Submit sends an image and returns when the dispatcher has stored it (POST /predict_async, or /embed_async if image.Want
// asks for features). The image's memory may be reused after Submit, Predict or Embed has returned.
func (c *Client) Submit(ctx context.Context, image resnet18cloud.Image, o Options) (Ticket, error) {
	var body ticketBody
	if err := c.sendOne(ctx, "_async", image, o, &body); err != nil {
		return Ticket{}, fmt.Errorf("submit %s: %w", image.Name, err)
	}
	return body.ticket(), nil
}

// Predict sends an image and waits for its labels (POST /predict), as many as image.Want asks for. Dispatchers and replicas
// offer it.
func (c *Client) Predict(ctx context.Context, image resnet18cloud.Image, o Options) (resnet18cloud.Result, error) {
	image.Want.Embedding = false
	return c.answer(ctx, "predict", image, o)
}

// Embed sends an image and waits for its features, Result.Embedding (POST /embed), normalized if image.Want asks for that.
// Dispatchers and replicas offer it.
func (c *Client) Embed(ctx context.Context, image resnet18cloud.Image, o Options) (resnet18cloud.Result, error) {
	image.Want.Embedding = true
	return c.answer(ctx, "embed", image, o)
}

// answer sends an image and waits for what it wants. After a minute, a dispatcher answers with the ID of the request.
func (c *Client) answer(ctx context.Context, what string, image resnet18cloud.Image, o Options) (resnet18cloud.Result, error) {
	var body struct {
		resnet18cloud.Result
		RequestID string `json:"request_id"`
	}
	err := c.sendOne(ctx, "", image, o, &body)
	result := body.Result
	switch {
	case err != nil || len(result.Predictions) > 0 || len(result.Embedding) > 0:
	case body.RequestID == "":
		err = fmt.Errorf("%s does not answer as a dispatcher or a replica", c.BaseURL)
	default:
		var outcome Outcome
		if outcome, err = c.Wait(ctx, body.RequestID); err == nil {
			result, err = outcome.Answer()
		}
	}
	if err != nil {
		return resnet18cloud.Result{}, fmt.Errorf("%s %s: %w", what, image.Name, err)
	}
	return result, nil
}

// Result returns the state of a request. It waits until the request has ended, up to wait, which is at most a minute.
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

// Wait waits until a request has ended.
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

// Cancel cancels a request (DELETE /result/{id}). If it has ended already, the error has the code
// resnet18cloud.CodeConflict.
func (c *Client) Cancel(ctx context.Context, id string) (Outcome, error) {
	o, err := c.outcome(ctx, http.MethodDelete, "/result/"+url.PathEscape(id))
	if err != nil {
		return Outcome{}, fmt.Errorf("cancel %s: %w", id, err)
	}
	return o, nil
}

func (c *Client) outcome(ctx context.Context, method, path string) (Outcome, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url(path), http.NoBody)
	if err != nil {
		return Outcome{}, err
	}
	var body outcomeBody
	if err := c.do(request, &body); err != nil {
		return Outcome{}, err
	}
	return body.outcome(), nil
}

// outcomeBody is the JSON of an outcome.
type outcomeBody struct {
	RequestID     string                 `json:"request_id"`
	Status        resnet18cloud.Status   `json:"status"`
	Result        *resnet18cloud.Result  `json:"result"`
	Error         string                 `json:"error"`
	Hint          string                 `json:"hint"`
	Code          resnet18cloud.Code     `json:"code"`
	FromCache     bool                   `json:"from_cache"`
	QueuedAt      timestamp              `json:"queued_at"`
	CompletedAt   timestamp              `json:"completed_at"`
	Replica       string                 `json:"replica_used"`
	Attempts      int                    `json:"attempts"`
	Timing        resnet18cloud.Timing   `json:"timing"`
	Filename      string                 `json:"filename"`
	Priority      resnet18cloud.Priority `json:"priority"`
	Deadline      timestamp              `json:"deadline"`
	EstimatedWait float64                `json:"estimated_wait"`
	Warning       string                 `json:"warning"`
	Owner         string                 `json:"owner"`
}

func (b outcomeBody) outcome() Outcome {
	o := Outcome{RequestID: b.RequestID, Status: b.Status, Result: b.Result, FromCache: b.FromCache,
		QueuedAt: time.Time(b.QueuedAt), CompletedAt: time.Time(b.CompletedAt), Replica: b.Replica,
		Attempts: b.Attempts, Timing: b.Timing, Filename: b.Filename, Priority: b.Priority, Deadline: time.Time(b.Deadline),
		EstimatedWait: resnet18cloud.Seconds(b.EstimatedWait), Warning: b.Warning, Owner: b.Owner}
	if b.Status == resnet18cloud.StatusFailed {
		o.Err = &resnet18cloud.Error{Code: b.Code, Message: b.Error, Hint: b.Hint}
	}
	return o
}

// timestamp is an ISO 8601 time. The prototype's have no zone and are in UTC.
type timestamp time.Time

// UnmarshalJSON reads both forms.
func (t *timestamp) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if text == "" || text == "null" {
		return nil
	}
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if parsed, err = time.Parse("2006-01-02T15:04:05.999999", text); err != nil {
			return err
		}
	}
	*t = timestamp(parsed)
	return nil
}

func (c *Client) url(path string) string { return strings.TrimSuffix(c.BaseURL, "/") + path }

// sendOne is send for one image.
func (c *Client) sendOne(ctx context.Context, kind string, image resnet18cloud.Image, o Options, answer any) error {
	return c.send(ctx, kind, image.Want, []resnet18cloud.Image{image}, o, answer)
}

// send posts images to the endpoint for what they want, with kind at the end of the path: "", "_async" or "_batch". Each is
// a form field "image", which the prototype supports too. It does not copy the images' bytes, and does not read them after
// it has returned.
func (c *Client) send(ctx context.Context, kind string, want resnet18cloud.Want, images []resnet18cloud.Image, o Options, answer any) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	ends := make([]int, 0, len(images)) // of the headers of each image
	for _, image := range images {
		header := textproto.MIMEHeader{}
		header.Set("Content-Disposition", multipart.FileContentDisposition("image", image.Name))
		header.Set("Content-Type", "application/octet-stream")
		if _, err := w.CreatePart(header); err != nil {
			return err
		}
		ends = append(ends, form.Len())
	}
	if err := w.Close(); err != nil {
		return err
	}
	body := parts(form.Bytes(), ends, images)
	defer body.Return()
	path := want.Path() + kind
	if query := want.Query(); len(query) > 0 {
		path += "?" + query.Encode()
	}
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
	if o.Webhook != "" {
		request.Header.Set("X-Webhook", o.Webhook)
	}
	if o.BatchWebhook != "" {
		request.Header.Set("X-Batch-Webhook", o.BatchWebhook)
	}
	return c.do(request, answer)
}

// maxAnswerBytes is the most that is read of an answer. A list of 1000 results of 2000 classes each is larger.
const maxAnswerBytes = 64 << 20

// do sends a request, again as c.Retry says, and decodes the JSON answer, or the error in it.
func (c *Client) do(request *http.Request, answer any) error {
	c.SetHeaders(request)
	ctx := request.Context()
	for attempts := 1; ; attempts++ {
		err := c.once(request, answer)
		if err == nil {
			return nil
		}
		after, again := c.retry(ctx, attempts, err, harmless(request))
		if !again {
			return err
		}
		pause.For(ctx, after)
		if ctx.Err() != nil {
			return err
		}
		if request.GetBody != nil {
			if request.Body, err = request.GetBody(); err != nil {
				return err
			}
		}
	}
}

// retry returns how long to wait before a request is sent again, or false if it is not.
func (c *Client) retry(ctx context.Context, attempts int, err error, harmless bool) (after time.Duration, again bool) {
	after, again = c.Retry.pause(attempts, err, harmless, rand.Float64())
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= after {
		return 0, false
	}
	return after, again && ctx.Err() == nil
}

// once sends a request once.
func (c *Client) once(request *http.Request, answer any) error {
	response, err := cmp.Or(c.HTTP, http.DefaultClient).Do(request)
	if err != nil {
		return &connectionError{err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return &connectionError{fmt.Errorf("read the answer: %w", err)}
	}
	if response.StatusCode >= 300 {
		return c.refusal(response, body)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("%s does not answer as a dispatcher: %w", c.BaseURL, err)
	}
	return nil
}

// refusalBody is the JSON of an error.
type refusalBody struct {
	Error      string             `json:"error"`
	Hint       string             `json:"hint"`
	Code       resnet18cloud.Code `json:"code"`
	RetryAfter float64            `json:"retry_after"`
}

// refusal is the error in an answer. Other servers may send only a status.
func (c *Client) refusal(response *http.Response, body []byte) error {
	var b refusalBody
	if err := json.Unmarshal(body, &b); err != nil || b.Error == "" {
		b.Error = fmt.Sprintf("%s answers %s", c.BaseURL, response.Status)
	}
	b.Code = cmp.Or(b.Code, codes[response.StatusCode], resnet18cloud.CodeInternal)
	e := &resnet18cloud.Error{Code: b.Code, Message: clip(b.Error), Hint: clip(b.Hint), RetryAfter: resnet18cloud.Seconds(b.RetryAfter)}
	if seconds, err := strconv.ParseFloat(response.Header.Get("Retry-After"), 64); err == nil && e.RetryAfter == 0 {
		e.RetryAfter = resnet18cloud.Seconds(seconds)
	}
	return e
}

// maxErrorBytes is the most that is kept of each text of an error, which callers may print or log.
const maxErrorBytes = 1 << 10

func clip(text string) string {
	if len(text) <= maxErrorBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxErrorBytes], "") + "..."
}

// codes maps the status of answers without a code.
var codes = map[int]resnet18cloud.Code{
	http.StatusBadRequest:            resnet18cloud.CodeInvalid,
	http.StatusUnauthorized:          resnet18cloud.CodeUnauthorized,
	http.StatusForbidden:             resnet18cloud.CodeForbidden,
	http.StatusNotFound:              resnet18cloud.CodeNotFound,
	http.StatusConflict:              resnet18cloud.CodeConflict,
	http.StatusRequestEntityTooLarge: resnet18cloud.CodeTooLarge,
	http.StatusUnsupportedMediaType:  resnet18cloud.CodeUnsupported,
	http.StatusUnprocessableEntity:   resnet18cloud.CodeUndecodable,
	http.StatusTooManyRequests:       resnet18cloud.CodeRateLimited,
	http.StatusBadGateway:            resnet18cloud.CodeUnavailable,
	http.StatusServiceUnavailable:    resnet18cloud.CodeUnavailable,
	http.StatusGatewayTimeout:        resnet18cloud.CodeDeadline,
}

// IsFull reports whether err means that the dispatcher's queue is full. Sending the image again later may succeed.
func IsFull(err error) bool {
	e, ok := errors.AsType[*resnet18cloud.Error](err)
	return ok && e.Code == resnet18cloud.CodeFull
}
