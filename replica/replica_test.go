package replica_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/openapi/openapitest"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a Classifier that announces each image and holds it until the test releases it, so that tests can fill a
// replica. Its result depends only on the image.
type gate struct {
	arrived chan string   // receives the name of each image that a worker took
	open    chan struct{} // closed, or sent one value per image, by the test
	again   chan struct{} // likewise for images that were found to be slow
}

func newGate() *gate {
	return &gate{arrived: make(chan string, 100), open: make(chan struct{}), again: make(chan struct{})}
}

func (g *gate) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	if image.Name == "warm-up.jpg" {
		return resnet18cloud.Result{}, nil
	}
	g.arrived <- image.Name
	select {
	case <-g.open:
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	switch string(image.Bytes) {
	case "broken":
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "Not a decodable image"}
	case "bomb":
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge, Message: "Image has too many pixels"}
	case "panic":
		panic("index out of range")
	case "slow":
		for range 2 { // the second time it has moved
			if err := image.Slow(); err != nil {
				return resnet18cloud.Result{}, err
			}
		}
		g.arrived <- image.Name + " again"
		select {
		case <-g.again:
		case <-ctx.Done():
			return resnet18cloud.Result{}, ctx.Err()
		}
	}
	return resnet18cloud.Result{
		Filename: image.Name, InferenceTime: 0.25,
		Predictions: []string{"goldfinch", "bulbul", "chickadee", "magpie", string(image.Bytes)},
		Timing:      resnet18cloud.Timing{Decode: time.Millisecond, Preprocess: 2 * time.Millisecond, Inference: 4 * time.Millisecond},
	}, nil
}

// running is a replica that serves until stop is called, or until the end of the test.
type running struct {
	url  string
	log  *testutil.Log
	stop context.CancelFunc
	done chan error // Run's error
}

func start(t *testing.T, cfg replica.Config, c resnet18cloud.Classifier) *running {
	t.Helper()
	r := &running{log: new(testutil.Log), done: make(chan error, 1)}
	cfg.Addr = "127.0.0.1:0"
	cfg.Log = slog.New(slog.NewTextHandler(r.log, nil))
	s, err := replica.New(cfg, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	r.url = s.URL()
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.done <- s.Run(ctx) }()
	t.Cleanup(func() { r.stop(); <-ended; http.DefaultClient.CloseIdleConnections() })
	select {
	case <-s.Ready():
	case err := <-r.done:
		t.Fatalf("Run: %v", err)
	}
	return r
}

