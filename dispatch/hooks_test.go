package dispatch_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/webhooksig"
)

// message is a webhook as it was received.
type message struct {
	id     string
	header http.Header
	body   []byte
	json   map[string]any
}

// receiver receives webhooks.
type receiver struct {
	url      string // of an address that allow names
	allow    []string
	status   atomic.Int32 // of its answers
	messages chan message
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{messages: make(chan message, 100)}
	r.status.Store(http.StatusNoContent)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		m := message{id: request.Header.Get("Webhook-Id"), header: request.Header}
		m.body, _ = io.ReadAll(request.Body)
		if err := json.Unmarshal(m.body, &m.json); err != nil {
			t.Errorf("a webhook without JSON: %s", m.body)
		}
		w.WriteHeader(int(r.status.Load()))
		r.messages <- m
	}))
	t.Cleanup(server.Close)
	r.url, r.allow = server.URL+"/hook", []string{"http://" + strings.TrimPrefix(server.URL, "http://")}
	return r
}

func (c *client) secret() webhooksig.Secret {
	c.t.Helper()
	s, err := webhooksig.Parse(fmt.Sprint(c.get("/webhook-secret").json(c.t)["secret"]))
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// hookIs waits until a request's webhook has a status.
func (c *client) hookIs(id, status string, attempts int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("the webhook of %s is %s after %d attempts", id, status, attempts), func() bool {
		hook, _ := c.get("/result/" + id).json(c.t)["webhook"].(map[string]any)
		return hook["status"] == status && hook["attempts"] == float64(attempts)
	})
}

// TestWebhook checks that the end of a request is sent once, signed, with what GET /result returns: for images that are
// classified, cached, broken, cancelled, and those of a batch.
func TestWebhook(t *testing.T) {
	t.Parallel()
	g, r := newGate(), startReceiver(t)
	cfg := inMemory(g)
	cfg.CacheSize, cfg.WebhookAllow = 10, r.allow
	c := start(t, cfg)
	held := c.submit("cancelled.jpg", "x", "X-Webhook", r.url)
	<-g.arrived
	if a := c.delete("/result/" + held); a.status != http.StatusOK {
		t.Fatalf("DELETE = %d %s", a.status, a.body)
	}
	close(g.open)
	want := map[string]string{held: "cancelled"}
	want[c.submit("a.jpg", "a", "X-Webhook", r.url)] = "completed"
	want[c.submit("broken.jpg", "broken", "X-Webhook", r.url)] = "failed"
	contentType, body := form("1.jpg", "1", "2.jpg", "2")
	batch, err := postForm(c.url+"/predict_batch", contentType, body)
	if err == nil {
		batch.Header.Set("X-Webhook", r.url)
	}
	for _, item := range c.do(batch, err).json(t)["items"].([]any) {
		want[item.(map[string]any)["request_id"].(string)] = "completed"
	}
	for id, status := range want {
		if got := c.wait(id)["status"]; got != status {
			t.Errorf("%s is %v, want %s", id, got, status)
		}
	}
	cached := c.post("/predict_async", "again.jpg", "a", "X-Webhook", r.url).json(t)
	want[cached["request_id"].(string)] = "completed"
	if cached["from_cache"] != true {
		t.Errorf("the same image again: %v", cached)
	}
	c.wait(c.submit("quiet.jpg", "without a webhook"))
	secret := c.secret()
	for range len(want) {
		m := <-r.messages
		if err := secret.Verify(m.header, time.Now(), m.body); err != nil {
			t.Error(err)
		}
		if m.json["status"] != want[m.id] || m.json["request_id"] != m.id || (m.json["result"] != nil) != (want[m.id] == "completed") {
			t.Errorf("message %s: %s, want %q", m.id, m.body, want[m.id])
		}
		c.hookIs(m.id, "delivered", 1)
		delete(want, m.id)
	}
	if len(want) > 0 || len(r.messages) > 0 {
		t.Errorf("no message for %v, and %d more", want, len(r.messages))
	}
}

