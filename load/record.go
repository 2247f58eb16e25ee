package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Record is what became of one request. Times are since the start of the run.
type Record struct {
	File     string        `json:"file"`
	Intended time.Duration `json:"intended"` // when the schedule wanted it sent
	Sent     time.Duration `json:"sent"`     // when sending began
	Accepted time.Duration `json:"accepted"` // when the server had taken it: 202, or the result at once
	Done     time.Duration `json:"done"`     // when its end was known: labels or an error

	Queue     time.Duration `json:"queue"`     // waiting in the dispatcher, as it says
	Inference time.Duration `json:"inference"` // network alone, as the replica says
	PollLag   time.Duration `json:"poll_lag"`  // from the result's being there to our knowing it

	FromCache bool   `json:"from_cache,omitempty"`
	Label     string `json:"label,omitempty"`   // best class
	Checked   bool   `json:"checked,omitempty"` // the label was held against the expected one
	Wrong     bool   `json:"wrong,omitempty"`   // and was another: counts as an error
	Error     string `json:"error,omitempty"`   // kind of error: one of few words; empty when all went well
	Detail    string `json:"detail,omitempty"`
}

// Latency is what the user felt: from the intended time to the end.
func (r Record) Latency() time.Duration { return r.Done - r.Intended }

// Late is how long after its time the request was sent.
func (r Record) Late() time.Duration { return r.Sent - r.Intended }

// OK reports whether the request ended with the right labels.
func (r Record) OK() bool { return r.Error == "" }

// Header describes a run in front of its records.
type Header struct {
	Started  time.Time `json:"started"`
	Schedule string    `json:"schedule"`
	Target   string    `json:"target"`
	Workers  int       `json:"workers"`
}

func (s *Summary) describe(h Header) {
	s.Started, s.Schedule, s.Target, s.Workers = h.Started, h.Schedule, h.Target, h.Workers
}

// RecordWriter writes a run's records as JSON lines, the header first and how long it took last; ReadFile adds
// them up again, also when the end is missing.
type RecordWriter struct {
	encoder *json.Encoder
	failed  error
}

// NewRecordWriter writes to w.
func NewRecordWriter(w io.Writer) *RecordWriter { return &RecordWriter{encoder: json.NewEncoder(w)} }

// Begin writes the header.
func (w *RecordWriter) Begin(h Header) {
	w.write(struct {
		Run Header `json:"run"`
	}{h})
}

// Write writes one record.
func (w *RecordWriter) Write(r Record) { w.write(r) }

// End writes how long the run took.
func (w *RecordWriter) End(elapsed time.Duration) {
	w.write(struct {
		End time.Duration `json:"end"`
	}{elapsed})
}

func (w *RecordWriter) write(v any) {
	if w.failed == nil {
		w.failed = w.encoder.Encode(v)
	}
}

// Err is the first error of writing; after it nothing more was written.
func (w *RecordWriter) Err() error {
	if w.failed != nil {
		return fmt.Errorf("write records: %w", w.failed)
	}
	return nil
}

// wrongLabel is the kind of error of an answer that is not the right one.
const wrongLabel = "wrong label"

// unreadable is the kind of error of an answer in which labels cannot be found.
const unreadable = "unreadable answer"

// answerError says why an answer is unreadable.
type answerError struct{ error }

func (e answerError) Unwrap() error { return e.error }

// kindOf names the kind of an error with one of few words.
func kindOf(err error) string {
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return string(e.Code)
	}
	if e, ok := errors.AsType[statusError](err); ok {
		return fmt.Sprintf("status %d", e.status)
	}
	var timeout net.Error
	switch {
	case isA[answerError](err), isA[*json.SyntaxError](err), isA[*json.UnmarshalTypeError](err):
		return unreadable
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection reset"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "unreadable image"
	default:
		return "transport"
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
