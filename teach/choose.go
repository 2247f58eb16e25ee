package teach

import (
	"context"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/teach/fit"
)

// featureLength is what the length of features is scaled to before they are fitted: what their direction says is kept, and
// the settings of the methods mean the same for every network.
const featureLength = 10

// Candidate is one way to prepare pictures with one method, and how it did on pictures that it had not seen.
type Candidate struct {
	Preprocess spec.Preprocess
	Method     string
	// Accuracy is the share of pictures that it classified as their folders do. That of the best of several is too good: see
	// Lesson.Accuracy.
	Accuracy float64
	// Temperature is that of its logits.
	Temperature float64

	way    int
	method fit.Method
	logits [][]float64 // out of fold
}

// split is pictures for fitting, and their folds.
type split struct {
	sets  []fit.Set // by way; the same classes
	fold  []int
	folds int
	seed  uint64
	cpus  int
}

// newSplit makes the sets of features: by way and picture.
func newSplit(features [][][]float32, y []int, classes int, seed uint64, cpus int) *split {
	s := &split{seed: seed, cpus: cpus}
	for _, rows := range features {
		set := fit.Set{Y: y, Classes: classes}
		for _, row := range rows {
			set.X = append(set.X, fit.Normalize(row, featureLength))
		}
		s.sets = append(s.sets, set)
	}
	s.fold, s.folds = fit.Folds(y, classes, seed)
	return s
}

// candidates tries every method with every way.
func (s *split) candidates(ctx context.Context, ways []spec.Preprocess) ([]Candidate, error) {
	var all []Candidate
	for _, method := range fit.Methods() {
		for way, set := range s.sets {
			logits, err := fit.OutOfFold(ctx, set, method, s.fold, s.folds, 1, s.cpus)
			if err != nil {
				return nil, err
			}
			all = append(all, Candidate{Preprocess: ways[way], Method: method.Name, Accuracy: fit.Accuracy(logits, set.Y),
				Temperature: fit.Temperature(logits, set.Y), way: way, method: method, logits: logits})
		}
	}
	return all, nil
}

// honest is the logits of all pictures by the choice that would have been made without them: those of a fold are by the
// candidate that is best on the other folds, divided by its temperature. Their accuracy is not too good, as that of the
// best candidate is, which was chosen for it (Varma and Simon, "Bias in error estimation when using cross-validation for
// model selection", 2006).
func (s *split) honest(all []Candidate) [][]float64 {
	y := s.sets[0].Y
	logits := make([][]float64, len(y))
	for f := range s.folds {
		at, most := 0, -1
		for c, candidate := range all {
			right := 0
			for i, z := range candidate.logits {
				if s.fold[i] != f && fit.Best(z) == y[i] {
					right++
				}
			}
			if right > most {
				at, most = c, right
			}
		}
		for i, z := range all[at].logits {
			if s.fold[i] == f {
				logits[i] = make([]float64, len(z))
				for k, v := range z {
					logits[i][k] = v / all[at].Temperature
				}
			}
		}
	}
	return logits
}

// best is the index of the most accurate candidate, the first of equal ones.
func best(all []Candidate) int {
	at := 0
	for i, c := range all {
		if c.Accuracy > all[at].Accuracy {
			at = i
		}
	}
	return at
}
