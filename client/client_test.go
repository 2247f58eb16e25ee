package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.Clock()) }

// labeller answers at once, but holds images called "slow" until they are cancelled.
type labeller struct{}

func (labeller) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	switch {
	case image.Name == "slow.jpg":
		<-ctx.Done()
		return resnet18cloud.Result{}, ctx.Err()
	case image.Name == "broken.jpg":
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "Not a decodable image"}
	}
	if image.Want.Embedding {
		return resnet18cloud.Result{Filename: image.Name, Embedding: []float32{3, 4}}, nil
	}
	if k := image.Want.TopK; k != 0 {
		return resnet18cloud.Result{Filename: image.Name, Predictions: make([]string, k)}, nil
	}
	return resnet18cloud.Result{Filename: image.Name, Predictions: []string{"goldfinch", "bulbul", "magpie", "chickadee", "junco"},
		Scores: []resnet18cloud.Prediction{{Index: 11, Label: "goldfinch", Logit: 17, Probability: new(float32(0.98))}},
		Timing: resnet18cloud.Timing{Inference: 4 * time.Millisecond}}, nil
}

func (labeller) Labels(context.Context) (resnet18cloud.Labels, error) {
	return resnet18cloud.Labels{Model: "m", Classes: 2, Labels: []string{"ant", "bee"}}, nil
}

// start runs a real dispatcher until the test ends.
func start(t testing.TB) *client.Client {
	t.Helper()
	c, _ := run(t, dispatch.Config{Addr: "127.0.0.1:0", NATS: natsconn.Config{DataDir: t.TempDir()}, Classifier: labeller{}})
	return c
}

// run runs a real dispatcher until the test ends, or until stop is called.
func run(t testing.TB, cfg dispatch.Config) (c *client.Client, stop func()) {
	t.Helper()
	d, err := dispatch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	transport := &http.Transport{}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("dispatcher: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		transport.CloseIdleConnections()
	})
	select {
	case <-d.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	return &client.Client{BaseURL: d.URL() + "/", HTTP: &http.Client{Transport: transport}}, stop
}

func picture(name string) resnet18cloud.Image {
	return resnet18cloud.Image{Name: name, Bytes: []byte("\xff\xd8" + name)}
}

