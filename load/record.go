package load

import (
	"context"
	"errors"
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
	Label     string `json:"label,omitempty"` // best class
	Wrong     bool   `json:"wrong,omitempty"` // not the label expected: counts as an error
	Error     string `json:"error,omitempty"` // kind of error: one of few words; empty when all went well
	Detail    string `json:"detail,omitempty"`
}

// Latency is what the user felt: from the intended time to the end.
func (r Record) Latency() time.Duration { return r.Done - r.Intended }

// Late is how long after its time the request was sent.
func (r Record) Late() time.Duration { return r.Sent - r.Intended }

// OK reports whether the request ended with the right labels.
func (r Record) OK() bool { return r.Error == "" }

// kindOf names the kind of an error with one of few words.
func kindOf(err error) string {
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return string(e.Code)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	default:
		return "transport"
	}
}
