package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn/natstest"
)

func TestLongPoll(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 1, g)
	id := c.submit("a.jpg", "x")
	<-g.arrived
	if got := c.get("/result/" + id + "?wait=0.05").json(t); got["status"] != "processing" {
		t.Errorf("status when the wait is over: %v, want processing", got["status"])
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			a := c.get("/result/" + id + "?wait=20s")
			if got := a.json(t); got["status"] != "completed" || !strings.Contains(a.header.Get("Server-Timing"), "inference;dur=4.000") {
				t.Errorf("long-poll: %v %v", a.header, got)
			}
		})
	}
	close(g.open)
	all.Wait()
}

func TestSync(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, opened())
	a := c.post("/predict", "a.jpg", "x")
	if a.status != http.StatusOK || a.header.Get("X-Cache") != "MISS" || a.header.Get("X-Request-Id") == "" {
		t.Errorf("POST /predict = %d %v %s", a.status, a.header, a.body)
	}
	holds(t, "prediction", a.json(t), resultShape)
	if a = c.post("/predict", "b.jpg", "x"); a.status != http.StatusOK || a.header.Get("X-Cache") != "HIT" {
		t.Errorf("POST /predict of known bytes = %d %v", a.status, a.header)
	}
	a = c.post("/predict", "a.jpg", "y", "Prefer", "wait=1, respond-async")
	if a.status != http.StatusAccepted || a.header.Get("Preference-Applied") != "respond-async" {
		t.Errorf("POST /predict, respond-async = %d %v", a.status, a.header)
	}
}

// TestSyncClientLeaves checks that requests of disconnected clients are not processed.
func TestSyncClientLeaves(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 1, g)
	ctx, leave := context.WithCancel(t.Context())
	contentType, body := form("a.jpg", "x")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/predict", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	left := make(chan struct{})
	go func() {
		defer close(left)
		if resp, err := c.http.Do(req); err == nil {
			resp.Body.Close()
			t.Error("a request whose client left was answered")
		}
	}()
	<-g.arrived
	leave()
	<-left
	c.eventually("the request is cancelled", func() bool { return c.get("/status").json(t)["cancelled_requests"] == 1.0 })
	c.eventually("its slot is free", func() bool { return c.get("/status").json(t)["processing"] == 0.0 })
}

func TestFullQueue(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{QueueCapacity: 3}, 1, g)
	// Two are sent to the replica (one worker, one queue place used), three wait; the sixth may still fit while one
	// is being moved.
	var ids []string
	var refused answer
	for i := range 20 {
		a := c.post("/predict_async", "a.jpg", fmt.Sprint("image ", i))
		if a.status == http.StatusServiceUnavailable {
			refused = a
			break
		}
		ids = append(ids, a.json(t)["request_id"].(string))
	}
	if refused.status == 0 {
		t.Fatal("20 images fit into a queue of 3")
	}
	if seconds, err := strconv.Atoi(refused.header.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("Retry-After %q, want seconds", refused.header.Get("Retry-After"))
	}
	if got := refused.json(t); got["error"] != "Queue is full" || got["retry_after"] == nil {
		t.Errorf("503 says %v", got)
	}
	close(g.open)
	for _, id := range ids {
		if got := c.wait(id); got["status"] != "completed" {
			t.Errorf("an accepted request ended as %v", got)
		}
	}
	status := c.get("/status").json(t)
	if got := status["total_requests"]; got != float64(len(ids)) {
		t.Errorf("total_requests %v, want %d: rejected requests do not count", got, len(ids))
	}
	if peak := status["queue_metrics"].(map[string]any)["peak_queue_size"]; peak != 3.0 {
		t.Errorf("peak_queue_size %v, want 3", peak)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 2, g)
	first := c.submit("a.jpg", "x", "Idempotency-Key", "order 66")
	if again := c.submit("a.jpg", "x", "Idempotency-Key", "order 66"); again != first {
		t.Errorf("the same key gave %s and %s", first, again)
	}
	if other := c.submit("a.jpg", "y", "Idempotency-Key", "order 67"); other == first {
		t.Error("another key gave the same request")
	}
	if a := c.post("/predict_async", "a.jpg", "z", "Idempotency-Key", "order 66"); a.status != http.StatusConflict {
		t.Errorf("the same key with another image = %d %s, want 409", a.status, a.body)
	}
	close(g.open)
	c.wait(first)
	a := c.post("/predict_async", "a.jpg", "x", "Idempotency-Key", "order 66")
	if got := a.json(t); a.status != http.StatusOK || got["request_id"] != first || got["result"] == nil {
		t.Errorf("the same key after the end = %d %v", a.status, got)
	}
	if n := g.runs("x"); n != 1 {
		t.Errorf("the image was classified %d times, want once", n)
	}
}

