package forward

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// flight is one attempt to classify an image on an endpoint.
type flight struct {
	ctx       context.Context
	cancel    context.CancelCauseFunc
	endpoint  *endpoint
	index     int    // guarded by pool.mu: in endpoint.flights
	takesBody bool   // the replica accepts the image as the request body
	probes    uint64 // endpoint.probes at the start
	payload   payload
}

// attempt sends the image to the flight's endpoint and returns the outcome.
func (p *Pool) attempt(ctx context.Context, f *flight, image resnet18cloud.Image) (resnet18cloud.Result, outcome) {
	start := time.Now()
	timer := time.AfterFunc(p.cfg.AttemptTimeout, func() { f.cancel(errAttemptTimeout) })
	defer timer.Stop()
	endpoint := f.endpoint.url
	answer, err := p.post(f, image)
	if err != nil {
		return resnet18cloud.Result{}, interruption{err: err, caller: context.Cause(ctx), attempt: context.Cause(f.ctx),
			sent: f.payload.wasSent(), timeout: p.cfg.AttemptTimeout, alive: p.alive(f)}.outcome(endpoint)
	}
	tracing.Current(f.ctx).Set(slog.Int("http.response.status_code", answer.status))
	result, o := answer.outcome(endpoint, image.Want, time.Now())
	if o.err != nil {
		return resnet18cloud.Result{}, o
	}
	if result.Filename == "" {
		result.Filename = image.Name
	}
	result.Replica = endpoint
	if result.Timing.Replica == 0 { // the prototype's replica reports only its inference time
		result.Timing.Replica = resnet18cloud.Seconds(result.InferenceTime)
	}
	result.Timing.Forward = max(0, time.Since(start)-result.Timing.Replica)
	return result, o
}

// alive reports whether the flight's endpoint has answered probes during the attempt.
func (p *Pool) alive(f *flight) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.endpoint.aliveSince(f.probes)
}

// post sends the image and reads the response.
func (p *Pool) post(f *flight, image resnet18cloud.Image) (reply, error) {
	req, err := f.request(image)
	if err != nil {
		return reply{}, err
	}
	defer f.payload.close()
	access.SetBearer(req.Header, p.cfg.Token())
	resp, err := p.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit(image.Want)+1))
	return reply{resp.StatusCode, resp.Header.Get("Retry-After"), body}, err
}

// request creates the POST request: our replicas receive the image as the body, others as a multipart form like the
// prototype's replica, which has to be searched for the end of the image.
func (f *flight) request(image resnet18cloud.Image) (*http.Request, error) {
	contentType := "application/octet-stream"
	query := image.Want.Query()
	if f.takesBody {
		query.Set("filename", image.Name)
		f.payload.parts[0] = image.Bytes
	} else {
		var err error
		if f.payload.parts, contentType, err = form(image); err != nil {
			return nil, err
		}
	}
	address := f.endpoint.url + image.Want.Path()
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(f.ctx, http.MethodPost, address, nil)
	if err != nil {
		return nil, err
	}
	if n := f.payload.size(); n > 0 {
		req.ContentLength, req.Body = n, f.payload.reader()
		req.GetBody = func() (io.ReadCloser, error) { return f.payload.reader(), nil }
	}
	req.Header.Set("Content-Type", contentType)
	setTrace(f.ctx, req.Header)
	// A header without a value is not sent, but lets the transport retry the request if it picked an idle connection
	// that the replica was just closing.
	req.Header["X-Idempotency-Key"] = nil
	return req, nil
}

// form wraps the image in a multipart form without copying it.
func form(image resnet18cloud.Image) (parts [3][]byte, contentType string, err error) {
	var frame bytes.Buffer
	w := multipart.NewWriter(&frame)
	if _, err := w.CreateFormFile("image", image.Name); err != nil {
		return parts, "", err
	}
	split := frame.Len()
	if err := w.Close(); err != nil {
		return parts, "", err
	}
	return [3][]byte{frame.Bytes()[:split], image.Bytes, frame.Bytes()[split:]}, w.FormDataContentType(), nil
}
