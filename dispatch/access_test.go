package dispatch_test

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// as returns a client that sends a token with each request.
func (c *client) as(token string) *client {
	other := *c
	other.http = accesstest.Client(token, c.http)
	return &other
}

func (c *client) delete(path string) answer {
	c.t.Helper()
	return c.do(http.NewRequest(http.MethodDelete, c.url+path, nil))
}

// TestReadinessHidesReasons checks that clients without a key learn that the dispatcher is not ready, but not why.
func TestReadinessHidesReasons(t *testing.T) {
	t.Parallel()
	for _, keys := range []bool{false, true} {
		cfg := dispatch.Config{Queue: memqueue.New(10, time.Minute), Store: memstore.New(time.Hour, 100)}
		if keys {
			cfg.Access = accesstest.Guard(t)
		}
		a := start(t, cfg).get("/health/ready")
		if told := strings.Contains(a.body, "No replica is healthy"); a.status != http.StatusServiceUnavailable || told == keys {
			t.Errorf("with keys %t: %d %s", keys, a.status, a.body)
		}
	}
}

// TestUploadWithoutKey checks that an image without a valid key is refused before it is read.
func TestUploadWithoutKey(t *testing.T) {
	t.Parallel()
	c := start(t, dispatch.Config{Access: accesstest.Guard(t), Queue: memqueue.New(10, time.Minute), Store: memstore.New(time.Hour, 100), Classifier: opened()})
	r, err := http.NewRequest(http.MethodPost, c.url+"/predict", neverRead{t})
	if err == nil {
		r.Header.Set("Expect", "100-continue")
		r.Header.Set("Content-Type", "image/jpeg")
	}
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	c.http = &http.Client{Transport: transport}
	if a := c.do(r, err); a.status != http.StatusUnauthorized {
		t.Errorf("POST /predict = %d %s, want 401", a.status, a.body)
	}
}

type neverRead struct{ t *testing.T }

func (n neverRead) Read([]byte) (int, error) {
	n.t.Error("the image was read")
	return 0, os.ErrClosed
}

// TestResultsBelongToTheirClient checks that a client neither reads, waits for, lists nor cancels what another one has
// sent, and that it does not learn that this exists.
func TestResultsBelongToTheirClient(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{Access: accesstest.Guard(t), CacheSize: -1}, 1, g)
	shop, blog, ops, reader, monitor := c.as("shop"), c.as("blog"), c.as("ops"), c.as(accesstest.ShopReader), c.as("monitor")
	own := map[*client][]string{}
	for i := range 3 {
		own[shop] = append(own[shop], shop.submit("shop.jpg", fmt.Sprint("s", i)))
		own[blog] = append(own[blog], blog.submit("blog.jpg", fmt.Sprint("b", i)))
	}
	unknown := shop.get("/result/" + testutil.ID("none"))
	check := func(when string) {
		t.Helper()
		for _, id := range own[shop] {
			for _, a := range []answer{blog.get("/result/" + id), blog.get("/result/" + id + "?wait=1ms"), blog.delete("/result/" + id), monitor.get("/result/" + id)} {
				if a.status != http.StatusNotFound || a.body != unknown.body {
					t.Errorf("%s: another client gets %d %s, want %s", when, a.status, a.body, unknown.body)
				}
			}
			for _, reads := range []*client{shop, reader, ops} {
				if a := reads.get("/result/" + id); a.status != http.StatusOK || a.json(t)["owner"] != "shop" {
					t.Errorf("%s: the owner gets %d %s", when, a.status, a.body)
				}
			}
		}
		for reads, want := range map[*client]int{shop: 3, reader: 3, blog: 3, ops: 6, monitor: 0} {
			got := reads.get("/results").json(t)
			list := got["results"].([]any)
			if len(list) != want || got["total"] != float64(want) {
				t.Errorf("%s: a list has %d of %v results, want %d", when, len(list), got["total"], want)
			}
			for _, item := range list {
				if owner := item.(map[string]any)["owner"]; reads == shop && owner != "shop" || reads == blog && owner != "blog" {
					t.Errorf("%s: a list has a result of %v", when, owner)
				}
			}
		}
		if a := shop.get("/results?limit=1"); strings.Count(a.body, "request_id") != 1 {
			t.Errorf("%s: a list of one: %s", when, a.body)
		}
	}
	check("before the end")
	close(g.open)
	for reads, ids := range own {
		for _, id := range ids {
			if got := reads.wait(id); got["status"] != "completed" {
				t.Errorf("the owner waits: %v", got)
			}
		}
	}
	check("after the end")
	if a := ops.delete("/result/" + own[shop][0]); a.status != http.StatusConflict {
		t.Errorf("admin cancels a completed request: %d %s, want 409", a.status, a.body)
	}
}

