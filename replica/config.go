package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
)

// DefaultAddr is the default address to listen on, with the prototype's port.
const DefaultAddr = ":5000"

// DefaultQueue is the default number of requests that may wait for the workers. Two workers at 15 ms per image finish
// sixteen in 0.12 s, a short wait.
const DefaultQueue = 16

// Config configures a [Server]. Concurrency is required; the other fields may be zero.
type Config struct {
	// Addr is the TCP address to listen on. Empty means [DefaultAddr]; port 0 picks a free port.
	Addr string
	// TLS are the files of the server's certificate and, if clients must have one, of the authorities that sign
	// theirs. Zero means HTTP.
	TLS tlsfiles.Files
	// AdminAddr is the TCP address of a second server, without TLS, for operators: metrics and profiles. The first one
	// then has no metrics. Both have the health endpoints. Empty means none.
	AdminAddr string
	// Guard says which hosts and origins of web pages requests may have.
	Guard httpx.Guard
	// Concurrency is how many images the classifier processes at a time: its number of workers.
	Concurrency int
	// Queue is the maximum number of waiting requests. Zero means [DefaultQueue]; -1 means none.
	Queue int
	// MaxImageBytes limits the size of an upload. Zero means 10 MiB.
	MaxImageBytes int64
	// MaxUploadBytes limits the memory of all images that are being received, wait or are being classified. Zero
	// means 256 MiB.
	MaxUploadBytes int64
	// MinUploadRate is the minimum upload rate in bytes per second. Zero means 16 KiB/s; -1 disables the limit.
	MinUploadRate int64
	// Access, if not nil, admits clients by their keys: /predict and /info need scope predict, /metrics scope read.
	// The caller runs it.
	Access *access.Guard
	// Large reports whether the classifier decodes an image apart from its workers, because of what the image's header
	// promises. Such images have slots and queue places of their own, as many as the others, which therefore never wait
	// for them; so have those that Classify finds to be slow. It must be fast. Nil means that no image is large.
	Large func(image resnet18cloud.Image) bool
	// Model returns the description of the classifier for /info and /metrics. It is called for each of these
	// requests, from any goroutine. Nil means no description.
	Model func() Model
	// Revision is the commit that the program was built from, and LoadTime the time that it took to load the weights, both
	// for metrics.
	Revision string
	LoadTime time.Duration
	// Models, if not nil, are those of a classifier that has several, for /models and /metrics.
	Models Models
	// Tracer records the work on requests as spans. Nil records none.
	Tracer *tracing.Tracer
	// Log receives one line per prediction, and errors. Nil discards them.
	Log *slog.Logger
}

// Models lists and reloads the models of a classifier. It is safe for concurrent use.
type Models interface {
	Models() resnet18cloud.Models
	// Reload reads the folder of models again. The error names the files that cannot be used.
	Reload(ctx context.Context) error
	// Hold returns a model, named as in resnet18cloud.Want, that stays the same and in memory until release is called. The
	// error is CodeNotFound for a model that there is not.
	Hold(model string) (c resnet18cloud.Classifier, status resnet18cloud.ModelStatus, release func(), err error)
}

// Model describes the classifier to clients.
type Model struct {
	Weights   string // identity of the weights, e.g. "resnet18-f37072fd"
	Precision string // arithmetic: "fp32", "bf16" or "int8"
	// PrecisionReason says what was chosen, and why, if the precision was left to the classifier; else it is empty.
	PrecisionReason string
	Kernels         string   // CPU feature level in use, e.g. "avx512vnni"
	Version         string   // of this program
	Warning         string   // why results are not reliable; empty if they are
	Notes           []string // what people should know about the model; none of it makes results unreliable
	// InputSize is the side of the network's input in pixels. Zero means that Info is not known, and that of ImageNet's model.
	InputSize int
	Info      resnet18cloud.ModelInfo

	// Quantization is the state of a classifier that switches to int8 or bf16 by itself; nil for others.
	Quantization *Quantization
}

// Quantization is the state of a classifier that runs in fp32 until another precision has been shown to give the same results.
type Quantization struct {
	State     string   `json:"state"`               // one of States
	States    []string `json:"-"`                   // all possible states
	Precision string   `json:"precision,omitempty"` // what is compared with fp32: "int8" or "bf16"
	Observed  int      `json:"observed"`            // images collected so far for the scales
	Compared  int      `json:"compared"`            // images classified in both precisions
	Equal     int      `json:"equal"`               // of those, images with the same best label
	Agreement *float64 `json:"agreement,omitempty"` // share of equal images among recent ones, 0..1; nil before the first
	Wanted    float64  `json:"wanted"`              // minimum agreement required for it
	Problem   string   `json:"problem,omitempty"`   // why fp32 is used permanently
}

func (c Config) withDefaults() Config {
	c.Addr = cmp.Or(c.Addr, DefaultAddr)
	if c.Queue = cmp.Or(c.Queue, DefaultQueue); c.Queue == -1 {
		c.Queue = 0
	}
	if c.Large == nil {
		c.Large = func(resnet18cloud.Image) bool { return false }
	}
	if c.Model == nil {
		c.Model = func() Model { return Model{} }
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	switch {
	case c.Concurrency < 1:
		return fmt.Errorf("replica: concurrency %d, want at least 1", c.Concurrency)
	case c.Queue < 0:
		return errors.New("replica: queue must be -1 (no queue) or more")
	}
	for _, err := range []error{c.uploadLimits().Validate(), c.TLS.ValidateServer(), c.Guard.Validate()} {
		if err != nil {
			return fmt.Errorf("replica: %w", err)
		}
	}
	return nil
}

func (c Config) uploadLimits() httpx.UploadLimits {
	return httpx.UploadLimits{ImageBytes: c.MaxImageBytes, TotalBytes: c.MaxUploadBytes, Rate: c.MinUploadRate}
}
