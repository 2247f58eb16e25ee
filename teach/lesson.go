package teach

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/novelty"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/internal/wilson"
	"github.com/resnet18cloud/resnet18cloud/teach/fit"
)

// Lesson is what was learned of pictures, and what to expect of it. Everything that is measured is measured on pictures that the
// classifier at hand had not seen ("out of fold"), except where a field says otherwise.
type Lesson struct {
	Classes []string
	Counts  []int // pictures of each class
	Files   []File
	Skipped []Skipped
	Others  int // files that are no pictures by their names
	// Warnings are for people, the most important first.
	Warnings []string

	Folds      int
	Candidates []Candidate // in the order of [fit.Methods], each with every preprocessing
	Chosen     Candidate
	// Trial compares the ways to prepare pictures where only some pictures were prepared in all of them; nil if all were.
	Trial         []Candidate
	TrialPictures int

	Right       int     // pictures
	Accuracy    float64 // share of right ones, by a choice of the candidate that had not seen them either
	Low, High   float64 // its interval at 95 %
	Confusion   [][]int // [class][given class]
	Temperature float64
	// CalibrationBefore and CalibrationAfter are the expected calibration errors without and with the temperature.
	CalibrationBefore, CalibrationAfter float64
	Curve                               []CurvePoint
	Mistakes                            []Mistake // the surest first
	Suspects                            []Mistake // those whose given label is improbable
	Duplicates                          []Pair    // pictures in several classes, equal ones first
	Alike                               int       // number of pairs of Duplicates that are not listed
	Repeated                            int       // pictures that are in their class more than once

	Neighbors    int
	Threshold    float32 // of the distance of unknown pictures
	UnknownShare float64 // share of the pictures that are above it, by the others

	head     fit.Linear    // of features scaled to featureLength; with the temperature
	known    tensor.Tensor // spec.KnownTensor
	unscaled unscaled      // zero unless asked for
}

// unscaled is a head for programs that do not scale features.
type unscaled struct {
	Accuracy float64
	head     fit.Linear // of features as they are
}

// ExportAccuracy is the accuracy of the head for programs that do not scale features; 0 if none was asked for.
func (l *Lesson) ExportAccuracy() float64 { return l.unscaled.Accuracy }

// CurvePoint is the accuracy with fewer pictures.
type CurvePoint struct {
	Pictures float64 // mean of a class
	Accuracy float64
}

// Mistake is a picture that got another class than its folder's.
type Mistake struct {
	File        File
	Given       int     // class that it got
	Probability float64 // of that class
	Own         float64 // probability of the folder's class
}

// Pair is two pictures of different classes that look alike.
type Pair struct {
	A, B   File
	Equal  bool    // in every pixel
	Cosine float64 // of their features
}

const (
	// neighbors is how many of the nearest pictures decide whether one is unknown.
	neighbors = 5
	// unknownShare is the share of the pictures given that may count as unknown.
	unknownShare = 0.05
	// suspicious is the probability of a label below which it may be wrong.
	suspicious = 0.1
	// alike is the cosine of the features of two pictures from which on they may be the same one.
	alike = 0.96
	// maxPairs is the most pairs of a Lesson, and maxCompared the most pictures that are compared pair by pair.
	maxPairs, maxCompared = 12, 6000
)

// study is a folder of pictures in the eyes of a network.
type study struct {
	pictures Pictures
	ways     []spec.Preprocess
	// observe computes features with some ways.
	observe func(ctx context.Context, files []File, ways []spec.Preprocess) (*Features, error)
	seed    uint64
	cpus    int
	export  bool
}

// run observes and learns: with classes of many pictures it chooses between the ways by some of them first.
func (s study) run(ctx context.Context) (*Lesson, error) {
	first, others := s.pictures.Files, []File(nil)
	if len(s.ways) > 1 {
		first, others = trial(s.pictures.Files, len(s.pictures.Classes), trialPictures)
	}
	if len(others) == 0 {
		f, err := s.observe(ctx, first, s.ways)
		if err != nil {
			return nil, err
		}
		return learn(ctx, s.pictures, f, s.ways, s.seed, s.cpus, s.export)
	}
	half, rest := trial(first, len(s.pictures.Classes), trialPictures/2)
	f, err := s.observe(ctx, half, s.ways)
	if err != nil {
		return nil, err
	}
	compared, err := s.compare(ctx, f)
	if err == nil && settled(compared) {
		others = slices.Concat(rest, others)
	} else { // an error, of too few readable pictures, may not be one of all
		more, err := s.observe(ctx, rest, s.ways)
		if err != nil {
			return nil, err
		}
		f = f.join(more)
		if compared, err = s.compare(ctx, f); err != nil {
			return nil, err
		}
	}
	way := compared[best(compared)].way
	single, err := s.observe(ctx, others, s.ways[way:way+1])
	if err != nil {
		return nil, err
	}
	l, err := learn(ctx, s.pictures, f.only(way).join(single), s.ways[way:way+1], s.seed, s.cpus, s.export)
	if err != nil {
		return nil, err
	}
	l.Trial, l.TrialPictures = compared, len(f.Files)
	return l, nil
}

