package tracing_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
)

// record returns a tracer and the spans that it has recorded when they ended.
func record(s sdk.Sampler) (*tracing.Tracer, *tracetest.InMemoryExporter) {
	out := tracetest.NewInMemoryExporter()
	return tracing.New(sdk.NewTracerProvider(sdk.WithSyncer(out), sdk.WithSampler(s))), out
}

// TestSpansHaveTheIDsOfTheTrace follows a client's trace through a server: each span is the parent of what is below it, and the
// context's Trace has the span's ID.
func TestSpansHaveTheIDsOfTheTrace(t *testing.T) {
	t.Parallel()
	tracer, out := record(sdk.ParentBased(sdk.AlwaysSample()))
	client := resnet18cloud.Trace{RequestID: "r", Given: true, ID: traceID, Span: spanID, Flags: 3, State: "a=1"}
	ctx, root := tracer.Root(resnet18cloud.WithTrace(t.Context(), client), "root", tracing.Server)
	inRoot := resnet18cloud.TraceFrom(ctx)
	inner, child := tracer.Start(ctx, "child", tracing.Client, slog.Int("n", 7), slog.Bool("yes", true), slog.Float64("x", 0.5), slog.Duration("d", time.Second))
	inChild := resnet18cloud.TraceFrom(inner)
	child.End()
	root.End()

	want := client
	want.Span = inRoot.Span
	if inRoot != want || inRoot.Span == spanID {
		t.Errorf("trace in the server %+v, want %+v with a span of its own", inRoot, client)
	}
	got := out.GetSpans()
	if len(got) != 2 {
		t.Fatalf("%d spans, want 2", len(got))
	}
	for i, want := range []struct{ name, id, parent string }{{"child", inChild.Span, inRoot.Span}, {"root", inRoot.Span, spanID}} {
		s := got[i]
		if s.Name != want.name || s.SpanContext.TraceID().String() != traceID || s.SpanContext.SpanID().String() != want.id ||
			s.Parent.SpanID().String() != want.parent || s.Parent.IsRemote() != (i == 1) || s.SpanContext.TraceState().String() != "a=1" {
			t.Errorf("span %d: %q %s of %s, want %+v", i, s.Name, s.SpanContext.SpanID(), s.Parent.SpanID(), want)
		}
	}
	texts := map[string]string{}
	for _, a := range got[0].Attributes {
		texts[string(a.Key)] = a.Value.String()
	}
	if texts["n"] != "7" || texts["yes"] != "true" || texts["x"] != "0.5" || texts["d"] != "1s" {
		t.Errorf("attributes %v", texts)
	}
}

// TestSampling checks who decides whether a trace is recorded: its client, and for others the sampler. All that follows keeps to it.
func TestSampling(t *testing.T) {
	t.Parallel()
	given := func(flags byte) resnet18cloud.Trace {
		return resnet18cloud.Trace{ID: traceID, Span: spanID, Flags: flags}
	}
	for name, test := range map[string]struct {
		sampler sdk.Sampler
		client  resnet18cloud.Trace
		want    bool
	}{
		"the client records":              {sdk.ParentBased(sdk.NeverSample()), given(1), true},
		"the client does not":             {sdk.ParentBased(sdk.AlwaysSample()), given(0), false},
		"new trace, always":               {sdk.ParentBased(sdk.AlwaysSample()), resnet18cloud.Trace{}, true},
		"new trace, never":                {sdk.ParentBased(sdk.NeverSample()), resnet18cloud.Trace{}, false},
		"the server decides for all":      {sdk.AlwaysSample(), given(0), true},
		"the server records nothing":      {sdk.NeverSample(), given(1), false},
		"malformed trace counts as a new": {sdk.ParentBased(sdk.AlwaysSample()), resnet18cloud.Trace{ID: "x", Span: "y"}, true},
	} {
		tracer, out := record(test.sampler)
		ctx, root := tracer.Root(resnet18cloud.WithTrace(t.Context(), test.client), "root", tracing.Server)
		in := resnet18cloud.TraceFrom(ctx)
		if _, ok := resnet18cloud.ParseTraceparent(in.Traceparent()); !ok || in.Sampled() != test.want || (root != nil) != test.want {
			t.Errorf("%s: trace %+v with span %t, want recorded %t", name, in, root != nil, test.want)
		}
		inner, child := tracer.Start(ctx, "child", tracing.Internal)
		tracer.Record(inner, "stage", time.Now(), time.Now())
		child.End()
		root.End()
		if got := len(out.GetSpans()); got != 3 && test.want || got != 0 && !test.want {
			t.Errorf("%s: %d spans, want recorded %t", name, got, test.want)
		}
		if !test.want && inner != ctx {
			t.Errorf("%s: the context of a span that is not recorded is another one", name)
		}
	}
}