// TestReplicaAddressIsHidden checks that only clients with scope admin learn addresses of replicas, and that others see
// the same name everywhere.
func TestReplicaAddressIsHidden(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{Access: accesstest.Guard(t)}, 1, opened())
	url := c.d.Endpoints()[0].URL
	if err := c.d.SetEndpoints([]string{url, "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	c.eventually("the other replica is unhealthy", func() bool { return strings.Contains(c.as("ops").get("/status").body, "connection refused") })
	id := c.as("shop").submit("a.jpg", "x")
	name, _ := c.as("shop").wait(id)["replica_used"].(string)
	if !regexp.MustCompile(`^replica-[0-9a-f]{8}$`).MatchString(name) {
		t.Errorf("replica_used is %q", name)
	}
	if got := c.as("ops").wait(id)["replica_used"]; got != url {
		t.Errorf("to admin, replica_used is %v, want %s", got, url)
	}
	for token, paths := range map[string][]string{"shop": {"/result/" + id, "/results"}, "monitor": {"/status"}, "ops": {"/result/" + id, "/results", "/status"}} {
		for _, path := range paths {
			a := c.as(token).get(path)
			hidden := token != "ops"
			if strings.Contains(a.body, "127.0.0.1") == hidden || strings.Contains(a.body, name) != hidden {
				t.Errorf("GET %s for %s: %s", path, token, a.body)
			}
		}
	}
}

// TestKeysOfTwoClients checks that an idempotency key belongs to its client: another client with the same key and image
// has a request of its own.
func TestKeysOfTwoClients(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{Access: accesstest.Guard(t), CacheSize: -1}, 1, opened())
	ids := map[string]string{}
	for _, name := range []string{"shop", "blog"} {
		ids[name] = c.as(name).submit(name+".jpg", "x", "Idempotency-Key", "order-66")
		c.as(name).wait(ids[name])
		a := c.as(name).post("/predict_async", "again.jpg", "x", "Idempotency-Key", "order-66")
		if got := a.json(t)["request_id"]; got != ids[name] {
			t.Errorf("%s gets %v for the same key, want %s", name, got, ids[name])
		}
		if a := c.as(name).post("/predict_async", "a.jpg", "y", "Idempotency-Key", "order-66"); a.status != http.StatusConflict {
			t.Errorf("%s sends another image with the key: %d %s", name, a.status, a.body)
		}
	}
	if ids["shop"] == ids["blog"] {
		t.Error("both clients have the same request")
	}
}

// TestIDsCannotBeDerived checks, without keys, that the ID for an idempotency key differs between installations, and is
// the same at all dispatchers of one installation and after a restart.
func TestIDsCannotBeDerived(t *testing.T) {
	t.Parallel()
	const derived = "345351ca-520c-8c97-baac-bb69a21557b3" // of the key alone, as in versions without a secret
	dir := t.TempDir()
	first := start(t, dispatch.Config{NATS: natsconn.Config{DataDir: dir}})
	id := first.submit("a.jpg", "x", "Idempotency-Key", "order-66")
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, dispatch.Config{NATS: natsconn.Config{DataDir: dir}})
	if got := again.submit("a.jpg", "x", "Idempotency-Key", "order-66"); got != id {
		t.Errorf("after a restart the key gives %s, want %s", got, id)
	}
	url := startNATS(t)
	a, b := start(t, dispatch.Config{NATS: natsconn.Config{URL: url}}), start(t, dispatch.Config{NATS: natsconn.Config{URL: url}})
	other := a.submit("a.jpg", "x", "Idempotency-Key", "order-66")
	if got := b.submit("a.jpg", "x", "Idempotency-Key", "order-66"); got != other {
		t.Errorf("at another dispatcher the key gives %s, want %s", got, other)
	}
	if id == other || id == derived || other == derived {
		t.Errorf("two installations give %s and %s, want IDs that cannot be known outside", id, other)
	}
	if got := a.get("/result/" + derived); got.status != http.StatusNotFound {
		t.Errorf("GET of a derived ID = %d %s", got.status, got.body)
	}
}