// TestEqualImagesInFlight checks that identical images are classified once while each request has its own result.
func TestEqualImagesInFlight(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{CacheSize: -1}, 8, g)
	ids := map[string]bool{}
	for i := range 5 {
		ids[c.submit(fmt.Sprintf("%d.jpg", i), "same")] = true
	}
	c.eventually("all wait for one run", func() bool { return c.d.Sharing("same") == 5 })
	close(g.open)
	if len(ids) != 5 {
		t.Errorf("%d ids for 5 requests", len(ids))
	}
	for id := range ids {
		if got := c.wait(id); got["status"] != "completed" {
			t.Errorf("one of equal images ended as %v", got)
		}
	}
	if n := g.runs("same"); n != 1 {
		t.Errorf("equal images were classified %d times, want once", n)
	}
}

// TestDeadline checks that expired requests never reach a replica, report the deadline, and do not block others.
func TestDeadline(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 1, g)
	busy := []string{c.submit("a.jpg", "1"), c.submit("a.jpg", "2")}
	<-g.arrived
	late := c.submit("late.jpg", "late", "X-Request-Timeout", "100ms")
	if got := c.wait(late); got["status"] != "failed" || got["code"] != "deadline" {
		t.Errorf("a request beyond its deadline: %v", got)
	}
	if a := c.post("/predict", "late.jpg", "late too", "X-Request-Timeout", "0.1"); a.status != http.StatusGatewayTimeout {
		t.Errorf("POST /predict beyond its deadline = %d %s", a.status, a.body)
	}
	close(g.open)
	for _, id := range busy {
		if got := c.wait(id); got["status"] != "completed" {
			t.Errorf("a request without deadline: %v", got)
		}
	}
	c.wait(c.submit("b.jpg", "after")) // both expired ones are done
	if g.runs("late")+g.runs("late too") != 0 {
		t.Error("expired work was classified")
	}
	if got := c.get("/status").json(t)["failed_requests"]; got != 2.0 {
		t.Errorf("failed_requests %v, want 2", got)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 1, g)
	cancel := func(id string) answer { return c.do(http.NewRequest(http.MethodDelete, c.url+"/result/"+id, nil)) }
	working := c.submit("a.jpg", "working")
	<-g.arrived
	waiting := []string{c.submit("b.jpg", "b"), c.submit("c.jpg", "c"), c.submit("d.jpg", "d")}
	for _, id := range []string{working, waiting[2]} {
		if a := cancel(id); a.status != http.StatusOK || a.json(t)["status"] != "cancelled" {
			t.Errorf("DELETE = %d %s", a.status, a.body)
		}
	}
	close(g.open)
	for _, id := range waiting[:2] {
		if got := c.wait(id); got["status"] != "completed" {
			t.Errorf("a request beside a cancelled one: %v", got)
		}
	}
	if a := cancel(waiting[0]); a.status != http.StatusConflict {
		t.Errorf("DELETE of an ended request = %d %s, want 409", a.status, a.body)
	}
	if a := cancel("f18d7c0a-e37f-4f6c-b214-542dd751b0e3"); a.status != http.StatusNotFound {
		t.Errorf("DELETE of nothing = %d", a.status)
	}
	c.wait(c.submit("e.jpg", "e")) // its turn comes after d's
	if g.runs("d") != 0 {
		t.Error("a cancelled image was classified")
	}
	if got := c.wait(working); got["status"] != "cancelled" {
		t.Errorf("a cancelled request: %v", got)
	}
}

// TestPriorities checks that an interactive image overtakes waiting bulk images.
func TestPriorities(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 1, g)
	var last string
	for i := range 20 {
		last = c.submit("bulk.jpg", fmt.Sprint("bulk ", i), "X-Priority", "bulk")
	}
	urgent := c.submit("urgent.jpg", "urgent")
	for range 20 {
		if name := <-g.arrived; name == "urgent.jpg" {
			break
		}
		g.open <- struct{}{}
	}
	if got := c.get("/result/" + last).json(t); got["status"] != "queued" {
		t.Errorf("the last bulk image is %v when the interactive one is processed, want queued", got["status"])
	}
	close(g.open)
	c.wait(urgent)
	c.wait(last)
}