func TestSubmitAndWait(t *testing.T) {
	t.Parallel()
	c := start(t)
	if err := c.Healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	ticket, err := c.Submit(t.Context(), picture("a.jpg"), client.Options{Priority: resnet18cloud.PriorityBulk, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Wait(t.Context(), ticket.RequestID)
	if err != nil {
		t.Fatal(err)
	}
	if o.Status != resnet18cloud.StatusCompleted || o.Result == nil || o.Result.Predictions[0] != "goldfinch" ||
		o.RequestID != ticket.RequestID || o.CompletedAt.Before(o.QueuedAt) || o.QueuedAt.IsZero() || o.Timing.Inference == 0 {
		t.Errorf("outcome %+v", o)
	}
	again, err := c.Submit(t.Context(), picture("a.jpg"), client.Options{})
	if err != nil || !again.FromCache || again.Result == nil {
		t.Errorf("the same bytes again: %+v, %v; want the cached result", again, err)
	}
}

func TestPredict(t *testing.T) {
	t.Parallel()
	result, err := start(t).Predict(t.Context(), picture("a.jpg"), client.Options{})
	if err != nil || len(result.Predictions) != 5 {
		t.Errorf("Predict = %+v, %v", result, err)
	}
}

// TestWants checks that what an image wants reaches the server, on all ways.
func TestWants(t *testing.T) {
	t.Parallel()
	c := start(t)
	some := picture("a.jpg")
	some.Want.TopK = 3
	if r, err := c.Predict(t.Context(), some, client.Options{}); err != nil || len(r.Predictions) != 3 {
		t.Errorf("Predict of 3 classes = %+v, %v", r, err)
	}
	if r, err := c.Embed(t.Context(), picture("a.jpg"), client.Options{}); err != nil || len(r.Embedding) != 2 {
		t.Errorf("Embed = %+v, %v", r, err)
	}
	some.Want.TopK = 4000
	if _, err := c.Predict(t.Context(), some, client.Options{}); codeOf(err) != resnet18cloud.CodeInvalid {
		t.Errorf("Predict of 4000 classes: %v, want %s", err, resnet18cloud.CodeInvalid)
	}
	features := picture("b.jpg")
	features.Want.Embedding = true
	ticket, err := c.Submit(t.Context(), features, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if o, err := c.Wait(t.Context(), ticket.RequestID); err != nil || o.Result == nil || len(o.Result.Embedding) != 2 {
		t.Errorf("Submit for features: %+v, %v", o, err)
	}
	if l, err := c.Labels(t.Context()); err != nil || l.Classes != 2 || len(l.Labels) != 2 {
		t.Errorf("Labels = %+v, %v", l, err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	c := start(t)
	ticket, err := c.Submit(t.Context(), picture("slow.jpg"), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Cancel(t.Context(), ticket.RequestID)
	if err != nil || o.Status != resnet18cloud.StatusCancelled {
		t.Errorf("Cancel = %+v, %v", o, err)
	}
	if ticket, err = c.Submit(t.Context(), picture("a.jpg"), client.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context(), ticket.RequestID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cancel(t.Context(), ticket.RequestID); codeOf(err) != resnet18cloud.CodeConflict {
		t.Errorf("Cancel of what has ended: %v, want a conflict", err)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	c := start(t)
	o := client.Options{IdempotencyKey: "order-66"}
	first, err := c.Submit(t.Context(), picture("a.jpg"), o)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := c.Submit(t.Context(), picture("a.jpg"), o); err != nil || second.RequestID != first.RequestID {
		t.Errorf("same key: %+v, %v; want request %s", second, err, first.RequestID)
	}
	if _, err := c.Submit(t.Context(), picture("b.jpg"), o); codeOf(err) != resnet18cloud.CodeConflict {
		t.Errorf("same key, other image: %v, want a conflict", err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	c := start(t)
	if _, err := c.Result(t.Context(), "nobody", 0); codeOf(err) != resnet18cloud.CodeNotFound {
		t.Errorf("unknown id: %v", err)
	}
	_, err := c.Predict(t.Context(), picture("broken.jpg"), client.Options{})
	if codeOf(err) != resnet18cloud.CodeUndecodable || !strings.Contains(err.Error(), "Not a decodable image") {
		t.Errorf("broken image: %v", err)
	}
	ticket, err := c.Submit(t.Context(), picture("broken.jpg"), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Wait(t.Context(), ticket.RequestID)
	if err != nil || o.Status != resnet18cloud.StatusFailed || o.Err == nil || o.Err.Code != resnet18cloud.CodeUndecodable {
		t.Errorf("broken image, asynchronously: %+v, %v", o, err)
	}
	if _, err := c.Submit(t.Context(), resnet18cloud.Image{}, client.Options{}); codeOf(err) != resnet18cloud.CodeInvalid {
		t.Errorf("no image: %v", err)
	}
}

func codeOf(err error) resnet18cloud.Code {
	e, _ := errors.AsType[*resnet18cloud.Error](err)
	if e == nil {
		return ""
	}
	return e.Code
}

// TestTrusting checks that a client trusts the authority in a file, and no other.
func TestTrusting(t *testing.T) {
	t.Parallel()
	ours, other := tlstest.NewAuthority(t).Issue(t), tlstest.NewAuthority(t).Issue(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"healthy"}`) }))
	cert, err := tls.LoadX509KeyPair(ours.Cert, ours.Key)
	if err != nil {
		t.Fatal(err)
	}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	defer server.Close()
	for ca, want := range map[string]bool{ours.CA: true, other.CA: false} {
		h, err := client.Trusting(ca)
		if err != nil {
			t.Fatal(err)
		}
		c := client.Client{BaseURL: server.URL, HTTP: h}
		if err := c.Healthy(t.Context()); (err == nil) != want {
			t.Errorf("Healthy = %v, want trust %t", err, want)
		}
		h.CloseIdleConnections()
	}
	if _, err := client.Trusting("missing.crt"); err == nil || !strings.Contains(err.Error(), "missing.crt") {
		t.Errorf("Trusting a missing file: %v", err)
	}
}

// TestErrorsAreBounded checks that a server does not choose how long a line its error takes in a log.
func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q,"hint":%q,"code":"invalid"}`, long, long)
	}))
	t.Cleanup(s.Close)
	c := client.Client{BaseURL: s.URL, HTTP: s.Client()}
	e, ok := errors.AsType[*resnet18cloud.Error](c.Healthy(t.Context()))
	if !ok || e.Message != long[:1024]+"..." || e.Hint != long[:1024]+"..." || e.Code != resnet18cloud.CodeInvalid {
		t.Errorf("error with %d and %d bytes, want 1027 each", len(e.Message), len(e.Hint))
	}
}

// TestForeignServer checks that errors about answers that are no dispatcher's name the server.
func TestForeignServer(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{"<html>": "%s does not answer as a dispatcher", "{}": "%s does not answer as a dispatcher or a replica", "": "%s answers 404 Not Found"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if body == "" {
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = io.WriteString(w, body)
		}))
		c := &client.Client{BaseURL: server.URL}
		_, err := c.Predict(t.Context(), resnet18cloud.Image{Name: "a.jpg", Bytes: []byte("a")}, client.Options{})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(want, server.URL)) {
			t.Errorf("an answer %q: %v", body, err)
		}
		server.Close()
	}
}
