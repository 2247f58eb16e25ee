package resnet18cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// TopK is how many classes a [Result] names, best first.
const TopK = 5

// Image is one picture as a client sent it: undecoded bytes and the name it gave them. The bytes belong to
// the sender; nobody who is handed an Image changes them or keeps them after returning.
type Image struct {
	Name  string // file name, for people: logs and answers; never used to find the format
	Bytes []byte // the file's content: JPEG, PNG, GIF, BMP or WebP
}

// Classifier names what an image shows. An engine in this process and a pool of replicas behind HTTP both
// implement it, so that a test can put one in the other's place.
type Classifier interface {
	// Classify returns the five best classes of the image and how long each stage took. Errors are *Error:
	// CodeUndecodable, CodeUnsupported and CodeTooLarge blame the image, CodeFull and CodeUnavailable the
	// moment, so that a retry may help. Safe for concurrent use.
	Classify(ctx context.Context, image Image) (Result, error)
}

// Prediction is one class with the network's opinion of it.
type Prediction struct {
	Index       int     `json:"index"`       // class number, 0..999, in torchvision's order
	Label       string  `json:"label"`       // torchvision's wording
	Logit       float32 `json:"logit"`       // output of the fully connected layer
	Probability float32 `json:"probability"` // softmax of the logits, 0..1
}

// Result is the answer to one image, in the JSON form that replicas speak and dispatchers store. The first
// three fields are the prototype's, with its names and types.
type Result struct {
	Filename      string       `json:"filename"`
	InferenceTime float64      `json:"inference_time"` // seconds from bytes to labels, in the replica
	Predictions   []string     `json:"predictions"`    // labels of the best five, best first
	Scores        []Prediction `json:"scores,omitempty"`
	Timing        Timing       `json:"timing,omitzero"`
	Model         string       `json:"model,omitempty"`     // identity of the weights, e.g. "resnet18-f37072fd"
	Precision     string       `json:"precision,omitempty"` // arithmetic used: "fp32" or "int8"
	Warning       string       `json:"warning,omitempty"`   // set when the answer means nothing: random weights
	Replica       string       `json:"-"`                   // URL of the replica that answered, set by who asked it
}

// Timing says how long an image spent in each stage. Zero means the image did not pass there. A stage has
// the same name here, in Server-Timing headers, metric labels, and packages.
type Timing struct {
	Cache      time.Duration // looking up the bytes in the result cache
	Queue      time.Duration // waiting in the dispatcher's queue
	Forward    time.Duration // sending to a replica and receiving its answer, beyond Replica
	Replica    time.Duration // whole stay in the replica, waiting for a worker included
	Decode     time.Duration // bytes to RGB pixels
	Preprocess time.Duration // RGB pixels to the 224x224 input
	Inference  time.Duration // input to logits
}

// Stage is one named duration of a [Timing].
type Stage struct {
	Name     string
	Duration time.Duration
}

// Stages lists the stages the image passed, in its order of travel.
func (t Timing) Stages() []Stage {
	all := [...]Stage{
		{"cache", t.Cache},
		{"queue", t.Queue},
		{"forward", t.Forward},
		{"replica", t.Replica},
		{"decode", t.Decode},
		{"preprocess", t.Preprocess},
		{"inference", t.Inference},
	}
	passed := make([]Stage, 0, len(all))
	for _, s := range all {
		if s.Duration != 0 {
			passed = append(passed, s)
		}
	}
	return passed
}

// ServerTiming formats t as the value of a Server-Timing header (W3C Server Timing, section 2), in
// milliseconds; empty when no stage was passed.
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

// timingJSON is Timing on the wire: seconds, as every duration in our JSON.
type timingJSON struct {
	Cache      float64 `json:"cache,omitempty"`
	Queue      float64 `json:"queue,omitempty"`
	Forward    float64 `json:"forward,omitempty"`
	Replica    float64 `json:"replica,omitempty"`
	Decode     float64 `json:"decode,omitempty"`
	Preprocess float64 `json:"preprocess,omitempty"`
	Inference  float64 `json:"inference,omitempty"`
}

// MarshalJSON writes the stages passed, in seconds.
func (t Timing) MarshalJSON() ([]byte, error) {
	return json.Marshal(timingJSON{
		Cache: t.Cache.Seconds(), Queue: t.Queue.Seconds(), Forward: t.Forward.Seconds(),
		Replica: t.Replica.Seconds(), Decode: t.Decode.Seconds(), Preprocess: t.Preprocess.Seconds(),
		Inference: t.Inference.Seconds(),
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
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

// Seconds turns a number of seconds, as JSON carries it, into a duration rounded to the nanosecond.
func Seconds(s float64) time.Duration {
	return time.Duration(s*float64(time.Second) + 0.5)
}
