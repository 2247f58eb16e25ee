package engine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/novelty"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// The precisions. fp32 is arithmetic in float32, with torchvision's labels. bf16 multiplies numbers of 8 significant bits, on CPUs that
// have instructions for it: nearly the same logits. int8 is arithmetic on bytes, with weights from
// model quantize: nearly always the same labels, less memory, and 1.5 to twice the speed on most CPUs. auto is the faster of
// those that the weights allow, by the level of the CPU.
const (
	PrecisionFP32 = "fp32"
	PrecisionBF16 = "bf16"
	PrecisionInt8 = "int8"
	PrecisionAuto = "auto"
)

// RandomWarning is the warning in every answer of an engine without weights.
const RandomWarning = "The weights are random, so the labels mean nothing. Fetch real weights with: resnet18cloud model pull"

// UnlabeledNote is the note about an engine whose weights do not say what their classes are.
const UnlabeledNote = "the model has no labels, so answers name classes by number; give its labels with --labels FILE"

// randomSeed gives all engines without weights the same ones, so that replicas agree.
const randomSeed = 18

// Config configures an [Engine]. The zero value makes an engine on random weights.
type Config struct {
	// Weights is a loaded weight file; it may be closed once New has returned. Nil means random weights, and a warning
	// in every answer.
	Weights *weights.Set
	// Shared are files that Share returned, maybe in another process, for several models: the engine uses the one for its
	// weights and kernels. If there is none, the engine packs the weights in its own memory. The files stay the caller's, who
	// may close them when New has returned.
	Shared []*os.File
	// Precision is PrecisionFP32, PrecisionBF16, PrecisionInt8 or PrecisionAuto. Empty means the precision of the weights.
	Precision string
	// Observe, if not nil, allows PrecisionInt8 with float32 weights: scales then come from the first pictures. With PrecisionBF16,
	// fp32 answers until labels are shown to agree; without Observe, bf16 answers from the start.
	Observe *observe.Config
	// Concurrency is the number of images processed at a time, and of threads that a single one may use. 0 means the
	// CPUs granted by the cgroup.
	Concurrency int
	// Inferring, if not nil, is shared by the engines of a process, which share its CPUs: it counts inferences in progress.
	// One that is not alone takes no more CPUs than its own.
	Inferring *atomic.Int64
	// MaxImageBytes and MaxPixels are limits of decode.Options: 0 means its defaults, -1 none.
	MaxImageBytes, MaxPixels int
	// MaxDecodeBytes limits the memory for decoding an image, and for decoding all large images at a time: 0 means
	// DefaultMaxDecodeBytes, -1 no limit. Other images take up to 16 MiB for each worker, most of them less than one.
	MaxDecodeBytes int64
	// MaxDecodeTime limits the time for decoding an image, without the time in which it waits for others: 0 means
	// DefaultMaxDecodeTime, -1 no limit.
	MaxDecodeTime time.Duration
	// Orient rotates pictures by their EXIF orientation, which torchvision does not. A model may ask for that too.
	Orient bool

	why string // PrecisionAuto became Precision; empty if that was given
}

// The defaults of limits on what an image may cost. The worst files take about half of the time on a CPU of 2022.
const (
	DefaultMaxDecodeBytes = decode.DefaultMaxMemory
	DefaultMaxDecodeTime  = 5 * time.Second
)

func (c Config) withDefaults() Config {
	switch {
	case c.Precision == PrecisionAuto:
		choice := c.choose()
		c.Precision, c.why = choice.Precision, choice.Why
	case c.Precision == "" && c.quantized():
		c.Precision = PrecisionInt8
	case c.Precision == "":
		c.Precision = PrecisionFP32
	}
	if c.Concurrency == 0 {
		c.Concurrency = cpu.Quota()
	}
	return c.withDefaultLimits()
}

// withDefaultLimits replaces the limits on images that are zero.
func (c Config) withDefaultLimits() Config {
	if c.MaxImageBytes == 0 {
		c.MaxImageBytes = decode.DefaultMaxBytes
	}
	if c.MaxPixels == 0 {
		c.MaxPixels = decode.DefaultMaxPixels
	}
	if c.MaxDecodeBytes == 0 {
		c.MaxDecodeBytes = DefaultMaxDecodeBytes
	}
	if c.MaxDecodeTime == 0 {
		c.MaxDecodeTime = DefaultMaxDecodeTime
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Concurrency < 0:
		return fmt.Errorf("engine: concurrency %d, want at least 1, or 0 for the CPUs granted", c.Concurrency)
	case !slices.Contains([]string{PrecisionFP32, PrecisionBF16, PrecisionInt8}, c.Precision):
		return fmt.Errorf("engine: precision %q, want %s, %s, %s or %s", c.Precision, PrecisionFP32, PrecisionBF16, PrecisionInt8, PrecisionAuto)
	case c.Precision == PrecisionInt8 && !c.quantized() && c.Observe == nil:
		return errors.New("engine: precision int8 needs quantized weights; create them with: resnet18cloud model quantize")
	case c.Precision != PrecisionInt8 && c.quantized():
		return fmt.Errorf("engine: these weights are quantized; they support int8, not %s", c.Precision)
	case c.observes() && c.Weights != nil && c.Weights.Spec.Head.Classes == 0:
		return fmt.Errorf("engine: %s is adopted when its labels agree with those of fp32, but this model has none; %s", c.Precision, c.unguarded())
	case c.observes():
		if err := c.Observe.Validate(); err != nil {
			return err
		}
	}
	return CheckPrecision(c.Precision)
}

