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
	maxAnswerBytes = 64 << 10  // of a response; typical ones are under 2 KB
	maxPredictions = 100       // of the labels in it, which are 5
	maxTextBytes   = 256       // of each text in it; file names are at most that long
	maxStage       = time.Hour // of each duration in it
)

// readResult reads a replica's result and checks it.
func readResult(body []byte) (result resnet18cloud.Result, err error) {
	if len(body) > maxAnswerBytes {
		return result, fmt.Errorf("response has more than %d bytes", maxAnswerBytes)
	}
	if err := json.Unmarshal(body, &result); err != nil {
		return resnet18cloud.Result{}, err
	}
	if err := checkResult(result); err != nil {
		return resnet18cloud.Result{}, err
	}
	return result, nil
}

func checkResult(r resnet18cloud.Result) error {
	if len(r.Predictions) == 0 {
		return errors.New("response has no predictions")
	}
	if n := max(len(r.Predictions), len(r.Scores)); n > maxPredictions {
		return fmt.Errorf("response has %d predictions, want at most %d", n, maxPredictions)
	}
	texts := append([]string{r.Filename, r.Model, r.Precision, r.Warning}, r.Predictions...)
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