// TestOwnerSurvives checks that a request keeps its owner over a restart, a restart by its key, and the loss of its
// record.
func TestOwnerSurvives(t *testing.T) {
	t.Parallel()
	cfg := dispatch.Config{Access: accesstest.Guard(t), NATS: natsconn.Config{DataDir: t.TempDir()}}
	c := start(t, cfg)
	kept := c.as("shop").submit("a.jpg", "x")
	ended := c.as("shop").submit("b.jpg", "y", "Idempotency-Key", "k")
	if a := c.as("shop").delete("/result/" + ended); a.status != http.StatusOK {
		t.Fatalf("DELETE = %d %s", a.status, a.body)
	}
	c.as("shop").submit("b.jpg", "y", "Idempotency-Key", "k")
	restarted := func(when string, c *client, ids ...string) {
		t.Helper()
		for _, id := range ids {
			c.eventually(when+": there is a record", func() bool { return c.as("ops").get("/result/"+id).status == http.StatusOK })
			if a := c.as("shop").get("/result/" + id); a.status != http.StatusOK || a.json(t)["owner"] != "shop" {
				t.Errorf("%s: the owner gets %d %s", when, a.status, a.body)
			}
			if a := c.as("blog").get("/result/" + id); a.status != http.StatusNotFound {
				t.Errorf("%s: another client gets %d %s", when, a.status, a.body)
			}
		}
	}
	restarted("at first", c, kept, ended)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c = start(t, cfg)
	restarted("after a restart", c, kept, ended)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	damageFolder(t, cfg.NATS, resultStream)
	c = start(t, cfg)
	restarted("after the records were lost", c, kept, ended)
}

// TestLostWithoutOwner checks that a client learns that its request was lost, although nothing but the ID is left of it.
func TestLostWithoutOwner(t *testing.T) {
	t.Parallel()
	cfg := dispatch.Config{Access: accesstest.Guard(t), NATS: natsconn.Config{DataDir: t.TempDir()}}
	c := start(t, cfg)
	id := c.as("shop").submit("a.jpg", "x", "Idempotency-Key", "k")
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	damageFolder(t, cfg.NATS, jobStream)
	damageFolder(t, cfg.NATS, resultStream)
	c = start(t, cfg)
	got := c.as("shop").wait(id)
	if got["code"] != "lost" || got["filename"] != "" || got["owner"] != nil {
		t.Errorf("after everything was lost: %v", got)
	}
	if list := c.as("blog").get("/results").body; strings.Contains(list, id) {
		t.Errorf("another client's list has it: %s", list)
	}
}

// TestRecordsFromBeforeKeys checks that records without an owner are only for clients with scope admin once there are
// keys.
func TestRecordsFromBeforeKeys(t *testing.T) {
	t.Parallel()
	cfg := dispatch.Config{NATS: natsconn.Config{DataDir: t.TempDir()}}
	c := start(t, cfg)
	id := c.submit("a.jpg", "x")
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	cfg.Access = accesstest.Guard(t)
	c = start(t, cfg)
	if a := c.as("shop").get("/result/" + id); a.status != http.StatusNotFound {
		t.Errorf("a client gets %d %s", a.status, a.body)
	}
	if a := c.as("ops").get("/result/" + id); a.status != http.StatusOK {
		t.Errorf("admin gets %d %s", a.status, a.body)
	}
}

// TestReplicaWithKeys checks that a replica with keys works for a dispatcher with the token, and is unhealthy with the
// reason for one without it.
func TestReplicaWithKeys(t *testing.T) {
	t.Parallel()
	url := serveReplica(t, replica.Config{Concurrency: 1, Access: accesstest.Guard(t)}, opened())
	with := start(t, dispatch.Config{Endpoints: []string{url}, ReplicaToken: func() string { return "shop" }})
	if got := with.wait(with.submit("a.jpg", "x")); got["status"] != string(resnet18cloud.StatusCompleted) {
		t.Errorf("with the token: %v", got)
	}
	for _, token := range []string{"", "wrong", "monitor"} {
		without := start(t, dispatch.Config{Endpoints: []string{url}, ReplicaToken: func() string { return token }})
		without.eventually("the replica is unhealthy with the reason", func() bool {
			return strings.Contains(without.get("/status").body, "--replica-token-file")
		})
	}
}
