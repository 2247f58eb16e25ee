package dispatch_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// startInMemory is start with queue and store in memory, and a classifier in the process.
func startInMemory(t *testing.T, cfg dispatch.Config, g resnet18cloud.Classifier) *client {
	t.Helper()
	if cfg.QueueCapacity == 0 {
		cfg.QueueCapacity = 100
	}
	cfg.Queue, cfg.Store, cfg.Classifier = memqueue.New(cfg.QueueCapacity, time.Minute), memstore.New(time.Hour, 1000), g
	return start(t, cfg)
}

// wantLimited checks that the request was refused because of its client's limit.
func wantLimited(t *testing.T, a answer) {
	t.Helper()
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if a.status != http.StatusTooManyRequests || a.json(t)["code"] != "rate_limited" || err != nil || seconds < 1 {
		t.Errorf("%d %s, Retry-After %q, want 429 with code rate_limited", a.status, a.body, a.header.Get("Retry-After"))
	}
}

func wantStatus(t *testing.T, what string, a answer, status int) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: %d %s, want %d", what, a.status, a.body, status)
	}
}

// TestClientRate checks that a client that sends too many images gets 429, before its image is read, that each image of
// a batch counts, and that other clients are not affected. Clients are told apart by what a trusted proxy says.
func TestClientRate(t *testing.T) {
	t.Parallel()
	c := startInMemory(t, dispatch.Config{ClientRate: 0.01, TrustedProxies: []string{"127.0.0.0/8", "::1"}}, opened())
	post := func(path, from string, contents ...string) answer {
		var files []string
		for _, content := range contents {
			files = append(files, "a.jpg", content)
		}
		contentType, body := form(files...)
		req, err := http.NewRequest(http.MethodPost, c.url+path, body)
		if err == nil {
			req.Header.Set("Content-Type", contentType)
			req.Header.Set("X-Forwarded-For", from)
		}
		return c.do(req, err)
	}
	wantStatus(t, "the first", post("/predict_async", "192.0.2.1", "x"), http.StatusAccepted)
	wantLimited(t, post("/predict_async", "192.0.2.1", "y"))
	wantLimited(t, post("/predict", "192.0.2.1", "x")) // known bytes count, too
	wantLimited(t, post("/predict_async", "6.6.6.6, 192.0.2.1", "y"))
	wantLimited(t, post("/predict_async", "192.0.2.1, 127.0.0.9", "y"))
	wantStatus(t, "another client", post("/predict_async", "192.0.2.2", "z"), http.StatusAccepted)
	wantStatus(t, "an IPv6 client", post("/predict_async", "2001:db8::1", "v6"), http.StatusAccepted)
	wantLimited(t, post("/predict_async", "2001:db8::2", "the same network"))
	wantStatus(t, "another network", post("/predict_async", "2001:db8:0:1::2", "w6"), http.StatusAccepted)

	batch := post("/predict_batch", "192.0.2.3", "1", "2", "3").json(t)
	if batch["accepted"] != 1.0 || batch["refused"] != 2.0 {
		t.Errorf("of a batch of 3 %v were accepted and %v refused, want 1 and 2", batch["accepted"], batch["refused"])
	}
	item := batch["items"].([]any)[2].(map[string]any)
	if item["code"] != "rate_limited" || item["retry_after"].(float64) < 1 {
		t.Errorf("third item %v, want rate_limited", item)
	}
	metrics := c.get("/metrics").body
	for _, line := range []string{`resnet18_dispatcher_requests_refused_total{code="rate_limited"} 7`, `resnet18_dispatcher_requests_limited_total{limit="rate"} 7`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics have no %s", line)
		}
	}
	if body := c.get("/status").body; strings.Contains(body, "192.0.2") {
		t.Errorf("/status names clients: %s", body)
	}
}

// TestRateIsCheckedFirst checks that a client above its rate is refused before it has sent its image.
func TestRateIsCheckedFirst(t *testing.T) {
	t.Parallel()
	c := startInMemory(t, dispatch.Config{ClientRate: 0.01}, opened())
	c.submit("a.jpg", "x")
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /predict_async HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 1000000\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(4 * time.Second)) // less than it takes to refuse a slow upload
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%s, want 429", resp.Status)
	}
}

// TestForgedAddress checks that without trusted proxies, a client cannot be another one.
func TestForgedAddress(t *testing.T) {
	t.Parallel()
	c := startInMemory(t, dispatch.Config{ClientRate: 0.01}, opened())
	wantStatus(t, "the first", c.post("/predict_async", "a.jpg", "x", "X-Forwarded-For", "192.0.2.1"), http.StatusAccepted)
	wantLimited(t, c.post("/predict_async", "a.jpg", "y", "X-Forwarded-For", "192.0.2.2", "Forwarded", "for=192.0.2.2"))
}

// TestClientInFlight checks that a client with too many unfinished requests gets 429 until one of them has ended.
func TestClientInFlight(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startInMemory(t, dispatch.Config{ClientInFlight: 2, TrustedProxies: []string{"127.0.0.0/8"}}, g)
	first := c.submit("a.jpg", "1")
	second := c.submit("b.jpg", "2")
	wantLimited(t, c.post("/predict_async", "c.jpg", "3"))
	wantStatus(t, "another client", c.post("/predict_async", "c.jpg", "4", "X-Forwarded-For", "192.0.2.1"), http.StatusAccepted)
	wantStatus(t, "DELETE", c.do(http.NewRequest(http.MethodDelete, c.url+"/result/"+second, nil)), http.StatusOK)
	third := c.submit("c.jpg", "3")
	wantLimited(t, c.post("/predict_async", "d.jpg", "5"))
	close(g.open)
	for _, id := range []string{first, third} {
		c.wait(id)
	}
	c.eventually("ended requests do not count", func() bool { return c.post("/predict_async", "d.jpg", "5").status == http.StatusAccepted })
}