// compare tries every method with every way on the pictures of a trial.
func (s study) compare(ctx context.Context, f *Features) ([]Candidate, error) {
	counts := fit.Set{Y: f.classes(), Classes: len(s.pictures.Classes)}.Counts()
	if _, err := enough(s.pictures.Classes, counts); err != nil {
		return nil, err
	}
	return newSplit(f.By, f.classes(), len(s.pictures.Classes), s.seed, s.cpus).candidates(ctx, s.ways)
}

// learn studies features: it chooses, fits and measures. ways are the preprocessings of f.By.
func learn(ctx context.Context, p Pictures, f *Features, ways []spec.Preprocess, seed uint64, cpus int, export bool) (*Lesson, error) {
	if cpus < 1 {
		cpus = runtime.GOMAXPROCS(0)
	}
	y := f.classes()
	l := &Lesson{Classes: p.Classes, Files: f.Files, Skipped: f.Skipped, Others: p.Others, Neighbors: neighbors,
		Counts: fit.Set{Y: y, Classes: len(p.Classes)}.Counts()}
	var err error
	if l.Warnings, err = enough(l.Classes, l.Counts); err != nil {
		return nil, err
	}
	s := newSplit(f.By, y, len(p.Classes), seed, cpus)
	if l.Candidates, err = s.candidates(ctx, ways); err != nil {
		return nil, err
	}
	l.Folds, l.Chosen = s.folds, l.Candidates[best(l.Candidates)]
	l.measure(s.honest(l.Candidates), y)
	if l.Curve, err = s.curve(ctx, l.Chosen); err != nil {
		return nil, err
	}
	l.head = l.Chosen.method.Fit(s.sets[l.Chosen.way]).Scale(1 / l.Temperature)
	if err := l.learnUnknown(f.By[l.Chosen.way], y); err != nil {
		return nil, err
	}
	l.compare(f)
	if export {
		if l.unscaled, err = s.unscaled(ctx, l.Chosen, f.By[l.Chosen.way], y); err != nil {
			return nil, err
		}
	}
	l.warn()
	return l, nil
}

// measure computes what logits at temperature 1 tell, and what those of the chosen candidate tell of its temperature.
func (l *Lesson) measure(logits [][]float64, y []int) {
	l.Right, l.Accuracy = fit.Right(logits, y), fit.Accuracy(logits, y)
	l.Low, l.High = wilson.Bounds(l.Right, len(y), wilson.Z95)
	l.Confusion = fit.Confusion(logits, y, len(l.Classes))
	l.Temperature = l.Chosen.Temperature
	l.CalibrationBefore = fit.CalibrationError(fit.Probabilities(l.Chosen.logits, 1), y)
	l.CalibrationAfter = fit.CalibrationError(fit.Probabilities(l.Chosen.logits, l.Temperature), y)
	for i, row := range fit.Probabilities(logits, 1) {
		if given := fit.Best(row); given != y[i] {
			l.Mistakes = append(l.Mistakes, Mistake{l.Files[i], given, row[given], row[y[i]]})
		}
	}
	slices.SortStableFunc(l.Mistakes, func(a, b Mistake) int { return cmp.Compare(b.Probability, a.Probability) })
	for _, m := range l.Mistakes {
		if m.Own < suspicious {
			l.Suspects = append(l.Suspects, m)
		}
	}
	slices.SortStableFunc(l.Suspects, func(a, b Mistake) int { return cmp.Compare(a.Own, b.Own) })
}

// curve measures a candidate with shares of the pictures. The last point is that of all but a fold.
func (s *split) curve(ctx context.Context, c Candidate) ([]CurvePoint, error) {
	set := s.sets[c.way]
	all := float64(len(set.Y)) / float64(set.Classes) * float64(s.folds-1) / float64(s.folds)
	var points []CurvePoint
	for _, share := range []float64{0.125, 0.25, 0.5} {
		if share*all < 2 {
			continue
		}
		logits, err := fit.OutOfFold(ctx, set, c.method, s.fold, s.folds, share, s.cpus)
		if err != nil {
			return nil, err
		}
		points = append(points, CurvePoint{share * all, fit.Accuracy(logits, set.Y)})
	}
	return append(points, CurvePoint{all, c.Accuracy}), nil
}