// upload returns a POST /predict with content in the form field image.
func upload(ctx context.Context, url, name, content string) (*http.Request, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("image", name)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(part, content); err != nil {
		return nil, err
	}
	if err := form.Close(); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/predict", &body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	return req, nil
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

func do(req *http.Request, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	description, err := described()
	if err != nil {
		return answer{}, err
	}
	return answer{resp.StatusCode, resp.Header, string(body)}, description.Check(resp.Request, resp.StatusCode, resp.Header, body)
}

// described is the description of the API, which each response must agree with.
var described = sync.OnceValues(func() (*openapitest.Description, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	return openapitest.Read(text)
})

func get(t *testing.T, url string) answer {
	t.Helper()
	a, err := do(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func predict(t *testing.T, url, name, content string) answer {
	t.Helper()
	a, err := do(upload(t.Context(), url, name, content))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPredict(t *testing.T) {
	t.Parallel()
	g := newGate()
	close(g.open)
	r := start(t, replica.Config{Concurrency: 1}, g)

	a := predict(t, r.url, "n01531178_goldfinch.JPEG", "junco")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("POST /predict = %d %s %s", a.status, a.header, a.body)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	timing, _ := got["timing"].(map[string]any)
	if stay, _ := timing["replica"].(float64); stay <= 0 {
		t.Errorf("timing %v lacks the stay in the replica", timing)
	}
	delete(got, "timing")
	want := map[string]any{
		"filename": "n01531178_goldfinch.JPEG", "inference_time": 0.25,
		"predictions": []any{"goldfinch", "bulbul", "chickadee", "magpie", "junco"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("POST /predict (-want +got):\n%s", diff)
	}
	if st := a.header.Get("Server-Timing"); !strings.HasPrefix(st, "replica;dur=") ||
		!strings.HasSuffix(st, "decode;dur=1.000, preprocess;dur=2.000, inference;dur=4.000") {
		t.Errorf("Server-Timing: %q", st)
	}
	if a.header.Get("X-Request-Id") == "" {
		t.Error("X-Request-Id is missing")
	}
	if log := r.log.String(); !strings.Contains(log, "Prediction completed in 0.00") ||
		!strings.Contains(log, "s for n01531178_goldfinch.JPEG") {
		t.Errorf("log lacks the line of the prediction:\n%s", log)
	}
}

func TestPredictKeepsRequestID(t *testing.T) {
	t.Parallel()
	g := newGate()
	close(g.open)
	r := start(t, replica.Config{Concurrency: 1}, g)
	req, err := upload(t.Context(), r.url, "a.jpg", "x")
	if err == nil {
		req.Header.Set("X-Request-Id", "f18d7c0a")
	}
	a, err := do(req, err)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.header.Get("X-Request-Id"); got != "f18d7c0a" {
		t.Errorf("X-Request-Id %q, want the client's", got)
	}
	if !strings.Contains(r.log.String(), "request_id=f18d7c0a") {
		t.Errorf("log lacks the request id:\n%s", r.log)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	g := newGate()
	close(g.open)
	r := start(t, replica.Config{Concurrency: 1, MaxImageBytes: 1000}, g)
	raw := func(method, path, contentType, body string) (answer, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", contentType)
		}
		return do(req, err)
	}
	const emptyName = "--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"\"\r\n\r\n\r\n--b--\r\n"
	tests := map[string]struct {
		send   func() (answer, error)
		status int
		error  string
	}{
		"no body":        {func() (answer, error) { return raw("POST", "/predict", "", "") }, 400, "No image provided"},
		"empty filename": {func() (answer, error) { return raw("POST", "/predict", "multipart/form-data; boundary=b", emptyName) }, 400, "Empty filename"},
		"too large":      {func() (answer, error) { return do(upload(t.Context(), r.url, "a.jpg", strings.Repeat("x", 1001))) }, 413, "Image is larger than 0.0009537 MiB"},
		"too many px":    {func() (answer, error) { return do(upload(t.Context(), r.url, "a.jpg", "bomb")) }, 413, "Image has too many pixels"},
		"JSON body":      {func() (answer, error) { return raw("POST", "/predict", "application/json", "{}") }, 415, "Content-Type application/json is not supported"},
		"broken image":   {func() (answer, error) { return do(upload(t.Context(), r.url, "a.jpg", "broken")) }, 422, "Not a decodable image"},
		"raw, broken":    {func() (answer, error) { return raw("POST", "/predict", "image/jpeg", "broken") }, 422, "Not a decodable image"},
		"panic":          {func() (answer, error) { return do(upload(t.Context(), r.url, "a.jpg", "panic")) }, 500, "Internal error"},
		"wrong path":     {func() (answer, error) { return raw("GET", "/nowhere", "", "") }, 404, "No such endpoint: /nowhere"},
		"wrong method":   {func() (answer, error) { return raw("GET", "/predict", "", "") }, 405, "GET is not allowed here"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := test.send()
			if err != nil {
				t.Fatal(err)
			}
			var body httpx.ErrorBody
			if err := json.Unmarshal([]byte(a.body), &body); err != nil {
				t.Fatalf("%d %q: %v", a.status, a.body, err)
			}
			if a.status != test.status || body.Error != test.error {
				t.Errorf("answer %d %q, want %d %q", a.status, body.Error, test.status, test.error)
			}
		})
	}
	// None of these blocked the only worker.
	if a := predict(t, r.url, "a.jpg", "junco"); a.status != http.StatusOK {
		t.Errorf("POST /predict after the errors = %d %s", a.status, a.body)
	}
}

func TestHealthAndInfo(t *testing.T) {
	t.Parallel()
	r := start(t, replica.Config{Concurrency: 3, Queue: 5, Model: func() replica.Model {
		return replica.Model{
			Weights: "resnet18-random", Precision: "fp32", Kernels: "avx2", Version: "v1", Warning: "weights are random"}
	}}, newGate())

	for path, want := range map[string]string{
		"/health":       `{"model":"resnet18","status":"healthy"}`,
		"/health/live":  `{"model":"resnet18","status":"healthy"}`,
		"/health/ready": fmt.Sprintf(`{"model":"resnet18","status":"ready","pid":%d}`, os.Getpid()),
	} {
		if a := get(t, r.url+path); a.status != http.StatusOK || strings.TrimSpace(a.body) != want {
			t.Errorf("GET %s = %d %s, want 200 %s", path, a.status, a.body, want)
		}
	}

	var got map[string]any
	if err := json.Unmarshal([]byte(get(t, r.url+"/info").body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"model": "resnet18", "framework": "resnet18cloud (Go)", "input_size": "224x224", "classes": 1000.0,
		"endpoints": []any{"/predict", "/embed", "/labels", "/models", "/health", "/health/live", "/health/ready", "/info", "/metrics"},
		"weights":   "resnet18-random", "precision": "fp32", "kernels": "avx2",
		"concurrency": 3.0, "queue": 5.0, "version": "v1", "warning": "weights are random",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GET /info (-want +got):\n%s", diff)
	}
	for _, path := range want["endpoints"].([]any) {
		if a := get(t, r.url+path.(string)); a.status == http.StatusNotFound && path != "/labels" { // which this classifier does not know
			t.Errorf("/info lists %s, which does not exist", path)
		}
	}
}

// TestFullQueue fills both slots and the one queue place, and checks that the next request is rejected immediately
// with a time based on the service rate, and that a waiting client that disconnects frees its place.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := start(t, replica.Config{Concurrency: 2, Queue: 1}, g)

	var clients sync.WaitGroup
	defer clients.Wait()
	send := func(ctx context.Context, name string, want int) {
		clients.Go(func() {
			a, err := do(upload(ctx, r.url, name, "junco"))
			if err != nil && ctx.Err() == nil || err == nil && a.status != want {
				t.Errorf("%s: %d %v, want %d", name, a.status, err, want)
			}
		})
	}
	send(t.Context(), "working", http.StatusOK)
	send(t.Context(), "working", http.StatusOK)
	for range 2 {
		if name := <-g.arrived; name != "working" {
			t.Fatalf("a worker took %q, want working", name)
		}
	}
	impatient, leave := context.WithCancel(t.Context())
	send(impatient, "impatient", 0)
	eventually(t, func() bool { return metric(t, r.url, "resnet18_replica_requests_waiting") == 1 })

	a := predict(t, r.url, "refused", "junco")
	var body httpx.ErrorBody
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusServiceUnavailable || body.Error != "Queue is full" || body.Code != resnet18cloud.CodeFull {
		t.Fatalf("POST /predict beyond the queue = %d %s, want 503", a.status, a.body)
	}
	// The warm-up images set the service time, so the time is known: short, and rounded up in the header.
	if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after != 1 || body.RetryAfter <= 0 {
		t.Errorf("Retry-After %q, retry_after %v", a.header.Get("Retry-After"), body.RetryAfter)
	}

	leave()
	eventually(t, func() bool { return metric(t, r.url, "resnet18_replica_requests_waiting") == 0 })
	send(t.Context(), "patient", http.StatusOK)
	eventually(t, func() bool { return metric(t, r.url, "resnet18_replica_requests_waiting") == 1 })
	close(g.open)
	if name := <-g.arrived; name != "patient" {
		t.Errorf("a worker took %q, want patient", name)
	}
}

// TestLargeImages checks that large images take no slot and no place of others.
func TestLargeImages(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := start(t, replica.Config{Concurrency: 1, Queue: 1,
		Large: func(image resnet18cloud.Image) bool { return string(image.Bytes) == "mural" }}, g)
	var clients sync.WaitGroup
	defer clients.Wait()
	send := func(name, content string) {
		clients.Go(func() {
			if a, err := do(upload(t.Context(), r.url, name, content)); err != nil || a.status != http.StatusOK {
				t.Errorf("%s: %d %s, %v", name, a.status, a.body, err)
			}
		})
	}
	send("large", "mural")
	if name := <-g.arrived; name != "large" {
		t.Fatalf("a worker took %q", name)
	}
	send("patient", "mural")
	eventually(t, func() bool { return metric(t, r.url, "resnet18_replica_large_waiting") == 1 })
	a := predict(t, r.url, "refused", "mural")
	if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "Queue is full") || a.header.Get("Retry-After") == "" {
		t.Errorf("a third large image: %d %s, want 503", a.status, a.body)
	}
	send("small", "junco")
	if name := <-g.arrived; name != "small" {
		t.Errorf("a worker took %q, want the small image", name)
	}
	if working := metric(t, r.url, "resnet18_replica_large_working"); working != 1 {
		t.Errorf("%v large images are worked on, want 1", working)
	}
	close(g.open)
	if name := <-g.arrived; name != "patient" {
		t.Errorf("a worker took %q, want the other large image", name)
	}
}

// TestSlowImages checks that an image which turns out to be slow leaves its slot and its place to others, and takes those of large
// images, or is refused if there are none.
func TestSlowImages(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := start(t, replica.Config{Concurrency: 1, Queue: -1}, g)
	var clients sync.WaitGroup
	defer clients.Wait()
	send := func(name, content string, status int) (ended chan struct{}) {
		t.Helper()
		ended = make(chan struct{})
		clients.Go(func() {
			defer close(ended)
			if a, err := do(upload(t.Context(), r.url, name, content)); err != nil || a.status != status {
				t.Errorf("%s: %d %s, %v, want %d", name, a.status, a.body, err, status)
			}
		})
		if arrived := <-g.arrived; arrived != name {
			t.Fatalf("a worker took %q, want %q", arrived, name)
		}
		g.open <- struct{}{}
		return ended
	}
	send("first", "slow", http.StatusOK)
	if name := <-g.arrived; name != "first again" {
		t.Fatalf("a worker took %q", name)
	}
	if working := metric(t, r.url, "resnet18_replica_large_working"); working != 1 {
		t.Errorf("%v large images are worked on, want the slow one", working)
	}
	<-send("small", "junco", http.StatusOK)
	<-send("second", "slow", http.StatusServiceUnavailable)
	close(g.again)
	clients.Wait()
	for _, series := range []string{"resnet18_replica_requests_working", "resnet18_replica_large_working"} {
		eventually(t, func() bool { return metric(t, r.url, series) == 0 })
	}
	send("third", "slow", http.StatusOK)
	if name := <-g.arrived; name != "third again" {
		t.Errorf("a worker took %q", name)
	}
}

// TestSlowUploadsTakeNoPlace checks that clients that do not send their image, many more than there are places, do
// not block other requests.
func TestSlowUploadsTakeNoPlace(t *testing.T) {
	t.Parallel()
	g := newGate()
	close(g.open)
	r := start(t, replica.Config{Concurrency: 1, Queue: 1}, g)
	for range 20 {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return metric(t, r.url, "resnet18_replica_upload_bytes") == 20*(32<<10) })
	if n := metric(t, r.url, "resnet18_replica_requests_waiting"); n != 0 {
		t.Errorf("%v requests wait, want none", n)
	}
	if a := predict(t, r.url, "a.jpg", "junco"); a.status != http.StatusOK {
		t.Errorf("POST /predict during slow uploads = %d %s", a.status, a.body)
	}
}

// TestDrain checks that an image being classified when the replica is stopped, and one waiting behind it, get their
// responses.
func TestDrain(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := start(t, replica.Config{Concurrency: 1, Queue: 1}, g)
	answers := make(chan answer, 2)
	for range 2 {
		go func() {
			a, err := do(upload(t.Context(), r.url, "a.jpg", "junco"))
			if err != nil {
				t.Errorf("POST /predict: %v", err)
			}
			answers <- a
		}()
	}
	<-g.arrived
	eventually(t, func() bool { return metric(t, r.url, "resnet18_replica_requests_waiting") == 1 })
	r.stop()
	eventually(t, func() bool { // rejected by the listener
		resp, err := http.Get(r.url + "/health")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	})
	close(g.open)
	for range 2 {
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("POST /predict while stopping = %d %s", a.status, a.body)
		}
	}
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	g := newGate()
	close(g.open)
	r := start(t, replica.Config{Concurrency: 2, Queue: -1, Model: func() replica.Model { return replica.Model{Weights: "resnet18-random"} }}, g)
	for range 3 {
		predict(t, r.url, "a.jpg", "junco")
	}
	predict(t, r.url, "a.jpg", "broken")

	for series, want := range map[string]float64{
		`resnet18_replica_requests_total{outcome="completed"}`:                  3,
		`resnet18_replica_requests_total{outcome="undecodable"}`:                1,
		`resnet18_replica_stage_duration_seconds_count{stage="replica"}`:        3,
		`resnet18_replica_stage_duration_seconds_sum{stage="decode"}`:           0.003,
		`resnet18_replica_stage_duration_seconds_sum{stage="preprocess"}`:       0.006,
		`resnet18_replica_stage_duration_seconds_sum{stage="inference"}`:        0.012,
		`resnet18_replica_stage_duration_seconds_bucket{stage="decode",le="3"}`: -1, // no such bucket
		`resnet18_replica_slots`:                                                   2,
		`resnet18_replica_queue_places`:                                            0,
		`resnet18_replica_requests_waiting`:                                        0,
		`resnet18_replica_requests_working`:                                        0,
		`resnet18_replica_requests_total{outcome="full"}`:                          0, // before the first
		`resnet18_replica_stage_duration_seconds_bucket{stage="replica",le="0.5"}`: 3,
		`resnet18_replica_http_request_duration_seconds_count{method="POST",route="/predict",status="2xx"}`: 3,
		`resnet18_replica_http_request_duration_seconds_count{method="POST",route="/predict",status="4xx"}`: 1,
		`resnet18_replica_http_errors_total{code="undecodable",method="POST"}`:                              1,
		`resnet18_replica_info{kernels="",precision="",version="",weights="resnet18-random"}`:               1,
	} {
		if got := metric(t, r.url, series); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%s = %v, want %v", series, got, want)
		}
	}
	for _, series := range []string{"resnet18_replica_busy_seconds_total", "resnet18_replica_startup_duration_seconds"} {
		if got := metric(t, r.url, series); got <= 0 {
			t.Errorf("%s = %v, want more than 0", series, got)
		}
	}
	problems, err := promlint.New(strings.NewReader(get(t, r.url+"/metrics").body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
}

// metric reads one series from /metrics; -1 if it does not exist.
func metric(t *testing.T, url, series string) float64 {
	t.Helper()
	for line := range strings.Lines(get(t, url+"/metrics").body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return -1
}

// eventually polls the server; each poll is a whole request, so it neither spins nor sleeps.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatal("condition not met")
		}
	}
}

