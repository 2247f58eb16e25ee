package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
)

// Target is a way to have an image classified. Implementations are safe for concurrent use.
type Target interface {
	// Send has one image classified and fills r with what it learns; clock tells the time since the start of
	// the run. It returns an error when there are no labels in the end. It does not read the image's bytes any more
	// when it has returned.
	Send(ctx context.Context, image resnet18cloud.Image, clock func() time.Duration, r *Record) error
	// String says what is asked, and how.
	String() string
	// Check says whether anybody is there at all.
	Check(ctx context.Context) error
}

// Async is a dispatcher: POST /predict_async, then GET /result until the end. It waits in the server where
// that is offered and asks again and again where it is not, as with the prototype.
type Async struct{ Client *client.Client }

// Sync is POST /predict, which replicas and dispatchers have.
type Sync struct{ Client *client.Client }

var (
	_ Target = Async{}
	_ Target = Sync{}
)

const (
	longPoll  = 20 * time.Second
	shortPoll = 50 * time.Millisecond // between questions to a server without long polls
)

// String implements Target.
func (a Async) String() string { return a.Client.BaseURL + " (async)" }

// ErrNotAsync says that a server is there, but is none that queues images, as a replica is none.
var ErrNotAsync = errors.New("the server has no /predict_async")

// Check implements Target.
func (a Async) Check(ctx context.Context) error {
	if err := a.Client.Healthy(ctx); err != nil {
		return err
	}
	url := strings.TrimSuffix(a.Client.BaseURL, "/") + "/predict_async"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := cmp.Or(a.Client.HTTP, http.DefaultClient).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound { // who has it refuses the method
		return fmt.Errorf("%s: %w", a.Client.BaseURL, ErrNotAsync)
	}
	return nil
}

// Send implements Target.
func (a Async) Send(ctx context.Context, image resnet18cloud.Image, clock func() time.Duration, r *Record) error {
	ticket, err := a.Client.Submit(ctx, image, client.Options{})
	r.Accepted = clock()
	if err != nil {
		return err
	}
	r.FromCache = ticket.FromCache
	if ticket.Result != nil {
		r.take(*ticket.Result)
		return nil
	}
	for {
		asked := clock()
		o, err := a.Client.Result(ctx, ticket.RequestID, longPoll)
		if err != nil {
			return err
		}
		switch o.Status {
		case resnet18cloud.StatusCompleted:
			if o.Result == nil {
				return &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "completed without a result"}
			}
			r.Queue = o.Timing.Queue
			// Clocks of two machines may disagree, and a server may not say when it had the answer: a lag below
			// zero, or longer than we have waited, says nothing.
			if lag := time.Since(o.CompletedAt); lag > 0 && lag <= clock()-r.Sent {
				r.PollLag = lag
			}
			r.take(*o.Result)
			return nil
		case resnet18cloud.StatusFailed:
			if o.Err.Code == "" {
				o.Err.Code = resnet18cloud.CodeInternal // the prototype gives only a text
			}
			return o.Err
		case resnet18cloud.StatusCancelled:
			return &resnet18cloud.Error{Code: resnet18cloud.CodeCancelled, Message: "request was cancelled"}
		case resnet18cloud.StatusQueued, resnet18cloud.StatusProcessing:
		}
		if clock()-asked < shortPoll {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(shortPoll):
			}
		}
	}
}

// String implements Target.
func (s Sync) String() string { return s.Client.BaseURL + " (sync)" }

// Check implements Target.
func (s Sync) Check(ctx context.Context) error { return s.Client.Healthy(ctx) }

// Send implements Target.
func (s Sync) Send(ctx context.Context, image resnet18cloud.Image, clock func() time.Duration, r *Record) error {
	result, err := s.Client.Predict(ctx, image, client.Options{})
	r.Accepted = clock()
	if err != nil {
		return err
	}
	r.Queue = result.Timing.Queue
	r.take(result)
	return nil
}

func (r *Record) take(result resnet18cloud.Result) {
	r.Inference = result.Timing.Inference
	if r.Inference == 0 {
		r.Inference = resnet18cloud.Seconds(result.InferenceTime) // the prototype's only figure
	}
	if len(result.Predictions) > 0 {
		r.Label = result.Predictions[0]
	}
}
