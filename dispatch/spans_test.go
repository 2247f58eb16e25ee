package dispatch_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing/tracingtest"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// traced is a client's trace in tests; its spans are recorded.
var traced = resnet18cloud.Trace{ID: "4bf92f3577b34da6a3ce929d0e0e4736", Span: "00f067aa0ba902b7", Flags: 1}

// startTraced runs a dispatcher and a replica that record their spans.
func startTraced(t *testing.T, receiver *tracingtest.Receiver, cfg dispatch.Config, c resnet18cloud.Classifier) *client {
	t.Helper()
	cfg.Tracer = receiver.Tracer(t, "dispatcher")
	cfg.Endpoints = []string{serveReplica(t, replica.Config{Concurrency: 1, Tracer: receiver.Tracer(t, "replica"),
		Model: func() replica.Model { return replica.Model{Weights: "test", Precision: "fp32"} }}, c)}
	d := start(t, cfg)
	d.eventually("replica is healthy", func() bool { return d.get("/health/ready").status == http.StatusOK })
	return d
}

// ends returns the condition that the trace has n spans of a name.
func ends(name string, n int) func([]tracingtest.Span) bool {
	return func(spans []tracingtest.Span) bool { return len(tracingtest.Named(spans, name)) == n }
}

// TestSpansOfAnImage follows an image through dispatcher, queue and replica in one trace, by which the client finds the response.
func TestSpansOfAnImage(t *testing.T) {
	t.Parallel()
	receiver := tracingtest.Start(t)
	c := startTraced(t, receiver, dispatch.Config{}, opened())
	a := c.post("/predict", "a.jpg", "x", "Traceparent", traced.Traceparent())
	spans := receiver.Await(t, traced.ID, "processed", ends("process", 1))
	const want = `POST /predict (dispatcher)
  cache
  publish
  queue
  process
    forward
      POST /predict (replica)
        replica
          decode
          preprocess
          inference
`
	if got := tracingtest.Tree(spans); got != want {
		t.Errorf("spans:\n%swant:\n%s", got, want)
	}
	by := map[string]tracingtest.Span{}
	for _, s := range spans {
		by[s.Service+" "+s.Name] = s
		if s.End.Before(s.Start) || s.Failed {
			t.Errorf("%s: from %s to %s, failed %t", s.Name, s.Start, s.End, s.Failed)
		}
	}
	request, forward, process := by["dispatcher POST /predict"], by["dispatcher forward"], by["dispatcher process"]
	if answered, _ := resnet18cloud.ParseTraceparent(a.header.Get("Traceparent")); answered.Span != request.ID || !answered.Sampled() || request.Parent != traced.Span {
		t.Errorf("traceparent %q of the response, request %+v, want its span below the client's", a.header.Get("Traceparent"), request)
	}
	id := a.header.Get("X-Request-Id")
	for _, check := range []struct {
		span      tracingtest.Span
		kind      string
		attribute string
		want      string
	}{
		{request, "server", "http.route", "/predict"},
		{request, "server", "http.response.status_code", "200"},
		{request, "server", "resnet18.request_id", id},
		{by["dispatcher cache"], "internal", "resnet18.cache.hit", "false"},
		{by["dispatcher publish"], "producer", "messaging.message.id", id},
		{by["dispatcher queue"], "internal", "resnet18.attempt", "1"},
		{process, "consumer", "resnet18.priority", "interactive"},
		{forward, "client", "server.address", "127.0.0.1"},
		{forward, "client", "http.response.status_code", "200"},
		{by["replica POST /predict"], "server", "http.route", "/predict"},
		{by["replica replica"], "internal", "resnet18.model", "test"},
	} {
		if got := check.span.Attrs[check.attribute]; got != check.want || check.span.Kind != check.kind {
			t.Errorf("%s: kind %s, %s %q, want %s, %q", check.span.Name, check.span.Kind, check.attribute, got, check.kind, check.want)
		}
	}
	if process.Start.Before(by["dispatcher queue"].Start) || forward.Start.Before(by["dispatcher queue"].End) || request.End.Before(forward.End) {
		t.Errorf("times are not in order:\n%+v", spans)
	}
	if !process.Remote || by["dispatcher cache"].Remote || !by["replica POST /predict"].Remote || by["replica replica"].Remote {
		t.Error("remote parents are not those of the queue and of the network")
	}

	c.post("/predict", "a.jpg", "x", "Traceparent", traced.Traceparent())
	spans = receiver.Await(t, traced.ID, "answered", ends("POST /predict", 3))
	if last := spans[len(spans)-1]; last.Name != "cache" || last.Attrs["resnet18.cache.hit"] != "true" || len(spans) != 13 {
		t.Errorf("spans of a cached image:\n%s", tracingtest.Tree(spans))
	}
}