// broken fails for every image.
type broken struct{}

func (broken) Classify(context.Context, resnet18cloud.Image) (resnet18cloud.Result, error) {
	return resnet18cloud.Result{}, errors.New("no network")
}

func TestRunFailsWhenWarmUpFails(t *testing.T) {
	t.Parallel()
	s, err := replica.New(replica.Config{Addr: "127.0.0.1:0", Concurrency: 2}, broken{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "warm-up image: no network") {
		t.Errorf("Run: %v, want the failure of the warm-up", err)
	}
	select {
	case <-s.Ready():
		t.Error("a broken replica called itself ready")
	default:
	}
}

func TestListenFailsWhenTaken(t *testing.T) {
	t.Parallel()
	r := start(t, replica.Config{Concurrency: 1}, newGate())
	s, err := replica.New(replica.Config{Addr: strings.TrimPrefix(r.url, "http://"), Concurrency: 1}, newGate())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err == nil {
		t.Error("Listen on a taken address succeeded")
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, cfg := range []replica.Config{{}, {Concurrency: 1, Queue: -2}, {Concurrency: 1, MaxImageBytes: -1},
		{Concurrency: 1, MaxUploadBytes: 1000}, {Concurrency: 1, MinUploadRate: -2}} {
		if _, err := replica.New(cfg, broken{}); err == nil {
			t.Errorf("New(%+v) succeeded", cfg)
		}
	}
}

// BenchmarkPredict measures the server's cost besides the classifier, per image of 100 KB.
func BenchmarkPredict(b *testing.B) {
	g := newGate()
	close(g.open)
	g.arrived = make(chan string, 1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-g.arrived:
			case <-stop:
				return
			}
		}
	}()
	s, err := replica.New(replica.Config{Addr: "127.0.0.1:0", Concurrency: 2}, g)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	content := strings.Repeat("x", 100<<10)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		if a, err := do(upload(b.Context(), s.URL(), "a.jpg", content)); err != nil || a.status != http.StatusOK {
			b.Fatal(fmt.Sprint(a, err))
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestModelChanges checks that /info and /metrics have the current state of a classifier that is switching to int8.
func TestModelChanges(t *testing.T) {
	t.Parallel()
	share := 0.75
	states := []string{"observing", "comparing", "adopted"}
	models := []replica.Model{
		{Precision: "fp32", Quantization: &replica.Quantization{State: "observing", States: states, Observed: 3, Wanted: 0.5}},
		{Precision: "int8", Quantization: &replica.Quantization{State: "adopted", States: states, Observed: 8, Compared: 8,
			Equal: 6, Agreement: &share, Wanted: 0.5}},
	}
	var now atomic.Int32
	r := start(t, replica.Config{Concurrency: 1, Model: func() replica.Model { return models[now.Load()] }}, newGate())
	for i, want := range []struct {
		info    string
		metrics []string
	}{
		{`"quantization":{"state":"observing","observed":3,"compared":0,"equal":0,"wanted":0.5}`, []string{
			`resnet18_replica_quantization_state{state="observing"} 1`, `resnet18_replica_quantization_state{state="adopted"} 0`}},
		{`"quantization":{"state":"adopted","observed":8,"compared":8,"equal":6,"agreement":0.75,"wanted":0.5}`, []string{
			`resnet18_replica_quantization_state{state="adopted"} 1`, `resnet18_replica_quantization_compared_total{equal="true"} 6`,
			`resnet18_replica_quantization_compared_total{equal="false"} 2`, `resnet18_replica_quantization_agreement_ratio 0.75`,
			`precision="int8"`}},
	} {
		now.Store(int32(i))
		if got := get(t, r.url+"/info").body; !strings.Contains(got, want.info) {
			t.Errorf("/info = %s, want %s", got, want.info)
		}
		for _, line := range want.metrics {
			if got := get(t, r.url+"/metrics").body; !strings.Contains(got, line) {
				t.Errorf("/metrics lacks %s:\n%s", line, got)
			}
		}
	}
}

// TestAdminAddress checks that metrics and profiles are on the server for operators alone.
func TestAdminAddress(t *testing.T) {
	t.Parallel()
	s, err := replica.New(replica.Config{Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Concurrency: 1}, newGate())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	<-s.Ready()
	for path, want := range map[string][2]int{
		"/metrics": {404, 200}, "/debug/pprof/": {404, 200}, "/info": {200, 404}, "/health/ready": {200, 200}, "/health": {200, 200},
	} {
		for i, url := range []string{s.URL(), s.AdminURL()} {
			got, err := do(http.NewRequest(http.MethodGet, url+path, nil))
			if err != nil || got.status != want[i] {
				t.Errorf("GET %s%s = %d %v, want %d", url, path, got.status, err, want[i])
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestRefusesOtherSites checks that a page of another site cannot make a browser send images, or read anything under a
// name of its own.
func TestRefusesOtherSites(t *testing.T) {
	t.Parallel()
	r := start(t, replica.Config{Concurrency: 1}, newGate())
	req, err := upload(t.Context(), r.url, "a.jpg", "image")
	if err == nil {
		req.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	if got, err := do(req, err); err != nil || got.status != http.StatusForbidden {
		t.Errorf("a form of another site: %d %s %v, want 403", got.status, got.body, err)
	}
	req, err = http.NewRequest(http.MethodGet, r.url+"/info", nil)
	if err == nil {
		req.Host = "evil.example"
	}
	if got, err := do(req, err); err != nil || got.status != http.StatusForbidden {
		t.Errorf("a rebound name: %d %s %v, want 403", got.status, got.body, err)
	}
}