// TestWebhookIsRefused checks which webhooks clients may ask for.
func TestWebhookIsRefused(t *testing.T) {
	t.Parallel()
	none := start(t, inMemory(opened()))
	cfg := inMemory(opened())
	cfg.WebhookAllow = []string{"hooks.example.com"}
	some := start(t, cfg)
	for _, test := range []struct {
		c      *client
		url    string
		status int
	}{
		{none, "https://hooks.example.com/", http.StatusForbidden},
		{some, "https://hooks.example.com/", http.StatusAccepted},
		{some, "http://hooks.example.com/", http.StatusForbidden},
		{some, "https://127.0.0.1/", http.StatusForbidden},
		{some, "https://metadata.internal/", http.StatusForbidden},
		{some, "hooks.example.com", http.StatusBadRequest},
	} {
		if a := test.c.post("/predict_async", "a.jpg", test.url, "X-Webhook", test.url); a.status != test.status {
			t.Errorf("X-Webhook %s: %d %s, want %d", test.url, a.status, a.body, test.status)
		}
	}
	for _, list := range []string{"*", "hooks.example.com/path"} {
		if _, err := dispatch.New(dispatch.Config{WebhookAllow: []string{list}}); err == nil {
			t.Errorf("a dispatcher with --webhook-allow %s starts", list)
		}
	}
}

// TestWebhookSurvivesRestart checks that a webhook that was not delivered is sent by the next process, with the same ID.
func TestWebhookSurvivesRestart(t *testing.T) {
	t.Parallel()
	r := startReceiver(t)
	r.status.Store(http.StatusInternalServerError)
	cfg := dispatch.Config{NATS: natsconn.Config{DataDir: t.TempDir()}, Classifier: opened(), WebhookAllow: r.allow}
	c := start(t, cfg)
	id := c.submit("a.jpg", "a", "X-Webhook", r.url)
	first := <-r.messages
	c.hookIs(id, "pending", 1)
	secret := c.secret()
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	r.status.Store(http.StatusOK)
	c = start(t, cfg)
	second := <-r.messages
	if first.id != id || second.id != id || second.json["status"] != "completed" || string(c.secret()) != string(secret) {
		t.Errorf("messages %s and %s of %s", first.id, second.id, id)
	}
	c.hookIs(id, "delivered", 2)
}

// TestWebhooksOfTwoClients checks that each client has a secret of its own, and that messages do not have the addresses of
// replicas.
func TestWebhooksOfTwoClients(t *testing.T) {
	t.Parallel()
	r := startReceiver(t)
	c := startServing(t, dispatch.Config{Access: accesstest.Guard(t), WebhookAllow: r.allow}, 1, opened())
	id := c.as("shop").submit("a.jpg", "a", "X-Webhook", r.url)
	m := <-r.messages
	if err := c.as("shop").secret().Verify(m.header, time.Now(), m.body); err != nil || m.id != id {
		t.Errorf("message %s of %s: %v", m.id, id, err)
	}
	if err := c.as("blog").secret().Verify(m.header, time.Now(), m.body); err == nil {
		t.Error("another client's secret fits")
	}
	if replica, _ := m.json["replica_used"].(string); !strings.HasPrefix(replica, "replica-") {
		t.Errorf("replica_used is %q", replica)
	}
}

// batch sends images, by their names and contents, as a batch, and returns the answer.
func (c *client) batch(contents []string, header ...string) answer {
	c.t.Helper()
	contentType, body := form(contents...)
	request, err := postForm(c.url+"/predict_batch", contentType, body)
	for i := 0; err == nil && i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return c.do(request, err)
}

// namesOf are the files that a message about a batch has, with their states.
func namesOf(m message) string {
	var names []string
	items, _ := m.json["items"].([]any)
	for _, item := range items {
		one := item.(map[string]any)
		names = append(names, fmt.Sprintf("%v %v %t", one["filename"], one["status"], one["result"] != nil))
	}
	return strings.Join(names, ", ")
}

