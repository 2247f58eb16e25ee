package replica

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// DefaultAddr is where a replica listens unless told otherwise: the prototype's port.
const DefaultAddr = ":5000"

// DefaultQueue is how many requests wait behind the workers by default. Two workers at 15 ms per image clear
// sixteen in 0.12 s, a wait nobody minds.
const DefaultQueue = 16

// Config says what a [Server] serves and how much of it at once. Concurrency must be given; the rest is
// usable as zero.
type Config struct {
	// Addr is the TCP address to listen on. Empty means [DefaultAddr]; port 0 takes a free one.
	Addr string
	// Concurrency is how many images the classifier works on at a time: its number of workers.
	Concurrency int
	// Queue is how many requests may wait behind those. Zero means [DefaultQueue], -1 none.
	Queue int
	// MaxImageBytes limits an upload. Zero means 10 MiB.
	MaxImageBytes int64
	// MaxUploadBytes bounds the memory of all images that arrive, wait or are being classified. Zero means 256 MiB.
	MaxUploadBytes int64
	// MinUploadRate is the least number of bytes per second that a client sends. Zero means 16 KiB/s, -1 any.
	MinUploadRate int64
	// Model tells clients what answers them, in /info and /metrics. It is called for each of these, from any goroutine.
	// Nil tells nothing.
	Model func() Model
	// Log receives one line per prediction and what goes wrong. Nil discards it.
	Log *slog.Logger
}

// Model describes the classifier to clients.
type Model struct {
	Weights   string // identity of the weights, e.g. "resnet18-f37072fd"
	Precision string // arithmetic: "fp32" or "int8"
	Kernels   string // level of the CPU's features that is used, e.g. "avx512vnni"
	Version   string // of this program
	Warning   string // why answers should not be believed; empty when they should

	// Quantization tells how far a classifier is that finds its own way to int8; nil for others.
	Quantization *Quantization
}

// Quantization is the state of a classifier that answers in fp32 until it has seen that int8 would answer alike.
type Quantization struct {
	State     string   `json:"state"`               // one of States
	States    []string `json:"-"`                   // all there are
	Observed  int      `json:"observed"`            // images kept so far for the scales
	Compared  int      `json:"compared"`            // images that both answered
	Equal     int      `json:"equal"`               // of those, the ones with the same best label
	Agreement *float64 `json:"agreement,omitempty"` // share of equal ones of late, 0..1; nil before the first
	Wanted    float64  `json:"wanted"`              // the share that int8 must keep
	Problem   string   `json:"problem,omitempty"`   // why fp32 answers for good
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = DefaultAddr
	}
	switch {
	case c.Queue == 0:
		c.Queue = DefaultQueue
	case c.Queue == -1:
		c.Queue = 0
	}
	if c.Model == nil {
		c.Model = func() Model { return Model{} }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Concurrency < 1:
		return fmt.Errorf("replica: concurrency %d, want at least 1", c.Concurrency)
	case c.Queue < 0:
		return errors.New("replica: queue must be -1 (none) or more")
	}
	if err := c.uploadLimits().Validate(); err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	return nil
}

func (c Config) uploadLimits() httpx.UploadLimits {
	return httpx.UploadLimits{ImageBytes: c.MaxImageBytes, TotalBytes: c.MaxUploadBytes, Rate: c.MinUploadRate}
}
