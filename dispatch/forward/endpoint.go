package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// endpoint is one replica as the pool sees it.
type endpoint struct {
	pool    *Pool
	url     string
	from    string             // the configured endpoint it came from
	stop    context.CancelFunc // ends watch
	suspect chan struct{}      // an attempt failed: look at it soon

	// guarded by pool.mu
	healthy  bool
	problem  string // why not
	info     info
	slots    int
	inFlight int
	picked   uint64 // value of pool.picks when it was last chosen
	failures int    // attempts that failed since the last success
}

// info is what we use of a replica's GET /info. The prototype's lacks all of it.
type info struct {
	Weights     string `json:"weights"`
	Precision   string `json:"precision"`
	Concurrency int    `json:"concurrency"`
	Queue       int    `json:"queue"`
	Warning     string `json:"warning"`
}

// before orders endpoints by load, then by who has waited longer for an image.
func (e *endpoint) before(o *endpoint) bool {
	// e.inFlight/e.slots < o.inFlight/o.slots, without division
	if l, r := e.inFlight*o.slots, o.inFlight*e.slots; l != r {
		return l < r
	}
	return e.picked < o.picked
}

// Times of watching.
const (
	probeTimeout = 2 * time.Second
	firstBackoff = 100 * time.Millisecond
	maxFailures  = 3 // attempts in a row that answer 5xx before an endpoint is sick
)

// watch looks at the endpoint until ctx ends: at intervals while it is healthy, with backoff while not.
func (e *endpoint) watch(ctx context.Context) {
	backoff, timer := firstBackoff, time.NewTimer(0)
	defer timer.Stop()
	for misses := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-e.suspect: // already marked sick by the attempt
			timer.Reset(backoff)
			backoff = min(2*backoff, e.pool.cfg.MaxBackoff)
			continue
		case <-timer.C:
		}
		found, err := e.probe(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			misses = 0
			if e.recover(ctx, found) {
				backoff = firstBackoff
			}
			timer.Reset(e.pool.cfg.ProbeInterval)
		default:
			// A replica that is busy may miss a look; a port where nobody listens is plain.
			if misses++; misses >= 2 || !isTimeout(err) {
				e.sicken(ctx, err)
			}
			timer.Reset(backoff)
			backoff = min(2*backoff, e.pool.cfg.MaxBackoff)
		}
	}
}

// probe asks whether the replica is ready and what it can do.
func (e *endpoint) probe(ctx context.Context) (info, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// The prototype's replica has no /health/ready: 404 is somebody who is alive.
	if status, err := e.get(ctx, "/health/ready", nil); err != nil {
		return info{}, err
	} else if status != http.StatusOK && status != http.StatusNotFound {
		return info{}, fmt.Errorf("GET %s/health/ready answered %d", e.url, status)
	}
	var found info
	status, err := e.get(ctx, "/info", &found)
	if err != nil {
		return info{}, err
	}
	if status >= http.StatusInternalServerError {
		return info{}, fmt.Errorf("GET %s/info answered %d", e.url, status)
	}
	return found, nil
}

// get reads a small JSON answer into v, if it is one, and returns the status.
func (e *endpoint) get(ctx context.Context, path string, v any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := e.pool.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return 0, err
	}
	if v != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, v); err != nil {
			return 0, fmt.Errorf("GET %s%s: %w", e.url, path, err)
		}
	}
	return resp.StatusCode, nil
}

// recover notes a successful look. It reports whether the endpoint proved itself by an image since it was
// sick; while it has not, the next failure doubles the backoff.
func (e *endpoint) recover(ctx context.Context, found info) (proven bool) {
	p := e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	slots := p.cfg.Slots
	if found.Concurrency > 0 {
		// One image waits for each worker, as they may all finish at once, and an answer and a new image travel longer
		// than nothing. But leave the rest of the replica's waiting places empty: an image that waits here can still go
		// to whoever is free first.
		slots = found.Concurrency + min(found.Queue, found.Concurrency)
	}
	if !e.healthy {
		p.cfg.Log.InfoContext(ctx, "endpoint healthy", "endpoint", e.url, "slots", slots, "warning", found.Warning)
	}
	room, said := !e.healthy || e.slots != slots, !e.healthy || e.info != found
	e.healthy, e.problem, e.info, e.slots = true, "", found, slots
	if room {
		p.announce()
	}
	if said {
		p.describe()
	}
	return e.failures == 0
}

// sicken takes the endpoint out of the choice.
func (e *endpoint) sicken(ctx context.Context, problem error) {
	p := e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.healthy {
		p.cfg.Log.WarnContext(ctx, "endpoint sick", "endpoint", e.url, "error", problem)
	}
	changed := e.healthy
	e.healthy, e.problem = false, problem.Error()
	if changed {
		p.announce() // whoever waits for this one's room must look for another
		p.describe()
	}
}

// failed notes a failed attempt, and has the endpoint set aside at once or after a few.
func (e *endpoint) failed(ctx context.Context, problem error, atOnce bool) {
	e.pool.mu.Lock()
	e.failures++
	aside := atOnce || e.failures >= maxFailures
	e.pool.mu.Unlock()
	if !aside {
		return
	}
	e.sicken(ctx, problem)
	select {
	case e.suspect <- struct{}{}:
	default:
	}
}

// succeeded notes an answered image.
func (e *endpoint) succeeded() {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	e.failures = 0
}