// CheckPrecision returns an error if this CPU cannot compute in a precision. It says what the CPU has.
func CheckPrecision(precision string) error {
	if precision != PrecisionBF16 {
		return nil
	}
	if err := resnet.CheckBF16(); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return nil
}

// unguarded is the advice for a model without labels.
func (c Config) unguarded() string {
	if c.Precision == PrecisionInt8 {
		return "create int8 weights with: resnet18cloud model quantize"
	}
	return "use fp32"
}

// preprocess is how pictures become inputs.
func (c Config) preprocess() spec.Preprocess {
	if c.Weights == nil {
		return spec.Torchvision()
	}
	return c.Weights.Spec.Preprocess
}

// decodeOptions are the limits on images, for decoding in rows.
func (c Config) decodeOptions() decode.Options {
	return decode.Options{Rows: dropRows, MaxBytes: c.MaxImageBytes, MaxPixels: c.MaxPixels,
		MaxMemory: c.MaxDecodeBytes, Orient: c.Orient || c.preprocess().Orient}
}

// dropRows stands for the receiver of rows where nothing is decoded.
func dropRows(decode.RGB, int, int) {}

// observes reports whether the engine starts in fp32 and changes to its precision by itself.
func (c Config) observes() bool {
	return c.Precision != PrecisionFP32 && !c.quantized() && c.Observe != nil
}

// first is the precision of the first network.
func (c Config) first() string {
	switch {
	case c.quantized():
		return PrecisionInt8
	case c.Precision == PrecisionBF16 && !c.observes():
		return PrecisionBF16
	default:
		return PrecisionFP32
	}
}

// quantized reports whether the weights are in 8 bits.
func (c Config) quantized() bool { return c.Weights != nil && len(c.Weights.Int8) > 0 }

// network packs the weights, into m if that is not nil. The parameters are nil if they were quantized.
func (c Config) network(m *resnet.Memory) (*resnet.Network, *resnet.Params, error) {
	if c.quantized() {
		q, err := resnet.LoadQuantized(c.Weights)
		if err != nil {
			return nil, nil, err
		}
		n, err := resnet.New(q, m)
		return n, nil, err
	}
	params, err := c.params()
	if err != nil {
		return nil, nil, err
	}
	var w resnet.Weights = params
	if c.first() == PrecisionBF16 {
		if w, err = params.BF16(); err != nil {
			return nil, nil, err
		}
	}
	n, err := resnet.New(w, m)
	return n, params, err
}

// model describes the weights. Labels that are missing are ImageNet's if there are as many classes.
func (c Config) model() spec.Model {
	m := spec.ImageNet()
	if c.Weights != nil {
		m = c.Weights.Spec
	}
	if m.Labels == nil && m.Head.Classes == imagenet.Classes {
		m.Labels = imagenet.Labels()
	}
	return m
}

// known returns the features by which unknown pictures are told, nil if the model does not tell them.
func (c Config) known() (*novelty.Known, error) {
	if c.Weights == nil || c.Weights.Spec.Head.Unknown.Neighbors == 0 {
		return nil, nil
	}
	known, err := novelty.New(c.Weights.Tensors[spec.KnownTensor], c.Weights.Spec.Head.Unknown.Neighbors)
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", spec.KnownTensor, err)
	}
	return known, nil
}

// params returns the weights in float32.
func (c Config) params() (*resnet.Params, error) {
	if c.Weights == nil {
		return resnet.Random(randomSeed, spec.ImageNet()), nil
	}
	return resnet.Fold(c.Weights)
}

// Info describes what computes the answers, for people and for caches.
type Info struct {
	Weights     string   // identity: equal ones give equal answers, as in "resnet18-f37072fd@1a2b3c4d"
	Name        string   // name of the weights, the first part of the identity
	Version     string   // hex digest of the weights and their description, which begins with the last part; empty for random weights
	SHA256      string   // hex digest of the weight file; empty for random weights
	Source      string   // origin of the weights according to the file; may be empty
	Precision   string   // arithmetic of the answers
	Why         string   // what PrecisionAuto chose, and why: "int8: the weights are quantized"; empty if it was not given
	Kernels     string   // level of the CPU's instructions in use, such as "avx512"
	Concurrency int      // images processed at a time
	Shared      bool     // whether the packed weights are Config.Shared's
	Warning     string   // why the answers are not meaningful; empty if they are
	Notes       []string // what people should know about the model: what was assumed, or found and not used

	Model resnet18cloud.ModelInfo // as in results

	// Quantization is the progress towards int8 of an engine made with Config.Observe; nil for others.
	Quantization *observe.Status
}

// info returns what does not depend on the network in use.
func (c Config) info() (Info, error) {
	i := Info{Concurrency: c.Concurrency, Why: c.reason()}
	if c.Weights == nil {
		i.Weights, i.Name, i.Warning = "resnet18-random", "resnet18-random", RandomWarning
		return i, nil
	}
	i.Notes = slices.Clone(c.Weights.Notes)
	if m := c.model(); m.Labels == nil && m.Head.Classes > 0 {
		i.Notes = append(i.Notes, UnlabeledNote)
	}
	set := c.Weights
	if c.Orient { // the user changes the answers
		var err error
		if set, err = set.Oriented(); err != nil {
			return i, err
		}
	}
	i.Name, i.Version = set.Name(), set.Version()
	i.Weights, i.SHA256, i.Source = set.Identity(), set.SHA256, set.Metadata[weights.MetaSource]
	return i, nil
}
