package target

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
)

// Async sends images to a dispatcher with POST /predict_async and fetches the result with GET /result. It uses long
// polls; if the server does not support them, as the prototype does not, it polls at short intervals.
type Async struct{ Client *client.Client }

// Sync sends images with POST /predict, which replicas and dispatchers offer.
type Sync struct{ Client *client.Client }

var (
	_ Target = Async{}
	_ Target = Sync{}
)

const (
	longPoll  = 20 * time.Second
	shortPoll = 50 * time.Millisecond // interval of polls if the server answers long polls immediately
)

// String implements Target.
func (a Async) String() string { return address(a.Client.BaseURL) + " (async)" }

// Check implements Target. It returns ErrNotAsync if the server does not queue images.
func (a Async) Check(ctx context.Context) error {
	if err := a.Client.Healthy(ctx); err != nil {
		return err
	}
	url := strings.TrimSuffix(a.Client.BaseURL, "/") + "/predict_async"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	a.Client.SetHeaders(request)
	response, err := cmp.Or(a.Client.HTTP, http.DefaultClient).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound { // a dispatcher answers 405
		return fmt.Errorf("%s: %w", a.Client.BaseURL, ErrNotAsync)
	}
	return nil
}

// Send implements Target.
func (a Async) Send(ctx context.Context, image resnet18cloud.Image, sent func()) (Answer, error) {
	start := time.Now()
	ticket, err := a.Client.Submit(ctx, image, client.Options{})
	sent()
	answer := Answer{Accepted: time.Now(), FromCache: ticket.FromCache}
	if err != nil {
		return answer, err
	}
	if ticket.Result != nil {
		answer.setResult(*ticket.Result)
		return answer, nil
	}
	outcome, err := a.wait(ctx, ticket.RequestID)
	if err != nil {
		return answer, err
	}
	answer.Queue = outcome.Timing.Queue
	answer.FromCache = outcome.FromCache
	// Clocks of two machines may differ, and a server may not report the time. A lag that is negative, or longer
	// than the request took, is wrong.
	if lag := time.Since(outcome.CompletedAt); lag > 0 && lag <= time.Since(start) {
		answer.PollLag = lag
	}
	answer.setResult(*outcome.Result)
	return answer, nil
}

// wait polls until the request has completed. It returns an error if the request failed or was cancelled.
func (a Async) wait(ctx context.Context, id string) (client.Outcome, error) {
	for {
		asked := time.Now()
		outcome, err := a.Client.Result(ctx, id, longPoll)
		if err != nil {
			return outcome, err
		}
		switch outcome.Status {
		case resnet18cloud.StatusCompleted:
			if outcome.Result == nil {
				return outcome, &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "completed without a result"}
			}
			return outcome, nil
		case resnet18cloud.StatusFailed:
			if outcome.Err.Code == "" {
				outcome.Err.Code = resnet18cloud.CodeInternal // the prototype sends only a message
			}
			return outcome, outcome.Err
		case resnet18cloud.StatusCancelled:
			return outcome, &resnet18cloud.Error{Code: resnet18cloud.CodeCancelled, Message: "request was cancelled"}
		case resnet18cloud.StatusQueued, resnet18cloud.StatusProcessing:
		}
		if time.Since(asked) < shortPoll {
			select {
			case <-ctx.Done():
				return outcome, ctx.Err()
			case <-time.After(shortPoll):
			}
		}
	}
}

// String implements Target.
func (s Sync) String() string { return address(s.Client.BaseURL) + " (sync)" }

// Check implements Target.
func (s Sync) Check(ctx context.Context) error { return s.Client.Healthy(ctx) }

// Send implements Target.
func (s Sync) Send(ctx context.Context, image resnet18cloud.Image, _ func()) (Answer, error) {
	result, err := s.Client.Predict(ctx, image, client.Options{})
	answer := Answer{Accepted: time.Now()}
	if err != nil {
		return answer, err
	}
	answer.Queue = result.Timing.Queue
	answer.FromCache = fromCache(result.Timing)
	answer.setResult(result)
	return answer, nil
}

// fromCache reports whether a dispatcher took a result from its cache: then no stage but the lookup took time.
func fromCache(t resnet18cloud.Timing) bool {
	return t.Cache > 0 && t == resnet18cloud.Timing{Cache: t.Cache}
}

func (a *Answer) setResult(result resnet18cloud.Result) {
	a.Model = strings.TrimSpace(result.Model + " " + result.Precision)
	a.Inference = result.Timing.Inference
	if a.Inference == 0 {
		a.Inference = resnet18cloud.Seconds(result.InferenceTime) // the only duration that the prototype reports
	}
	if len(result.Predictions) > 0 {
		a.Label = result.Predictions[0]
	}
}
