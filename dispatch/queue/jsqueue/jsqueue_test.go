package jsqueue_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/jsqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/queuetest"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
)

func TestMain(m *testing.M) {
	natstest.Parallel()
	goleak.VerifyTestMain(m, natstest.Clock())
}

func config(capacity int) jsqueue.Config {
	return jsqueue.Config{Capacity: capacity, MaxBytes: 1 << 20, AckWait: queuetest.AckWait, PullWait: queuetest.PullWait,
		MaxAge: time.Hour, Replicas: 1}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	for name, exclusive := range map[string]bool{"shared": false, "exclusive": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queuetest.Suite{Open: func(t *testing.T, capacity int) (queue.Queue, func() queue.Queue) {
				conn := natstest.Open(t)
				open := func() queue.Queue {
					cfg := config(capacity)
					cfg.Policy.Exclusive = exclusive
					return jsqueue.New(conn, cfg)
				}
				return open(), open
			}}.Run(t)
		})
	}
}

// TestShared checks that queues on one NATS are one queue: each delivers what the other accepts, and both report the
// number of waiting jobs.
func TestShared(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	a, b := jsqueue.New(conn, config(20)), jsqueue.New(conn, config(20))
	queuetest.Start(t, a)
	queuetest.Start(t, b)
	// Each queue may hold one job for its own Next: with five, three are available to both.
	for range 5 {
		if err := a.Publish(t.Context(), resnet18cloud.Job{ID: uuid.NewString()}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.After(10 * time.Second); b.Waiting().Total() < 2; {
		select {
		case <-deadline:
			t.Fatalf("the other queue sees %d waiting, want at least 2", b.Waiting().Total())
		case <-time.After(10 * time.Millisecond):
		}
	}
	if _, err := b.Next(t.Context(), queue.Lanes); err != nil {
		t.Errorf("Next of the other queue: %v", err)
	}
}

// TestFullInBytes checks that the limit on bytes gives the same error as the limit on jobs.
func TestFullInBytes(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	q := jsqueue.New(conn, config(20))
	queuetest.Start(t, q)
	big := resnet18cloud.Image{Bytes: make([]byte, 400<<10)}
	for range 2 {
		if err := q.Publish(t.Context(), resnet18cloud.Job{ID: uuid.NewString(), Image: big}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Publish(t.Context(), resnet18cloud.Job{ID: uuid.NewString(), Image: big}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Publish beyond MaxBytes: %v, want ErrFull", err)
	}
	huge := resnet18cloud.Image{Bytes: make([]byte, 12<<20)}
	if err := q.Publish(t.Context(), resnet18cloud.Job{ID: uuid.NewString(), Image: huge}); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("Publish beyond the server's payload: %v, want ErrTooLarge", err)
	}
	if got := q.Waiting().Total(); got != 2 {
		t.Errorf("Waiting = %d after refusals, want 2", got)
	}
}

// removeAll removes a folder in which a server may be writing.
func removeAll(dir string) error {
	var err error
	for range 100 {
		if err = os.RemoveAll(dir); err == nil {
			break
		}
	}
	return err
}

// TestRestartedServer checks that a queue delivers after a restart of the embedded server, which forgets its consumers,
// and that it recreates a missing stream.
func TestRestartedServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	conn, err := natsconn.Open(t.Context(), natsconn.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	cfg := config(10)
	cfg.Policy.Exclusive = true
	q := jsqueue.New(conn, cfg)
	queuetest.Start(t, q)
	for name, before := range map[string]func() error{
		"unchanged":  func() error { return nil },
		"empty":      func() error { return removeAll(dir) },
		"once again": func() error { return nil },
	} {
		if err := before(); err != nil {
			t.Fatal(err)
		}
		if err := conn.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := q.Probe(t.Context()); err != nil {
			t.Fatalf("%s: Probe: %v", name, err)
		}
		id := uuid.NewString()
		if err := q.Publish(t.Context(), resnet18cloud.Job{ID: id}); err != nil {
			t.Fatalf("%s: Publish: %v", name, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		d, err := q.Next(ctx, queue.Lanes)
		cancel()
		if err != nil || d.Job().ID != id {
			t.Fatalf("%s: Next = %v, %v, want the job", name, d, err)
		}
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
		for { // the acknowledgement arrives before the next restart
			jobs, err := q.Jobs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(jobs) == 0 {
				break
			}
		}
	}
}

// TestOlderStream checks that jobs in a stream from before there were lanes are delivered: the first lane has the names
// of that time.
func TestOlderStream(t *testing.T) {
	t.Parallel()
	conn := natstest.Open(t)
	js := conn.JetStream()
	const stream = "RESNET18_JOBS"
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{"resnet18.jobs.>"},
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1, MaxMsgs: 100, MaxBytes: 1 << 19, MaxAge: time.Minute}); err != nil {
		t.Fatal(err)
	}
	want := map[string]resnet18cloud.Priority{}
	for _, p := range []resnet18cloud.Priority{resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk} {
		if _, err := js.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{Durable: string(p),
			FilterSubject: "resnet18.jobs." + string(p) + ".*", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1}); err != nil {
			t.Fatal(err)
		}
		id := uuid.NewString()
		want[id] = p
		msg := nats.NewMsg("resnet18.jobs." + string(p) + "." + id)
		msg.Header.Set("Resnet18-Filename", "a.jpg")
		msg.Header.Set("Resnet18-Digest", strings.Repeat("0a", 32))
		msg.Header.Set("Resnet18-Queued-At", "2026-11-28T11:22:41Z")
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	q := jsqueue.New(conn, config(20))
	queuetest.Start(t, q)
	got := map[string]resnet18cloud.Priority{}
	for range want {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		d, err := q.Next(ctx, queue.Lanes)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		got[d.Job().ID] = d.Job().Priority
	}
	if !maps.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
}