// TestClientInFlightAfterRestart checks that requests of an earlier process count as their client's, until they have
// ended. Clients have no keys here: the records tell their addresses.
func TestClientInFlightAfterRestart(t *testing.T) {
	t.Parallel()
	cfg := dispatch.Config{NATS: natsconn.Config{DataDir: t.TempDir()}, ClientInFlight: 2, TrustedProxies: []string{"127.0.0.0/8"}, CacheSize: -1}
	c := start(t, cfg) // without replicas
	ids := []string{c.submit("a.jpg", "1"), c.submit("b.jpg", "2")}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c = start(t, cfg)
	c.eventually("the store has read what it has", func() bool { return c.d.Held() == 2 })
	wantLimited(t, c.post("/predict_async", "c.jpg", "3"))
	wantStatus(t, "another client", c.post("/predict_async", "c.jpg", "3", "X-Forwarded-For", "192.0.2.1"), http.StatusAccepted)
	if err := c.d.SetEndpoints([]string{startReplica(t, 1, opened())}); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		c.wait(id)
	}
	wantStatus(t, "after their end", c.post("/predict_async", "c.jpg", "3"), http.StatusAccepted)
}

// TestLimitsOfKeys checks that a key's limits apply instead of the general ones, to all keys of the same name.
func TestLimitsOfKeys(t *testing.T) {
	t.Parallel()
	guard := accesstest.Guard(t)
	few := guard.Issue(access.Client{Name: "few", Scopes: access.Predict, Rate: 0.01})
	rotated := guard.Issue(access.Client{Name: "few", Scopes: access.Predict, Rate: 0.01})
	one := guard.Issue(access.Client{Name: "one", Scopes: access.Predict, InFlight: 1})
	many := guard.Issue(access.Client{Name: "many", Scopes: access.Predict})
	g := newGate()
	c := startInMemory(t, dispatch.Config{Access: guard, ClientInFlight: 3}, g)
	defer close(g.open) // so that stopping need not wait
	n := 0
	post := func(token string) answer {
		n++
		return c.post("/predict_async", "a.jpg", fmt.Sprint(n), "Authorization", "Bearer "+token)
	}
	wantStatus(t, "few", post(few), http.StatusAccepted)
	wantLimited(t, post(few))
	wantLimited(t, post(rotated))
	wantStatus(t, "one", post(one), http.StatusAccepted)
	wantLimited(t, post(one))
	for range 3 {
		wantStatus(t, "many", post(many), http.StatusAccepted)
	}
	wantLimited(t, post(many))
}

// TestPlacesForOthers checks that one client cannot fill the queue: the last places go to others.
func TestPlacesForOthers(t *testing.T) {
	t.Parallel()
	c := start(t, dispatch.Config{Endpoints: []string{"http://127.0.0.1:1"}, QueueCapacity: 16, TrustedProxies: []string{"127.0.0.0/8"}})
	accepted := func(from string) (n int) {
		for ; ; n++ {
			a := c.post("/predict_async", "a.jpg", fmt.Sprint(from, n), "X-Forwarded-For", from)
			if a.status == http.StatusServiceUnavailable && a.json(t)["error"] == "Queue is full" && a.header.Get("Retry-After") != "" {
				return n
			}
			wantStatus(t, from, a, http.StatusAccepted)
			if a.status != http.StatusAccepted {
				return n
			}
		}
	}
	for i, want := range []int{14, 2, 0} {
		if got := accepted(fmt.Sprint("192.0.2.", i)); got != want {
			t.Errorf("client %d got %d places, want %d", i, got, want)
		}
	}
	if metrics := c.get("/metrics").body; !strings.Contains(metrics, `resnet18_dispatcher_requests_limited_total{limit="places"} 1`+"\n") {
		t.Error("the metrics do not tell why the first client was refused")
	}
}

// TestTurnsOfClients checks, on NATS, that an image of another client passes a batch that came before it.
func TestTurnsOfClients(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{TrustedProxies: []string{"127.0.0.0/8"}}, 1, g)
	var files []string
	for i := range 60 {
		files = append(files, "b.jpg", fmt.Sprint("batch ", i))
	}
	contentType, body := form(files...)
	req, err := http.NewRequest(http.MethodPost, c.url+"/predict_batch", body)
	if err == nil {
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("X-Priority", "interactive")
	}
	items := c.do(req, err).json(t)["items"].([]any)
	other := c.post("/predict_async", "a.jpg", "single", "X-Forwarded-For", "192.0.2.1").json(t)["request_id"].(string)
	close(g.open)
	single := c.wait(other)["completed_at"].(string)
	before := 0
	for _, item := range items {
		// Timestamps have a fixed length, so their order is that of their texts.
		if completed := c.wait(item.(map[string]any)["request_id"].(string))["completed_at"].(string); completed < single {
			before++
		}
	}
	// Two are at the replica, two more are in the first lane, and some end while the single one is on its way.
	if before > 30 {
		t.Errorf("%d of 60 images of a batch were classified before a single image of another client", before)
	}
}