// unscaled fits a head of features that are not scaled, by the same method. The features are divided by their mean length for
// fitting, so that the method's setting means the same, and the factor goes into the weights.
func (s *split) unscaled(ctx context.Context, c Candidate, rows [][]float32, y []int) (unscaled, error) {
	length := 0.0
	for _, row := range rows {
		sum := 0.0
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		length += math.Sqrt(sum) / float64(len(rows))
	}
	if length == 0 {
		length = 1 // of features that are all 0
	}
	factor := featureLength / length
	set := fit.Set{Y: y, Classes: s.sets[c.way].Classes}
	for _, row := range rows {
		x := make([]float64, len(row))
		for i, v := range row {
			x[i] = float64(v) * factor
		}
		set.X = append(set.X, x)
	}
	logits, err := fit.OutOfFold(ctx, set, c.method, s.fold, s.folds, 1, s.cpus)
	if err != nil {
		return unscaled{}, err
	}
	head := c.method.Fit(set).Scale(1 / fit.Temperature(logits, y, fit.Doubt(len(y))))
	for _, w := range head.W {
		for i := range w {
			w[i] *= factor
		}
	}
	return unscaled{fit.Accuracy(logits, y), head}, nil
}

// learnUnknown keeps features, at most spec.MaxKnown of them and equally many of each class, and finds the threshold.
func (l *Lesson) learnUnknown(rows [][]float32, y []int) error {
	members := make([][]int, len(l.Classes))
	for i, class := range y {
		members[class] = append(members[class], i)
	}
	limit := spec.MaxKnown / len(l.Classes)
	l.known = tensor.Tensor{Shape: []int{0, spec.Features}}
	for _, m := range members {
		n := min(len(m), limit)
		for i := range n {
			for _, v := range fit.Normalize(rows[m[i*len(m)/n]], 1) { // spread over the class
				l.known.Data = append(l.known.Data, float32(v))
			}
			l.known.Shape[0]++
		}
	}
	known, err := novelty.New(l.known, neighbors)
	if err != nil {
		return fmt.Errorf("features of the pictures: %w", err)
	}
	distances := known.Others()
	l.Threshold = novelty.Threshold(distances, unknownShare)
	above := 0
	for _, d := range distances {
		if d > l.Threshold {
			above++
		}
	}
	l.UnknownShare = float64(above) / float64(len(distances))
	return nil
}

// compare looks for pictures that are in several classes, or several times in one.
func (l *Lesson) compare(f *Features) {
	first := map[[32]byte]int{}
	equal := map[[2]int]bool{}
	for i, hash := range f.Pixels[len(f.Pixels)-1] { // with two ways, of the whole picture
		j, seen := first[hash]
		switch {
		case !seen:
			first[hash] = i
		case f.Files[i].Class == f.Files[j].Class:
			l.Repeated++
		default:
			equal[[2]int{j, i}] = true
			l.Duplicates = append(l.Duplicates, Pair{f.Files[j], f.Files[i], true, 1})
		}
	}
	if len(f.Files) > maxCompared {
		l.Warnings = append(l.Warnings, fmt.Sprintf("%d pictures are too many to compare each with all others: only equal ones are found", len(f.Files)))
	} else {
		l.Duplicates = append(l.Duplicates, similar(f, equal)...)
	}
	slices.SortStableFunc(l.Duplicates, func(a, b Pair) int { return cmp.Compare(b.Cosine, a.Cosine) })
	if n := len(l.Duplicates); n > maxPairs {
		l.Duplicates, l.Alike = l.Duplicates[:maxPairs], n-maxPairs
	}
}

// similar is the pairs of different classes whose features of the whole picture are alike.
func similar(f *Features, equal map[[2]int]bool) (pairs []Pair) {
	last := f.By[len(f.By)-1]
	rows := make([][]float64, len(last))
	for i, row := range last {
		rows[i] = fit.Normalize(row, 1)
	}
	for i, a := range rows {
		for j, b := range rows[:i] {
			if f.Files[i].Class == f.Files[j].Class || equal[[2]int{j, i}] {
				continue
			}
			if cosine := fit.Dot(a, b); cosine > alike {
				pairs = append(pairs, Pair{f.Files[j], f.Files[i], false, min(cosine, 0.9999)}) // after equal ones
			}
		}
	}
	return pairs
}

// warn adds what measurements show.
func (l *Lesson) warn() {
	add := func(format string, args ...any) { l.Warnings = append(l.Warnings, fmt.Sprintf(format, args...)) }
	chance := float64(slices.Max(l.Counts)) / float64(len(l.Files))
	if l.Low <= chance {
		add("the accuracy is not clearly above that of always giving the largest class (%.0f %%): these classes may not be told apart by such pictures", 100*chance)
	}
	equal := 0
	for _, d := range l.Duplicates {
		if d.Equal {
			equal++
		}
	}
	if equal > 0 {
		add("%d pictures are in two classes: decide which is right, and remove the other", equal)
	}
	if l.Repeated > 0 {
		add("%d pictures are in their class more than once: the accuracy looks better than it is", l.Repeated)
	}
	if n := len(l.Skipped); n > 0 {
		add("%d files could not be read and were left out, such as %s (%s)", n, l.Skipped[0].Path, l.Skipped[0].Reason)
	}
	if l.Others > 0 {
		add("%d files are no pictures by their names and were left out", l.Others)
	}
	if l.known.Shape[0] < len(l.Files) {
		add("of the %d pictures, %d are kept to tell unknown ones", len(l.Files), l.known.Shape[0])
	}
}
