package otlp

import (
	"context"
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/sdk/trace"
)

// sender sends spans by a client of OTLP, and logs when that begins and ceases to fail. It reports no errors to OpenTelemetry, which
// would log each.
type sender struct {
	client trace.SpanExporter
	log    *slog.Logger
	closed context.Context // ends, by cancel, when there is no more time to send
	cancel context.CancelFunc

	mu   sync.Mutex
	lost int // guarded by mu: spans of failed batches since the last that was sent
}

func newSender(client trace.SpanExporter, log *slog.Logger) *sender {
	closed, cancel := context.WithCancel(context.Background())
	return &sender{client: client, log: log, closed: closed, cancel: cancel}
}

// ExportSpans implements trace.SpanExporter.
func (s *sender) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	err := s.client.ExportSpans(ctx, spans)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && s.lost == 0:
		s.log.Warn("traces cannot be sent and are lost until the receiver works again", "error", err)
		fallthrough
	case err != nil:
		s.lost += len(spans)
	case s.lost > 0:
		s.log.Info("traces are sent again", "lost_spans", s.lost)
		s.lost = 0
	}
	return nil
}

// failing reports whether the last batch could not be sent.
func (s *sender) failing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost > 0
}

// Shutdown implements trace.SpanExporter.
func (s *sender) Shutdown(ctx context.Context) error {
	s.cancel()
	return s.client.Shutdown(ctx)
}
