package natsconn

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// attemptTimeout limits one attempt of Retry: a cluster that has no leader yet does not respond. Creating a stream may
// take longer; then it exists at the next attempt.
const attemptTimeout = 4 * time.Second

// Retry calls try until it succeeds, ctx ends, or it fails with [ErrPermanent], and returns the last error. It calls
// onRetry, if not nil, with the reason for each retry.
func Retry(ctx context.Context, onRetry func(error), try func(context.Context) error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := try(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrPermanent) {
			return err
		}
		if onRetry != nil {
			onRetry(err)
		}
		if pause.For(ctx, wait); ctx.Err() != nil {
			return err
		}
	}
}

// WithDefaultTimeout adds the timeout d to ctx unless it has a deadline.
func WithDefaultTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// publishTimeout limits one attempt to publish: a server that has died does not respond.
const publishTimeout = 2 * time.Second

// Publish stores one message and returns the stream's acknowledgment. It does not retry. If id is not empty, the
// stream drops the message if it received the same id in the last two minutes.
func Publish(ctx context.Context, js jetstream.JetStream, msg *nats.Msg, id string, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	options = append(options, jetstream.WithRetryAttempts(0))
	if id != "" {
		options = append(options, jetstream.WithMsgID(id))
	}
	return js.PublishMsg(ctx, msg, options...)
}

// Probe publishes an empty message to show that a stream accepts writes. If no stream responds, it calls reopen, which
// opens or creates the stream, and publishes again. A request that a dying server took gets no response, so reopen gets
// the time of one attempt and not all of ctx's: the caller can repeat what failed.
func Probe(ctx context.Context, js func() jetstream.JetStream, subject string, reopen func(context.Context) error) error {
	probe := &nats.Msg{Subject: subject}
	_, err := Publish(ctx, js(), probe, "")
	if !errors.Is(err, jetstream.ErrNoStreamResponse) {
		return err
	}
	attempt, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := reopen(attempt); err != nil {
		return err
	}
	_, err = Publish(ctx, js(), probe, "")
	return err
}

// temporary are errors without a response: the connection is down, or the stream has no leader.
var temporary = []error{
	context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse,
	nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrDisconnected,
	nats.ErrStaleConnection, nats.ErrNoServers, nats.ErrBadSubscription,
}

// IsTemporary reports whether a retry of the same request may succeed, because the error is caused by unavailable
// servers or connections and not by the request.
func IsTemporary(err error) bool {
	for _, p := range temporary {
		if errors.Is(err, p) {
			return true
		}
	}
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && apiErr.Code == 503 && apiErr.ErrorCode == errClusterNotAvailable
}

// errClusterNotAvailable is the response of a cluster without a leader (nats-server, server/errors.json:
// JSClusterNotAvailErr). nats.go does not define it.
const errClusterNotAvailable jetstream.ErrorCode = 10008

// IsTimeout reports whether a request failed only because there was no response in time.
func IsTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}