// TestBatchWebhook checks that one message is sent when all images of a batch have ended, and no other.
func TestBatchWebhook(t *testing.T) {
	t.Parallel()
	g, r := newGate(), startReceiver(t)
	cfg := inMemory(g)
	cfg.WebhookAllow = r.allow
	c := start(t, cfg)
	sent := c.batch([]string{"1.jpg", "1", "broken.jpg", "broken", "3.jpg", "3"}, "X-Batch-Webhook", r.url).json(t)
	id, _ := sent["batch_id"].(string)
	items := sent["items"].([]any)
	if first := items[0].(map[string]any)["request_id"]; id == "" || first != id {
		t.Fatalf("batch_id is %q, want that of the first image, %v", id, first)
	}
	<-g.arrived
	third := items[2].(map[string]any)["request_id"].(string)
	if a := c.delete("/result/" + third); a.status != http.StatusOK {
		t.Fatalf("DELETE = %d %s", a.status, a.body)
	}
	if len(r.messages) > 0 {
		t.Error("a message while an image is being classified")
	}
	close(g.open)
	m := <-r.messages
	if err := c.secret().Verify(m.header, time.Now(), m.body); err != nil {
		t.Error(err)
	}
	want := "1.jpg completed true, broken.jpg failed false, 3.jpg cancelled false"
	if got := namesOf(m); got != want || m.id != "batch-"+id || m.json["batch_id"] != id || m.json["total"] != 3.0 || m.json["completed"] != 1.0 ||
		m.json["failed"] != 1.0 || m.json["cancelled"] != 1.0 || m.json["missing"] != 0.0 {
		t.Errorf("message %s: %s", m.id, m.body)
	}
	c.hookIs(id, "delivered", 1)
	if hook := c.get("/result/" + third).json(t)["webhook"]; hook != nil {
		t.Errorf("the third image has the webhook %v", hook)
	}
	for name, test := range map[string]struct {
		a      answer
		status int
		want   string
	}{
		"both":      {c.batch([]string{"a.jpg", "a"}, "X-Batch-Webhook", r.url, "X-Webhook", r.url), 400, "two webhooks"},
		"one image": {c.post("/predict_async", "a.jpg", "a", "X-Batch-Webhook", r.url), 400, "is for batches"},
		"forbidden": {c.batch([]string{"a.jpg", "a"}, "X-Batch-Webhook", "https://example.com/"), 403, "--webhook-allow"},
	} {
		if test.a.status != test.status || !strings.Contains(test.a.body, test.want) {
			t.Errorf("%s: %d %s; want %d %s", name, test.a.status, test.a.body, test.status, test.want)
		}
	}
	if len(r.messages) > 0 {
		t.Errorf("another message: %s", (<-r.messages).body)
	}
}

// TestBatchWebhookOfRepeatedBatch checks that a batch that is sent again with its key has one message about all its images.
func TestBatchWebhookOfRepeatedBatch(t *testing.T) {
	t.Parallel()
	g, r := newGate(), startReceiver(t)
	cfg := inMemory(g)
	cfg.WebhookAllow = r.allow
	c := start(t, cfg)
	header := []string{"X-Batch-Webhook", r.url, "Idempotency-Key", "k"}
	first := c.batch([]string{"1.jpg", "1", "2.jpg", "2"}, header...).json(t)
	again := c.batch([]string{"1.jpg", "1", "2.jpg", "2", "3.jpg", "3"}, header...).json(t)
	if first["batch_id"] == nil || first["batch_id"] != again["batch_id"] {
		t.Errorf("batches %v and %v, want the same", first["batch_id"], again["batch_id"])
	}
	close(g.open)
	if m := <-r.messages; namesOf(m) != "1.jpg completed true, 2.jpg completed true, 3.jpg completed true" {
		t.Errorf("message: %s", m.body)
	}
	c.hookIs(fmt.Sprint(first["batch_id"]), "delivered", 1)
	late := c.batch([]string{"1.jpg", "1", "2.jpg", "2", "3.jpg", "3", "4.jpg", "4"}, header...).json(t)
	if m := <-r.messages; namesOf(m) != "4.jpg completed true" || late["batch_id"] == first["batch_id"] {
		t.Errorf("message about an image that was added after the message: %s", m.body)
	}
}

// TestBatchWebhookSurvivesRestart checks that the next process waits for the images of a batch, and sends a message that was not
// delivered.
func TestBatchWebhookSurvivesRestart(t *testing.T) {
	t.Parallel()
	g, r := newGate(), startReceiver(t)
	r.status.Store(http.StatusInternalServerError)
	cfg := dispatch.Config{NATS: natsconn.Config{DataDir: t.TempDir()}, Classifier: g, WebhookAllow: r.allow, DrainTimeout: 100 * time.Millisecond}
	c := start(t, cfg)
	id := fmt.Sprint(c.batch([]string{"1.jpg", "1", "2.jpg", "2"}, "X-Batch-Webhook", r.url).json(t)["batch_id"])
	<-g.arrived
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	const want = "1.jpg completed true, 2.jpg completed true"
	cfg.Classifier, cfg.DrainTimeout = opened(), 0
	c = start(t, cfg)
	if m := <-r.messages; m.id != "batch-"+id || namesOf(m) != want {
		t.Errorf("message %s: %s", m.id, m.body)
	}
	c.hookIs(id, "pending", 1)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	r.status.Store(http.StatusOK)
	c = start(t, cfg)
	if m := <-r.messages; m.id != "batch-"+id || namesOf(m) != want {
		t.Errorf("message %s: %s", m.id, m.body)
	}
	c.hookIs(id, "delivered", 2)
}
