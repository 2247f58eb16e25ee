package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/internal/sse"
)

const (
	// watchAttempts is how often a stream is opened in a row without receiving anything, unless Retry allows more: a
	// dispatcher that restarts is back within seconds.
	watchAttempts = 12
	// watchSilence is how long a stream may be silent before the connection counts as dead. Dispatchers send something
	// every 15 s.
	watchSilence = 50 * time.Second
	// maxEventBytes limits an event. A result with 2000 classes has 250 KB.
	maxEventBytes = 4 << 20
)

// Watch follows requests until all have ended (GET /result/{id}/events, or /results/events for several, at most as many as
// a batch may have). The iterator yields the state of each request first, and then each change. For a request that does
// not exist, it yields an outcome with its ID and an error with the code resnet18cloud.CodeNotFound. Any other error ends
// the iteration.
//
// Connections that break are opened again, so it outlives a restart of the dispatcher; what was yielded is not repeated,
// apart from states of requests that have not ended.
func (c *Client) Watch(ctx context.Context, ids ...string) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		if len(ids) == 0 {
			return
		}
		path := "/results/events?ids=" + url.QueryEscape(strings.Join(ids, ","))
		if len(ids) == 1 {
			path = "/result/" + url.PathEscape(ids[0]) + "/events"
		}
		retry := c.Retry
		retry.Attempts = max(retry.Attempts, watchAttempts)
		s := stream{client: c, path: path}
		for attempts := 1; ; attempts++ {
			received := false
			err := s.follow(ctx, func(o Outcome, err error) bool { received = true; return yield(o, err) })
			if received {
				attempts = 1
			}
			if err == nil {
				return
			}
			after, again := retry.pause(attempts, err, true, 0)
			if again {
				pause.For(ctx, after)
			}
			if !again || ctx.Err() != nil {
				var o Outcome
				if len(ids) == 1 {
					o.RequestID = ids[0]
				}
				yield(o, fmt.Errorf("watch %s: %w", strings.Join(ids[:min(3, len(ids))], ", "), err))
				return
			}
		}
	}
}

// WaitAll waits until requests have ended, such as those of a batch, and returns their outcomes in the order of ids. The
// error has those of requests that do not exist, whose outcomes have only an ID.
func (c *Client) WaitAll(ctx context.Context, ids ...string) ([]Outcome, error) {
	byID := map[string]Outcome{}
	var errs []error
	for o, err := range c.Watch(ctx, ids...) {
		byID[o.RequestID] = o
		if err != nil {
			errs = append(errs, err)
		}
	}
	outcomes := make([]Outcome, len(ids))
	for i, id := range ids {
		outcomes[i] = byID[strings.ToLower(id)]
		outcomes[i].RequestID = id
	}
	return outcomes, errors.Join(errs...)
}

// stream is a stream of events over one connection after the other.
type stream struct {
	client *Client
	path   string
	last   string // ID of the last event
}

// errSilent is the cause of ending a connection that says nothing.
var errSilent = errors.New("the server sends nothing")

// follow yields what one connection delivers. It returns nil at the end of the stream, or when yield returns false.
func (s *stream) follow(ctx context.Context, yield func(Outcome, error) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(watchSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.client.url(s.path), http.NoBody)
	if err != nil {
		return err
	}
	s.client.SetHeaders(request)
	if s.last != "" {
		request.Header.Set("Last-Event-ID", s.last)
	}
	response, err := cmp.Or(s.client.HTTP, http.DefaultClient).Do(request)
	if err != nil {
		return &connectionError{errors.Join(context.Cause(ctx), err)}
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNoContent:
		return nil
	case response.StatusCode != http.StatusOK:
		body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10)) // what there is of it
		return s.client.refusal(response, body)
	case !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream"):
		return fmt.Errorf("%s does not answer as a dispatcher: the answer is not a stream", s.client.BaseURL)
	}
	for events := sse.NewReader(heard{response.Body, silence}, maxEventBytes); ; {
		e, err := events.Next()
		if err != nil {
			return &connectionError{fmt.Errorf("the stream ended too early: %w", errors.Join(context.Cause(ctx), err))}
		}
		if done, err := s.receive(e, yield); done || err != nil {
			return err
		}
	}
}

// receive yields an event. done reports that it was the last one, or that yield returned false.
func (s *stream) receive(e sse.Event, yield func(Outcome, error) bool) (done bool, err error) {
	switch e.Name {
	case "end":
		return true, nil
	case "progress", "result":
		var body outcomeBody
		if err := json.Unmarshal(e.Data, &body); err != nil {
			return false, fmt.Errorf("an event is not the JSON of a dispatcher: %w", err)
		}
		s.last = e.ID
		return !yield(body.outcome(), nil), nil
	case "missing":
		var body struct {
			refusalBody
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal(e.Data, &body); err != nil {
			return false, fmt.Errorf("an event is not the JSON of a dispatcher: %w", err)
		}
		s.last = e.ID
		missing := &resnet18cloud.Error{Code: body.Code, Message: clip(body.Error), Hint: clip(body.Hint)}
		return !yield(Outcome{RequestID: body.RequestID}, fmt.Errorf("result of %s: %w", body.RequestID, missing)), nil
	}
	return false, nil // of a later version
}

// heard is a body that keeps a timer from firing while bytes arrive.
type heard struct {
	body    io.Reader
	silence *time.Timer
}

// Read implements io.Reader.
func (h heard) Read(p []byte) (int, error) {
	n, err := h.body.Read(p)
	h.silence.Reset(watchSilence)
	return n, err
}