func TestBatch(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{MaxBatch: 4, MaxImageBytes: 100}, 2, opened())
	batch := func(files ...string) answer {
		contentType, body := form(files...)
		req, err := http.NewRequest(http.MethodPost, c.url+"/predict_batch", body)
		if err == nil {
			req.Header.Set("Content-Type", contentType)
		}
		return c.do(req, err)
	}
	a := batch("a.jpg", "1", "big.jpg", strings.Repeat("x", 101), "c.jpg", "3")
	got := a.json(t)
	if a.status != http.StatusAccepted || got["accepted"] != 2.0 || got["refused"] != 1.0 {
		t.Fatalf("POST /predict_batch = %d %s", a.status, a.body)
	}
	items := got["items"].([]any)
	for _, i := range []int{0, 2} {
		item := items[i].(map[string]any)
		ended := c.wait(item["request_id"].(string))
		if ended["status"] != "completed" || ended["filename"] != item["filename"] || ended["priority"] != "bulk" {
			t.Errorf("item %d: %v", i, ended)
		}
	}
	if e := items[1].(map[string]any)["code"]; e != "too_large" {
		t.Errorf("item 1: code %v, want too_large", e)
	}
	if a := batch(); a.status != http.StatusBadRequest {
		t.Errorf("a batch of nothing = %d %s", a.status, a.body)
	}
	if a := batch("a", "a", "b", "b", "c", "c", "d", "d", "e", "e"); a.json(t)["accepted"] != 4.0 || a.json(t)["refused"] != 1.0 {
		t.Errorf("a batch above the limit = %d %s", a.status, a.body)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	c := start(t, dispatch.Config{Endpoints: []string{"http://127.0.0.1:1"}})
	if a := c.get("/health/live"); a.status != http.StatusOK {
		t.Errorf("GET /health/live = %d", a.status)
	}
	if a := c.get("/health/ready"); a.status != http.StatusServiceUnavailable || a.json(t)["error"] != "No replica is healthy" {
		t.Errorf("GET /health/ready without replicas = %d %s", a.status, a.body)
	}
	if a := c.get("/health/ready?exclude=replicas"); a.status != http.StatusOK {
		t.Errorf("GET /health/ready?exclude=replicas without replicas = %d %s", a.status, a.body)
	}
	// What is accepted now waits for a replica.
	id := c.submit("a.jpg", "x")
	if got := c.get("/result/" + id).json(t); got["status"] != "queued" {
		t.Errorf("without replicas: %v", got)
	}
}

// TestReadinessWithoutStorage checks that a dispatcher without NATS reports it, rejects requests with a Retry-After,
// keeps running, and becomes ready again when NATS is back.
func TestReadinessWithoutStorage(t *testing.T) {
	t.Parallel()
	options := natsOptions(t)
	nats := natstest.Serve(t, options)
	options.Port = nats.Addr().(*net.TCPAddr).Port // for the next server
	c := startServing(t, dispatch.Config{NATS: natsconn.Config{URL: nats.ClientURL()}, CacheSize: -1}, 1, opened())
	id := c.submit("a.jpg", "x")
	c.wait(id)

	nats.Shutdown()
	nats.WaitForShutdown()
	c.eventually("not ready", func() bool {
		a := c.get("/health/ready")
		return a.status == http.StatusServiceUnavailable && strings.Contains(fmt.Sprint(a.json(t)["error"]), "no NATS server responds")
	})
	if a := c.get("/health/live"); a.status != http.StatusOK {
		t.Errorf("GET /health/live without NATS = %d %s", a.status, a.body)
	}
	for _, a := range []answer{c.post("/predict_async", "a.jpg", "y"), c.post("/predict", "a.jpg", "y"), c.get("/result/" + id)} {
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("without NATS: %d, Retry-After %q, %s", a.status, a.header.Get("Retry-After"), a.body)
		}
	}

	natstest.Serve(t, options)
	c.eventually("ready again", func() bool { return c.get("/health/ready").status == http.StatusOK })
	if got := c.wait(id); got["status"] != "completed" {
		t.Errorf("a result from before: %v", got)
	}
	if got := c.wait(c.submit("a.jpg", "z")); got["status"] != "completed" {
		t.Errorf("a request after: %v", got)
	}
}