// TestSpansOfItems checks that each image of a batch has a span with its own work below it.
func TestSpansOfItems(t *testing.T) {
	t.Parallel()
	receiver := tracingtest.Start(t)
	c := startTraced(t, receiver, dispatch.Config{CacheSize: -1}, opened())
	contentType, body := form("a.jpg", "a", "b.jpg", "b")
	req, err := http.NewRequest(http.MethodPost, c.url+"/predict_batch", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Traceparent", traced.Traceparent())
	c.do(req, nil)
	spans := receiver.Await(t, traced.ID, "processed", ends("process", 2))
	root := tracingtest.Named(spans, "POST /predict_batch")
	items := tracingtest.Named(spans, "item")
	if len(root) != 1 || len(items) != 2 {
		t.Fatalf("spans:\n%s", tracingtest.Tree(spans))
	}
	for i, item := range items {
		below := func(s tracingtest.Span) bool { return s.Parent == item.ID }
		own := slices.Collect(func(yield func(string) bool) {
			for _, s := range spans {
				if below(s) && !yield(s.Name) {
					return
				}
			}
		})
		if item.Parent != root[0].ID || item.Attrs["resnet18.item"] != string(rune('0'+i)) || strings.Join(own, " ") != "cache publish queue process" {
			t.Errorf("item %d %v has %v:\n%s", i, item.Attrs, own, tracingtest.Tree(spans))
		}
	}
}

// TestSpansOfACall follows a call of gRPC with two pictures: its metadata has the client's trace.
func TestSpansOfACall(t *testing.T) {
	t.Parallel()
	receiver := tracingtest.Start(t)
	c := startTraced(t, receiver, dispatch.Config{}, newOracle(3, "ant", "bee", "fly"))
	conn, err := grpc.NewClient(strings.TrimPrefix(c.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = oippb.NewGRPCInferenceServiceClient(conn).ModelInfer(metadata.AppendToOutgoingContext(t.Context(), "traceparent", traced.Traceparent()),
		&oippb.ModelInferRequest{ModelName: "resnet18", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{2},
			Contents: &oippb.InferTensorContents{BytesContents: [][]byte{[]byte("a"), []byte("b")}}}}})
	if err != nil {
		t.Fatal(err)
	}
	spans := receiver.Await(t, traced.ID, "processed", ends("process", 2))
	roots, items := tracingtest.Named(spans, "inference.GRPCInferenceService/ModelInfer"), tracingtest.Named(spans, "item")
	if len(roots) != 1 {
		t.Fatalf("spans:\n%s", tracingtest.Tree(spans))
	}
	root := roots[0]
	if root.Parent != traced.Span || root.Attrs["rpc.system.name"] != "grpc" || root.Attrs["rpc.method"] != root.Name {
		t.Errorf("span of the call: %+v", root)
	}
	if len(items) != 2 || items[0].Parent != root.ID || items[1].Parent != root.ID || items[0].Attrs["resnet18.item"] == items[1].Attrs["resnet18.item"] ||
		len(tracingtest.Named(spans, "replica")) != 2 {
		t.Errorf("spans of two pictures:\n%s", tracingtest.Tree(spans))
	}
}

// TestSpansOfFailures checks that a request that is refused, and an image that cannot be classified, have spans with our codes.
// Mistakes of a client are no failures of the server.
func TestSpansOfFailures(t *testing.T) {
	t.Parallel()
	receiver := tracingtest.Start(t)
	g := newGate()
	c := startTraced(t, receiver, dispatch.Config{QueueCapacity: 1, CacheSize: -1}, g)
	parent := func(id byte) string {
		return "00-4bf92f3577b34da6a3ce929d0e0e47" + string([]byte{id, id}) + "-00f067aa0ba902b7-01"
	}
	trace := func(id byte) string { return parent(id)[3:35] }
	c.post("/predict", "a.jpg", "a", "X-Priority", "highest", "Traceparent", parent('1'))
	spans := receiver.Await(t, trace('1'), "refused", ends("POST /predict", 1))
	if s := spans[0]; s.Failed || s.Attrs["error.type"] != "invalid" || s.Attrs["http.response.status_code"] != "400" {
		t.Errorf("span of a mistake: %+v", s)
	}

	bad := c.submit("bad.jpg", "broken", "Traceparent", parent('2')) // waits in the replica
	<-g.arrived
	c.eventually("the queue is full", func() bool {
		return c.post("/predict_async", "full.jpg", "full", "Traceparent", parent('3')).status == http.StatusServiceUnavailable
	})
	spans = receiver.Await(t, trace('3'), "refused", func(spans []tracingtest.Span) bool {
		return slices.ContainsFunc(spans, func(s tracingtest.Span) bool {
			return s.Name == "POST /predict_async" && s.Failed && s.Attrs["error.type"] == "full" && s.Attrs["http.response.status_code"] == "503"
		})
	})
	if published := tracingtest.Named(spans, "publish"); !slices.ContainsFunc(published, func(s tracingtest.Span) bool { return s.Failed && s.Attrs["error.type"] == "full" }) {
		t.Errorf("no failed publish among the spans:\n%s", tracingtest.Tree(spans))
	}
	close(g.open)
	c.wait(bad)
	spans = receiver.Await(t, trace('2'), "failed", ends("process", 1))
	for _, name := range []string{"process", "forward", "replica"} {
		if s := tracingtest.Named(spans, name); len(s) != 1 || !s[0].Failed || s[0].Attrs["error.type"] != "undecodable" || s[0].Message == "" {
			t.Errorf("span %s of an image that is broken: %+v", name, s)
		}
	}
}

// TestSpansAfterRedelivery stops a dispatcher whose replica does not answer: another one finishes the image, in the same trace.
func TestSpansAfterRedelivery(t *testing.T) {
	t.Parallel()
	receiver := tracingtest.Start(t)
	cfg := dispatch.Config{NATS: natsconn.Config{URL: startNATS(t)}, DrainTimeout: 200 * time.Millisecond, CacheSize: -1}
	stuck := newGate()
	first := startTraced(t, receiver, cfg, stuck)
	id := first.submit("a.jpg", "a", "Traceparent", traced.Traceparent())
	<-stuck.arrived
	second := startTraced(t, receiver, cfg, opened())
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if got := second.wait(id)["status"]; got != "completed" {
		t.Fatalf("request ended as %v", got)
	}
	spans := receiver.Await(t, traced.ID, "processed twice", ends("process", 2))
	waits, works, forwards := tracingtest.Named(spans, "queue"), tracingtest.Named(spans, "process"), tracingtest.Named(spans, "forward")
	if len(waits) != 2 || len(forwards) != 2 || len(tracingtest.Named(spans, "inference")) != 1 {
		t.Fatalf("spans:\n%s", tracingtest.Tree(spans))
	}
	if !works[0].Failed || !forwards[0].Failed || works[1].Failed || forwards[1].Failed {
		t.Errorf("want the first attempt failed and not the second:\n%s", tracingtest.Tree(spans))
	}
	if !waits[1].Start.Equal(waits[0].End) || waits[1].Attrs["resnet18.attempt"] != "2" {
		t.Errorf("waits %+v, want the second to begin where the first ends", waits)
	}
}

// TestSpansOfClients checks that a client that records nothing has no spans, and that only requests that change something have some
// otherwise.
func TestSpansOfClients(t *testing.T) {
	t.Parallel()
	receiver := tracingtest.Start(t)
	c := startTraced(t, receiver, dispatch.Config{CacheSize: -1}, opened())
	silent := traced
	silent.Flags = 0
	c.post("/predict", "a.jpg", "a", "Traceparent", silent.Traceparent())
	c.get("/status")
	if got := receiver.Spans(""); len(got) != 0 {
		t.Errorf("spans of clients that record nothing:\n%s", tracingtest.Tree(got))
	}
	a := c.post("/predict", "a.jpg", "b")
	made, _ := resnet18cloud.ParseTraceparent(a.header.Get("Traceparent"))
	if got := receiver.Await(t, made.ID, "processed", ends("process", 1)); len(got) != 11 || tracingtest.Named(got, "POST /predict")[0].Parent != "" || !made.Sampled() {
		t.Errorf("spans of a client without a trace %q:\n%s", a.header.Get("Traceparent"), tracingtest.Tree(got))
	}
	req, err := http.NewRequest(http.MethodGet, c.url+"/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", traced.Traceparent())
	c.do(req, nil)
	if got := receiver.Await(t, traced.ID, "answered", ends("GET /status", 1)); len(got) != 1 {
		t.Errorf("spans of a traced GET:\n%s", tracingtest.Tree(got))
	}
}
