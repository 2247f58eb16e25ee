package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// Limits on a replica's result. It is stored, cached and sent to clients, so a replica must not choose its size.
const (
	maxAnswerBytes = 64 << 10  // of a response; typical ones are under 2 KB, embeddings have 7 KB
	maxTopKBytes   = 512 << 10 // of a response with more classes than usual; 2000 have about 250 KB
	maxPredictions = 100       // of the labels in it if the client wants fewer, such as 5
	maxTextBytes   = 512       // of each text in it; labels are at most that long
	maxFeatures    = 4096      // of an embedding, which has 512
	maxStage       = time.Hour // of each duration in it
)

// answerLimit returns the largest response to read.
func answerLimit(want resnet18cloud.Want) int64 {
	if want.Classes() > resnet18cloud.TopK {
		return maxTopKBytes
	}
	return maxAnswerBytes
}

// errAnswerSize reports a result that is too large because the client wants so many classes.
var errAnswerSize = errors.New("result with many classes is too large")

// readResult reads a replica's result and checks it. Stored again it is not larger than answerLimit.
func readResult(body []byte, want resnet18cloud.Want) (result resnet18cloud.Result, err error) {
	switch limit := answerLimit(want); {
	case int64(len(body)) <= limit:
	case limit > maxAnswerBytes:
		return result, errAnswerSize
	default:
		return result, fmt.Errorf("response has more than %d bytes", limit)
	}
	if err := json.Unmarshal(body, &result); err != nil {
		return resnet18cloud.Result{}, err
	}
	if err := checkResult(result, want); err != nil {
		return resnet18cloud.Result{}, err
	}
	if want.Embedding {
		result.Predictions, result.Scores = nil, nil
	} else { // replicas of earlier versions return five classes
		result.Embedding = nil
		result.Predictions = result.Predictions[:min(len(result.Predictions), want.Classes())]
		result.Scores = result.Scores[:min(len(result.Scores), want.Classes())]
	}
	sameInference(&result)
	if len(body) > maxAnswerBytes { // escapes may make it longer
		if stored, err := json.Marshal(result); err != nil || len(stored) > maxTopKBytes {
			return resnet18cloud.Result{}, errAnswerSize
		}
	}
	return result, nil
}

// sameInference makes the two fields for the time of inference equal. The prototype's replicas report only the first, and
// those of our first versions added decoding and preprocessing to it.
func sameInference(r *resnet18cloud.Result) {
	if r.Timing.Inference == 0 {
		r.Timing.Inference = resnet18cloud.Seconds(r.InferenceTime)
	}
	r.InferenceTime = r.Timing.Inference.Seconds()
}

func checkResult(r resnet18cloud.Result, want resnet18cloud.Want) error {
	switch {
	case want.Embedding && (len(r.Embedding) == 0 || len(r.Embedding) > maxFeatures):
		return fmt.Errorf("response has an embedding of %d features, want 1 to %d", len(r.Embedding), maxFeatures)
	case !want.Embedding && len(r.Predictions) == 0:
		return errors.New("response has no predictions")
	}
	most := max(maxPredictions, want.Classes())
	if n := max(len(r.Predictions), len(r.Scores)); n > most {
		return fmt.Errorf("response has %d predictions, want at most %d", n, most)
	}
	texts := append([]string{r.Filename, r.Model, r.Precision, r.Warning}, r.Predictions...)
	if i := r.ModelInfo; i != nil {
		texts = append(texts, i.Name, i.Version, i.Precision, i.Preprocessing, i.Activation)
	}
	for _, s := range r.Scores {
		texts = append(texts, s.Label)
	}
	for _, text := range texts {
		if len(text) > maxTextBytes {
			return fmt.Errorf("response has a text of %d bytes, want at most %d", len(text), maxTextBytes)
		}
	}
	if s := r.InferenceTime; s < 0 || s > maxStage.Seconds() {
		return fmt.Errorf("response has an inference time of %g s, want 0 to %s", s, maxStage)
	}
	for _, s := range r.Timing.Stages() {
		if s.Duration < 0 || s.Duration > maxStage {
			return fmt.Errorf("response has a time of %s in stage %s, want 0 to %s", s.Duration, s.Name, maxStage)
		}
	}
	return nil
}
