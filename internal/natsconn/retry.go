package natsconn

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// attemptTimeout bounds one try of Retry. Servers may take longer to make a stream; it is there at the next try then.
const attemptTimeout = 8 * time.Second

// Retry calls try until it succeeds, ctx ends, or it fails with [ErrPermanent], and returns the last error.
// It tells waiting, if that is not nil, each reason to try again.
func Retry(ctx context.Context, waiting func(error), try func(context.Context) error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := try(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrPermanent) {
			return err
		}
		if waiting != nil {
			waiting(err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// Bound gives ctx the timeout d unless it has a deadline of its own.
func Bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// publishTimeout bounds one try to publish: a server that has died does not answer.
const publishTimeout = 2 * time.Second

// Publish stores one message and returns the stream's acknowledgement. It does not try again. With an id
// the stream drops the message when it got one with that id in the last two minutes.
func Publish(ctx context.Context, js jetstream.JetStream, msg *nats.Msg, id string, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	options = append(options, jetstream.WithRetryAttempts(0))
	if id != "" {
		options = append(options, jetstream.WithMsgID(id))
	}
	return js.PublishMsg(ctx, msg, options...)
}

// passing are errors that say that nobody answered: the connection is away, or the stream has no leader now.
var passing = []error{
	context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse,
	nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrDisconnected,
	nats.ErrStaleConnection, nats.ErrNoServers, nats.ErrBadSubscription,
}

// Passing reports whether another try of the same request may succeed, because the error comes from servers
// or connections that are away, and not from what was asked for.
func Passing(err error) bool {
	for _, p := range passing {
		if errors.Is(err, p) {
			return true
		}
	}
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && apiErr.Code == 503 && apiErr.ErrorCode == errClusterNotAvailable
}

// errClusterNotAvailable is what a cluster without a leader answers (nats-server, server/errors.json:
// JSClusterNotAvailErr). nats.go does not name it.
const errClusterNotAvailable jetstream.ErrorCode = 10008

// Silent reports whether a request failed only because nobody answered it in time.
func Silent(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}
