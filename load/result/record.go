// Package result holds the results of load tests. Each request yields one Record. A Summary aggregates records into
// counts, distributions and a timeline, can be merged with summaries of other machines, and is kept in files.
package result

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Record is the outcome of one request. Times are since the start of the run.
type Record struct {
	File     string        `json:"file"`
	Intended time.Duration `json:"intended"` // when the schedule required it to be sent
	Sent     time.Duration `json:"sent"`     // when sending began
	Accepted time.Duration `json:"accepted"` // when the server accepted it with 202, or returned the result
	Done     time.Duration `json:"done"`     // when its result or an error was received

	Queue     time.Duration `json:"queue"`     // waiting in the dispatcher, as reported by the dispatcher
	Inference time.Duration `json:"inference"` // network alone, as reported by the replica
	PollLag   time.Duration `json:"poll_lag"`  // from result ready to result received

	FromCache bool   `json:"from_cache,omitempty"`
	Model     string `json:"model,omitempty"`   // identity and precision of the model that computed it
	Label     string `json:"label,omitempty"`   // best class
	Checked   bool   `json:"checked,omitempty"` // the label was compared with the expected one
	Wrong     bool   `json:"wrong,omitempty"`   // and differs: counts as an error
	Error     string `json:"error,omitempty"`   // kind of error; empty if the request succeeded
	Detail    string `json:"detail,omitempty"`
}

// Latency is the latency as a user would have seen it: from the intended time to the result.
func (r Record) Latency() time.Duration { return r.Done - r.Intended }

// Late is how long after its intended time the request was sent.
func (r Record) Late() time.Duration { return r.Sent - r.Intended }

// OK reports whether the request succeeded, with the expected label if one is known.
func (r Record) OK() bool { return r.Error == "" }

// WrongLabel is the kind of error of a result whose label is not the expected one.
const WrongLabel = "wrong label"

// Header describes a run. It precedes the run's records.
type Header struct {
	Started  time.Time `json:"started"`
	Schedule string    `json:"schedule"`
	Target   string    `json:"target"`
	Workers  int       `json:"workers"`
	Settings []Setting `json:"settings,omitempty"`
}

// Setting is something that a user chose for a run, or a property of the machine that it ran on.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SetHeader copies the description of a run into the summary.
func (s *Summary) SetHeader(h Header) {
	s.Started, s.Schedule, s.Target, s.Workers, s.Settings = h.Started, h.Schedule, h.Target, h.Workers, h.Settings
}

// RecordWriter writes a run's records as JSON lines, after the header and before the run's duration. ReadFile sums
// them up, even if the end is missing.
type RecordWriter struct {
	encoder *json.Encoder
	failed  error
}

// NewRecordWriter returns a RecordWriter that writes to w.
func NewRecordWriter(w io.Writer) *RecordWriter { return &RecordWriter{encoder: json.NewEncoder(w)} }

// Begin writes the header.
func (w *RecordWriter) Begin(h Header) {
	w.write(struct {
		Run Header `json:"run"`
	}{h})
}

// Write writes one record.
func (w *RecordWriter) Write(r Record) { w.write(r) }

// End writes the run's duration.
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

// Err returns the first error; nothing is written after it.
func (w *RecordWriter) Err() error {
	if w.failed != nil {
		return fmt.Errorf("write records: %w", w.failed)
	}
	return nil
}
