package jsstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// The secret is a message beside the records, under a subject of its own. The stream drops messages by their age and,
// if it is full, the oldest ones. So every process writes the secret again from time to time. It disappears with the
// records that it protects: when no process has used the stream for as long as records are kept, or when the stream is
// deleted.

// secretInterval is the maximum time between two writes of the secret.
const secretInterval = 10 * time.Second

func (s *Store) secretSubject() string { return s.cfg.Prefix + ".results.secret" }

// Secret implements store.Store.
func (s *Store) Secret() store.Secret { return *s.secret.Load() }

// keepSecret writes the secret periodically until ctx ends. A failed write is repeated at the next interval, and the
// storage's own checks report a lasting failure.
func (s *Store) keepSecret(ctx context.Context) {
	ticker := time.NewTicker(max(time.Millisecond, min(secretInterval, s.cfg.TTL/4)))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		writing, cancel := context.WithTimeout(ctx, secretInterval)
		if err := s.shareSecret(writing); err != nil {
			s.cfg.Log.DebugContext(ctx, "writing the secret of the results failed", "error", err)
		}
		cancel()
	}
}

// shareSecret makes this process and the stream have the same secret, and makes it the stream's latest message. Each
// write is a compare-and-swap, so of several processes that start on an empty stream, one provides the secret.
func (s *Store) shareSecret(ctx context.Context) error {
	for {
		h, err := s.use(ctx)
		if err != nil {
			return err
		}
		found, last, err := s.readSecret(ctx, h)
		if err != nil {
			return err
		}
		chosen, changed := chooseSecret(found, s.secret.Load())
		msg := &nats.Msg{Subject: s.secretSubject(), Data: chosen[:]}
		_, err = natsconn.Publish(ctx, s.conn.JetStream(), msg, "", jetstream.WithExpectLastSequencePerSubject(last))
		switch {
		case isConflict(err):
			continue // another process has written it in between
		case err != nil:
			return fmt.Errorf("write the secret of the results: %w", err)
		}
		if changed && s.secret.Load() != nil {
			s.cfg.Log.WarnContext(ctx, "the results were emptied and have a new secret: idempotency keys used before give new requests")
		}
		s.secret.Store(&chosen)
		return nil
	}
}

// readSecret returns the stream's secret and its sequence number; nothing and 0 if there is none.
func (s *Store) readSecret(ctx context.Context, h handles) (found []byte, last uint64, err error) {
	msg, err := h.stream.GetLastMsgForSubject(ctx, s.secretSubject())
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read the secret of the results: %w", err)
	}
	return msg.Data, msg.Sequence, nil
}

// chooseSecret returns the secret to use: the stream's if there is a valid one, else that of this process, else a new
// one. changed reports that it differs from that of this process.
func chooseSecret(found []byte, own *store.Secret) (chosen store.Secret, changed bool) {
	switch {
	case len(found) == len(chosen):
		copy(chosen[:], found)
		return chosen, own == nil || !bytes.Equal(own[:], found)
	case own != nil:
		return *own, false
	}
	_, _ = rand.Read(chosen[:]) // never fails
	return chosen, true
}
