//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing/tracingtest"
)

// TestTraces follows images through the processes of up, with spans that a real receiver of OTLP gets over both protocols. One
// clock has the times of all processes, so each span lies within its parent, apart from what follows an answer.
func TestTraces(t *testing.T) {
	for _, protocol := range []string{"HTTP", "gRPC"} {
		t.Run(protocol, func(t *testing.T) {
			receiver := tracingtest.Start(t)
			endpoint := receiver.HTTP
			if protocol == "gRPC" {
				endpoint = receiver.GRPC
			}
			s := up(t, t.TempDir(), "--trace-endpoint", endpoint)
			traced := resnet18cloud.NewTrace()
			traced.Flags = 1
			ctx, cancel := context.WithTimeout(resnet18cloud.WithTrace(t.Context(), traced), time.Minute)
			defer cancel()
			c := client.Client{BaseURL: s.url}
			began := time.Now()
			if _, err := c.Predict(ctx, resnet18cloud.Image{Name: "a.jpg", Bytes: picture(1)}, client.Options{}); err != nil {
				t.Fatal(err)
			}
			ended := time.Now()
			if _, err := s.stop(); err != nil { // sends what waits
				t.Errorf("stop: %v", err)
			}
			spans := receiver.Spans(traced.ID)
			const want = `POST /predict (resnet18cloud-dispatcher)
  cache
  publish
  queue
  process
    forward
      POST /predict (resnet18cloud-replica)
        replica
          decode
          preprocess
          inference
`
			if got := tracingtest.Tree(spans); got != want {
				t.Fatalf("spans:\n%swant:\n%s%s", got, want, tail(s.stderr(), 2000))
			}
			by := map[string]tracingtest.Span{}
			for _, span := range spans {
				by[span.ID] = span
			}
			last := map[string]time.Time{} // by parent: the end of the latest stage
			for _, span := range spans {
				t.Logf("%8.3f ms %8.3f ms %s", ms(span.Start.Sub(began)), ms(span.End.Sub(span.Start)), span.Name)
				from, to := began, ended
				if parent, ok := by[span.Parent]; ok {
					from, to = parent.Start, parent.End
				}
				if span.Name == "process" { // the answer is sent before the job is acknowledged
					to = span.End
				}
				if span.Start.Before(from) || span.End.After(to) || span.End.Before(span.Start) {
					t.Errorf("%s is not within its parent", span.Name)
				}
				switch span.Name {
				case "decode", "preprocess", "inference":
					if span.Start.Before(last[span.Parent]) || span.End.Equal(span.Start) {
						t.Errorf("%s begins before the stage before it ends, or takes no time", span.Name)
					}
					last[span.Parent] = span.End
				}
			}
			if log := s.stderr(); !strings.Contains(log, `"trace_id":"`+traced.ID+`"`) || strings.Contains(log, "traces cannot be sent") {
				t.Errorf("log lacks the trace, or the receiver failed:\n%s", tail(log, 3000))
			}
		})
	}
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// TestTracesWithoutReceiver checks that a receiver that is away costs no image and no time, and is logged once.
func TestTracesWithoutReceiver(t *testing.T) {
	s := up(t, t.TempDir(), "--trace-endpoint", "grpc://127.0.0.1:1", "--trace-sample", "100%")
	s.allComplete(s.submitMany(30))
	took, err := s.stop()
	if err != nil || took > 5*time.Second {
		t.Errorf("stop took %s: %v", took, err)
	}
	if lines := strings.Count(s.stderr(), "traces cannot be sent"); lines > 2 { // one of each process
		t.Errorf("%d lines about the receiver:\n%s", lines, tail(s.stderr(), 3000))
	}
}
