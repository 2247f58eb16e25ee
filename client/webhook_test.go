package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
)

// TestReadWebhook has a dispatcher send the outcome of a request, and reads it.
func TestReadWebhook(t *testing.T) {
	t.Parallel()
	type message struct {
		header http.Header
		body   []byte
	}
	received := make(chan message, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- message{r.Header, body}
	}))
	defer server.Close()
	c, _ := run(t, dispatch.Config{Addr: "127.0.0.1:0", NATS: natsconn.Config{DataDir: t.TempDir()}, Classifier: labeller{},
		WebhookAllow: []string{"http://" + strings.TrimPrefix(server.URL, "http://")}})
	secret, err := c.WebhookSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := c.Submit(t.Context(), picture("a.jpg"), client.Options{Webhook: server.URL + "/hook"})
	if err != nil {
		t.Fatal(err)
	}
	m := <-received
	o, err := client.ReadWebhook(secret, m.header, m.body, time.Now())
	if err != nil || o.RequestID != ticket.RequestID || o.Status != resnet18cloud.StatusCompleted || o.Result.Predictions[0] != "goldfinch" {
		t.Errorf("ReadWebhook = %+v, %v", o, err)
	}
	items, err := c.SubmitBatch(t.Context(), []resnet18cloud.Image{picture("a.jpg"), picture("broken.jpg")}, client.Options{BatchWebhook: server.URL})
	if err != nil || len(items) != 2 {
		t.Fatalf("SubmitBatch: %+v, %v", items, err)
	}
	all := <-received
	outcomes, err := client.ReadBatchWebhook(secret, all.header, all.body, time.Now())
	if err != nil || len(outcomes) != 2 || outcomes[0].RequestID != items[0].RequestID || outcomes[0].Result == nil || outcomes[1].Err == nil {
		t.Errorf("ReadBatchWebhook = %+v, %v", outcomes, err)
	}
	if _, err := client.ReadBatchWebhook(secret, all.header, append(all.body, ' '), time.Now()); err == nil {
		t.Error("a forged webhook about a batch is read")
	}
	for _, bad := range []struct {
		secret string
		body   []byte
		now    time.Time
	}{{"", m.body, time.Now()}, {secret, append(m.body, ' '), time.Now()}, {secret, m.body, time.Now().Add(time.Hour)}} {
		if o, err := client.ReadWebhook(bad.secret, m.header, bad.body, bad.now); err == nil {
			t.Errorf("a forged or old webhook is read: %+v", o)
		}
	}
	if _, err := c.Submit(t.Context(), picture("a.jpg"), client.Options{Webhook: "https://example.com/"}); codeOf(err) != resnet18cloud.CodeForbidden {
		t.Errorf("a webhook to a host that is not allowed: %v", err)
	}
}
