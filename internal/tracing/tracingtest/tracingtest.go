// Package tracingtest has a receiver of OTLP for tests, over gRPC and HTTP, which keeps the spans that are sent to it.
package tracingtest

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// Span is a span that was received.
type Span struct {
	Service    string // service.name
	Name, Kind string // the kind in lower case, such as "server"
	Trace      string // trace-id
	ID, Parent string // Parent is empty for the first span of a trace
	Remote     bool   // the parent is known to be of another process
	Start, End time.Time
	Attrs      map[string]string
	Failed     bool
	Message    string // of a failure
}

// Receiver receives spans until the end of the test. It is safe for concurrent use.
type Receiver struct {
	HTTP, GRPC string // URLs for Config.Endpoint of package otlp

	mu       sync.Mutex
	spans    []Span // guarded by mu
	received chan struct{}
	collector.UnimplementedTraceServiceServer
}

// Start starts a receiver.
func Start(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{received: make(chan struct{}, 1)}
	web := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(web.Close)
	r.HTTP = web.URL
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // stopped before it served
			t.Errorf("receiver of spans: %v", err)
		}
	})
	r.GRPC = "grpc://" + listener.Addr().String()
	return r
}

// Tracer returns a tracer of a part that sends each span when it ends. It records all traces but those of clients that do not.
func (r *Receiver) Tracer(t testing.TB, service string) *tracing.Tracer {
	t.Helper()
	client, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(r.HTTP+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	return tracing.New(sdk.NewTracerProvider(sdk.WithSyncer(client), sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", service)))))
}

// Export implements the service of gRPC.
func (r *Receiver) Export(_ context.Context, q *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.add(q)
	return &collector.ExportTraceServiceResponse{}, nil
}

// serve is the service over HTTP.
func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	data, err := io.ReadAll(body)
	var q collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(data, &q)
	}
	if err != nil || req.Method != http.MethodPost || req.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(req.Method, " ", req.URL.Path, ": ", err), http.StatusBadRequest)
		return
	}
	r.add(&q)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *Receiver) add(q *collector.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range q.GetResourceSpans() {
		service := texts(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, Span{
					Service: service, Name: s.GetName(), Kind: strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")),
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Remote: s.GetFlags()&uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK) != 0,
					Start:  time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
					Attrs:  texts(s.GetAttributes()),
					Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Message: s.GetStatus().GetMessage(),
				})
			}
		}
	}
	select {
	case r.received <- struct{}{}:
	default:
	}
}

// texts converts attributes.
func texts(attrs []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attrs {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.GetKey()] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_BoolValue:
			all[a.GetKey()] = fmt.Sprint(v.BoolValue)
		case *common.AnyValue_DoubleValue:
			all[a.GetKey()] = fmt.Sprint(v.DoubleValue)
		}
	}
	return all
}

// Spans returns the spans of a trace that were received so far, by their start. An empty trace means all.
func (r *Receiver) Spans(trace string) []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := slices.Clone(r.spans)
	spans = slices.DeleteFunc(spans, func(s Span) bool { return trace != "" && s.Trace != trace })
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return spans
}

// Await waits until the spans of a trace satisfy a condition, and returns them. It fails the test after 20 seconds.
func (r *Receiver) Await(t testing.TB, trace string, what string, done func([]Span) bool) []Span {
	t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		spans := r.Spans(trace)
		if done(spans) {
			return spans
		}
		select {
		case <-r.received:
		case <-late.C:
			t.Fatalf("spans of trace %s: not yet %s:\n%s", trace, what, Tree(spans))
		}
	}
}

// Named returns the spans with a name.
func Named(spans []Span, name string) (named []Span) {
	for _, s := range spans {
		if s.Name == name {
			named = append(named, s)
		}
	}
	return named
}

// Tree returns the spans as a text: each below its parent, indented, with its service if that is another one, and with the code
// of its error.
func Tree(spans []Span) string {
	var b strings.Builder
	known := map[string]bool{}
	for _, s := range spans {
		known[s.ID] = true
	}
	var below func(parent, service, indent string)
	write := func(s Span, service, indent string) {
		b.WriteString(indent + s.Name)
		if s.Service != service {
			b.WriteString(" (" + s.Service + ")")
		}
		if code := s.Attrs["error.type"]; code != "" {
			b.WriteString(" error=" + code)
		}
		b.WriteString("\n")
		below(s.ID, s.Service, indent+"  ")
	}
	below = func(parent, service, indent string) {
		for _, s := range spans {
			if s.Parent == parent {
				write(s, service, indent)
			}
		}
	}
	for _, s := range spans {
		if !known[s.Parent] {
			write(s, "", "")
		}
	}
	return b.String()
}
