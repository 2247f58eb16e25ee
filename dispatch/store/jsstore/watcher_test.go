package jsstore

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// TestStopWatching stops a watcher that has delivered more than was read: its goroutine must end, which TestMain checks.
func TestStopWatching(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	bucket, err := conn.JetStream().CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "full"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if _, err := bucket.Put(t.Context(), strconv.Itoa(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	w, err := bucket.WatchAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(w.Updates()) < cap(w.Updates()); {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d updates were delivered", len(w.Updates()), cap(w.Updates()))
		}
		pause.For(t.Context(), time.Millisecond)
	}
	stopWatching(w)
	if _, open := <-w.Updates(); open {
		t.Error("the watcher is still delivering")
	}
}
