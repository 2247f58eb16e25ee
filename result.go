package resnet18cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// TopK is the number of classes in a [Result], best first, unless the client asks for another.
const TopK = 5

// Image is an image as the client sent it: undecoded bytes, a file name, and what the client wants to know. The bytes
// belong to the caller; functions that receive an Image must not modify or retain them.
type Image struct {
	Name  string // file name, for logs and responses; never used to detect the format
	Bytes []byte // the file's content: JPEG, PNG, GIF, BMP or WebP
	Want  Want   // the zero value asks for the best classes
	// Slow, if not nil, is called by Classify when the image has taken much longer than its header promises, before it is
	// decoded again apart from others, as large images are. If it returns an error, Classify ends with that.
	Slow func() error
}

// Classifier classifies images. Both an in-process engine and a pool of replicas reached over HTTP implement it, so
// tests can substitute one for the other.
type Classifier interface {
	// Classify returns the best classes of the image, or its features, as Image.Want says, and the time spent in each
	// stage. Errors are *Error: CodeUndecodable, CodeUnsupported and CodeTooLarge are caused by the image; the model
	// cannot answer with CodeUnsuited; CodeFull and CodeUnavailable are temporary, so a retry may succeed. It is safe
	// for concurrent use.
	Classify(ctx context.Context, image Image) (Result, error)
}

// Prediction is one class with its score.
type Prediction struct {
	Index int     `json:"index"` // class number, from 0, in the model's order; torchvision's order for its weights
	Label string  `json:"label"` // the model's name of the class
	Logit float32 `json:"logit"` // output of the last fully connected layer
	// Probability is the softmax of the logits, 0..1, or the sigmoid of this one if the model's classes are independent
	// of each other. It is nil if the model's outputs are no probabilities.
	Probability *float32 `json:"probability,omitempty"`
}

// Result is the result for one image, in the JSON form that replicas return and dispatchers store. The first three
// fields are those of the prototype, with the same names and types. A result has Predictions and Scores, or Embedding.
type Result struct {
	Filename      string       `json:"filename"`
	InferenceTime float64      `json:"inference_time"`        // seconds, the same as Timing.Inference
	Predictions   []string     `json:"predictions,omitempty"` // labels of the best classes, best first
	Scores        []Prediction `json:"scores,omitempty"`
	Embedding     []float32    `json:"embedding,omitempty"` // 512 features, if Want.Embedding
	// Unknown reports that the image is unlike all that the model was taught with. UnknownScore says how unlike: the mean
	// cosine distance to the nearest of them, 0..2; nil if the model cannot tell.
	Unknown      bool     `json:"unknown,omitempty"`
	UnknownScore *float32 `json:"unknown_score,omitempty"`

	Timing    Timing     `json:"timing,omitzero"`
	Model     string     `json:"model,omitempty"`      // identifies the weights, for example "resnet18-f37072fd"
	ModelInfo *ModelInfo `json:"model_info,omitempty"` // describes the model; shared between results, never modified
	Precision string     `json:"precision,omitempty"`  // arithmetic used: "fp32", "bf16" or "int8"
	Warning   string     `json:"warning,omitempty"`    // set if the result is meaningless because the weights are random
	Replica   string     `json:"-"`                    // URL of the replica that answered, set by the dispatcher
}

// Timing is the time an image spent in each stage. Zero means the image skipped the stage. Stages have the same names
// here, in Server-Timing headers, metric labels, and packages.
type Timing struct {
	Cache      time.Duration // looking up the image in the result cache
	Queue      time.Duration // waiting in the dispatcher's queue
	Forward    time.Duration // sending to a replica and receiving its response, without Replica
	Replica    time.Duration // total time in the replica, including the wait for a worker
	Decode     time.Duration // bytes to RGB pixels
	Preprocess time.Duration // RGB pixels to the network's input
	Inference  time.Duration // input to logits
}

// Stage is one named duration of a [Timing].
type Stage struct {
	Name     string
	Duration time.Duration
}

// Inner returns the stages within the classifier, which follow each other, in order.
func (t Timing) Inner() []Stage {
	return []Stage{{"decode", t.Decode}, {"preprocess", t.Preprocess}, {"inference", t.Inference}}
}

// Stages returns the stages that the image passed through, in order.
func (t Timing) Stages() []Stage {
	all := t.all()
	passed := make([]Stage, 0, len(all))
	for _, s := range all {
		if s.Duration != 0 {
			passed = append(passed, s)
		}
	}
	return passed
}

// StageNames returns the names of all stages, in order.
func StageNames() (names []string) {
	for _, s := range (Timing{}).all() {
		names = append(names, s.Name)
	}
	return names
}

func (t Timing) all() [7]Stage {
	return [...]Stage{
		{"cache", t.Cache},
		{"queue", t.Queue},
		{"forward", t.Forward},
		{"replica", t.Replica},
		{"decode", t.Decode},
		{"preprocess", t.Preprocess},
		{"inference", t.Inference},
	}
}

// ServerTiming formats t as the value of a Server-Timing header (W3C Server Timing, section 2), in milliseconds. It
// is empty if there are no stages.
func (t Timing) ServerTiming() string {
	var b strings.Builder
	for i, s := range t.Stages() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s;dur=%.3f", s.Name, float64(s.Duration)/float64(time.Millisecond))
	}
	return b.String()
}

// timingJSON is the JSON form of Timing: seconds, like every duration in the API.
type timingJSON struct {
	Cache      float64 `json:"cache,omitempty"`
	Queue      float64 `json:"queue,omitempty"`
	Forward    float64 `json:"forward,omitempty"`
	Replica    float64 `json:"replica,omitempty"`
	Decode     float64 `json:"decode,omitempty"`
	Preprocess float64 `json:"preprocess,omitempty"`
	Inference  float64 `json:"inference,omitempty"`
}

// MarshalJSON encodes the stages that the image passed through, in seconds.
func (t Timing) MarshalJSON() ([]byte, error) {
	return json.Marshal(timingJSON{
		Cache: t.Cache.Seconds(), Queue: t.Queue.Seconds(), Forward: t.Forward.Seconds(),
		Replica: t.Replica.Seconds(), Decode: t.Decode.Seconds(), Preprocess: t.Preprocess.Seconds(),
		Inference: t.Inference.Seconds(),
	})
}

// UnmarshalJSON decodes the output of MarshalJSON.
func (t *Timing) UnmarshalJSON(data []byte) error {
	var w timingJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*t = Timing{
		Cache: Seconds(w.Cache), Queue: Seconds(w.Queue), Forward: Seconds(w.Forward),
		Replica: Seconds(w.Replica), Decode: Seconds(w.Decode), Preprocess: Seconds(w.Preprocess),
		Inference: Seconds(w.Inference),
	}
	return nil
}

// Seconds converts a number of seconds, as in JSON, to a duration rounded to the nanosecond.
func Seconds(s float64) time.Duration {
	return time.Duration(s*float64(time.Second) + 0.5)
}
