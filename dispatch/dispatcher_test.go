package dispatch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
	"github.com/resnet18cloud/resnet18cloud/internal/openapi/openapitest"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

func TestMain(m *testing.M) {
	natstest.Parallel()
	goleak.VerifyTestMain(m, natstest.Clock())
}

// gate is a Classifier whose images wait until the test opens it. Its result depends only on the bytes: the first
// label is derived from the image's content.
type gate struct {
	arrived chan string // receives the name of each image a worker took
	open    chan struct{}

	mu  sync.Mutex
	ran map[string]int // how often each content was classified
}

func newGate() *gate {
	return &gate{arrived: make(chan string, 10000), open: make(chan struct{}), ran: map[string]int{}}
}

func opened() *gate {
	g := newGate()
	close(g.open)
	return g
}

func (g *gate) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	if image.Name == "warm-up.jpg" {
		return resnet18cloud.Result{}, nil
	}
	g.mu.Lock()
	g.ran[string(image.Bytes)]++
	g.mu.Unlock()
	g.arrived <- image.Name
	select {
	case <-g.open:
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	if strings.HasPrefix(string(image.Bytes), "broken") {
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "Not a decodable image"}
	}
	return resnet18cloud.Result{
		Filename: image.Name, InferenceTime: 0.25,
		Predictions: []string{label(image.Bytes), "bulbul", "chickadee", "magpie", "junco"},
		Timing:      resnet18cloud.Timing{Decode: time.Millisecond, Preprocess: 2 * time.Millisecond, Inference: 4 * time.Millisecond},
		Model:       "test", Precision: "fp32",
	}, nil
}

func (g *gate) runs(content string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ran[content]
}

// label returns the label that the test classifier gives to an image, derived from its bytes.
func label(image []byte) string {
	sum := sha256.Sum256(image)
	return fmt.Sprintf("label-%d", binary.BigEndian.Uint32(sum[:])%1000)
}

// startReplica serves the classifier over HTTP until the end of the test.
func startReplica(t testing.TB, concurrency int, c resnet18cloud.Classifier) string {
	t.Helper()
	return serveReplica(t, replica.Config{Concurrency: concurrency,
		Model: func() replica.Model { return replica.Model{Weights: "test", Precision: "fp32"} }}, c)
}

// serveReplica is startReplica with a configuration.
func serveReplica(t testing.TB, cfg replica.Config, c resnet18cloud.Classifier) string {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	s, err := replica.New(cfg, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, s.Run)
	<-s.Ready()
	return s.URL()
}

// runUntilEnd runs a part in the background and stops it at the end of the test, or when stop is called.
func runUntilEnd(t testing.TB, run func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	done := make(chan struct{})
	go func() { defer close(done); err = run(ctx) }()
	stop = func() error { cancel(); <-done; return err }
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return stop
}

// client is a client of one dispatcher.
type client struct {
	t    testing.TB
	d    *dispatch.Dispatcher
	url  string
	http *http.Client
	base string       // path that the dispatcher is below
	stop func() error // drains the dispatcher
}

// start runs a dispatcher on its own NATS server until the end of the test.
func start(t testing.TB, cfg dispatch.Config) *client {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	if testing.Verbose() && cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	d, err := dispatch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Listen(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	c := &client{t: t, d: d, url: d.URL(), base: cfg.BasePath, http: &http.Client{Transport: transport}, stop: runUntilEnd(t, d.Run)}
	<-d.Ready()
	return c
}

// startServing is start with one healthy replica of the classifier.
func startServing(t testing.TB, cfg dispatch.Config, concurrency int, g resnet18cloud.Classifier) *client {
	t.Helper()
	cfg.Endpoints = []string{startReplica(t, concurrency, g)}
	c := start(t, cfg)
	c.eventually("replica is healthy", func() bool { return c.get("/health/ready").status == http.StatusOK })
	return c
}

// eventually polls until done reports true, for at most 20 s.
func (c *client) eventually(what string, done func() bool) {
	c.t.Helper()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			c.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	return v
}

func (c *client) do(req *http.Request, err error) answer {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	description, err := described()
	if err != nil {
		c.t.Fatal(err)
	}
	err = description.Check(below(c.base, resp.Request), resp.StatusCode, resp.Header, body)
	if err != nil && string(body) != "page" { // pages are for people
		c.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// below returns a request without the path that the dispatcher is below.
func below(base string, r *http.Request) *http.Request {
	r = r.Clone(context.Background())
	r.URL.Path = strings.TrimPrefix(r.URL.Path, base)
	return r
}

// described is the description of the API, which each response must agree with.
var described = sync.OnceValues(func() (*openapitest.Description, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	return openapitest.Read(text)
})

func (c *client) get(path string) answer {
	c.t.Helper()
	return c.do(http.NewRequest(http.MethodGet, c.url+path, nil))
}

// form returns a multipart body with files in the field image: name, content, name, content...
func form(files ...string) (contentType string, body io.Reader) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		part, _ := w.CreateFormFile("image", files[i]) // a bytes.Buffer never fails
		_, _ = io.WriteString(part, files[i+1])
	}
	_ = w.Close()
	return w.FormDataContentType(), &buf
}

// post sends an image; headers are name, value, name, value...
func (c *client) post(path, name, content string, headers ...string) answer {
	c.t.Helper()
	contentType, body := form(name, content)
	req, err := http.NewRequest(http.MethodPost, c.url+path, body)
	if err == nil {
		req.Header.Set("Content-Type", contentType)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	return c.do(req, err)
}

// submit sends an image, which must be accepted, and returns the request ID.
func (c *client) submit(name, content string, headers ...string) string {
	c.t.Helper()
	a := c.post("/predict_async", name, content, headers...)
	if a.status != http.StatusAccepted {
		c.t.Fatalf("POST /predict_async = %d %s, want 202", a.status, a.body)
	}
	return a.json(c.t)["request_id"].(string)
}

// wait returns the request's result once it has ended.
func (c *client) wait(id string) map[string]any {
	c.t.Helper()
	for {
		a := c.get("/result/" + id + "?wait=10s")
		if a.status != http.StatusOK {
			c.t.Fatalf("GET /result = %d %s", a.status, a.body)
		}
		if v := a.json(c.t); resnet18cloud.Status(v["status"].(string)).Final() {
			return v
		}
	}
}
