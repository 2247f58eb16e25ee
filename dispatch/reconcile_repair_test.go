package dispatch_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// damage removes all messages of the streams whose names contain the word.
func damage(t *testing.T, js jetstream.JetStream, word string) {
	t.Helper()
	names := js.StreamNames(t.Context())
	purged := 0
	for name := range names.Name() {
		if !strings.Contains(name, word) {
			continue
		}
		stream, err := js.Stream(t.Context(), name)
		if err == nil {
			err = stream.Purge(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		purged++
	}
	if err := names.Err(); err != nil || purged != 1 {
		t.Fatalf("%d streams purged, %v, want 1", purged, err)
	}
}

// damageFolder does the same to the files of a stopped dispatcher.
func damageFolder(t *testing.T, cfg natsconn.Config, word string) {
	t.Helper()
	conn, err := natsconn.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, conn.JetStream(), word)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// connect connects to the dispatchers' NATS server.
func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

const jobStream, resultStream = "JOBS", "RESULTS"

// TestLostJobs checks that requests whose jobs vanish from the queue end as lost, each once although two dispatchers
// find out, and that their idempotency keys can be used again.
func TestLostJobs(t *testing.T) {
	t.Parallel()
	url := startNATS(t)
	cfg := dispatch.Config{NATS: natsconn.Config{URL: url}}
	a, b := start(t, cfg), start(t, cfg)
	var ids []string
	for i := range 10 {
		ids = append(ids, a.submit("a.jpg", fmt.Sprint("image ", i), "Idempotency-Key", fmt.Sprint("key ", i)))
	}
	damage(t, connect(t, url), jobStream)
	for _, id := range ids {
		got := b.wait(id)
		if got["status"] != "failed" || got["code"] != "lost" || got["hint"] == nil {
			t.Errorf("a request whose job is gone: %v", got)
		}
	}
	a.eventually("each has ended once", func() bool {
		return a.get("/status").json(t)["failed_requests"].(float64)+b.get("/status").json(t)["failed_requests"].(float64) == 10
	})
	ended := a.get("/metrics").body + b.get("/metrics").body
	if !strings.Contains(ended, `resnet18_dispatcher_requests_ended_total{outcome="lost"}`) {
		t.Error("metrics do not count lost requests")
	}

	for i, id := range ids {
		if again := b.submit("a.jpg", fmt.Sprint("image ", i), "Idempotency-Key", fmt.Sprint("key ", i)); again != id {
			t.Errorf("the key gave %s, want %s", again, id)
		}
	}
	if err := a.d.SetEndpoints([]string{startReplica(t, 2, opened())}); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if got := a.wait(id); got["status"] != "completed" {
			t.Errorf("sent again: %v", got)
		}
	}
}

// TestLostJobInFlight checks that a request in progress is not lost although its job is. It completes.
func TestLostJobInFlight(t *testing.T) {
	t.Parallel()
	url, g := startNATS(t), newGate()
	c := startServing(t, dispatch.Config{NATS: natsconn.Config{URL: url}}, 1, g)
	id := c.submit("a.jpg", "x")
	<-g.arrived
	other := c.submit("b.jpg", "other") // its slot is free, so it is in flight, too
	c.eventually("both are in hand", func() bool { return c.get("/status").json(t)["processing"] == 2.0 })
	waits := []string{c.submit("c.jpg", "third"), c.submit("d.jpg", "fourth")}
	damage(t, connect(t, url), jobStream)
	// The queue may hold one of the waiting jobs in memory, ready for the next free slot.
	lost := 0
	c.eventually("one is lost", func() bool {
		lost = 0
		for _, id := range waits {
			if c.get("/result/" + id).json(t)["code"] == "lost" {
				lost++
			}
		}
		return lost > 0
	})
	close(g.open)
	for _, id := range []string{id, other} {
		if got := c.wait(id); got["status"] != "completed" {
			t.Errorf("a request in hand: %v", got)
		}
	}
}

// TestLostJobsOfEarlierProcess checks that a dispatcher that starts on damaged storage ends the requests without a
// job.
func TestLostJobsOfEarlierProcess(t *testing.T) {
	t.Parallel()
	cfg := dispatch.Config{NATS: natsconn.Config{DataDir: t.TempDir()}, DrainTimeout: 200 * time.Millisecond}
	g := newGate()
	c := startServing(t, cfg, 1, g)
	var ids []string
	for i := range 6 {
		ids = append(ids, c.submit("a.jpg", fmt.Sprint("image ", i)))
	}
	<-g.arrived
	if err := c.stop(); err != nil { // the drain times out: those at the replica are returned to the queue
		t.Fatal(err)
	}
	damageFolder(t, cfg.NATS, jobStream)
	c = start(t, cfg)
	for _, id := range ids {
		if got := c.wait(id); got["status"] != "failed" || got["code"] != "lost" {
			t.Errorf("after the restart: %v", got)
		}
	}
}

// TestLostRecords checks that a job whose record vanishes gets another, and completes.
func TestLostRecords(t *testing.T) {
	t.Parallel()
	cfg := dispatch.Config{NATS: natsconn.Config{DataDir: t.TempDir()}}
	c := start(t, cfg)
	id := c.submit("ü.jpg", "x", "X-Priority", "bulk", "X-Request-Timeout", "10m")
	before := c.get("/result/" + id).json(t)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	damageFolder(t, cfg.NATS, resultStream)
	c = start(t, cfg)
	c.eventually("it has a record", func() bool { return c.get("/result/"+id).status == http.StatusOK })
	after := c.get("/result/" + id).json(t)
	for _, field := range []string{"filename", "priority", "queued_at", "deadline", "status"} {
		if before[field] == nil || after[field] != before[field] {
			t.Errorf("%s was %v and is %v", field, before[field], after[field])
		}
	}
	if err := c.d.SetEndpoints([]string{startReplica(t, 1, opened())}); err != nil {
		t.Fatal(err)
	}
	if got := c.wait(id); got["status"] != "completed" {
		t.Errorf("afterwards: %v", got)
	}
}

// TestDeadlineWithoutReaders checks that a request whose deadline passes in the queue ends although no replica takes
// it and no client asks for it.
func TestDeadlineWithoutReaders(t *testing.T) {
	t.Parallel()
	c := start(t, dispatch.Config{})
	c.submit("a.jpg", "x", "X-Request-Timeout", "100ms")
	c.eventually("it has ended", func() bool { return c.get("/status").json(t)["failed_requests"] == 1.0 })
}
