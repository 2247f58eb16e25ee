package engine

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// PrecisionFP32 is arithmetic in float32, the default: torchvision's labels.
const PrecisionFP32 = "fp32"

// RandomWarning is the warning on every answer of an engine without weights.
const RandomWarning = "The weights are random, so the labels mean nothing. Fetch real weights with: resnet18cloud model pull"

// randomSeed makes engines without weights agree with each other, so that several replicas answer alike.
const randomSeed = 18

// Config says what an [Engine] computes with. The zero value makes an engine on random weights.
type Config struct {
	// Weights is a loaded weight file; it may be closed once New has returned. Nil means random weights, of which every
	// answer warns.
	Weights *weights.Set
	// Precision is the arithmetic: PrecisionFP32, which is also what the empty string means.
	Precision string
	// Concurrency is how many images are worked on at a time, and how many threads a single one may use. 0 means the
	// CPUs that the cgroup grants.
	Concurrency int
	// MaxImageBytes and MaxPixels are limits of decode.Options: 0 means its defaults, -1 none.
	MaxImageBytes, MaxPixels int
	// Orient turns pictures as their EXIF orientation says. torchvision does not.
	Orient bool
}

func (c Config) withDefaults() Config {
	if c.Precision == "" {
		c.Precision = PrecisionFP32
	}
	if c.Concurrency == 0 {
		c.Concurrency = cpu.Quota()
	}
	if c.MaxImageBytes == 0 {
		c.MaxImageBytes = decode.DefaultMaxBytes
	}
	if c.MaxPixels == 0 {
		c.MaxPixels = decode.DefaultMaxPixels
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Concurrency < 0:
		return fmt.Errorf("engine: concurrency %d, want at least 1, or 0 for the CPUs granted", c.Concurrency)
	case c.Precision != PrecisionFP32:
		return fmt.Errorf("engine: precision %q, want %s", c.Precision, PrecisionFP32)
	}
	return nil
}

// params are the weights in the network's form.
func (c Config) params() (*resnet.Params, error) {
	if c.Weights == nil {
		return resnet.Random(randomSeed), nil
	}
	return resnet.Fold(c.Weights)
}

// Info says what computes the answers, for people and for caches.
type Info struct {
	Weights     string // identity: equal ones give equal answers, as in "resnet18-f37072fd@1a2b3c4d"
	SHA256      string // hex digest of the weight file; empty for random weights
	Source      string // where the weights come from, as the file says; may be empty
	Precision   string // arithmetic of the answers
	Kernels     string // level of the CPU's instructions in use, such as "avx512"
	Concurrency int    // images worked on at a time
	Warning     string // why the answers should not be believed; empty when they should
}

func (c Config) info(n *resnet.Network) Info {
	i := Info{Precision: c.Precision, Kernels: n.Kernels(), Concurrency: c.Concurrency}
	if c.Weights == nil {
		i.Weights, i.Warning = "resnet18-random", RandomWarning
		return i
	}
	i.Weights, i.SHA256, i.Source = c.Weights.Identity(), c.Weights.SHA256, c.Weights.Metadata[weights.MetaSource]
	return i
}