// TestStagesFollowEachOther checks the times of stages that are known by their durations.
func TestStagesFollowEachOther(t *testing.T) {
	t.Parallel()
	tracer, out := record(sdk.AlwaysSample())
	ctx, root := tracer.Root(t.Context(), "root", tracing.Server)
	end := time.Unix(100, 0)
	timing := resnet18cloud.Timing{Decode: 3 * time.Second, Inference: 5 * time.Second} // a tensor needs no preprocessing
	tracer.RecordStages(ctx, end, timing.Inner()...)
	root.End()
	got := out.GetSpans()
	if len(got) != 3 {
		t.Fatalf("%d spans, want two stages and the root", len(got))
	}
	for i, want := range []struct {
		name     string
		from, to int64
	}{{"decode", 92, 95}, {"inference", 95, 100}} {
		if s := got[i]; s.Name != want.name || s.StartTime.Unix() != want.from || s.EndTime.Unix() != want.to || s.Parent.SpanID() != got[2].SpanContext.SpanID() {
			t.Errorf("stage %d: %s from %d to %d, want %+v", i, s.Name, s.StartTime.Unix(), s.EndTime.Unix(), want)
		}
	}
}

func TestErrorsHaveOurCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		code string
		text string
	}{
		{&resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full"}, "full", "Queue is full"},
		{errors.New("disk"), "internal", "Internal error: disk"},
		{context.DeadlineExceeded, "deadline", "Deadline exceeded: context deadline exceeded"},
		{nil, "", ""},
	} {
		tracer, out := record(sdk.AlwaysSample())
		_, s := tracer.Root(t.Context(), "root", tracing.Server)
		s.Fail(test.err)
		s.End()
		got := out.GetSpans()[0]
		code := ""
		for _, a := range got.Attributes {
			if a.Key == "error.type" {
				code = a.Value.AsString()
			}
		}
		if code != test.code || got.Status.Description != test.text || (got.Status.Code == codes.Error) != (test.err != nil) {
			t.Errorf("Fail(%v): %s, %+v, want %s, %q", test.err, code, got.Status, test.code, test.text)
		}
	}
}

// TestNothing checks that nil tracers and spans do nothing, and that they cost no memory.
func TestNothing(t *testing.T) {
	var tracer *tracing.Tracer
	ctx := resnet18cloud.WithTrace(t.Context(), resnet18cloud.Trace{ID: traceID, Span: spanID, Flags: 1})
	allocs := testing.AllocsPerRun(100, func() {
		in, s := tracer.Start(ctx, "a", tracing.Internal)
		tracer.Record(in, "b", time.Time{}, time.Time{})
		tracing.Current(in).Rename("c")
		s.Set()
		s.Fail(context.Canceled)
		s.EndAt(time.Time{})
		s.End()
	})
	if allocs != 0 {
		t.Errorf("%g allocations, want none", allocs)
	}
	if in, s := tracer.Root(ctx, "a", tracing.Server); in != ctx || s != nil {
		t.Errorf("Root of a nil tracer = %v, %v, want the same context and nil", in, s)
	}
}

func BenchmarkOff(b *testing.B) { benchmark(b, nil) }

func BenchmarkNotSampled(b *testing.B) {
	tracer, _ := record(sdk.NeverSample())
	benchmark(b, tracer)
}

func BenchmarkSampled(b *testing.B) {
	benchmark(b, tracing.New(sdk.NewTracerProvider(sdk.WithSampler(sdk.AlwaysSample()))))
}

// benchmark records a request with as many spans as an image has in a dispatcher.
func benchmark(b *testing.B, tracer *tracing.Tracer) {
	b.ReportAllocs()
	for b.Loop() {
		ctx, root := tracer.Root(b.Context(), "POST", tracing.Server, slog.String("http.request.method", "POST"), slog.String("url.path", "/predict"))
		for _, name := range []string{"publish", "process", "forward"} {
			_, s := tracer.Start(ctx, name, tracing.Internal)
			s.End()
		}
		now := time.Now()
		tracer.Record(ctx, "cache", now, now)
		tracer.Record(ctx, "queue", now, now)
		root.End()
	}
}