// TestSetEndpoints checks that a dispatcher without replicas works once it has one.
func TestSetEndpoints(t *testing.T) {
	t.Parallel()
	d, err := dispatch.New(dispatch.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Listen(); err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, d.Run)
	<-d.Ready()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &client{t: t, url: d.URL(), http: &http.Client{Transport: transport}}
	id := c.submit("a.jpg", "x")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.AwaitReplica(over); !errors.Is(err, context.Canceled) {
		t.Errorf("AwaitReplica without replicas: %v, want its context's end", err)
	}
	url := startReplica(t, 1, opened())
	if err := d.SetEndpoints([]string{url}); err != nil {
		t.Fatal(err)
	}
	if err := d.AwaitReplica(t.Context()); err != nil || !d.Endpoints()[0].Healthy {
		t.Errorf("AwaitReplica: %v; endpoints %+v", err, d.Endpoints())
	}
	if got := c.wait(id); got["status"] != "completed" || got["replica_used"] != url {
		t.Errorf("after SetEndpoints: %v", got)
	}
}

// TestInProcess runs the whole pipeline in one process without NATS or replicas.
func TestInProcess(t *testing.T) {
	t.Parallel()
	g := opened()
	c := start(t, dispatch.Config{Classifier: g, ClassifierSlots: 2,
		Queue: memqueue.New(10, time.Second), Store: memstore.New(time.Minute, 100)})
	if got := c.wait(c.submit("a.jpg", "x")); got["status"] != "completed" {
		t.Errorf("in process: %v", got)
	}
	if a := c.post("/predict", "a.jpg", "x"); a.header.Get("X-Cache") != "HIT" {
		t.Errorf("POST /predict of known bytes = %d %v", a.status, a.header)
	}
}

// TestRestart checks that accepted requests survive the dispatcher: waiting, in a replica, or done.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGate()
	cfg := dispatch.Config{NATS: natsconn.Config{DataDir: dir}, DrainTimeout: time.Second, CacheSize: -1}
	c := startServing(t, cfg, 1, g)
	var ids []string
	for i := range 6 {
		ids = append(ids, c.submit("a.jpg", fmt.Sprint("image ", i)))
	}
	<-g.arrived
	if err := c.stop(); err != nil { // the replica hangs: draining times out
		t.Fatal(err)
	}
	close(g.open)
	c = startServing(t, cfg, 1, g)
	for _, id := range ids {
		if got := c.wait(id); got["status"] != "completed" {
			t.Errorf("after a restart: %v", got)
		}
	}
}

// TestAcceptedWhileStopping checks that a dispatcher that stops accepts an image that was on its way, if another one can continue
// with it.
func TestAcceptedWhileStopping(t *testing.T) {
	t.Parallel()
	cfg := dispatch.Config{NATS: natsconn.Config{URL: startNATS(t)}, CacheSize: -1}
	g := newGate()
	other, stopping := startServing(t, cfg, 2, g), start(t, cfg)
	first := stopping.submit("a.jpg", "x")
	<-g.arrived

	contentType, form := form("b.jpg", "y")
	body, upload := io.Pipe()
	accepted := make(chan answer, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPost, stopping.url+"/predict_async", body)
		if err == nil {
			req.Header.Set("Content-Type", contentType)
		}
		accepted <- stopping.do(req, err)
	}()
	if _, err := io.CopyN(upload, form, 10); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		if resp, err := stopping.http.Get(stopping.url + "/result/" + first + "?wait=60s"); err == nil {
			resp.Body.Close()
		}
	}()
	stopped := make(chan error, 1)
	go func() { stopped <- stopping.stop() }()
	<-told // the dispatcher has begun to stop: before that, it would wait
	_, err := io.Copy(upload, form)
	if err := errors.Join(err, upload.Close()); err != nil {
		t.Fatal(err)
	}
	a := <-accepted
	if a.status != http.StatusAccepted {
		t.Fatalf("an image during the stop: %d %s", a.status, a.body)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	close(g.open)
	if got := other.wait(a.json(t)["request_id"].(string)); got["status"] != "completed" {
		t.Errorf("the other dispatcher: %v", got)
	}
}