// maxAnswerBytes bounds what is read of an answer; ours are under 2 KB.
const maxAnswerBytes = 1 << 20

// errAttemptTimeout tells the end of an attempt's time from the end of the caller's.
var errAttemptTimeout = errors.New("attempt timed out")

// attempt sends the image to this endpoint.
func (e *endpoint) attempt(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	start := time.Now()
	timeout := e.pool.cfg.AttemptTimeout
	attempt, cancel := context.WithTimeoutCause(ctx, timeout, errAttemptTimeout)
	defer cancel()
	status, header, body, err := e.post(attempt, image)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return resnet18cloud.Result{}, context.Cause(ctx)
	case context.Cause(attempt) == errAttemptTimeout:
		e.failed(ctx, err, true)
		return resnet18cloud.Result{}, errorf(resnet18cloud.CodeInternal, err,
			"Replica %s did not answer within %s", e.url, timeout)
	case isDial(err):
		e.failed(ctx, err, true)
		return resnet18cloud.Result{}, errorf(resnet18cloud.CodeUnavailable, err, "Replica %s is not reachable", e.url)
	default:
		e.failed(ctx, err, true)
		return resnet18cloud.Result{}, errorf(resnet18cloud.CodeInternal, err,
			"Replica %s hung up before it had answered", e.url)
	}
	result, err := e.read(ctx, status, header, body)
	if err != nil {
		return resnet18cloud.Result{}, err
	}
	e.succeeded()
	if result.Filename == "" {
		result.Filename = image.Name
	}
	result.Replica = e.url
	if result.Timing.Replica == 0 { // the prototype's replica says only how long it computed
		result.Timing.Replica = resnet18cloud.Seconds(result.InferenceTime)
	}
	result.Timing.Forward = max(0, time.Since(start)-result.Timing.Replica)
	return result, nil
}

// post sends the image and reads the answer.
func (e *endpoint) post(ctx context.Context, image resnet18cloud.Image) (int, http.Header, []byte, error) {
	req, err := e.request(ctx, image)
	if err != nil {
		return 0, nil, nil, err
	}
	if id := requestID(ctx); id != "" {
		req.Header.Set("X-Request-Id", id)
	}
	// Present but without a value, this is not sent, and lets the transport repeat the request when it had
	// picked an idle connection that the replica was just closing.
	req.Header["X-Idempotency-Key"] = nil
	resp, err := e.pool.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	return resp.StatusCode, resp.Header, answer, err
}

// request makes the POST without copying the image: our own replicas get it as it is, others in the form that the
// prototype's takes, in which the end of the image must be searched for.
func (e *endpoint) request(ctx context.Context, image resnet18cloud.Image) (*http.Request, error) {
	e.pool.mu.Lock()
	ours := e.info.Concurrency > 0
	e.pool.mu.Unlock()
	if ours {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost,
			e.url+"/predict?filename="+url.QueryEscape(image.Name), bytes.NewReader(image.Bytes))
		if err == nil {
			req.Header.Set("Content-Type", "application/octet-stream")
		}
		return req, err
	}
	var frame bytes.Buffer
	form := multipart.NewWriter(&frame)
	if _, err := form.CreateFormFile("image", image.Name); err != nil {
		return nil, err
	}
	split := frame.Len()
	if err := form.Close(); err != nil {
		return nil, err
	}
	head, tail := frame.Bytes()[:split], frame.Bytes()[split:]
	body := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(head), bytes.NewReader(image.Bytes), bytes.NewReader(tail))), nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/predict", nil)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(frame.Len() + len(image.Bytes))
	req.GetBody = body
	req.Body, _ = body()
	req.Header.Set("Content-Type", form.FormDataContentType())
	return req, nil
}

// read makes a result or an error of an answer.
func (e *endpoint) read(ctx context.Context, status int, header http.Header, body []byte) (resnet18cloud.Result, error) {
	if status == http.StatusOK {
		var result resnet18cloud.Result
		err := json.Unmarshal(body, &result)
		if err == nil && len(result.Predictions) == 0 {
			err = errors.New("answer has no predictions")
		}
		if err != nil {
			err = errorf(resnet18cloud.CodeInternal, err, "Replica %s answered nonsense", e.url)
			e.failed(ctx, err, false)
		}
		return result, err
	}
	var said httpx.ErrorBody
	if err := json.Unmarshal(body, &said); err != nil || said.Error == "" {
		said.Error = fmt.Sprintf("Replica %s answered %d %s", e.url, status, http.StatusText(status))
	}
	err := &resnet18cloud.Error{Code: httpx.CodeOf(status), Message: said.Error, Hint: said.Hint}
	switch {
	case blamesImage(err) && status != http.StatusMethodNotAllowed && status != http.StatusUnauthorized && status != http.StatusForbidden:
		e.succeeded() // it did its work
	case err.Code == resnet18cloud.CodeFull:
		err.RetryAfter = retryAfter(header)
	default:
		err.Code = resnet18cloud.CodeInternal
		e.failed(ctx, err, false)
	}
	return resnet18cloud.Result{}, err
}

// retryAfter reads the header's form in seconds; zero when it is not there.
func retryAfter(header http.Header) time.Duration {
	d, err := time.ParseDuration(header.Get("Retry-After") + "s")
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// isDial reports whether the connection was never made.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

type requestIDKey struct{}

// WithRequestID has the id travel to the replica, whose log then names it.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
