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
	// Temperature is that of its logits, and Loss the least mean of -log of the probability that they give to the folder's
	// class, at any temperature.
	Temperature, Loss float64

	way    int
	method fit.Method
	logits [][]float64 // out of fold
	losses []float64   // of each picture, at the temperature of the least Loss
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
			losses := fit.Losses(logits, set.Y, fit.Temperature(logits, set.Y, 0))
			mean, _ := fit.Mean(losses)
			all = append(all, Candidate{Preprocess: ways[way], Method: method.Name, Accuracy: fit.Accuracy(logits, set.Y),
				Temperature: fit.Temperature(logits, set.Y, fit.Doubt(len(set.Y))), Loss: mean,
				way: way, method: method, logits: logits, losses: losses})
		}
	}
	return all, nil
}

// honest is the logits of all pictures by the choice that would have been made without them: those of a fold are by the
// candidate that is best on the other folds, divided by its temperature. Their accuracy is not too good, as that of the
// best candidate is, which was chosen for it (Varma and Simon, "Bias in error estimation when using cross-validation for
// model selection", 2006).
func (s *split) honest(all []Candidate) [][]float64 {
	logits := make([][]float64, len(s.fold))
	for f := range s.folds {
		at := choose(all, func(i int) bool { return s.fold[i] != f })
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

// trialPictures is how many pictures of a class are prepared in every way. The way that is best for them is that of the
// others too, which saves a pass of the network for each. Preparing differently changes the accuracy by several points,
// more than what is uncertain with this many. Half of them are enough if they settle it.
const trialPictures = 20

// trial splits files into those to prepare in every way, most of each class and spread over it, and the others.
func trial(files []File, classes, most int) (first, others []File) {
	counts := make([]int, classes)
	for _, f := range files {
		counts[f.Class]++
	}
	seen, taken := make([]int, classes), make([]int, classes)
	for _, f := range files {
		n := counts[f.Class]
		if want := min(n, most); taken[f.Class] < want && seen[f.Class] == taken[f.Class]*n/want {
			first = append(first, f)
			taken[f.Class]++
		} else {
			others = append(others, f)
		}
		seen[f.Class]++
	}
	return first, others
}

// best is the index of the candidate to take by all pictures.
func best(all []Candidate) int { return choose(all, func(int) bool { return true }) }

// choose is the index of the candidate to take by some of the pictures. Of each way it is the one with the least loss, the first
// of equal ones: the loss says more than the accuracy of few pictures, which is often equal. Between the ways it is that of the
// last, which sees the whole picture, unless that of another is better by more than the standard error of the difference: with
// few pictures smaller differences are mostly chance, and what a crop cuts off is lost.
func choose(all []Candidate, counts func(i int) bool) int {
	at, last := ofWays(all, counts)
	for way := range last {
		if mean, standardError := lead(all[at[way]], all[at[last]], counts); mean > standardError {
			return at[way]
		}
	}
	return at[last]
}

// settled reports whether half of a trial is enough: if no other way is better than the last at all, it is hardly better by more
// than the standard error with the other half.
func settled(all []Candidate) bool {
	everything := func(int) bool { return true }
	at, last := ofWays(all, everything)
	for way := range last {
		if mean, _ := lead(all[at[way]], all[at[last]], everything); !(mean <= 0) {
			return false
		}
	}
	return true
}

// ofWays is the index of each way's candidate with the least loss by some of the pictures, the first of equal ones, and the last way.
func ofWays(all []Candidate, counts func(i int) bool) (at map[int]int, last int) {
	at = map[int]int{}
	for c := range all {
		way := all[c].way
		last = max(last, way)
		if before, ok := at[way]; !ok {
			at[way] = c
		} else if mean, _ := lead(all[c], all[before], counts); mean > 0 {
			at[way] = c
		}
	}
	return at, last
}

// lead is by how much the loss of a is less than that of b, and the standard error of that.
func lead(a, b Candidate, counts func(i int) bool) (mean, standardError float64) {
	var differences []float64
	for i := range a.losses {
		if counts(i) {
			differences = append(differences, b.losses[i]-a.losses[i])
		}
	}
	return fit.Mean(differences)
}