// TestDrainQueue checks that DrainQueue processes all waiting requests, and that waiting clients get a response.
func TestDrainQueue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGate()
	c := startServing(t, dispatch.Config{NATS: natsconn.Config{DataDir: dir}, DrainQueue: true, DrainTimeout: 20 * time.Second}, 1, g)
	var ids []string
	for i := range 6 {
		ids = append(ids, c.submit("a.jpg", fmt.Sprint("image ", i)))
	}
	<-g.arrived
	answered := make(chan error, 1)
	go func() {
		resp, err := c.http.Get(c.url + "/result/" + ids[5] + "?wait=60s")
		if err == nil {
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			err = nil // it arrived after the last reader had left
		}
		answered <- err
	}()
	stopped := make(chan error, 1)
	go func() { stopped <- c.stop() }()
	if err := <-answered; err != nil {
		t.Errorf("a long-poll during the drain: %v", err)
	}
	close(g.open)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	c = start(t, dispatch.Config{NATS: natsconn.Config{DataDir: dir}})
	for _, id := range ids {
		if got := c.get("/result/" + id).json(t); got["status"] != "completed" {
			t.Errorf("after draining: %v", got)
		}
	}
}

func TestDataDirIsExclusive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, dispatch.Config{NATS: natsconn.Config{DataDir: dir}})
	d, err := dispatch.New(dispatch.Config{Addr: "127.0.0.1:0", NATS: natsconn.Config{DataDir: dir}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "used by another process") {
		t.Errorf("Run on a folder in use: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the folder in use: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, opened())
	c.wait(c.submit("a.jpg", "x"))
	c.wait(c.submit("a.jpg", "y", "X-Priority", "bulk"))
	c.wait(c.submit("a.jpg", "broken"))
	if a := c.post("/predict", "a.jpg", "x"); a.status != http.StatusOK {
		t.Fatal(a.body)
	}
	if a := c.post("/predict", "a.jpg", ""); a.status == http.StatusOK {
		t.Log("an empty file is the replica's to refuse")
	}
	a := c.get("/metrics")
	problems, err := promlint.New(strings.NewReader(a.body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, line := range []string{
		`resnet18_dispatcher_requests_accepted_total{priority="bulk"} 1`,
		`resnet18_dispatcher_requests_ended_total{outcome="undecodable"} 1`,
		`resnet18_dispatcher_requests_ended_total{outcome="cached"} 1`,
		`resnet18_dispatcher_forward_attempts_total{outcome="undecodable"} 1`,
		`resnet18_dispatcher_queue_capacity 200`,
		`resnet18_dispatcher_queue_waiting{priority="bulk"} 0`,
		`resnet18_dispatcher_endpoints{healthy="true"} 1`,
		`resnet18_dispatcher_cache_hits_total 1`,
		`resnet18_dispatcher_stage_duration_seconds_count{stage="inference"}`,
		`resnet18_dispatcher_stage_duration_seconds_bucket{stage="inference",le="0.5"}`,
		`resnet18_dispatcher_request_duration_seconds_count{priority="bulk"}`,
		`resnet18_dispatcher_estimate_error_seconds_count{direction="early"}`,
		`resnet18_dispatcher_estimate_error_seconds_count{direction="late"}`,
		`resnet18_dispatcher_http_request_duration_seconds_count{method="POST",route="/predict",status="2xx"} 1`,
		`resnet18_dispatcher_http_errors_total{code="undecodable",method="POST"} `,
		`resnet18_dispatcher_queue_info{queue="`,
		`resnet18_dispatcher_storage_writable 1`,
		`resnet18_dispatcher_build_info{goarch="`,
	} {
		if !strings.Contains(a.body, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// TestEstimate checks that 202 responses have an estimated wait once an image has been classified.
func TestEstimate(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := startServing(t, dispatch.Config{}, 1, g)
	first := c.submit("a.jpg", "first")
	<-g.arrived
	g.open <- struct{}{}
	c.wait(first)
	waits := make([]float64, 5)
	for i := range waits {
		a := c.post("/predict_async", "a.jpg", fmt.Sprint("image ", i))
		waits[i], _ = a.json(t)["estimated_wait"].(float64)
	}
	if waits[0] <= 0 || waits[4] <= waits[0] {
		t.Errorf("estimated waits %v, want them to grow with the queue", waits)
	}
	close(g.open)
}

// TestPage checks the paths of the web page beside the API.
func TestPage(t *testing.T) {
	t.Parallel()
	c := start(t, dispatch.Config{Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page/none.js" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "page")
	})})
	for _, path := range []string{"/", "/page/style.css"} {
		if a := c.get(path); a.body != "page" {
			t.Errorf("GET %s = %d %s", path, a.status, a.body)
		}
	}
	if a := c.get("/health"); a.status != http.StatusOK || a.body == "page" {
		t.Errorf("GET /health = %d %s", a.status, a.body)
	}
	if a := c.get("/predict"); a.status != http.StatusMethodNotAllowed {
		t.Errorf("GET /predict = %d %s, want 405", a.status, a.body)
	}
	if a := c.get("/page/none.js"); a.status != http.StatusNotFound || !strings.Contains(a.body, `"code":"not_found"`) {
		t.Errorf("GET /page/none.js = %d %s, want 404 as JSON", a.status, a.body)
	}
	if a := c.get("/nonsense"); a.status != http.StatusNotFound || !strings.Contains(a.body, "No such endpoint") {
		t.Errorf("GET /nonsense = %d %s, want 404 as JSON", a.status, a.body)
	}
}

// startNATS starts a server that several dispatchers can share.
func startNATS(t *testing.T) (url string) { return natstest.Serve(t, natsOptions(t)).ClientURL() }

func natsOptions(t *testing.T) server.Options {
	return server.Options{JetStream: true, StoreDir: t.TempDir(), MaxPayload: 11 << 20}
}

// TestSeveralDispatchers checks that dispatchers on one NATS share work, and that each of them returns results for
// any ID, wakes its waiting clients, and cancels.
func TestSeveralDispatchers(t *testing.T) {
	t.Parallel()
	cfg := dispatch.Config{NATS: natsconn.Config{URL: startNATS(t)}, CacheSize: -1}
	idle := start(t, cfg) // has no replicas
	g := newGate()
	working := startServing(t, cfg, 1, g)

	id := idle.submit("a.jpg", "x")
	<-g.arrived // taken by the one that has a replica
	if got := idle.get("/result/" + id).json(t); got["status"] != "processing" {
		t.Errorf("the other's work: %v, want processing", got["status"])
	}
	var waiting []string
	for i := range 10 { // one goes to the replica's second slot, and each lane may have one that it offered and returned
		waiting = append(waiting, idle.submit("b.jpg", fmt.Sprint("image ", i)))
	}
	last := waiting[len(waiting)-1]
	working.eventually("both see what waits", func() bool {
		return working.get("/status").json(t)["queue_size"].(float64) >= 2 && idle.get("/status").json(t)["queue_size"].(float64) >= 2
	})
	if a := working.do(http.NewRequest(http.MethodDelete, working.url+"/result/"+last, nil)); a.status != http.StatusOK {
		t.Errorf("DELETE at the other = %d %s", a.status, a.body)
	}
	close(g.open)
	for _, id := range append([]string{id}, waiting[:len(waiting)-1]...) {
		if got := idle.wait(id); got["status"] != "completed" {
			t.Errorf("a result of the other's: %v", got)
		}
	}
	if got := idle.wait(last); got["status"] != "cancelled" {
		t.Errorf("cancelled at the other: %v", got)
	}
}

// TestGivesUp checks that a request ends with a reason after its attempts, if a replica fails on every image.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	broken := classifierFunc(func(context.Context, resnet18cloud.Image) (resnet18cloud.Result, error) {
		return resnet18cloud.Result{}, errors.New("out of luck")
	})
	c := startServing(t, dispatch.Config{Attempts: 2}, 1, broken)
	got := c.wait(c.submit("a.jpg", "x"))
	if got["status"] != "failed" || got["code"] != "internal" || got["attempts"] != 2.0 || got["error"] == "" {
		t.Errorf("a request that no replica can do: %v", got)
	}
}

type classifierFunc func(context.Context, resnet18cloud.Image) (resnet18cloud.Result, error)

func (f classifierFunc) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	if image.Name == "warm-up.jpg" {
		return resnet18cloud.Result{}, nil
	}
	return f(ctx, image)
}
