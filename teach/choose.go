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
	Accuracy   float64

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
			all = append(all, Candidate{Preprocess: ways[way], Method: method.Name, Accuracy: fit.Accuracy(logits, set.Y), way: way, method: method, logits: logits})
		}
	}
	return all, nil
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
