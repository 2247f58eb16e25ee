package natsconn_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
)

// TestProbe checks that a probe opens a stream that is not there, and that a server that does not respond then costs
// one attempt and not all of the caller's time.
func TestProbe(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	silent := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	err := natsconn.Probe(ctx, conn.JetStream, "probe", silent)
	if !natsconn.IsTemporary(err) || ctx.Err() != nil {
		t.Fatalf("Probe without a response: %v, and of the caller's time %v; want a temporary error and time left", err, ctx.Err())
	}
	opened := 0
	open := func(ctx context.Context) error {
		opened++
		_, err := conn.JetStream().CreateStream(ctx, jetstream.StreamConfig{Name: "PROBED", Subjects: []string{"probe"}})
		return err
	}
	for range 2 {
		if err := natsconn.Probe(ctx, conn.JetStream, "probe", open); err != nil || opened != 1 {
			t.Fatalf("Probe: %v, stream opened %d times, want 1", err, opened)
		}
	}
	refused := errors.New("no room")
	err = natsconn.Probe(ctx, conn.JetStream, "other", func(context.Context) error { return refused })
	if !errors.Is(err, refused) {
		t.Errorf("Probe: %v, want what reopen returned", err)
	}
}
