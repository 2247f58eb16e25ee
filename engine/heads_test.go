package engine

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// small is quantized random weights without a head, for pictures of 128 pixels, made once.
var small = sync.OnceValues(func() (*weights.Set, error) {
	scales := map[string]float32{}
	for _, name := range resnet.Activations() {
		scales[name] = 1. / 32
	}
	m := spec.Model{Head: spec.Head{Pool: spec.Average, Activation: spec.None}, Preprocess: spec.Torchvision()}
	m.Preprocess.Mode, m.Preprocess.Resize, m.Preprocess.Crop = spec.Squash, 128, 128
	q, err := resnet.Quantize(resnet.Random(randomSeed, m), &resnet.Calibration{Scale: scales})
	if err != nil {
		return nil, err
	}
	return q.Set(), nil
})

// ownModel is small's weights under a layer of random weights.
func ownModel(t *testing.T, classes int, a spec.Activation, labels []string) *weights.Set {
	t.Helper()
	set, err := small()
	if err != nil {
		t.Fatal(err)
	}
	own := *set
	own.SHA256 = fmt.Sprintf("%08d%s", classes, a)
	if classes == 0 {
		return &own
	}
	r := rand.New(rand.NewPCG(5, 6))
	own.Spec.Head, own.Spec.Labels = spec.Linear(classes), labels
	own.Spec.Head.Activation = a
	own.Tensors = maps.Clone(set.Tensors)
	fc := tensor.New(classes, spec.Features)
	for i := range fc.Data {
		fc.Data[i] = float32(r.NormFloat64() / 20)
	}
	own.Tensors["fc.weight"] = fc
	return &own
}

// TestHeads checks the answers of models with other classes than ImageNet's: how many, their labels and scores.
func TestHeads(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		classes    int
		activation spec.Activation
		labels     []string
		want       []string // labels of classes 0 and 2, or of 0 alone
		note       string
	}{
		"labels":              {3, spec.Softmax, []string{"ant", "bee", "fly"}, []string{"ant", "fly"}, ""},
		"no labels":           {3, spec.Softmax, nil, []string{"class 0", "class 2"}, UnlabeledNote},
		"several at a time":   {7, spec.Sigmoid, nil, []string{"class 0", "class 2"}, UnlabeledNote},
		"one":                 {1, spec.Sigmoid, []string{"defect"}, []string{"defect"}, ""},
		"no activation":       {6, spec.None, nil, []string{"class 0", "class 2"}, UnlabeledNote},
		"nearly ImageNet's":   {999, spec.Softmax, nil, []string{"class 0", "class 2"}, UnlabeledNote},
		"as many as ImageNet": {1000, spec.Softmax, nil, []string{"tench", "great white shark"}, ""},
		"the most":            {spec.MaxClasses, spec.Softmax, nil, []string{"class 0", "class 2"}, UnlabeledNote},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t, Config{Weights: ownModel(t, test.classes, test.activation, test.labels), Concurrency: 1})
			m := e.Spec()
			if m.Head.Classes != test.classes || m.Label(0) != test.want[0] || m.Label(2*len(test.want)-2) != test.want[len(test.want)-1] {
				t.Errorf("%d classes, the first labels %q; want %d with %q", m.Head.Classes, m.Label(0), test.classes, test.want)
			}
			result, err := e.Classify(t.Context(), tiny(t))
			if err != nil {
				t.Fatal(err)
			}
			if result.Warning != "" {
				t.Errorf("warning %q in an answer", result.Warning)
			}
			if notes := e.Info().Notes; (test.note == "") != (len(notes) == 0) || test.note != "" && !slices.Contains(notes, test.note) {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
			if info := result.ModelInfo; info == nil || info.Classes != test.classes || info.Activation != string(test.activation) ||
				info.Preprocessing != m.Preprocess.String() || info.Precision != result.Precision || info.Version == "" || *info != e.Info().Model {
				t.Errorf("model %+v", info)
			}
			if l, err := e.Labels(t.Context()); err != nil || l.Classes != test.classes || !slices.Equal(l.Labels, m.Labels) || l.Model != result.Model {
				t.Errorf("Labels = %+v, %v", l, err)
			}
			logits := make([]float32, test.classes)
			if _, err := e.Logits(t.Context(), tiny(t), logits); err != nil {
				t.Fatal(err)
			}
			if n := min(resnet18cloud.TopK, test.classes); len(result.Predictions) != n || len(result.Scores) != n {
				t.Fatalf("%d labels and %d scores, want %d", len(result.Predictions), len(result.Scores), n)
			}
			sum := 0.0
			for _, x := range logits {
				sum += math.Exp(float64(x))
			}
			for i, s := range result.Scores {
				x := float64(s.Logit)
				want := map[spec.Activation]float64{spec.Softmax: math.Exp(x) / sum, spec.Sigmoid: 1 / (1 + math.Exp(-x)), spec.None: x}[test.activation]
				if got := s.Probability; (got == nil) != (test.activation == spec.None) || got != nil && math.Abs(float64(*got)-want) > 1e-5 {
					t.Errorf("score %d is %+v, want probability %g", i, s, want)
				}
				if s.Logit != logits[s.Index] || i > 0 && s.Logit > result.Scores[i-1].Logit {
					t.Errorf("score %d is %+v, want probability %g of logit %g", i, s, want, logits[s.Index])
				}
				if s.Label != m.Label(s.Index) || result.Predictions[i] != s.Label {
					t.Errorf("class %d is called %q and %q, want %q", s.Index, s.Label, result.Predictions[i], m.Label(s.Index))
				}
			}
			k := min(2, test.classes)
			image := tiny(t)
			image.Want.TopK = 2
			if short, err := e.Classify(t.Context(), image); err != nil || !slices.Equal(short.Predictions, result.Predictions[:k]) {
				t.Errorf("the best %d: %v, error %v; want %v", k, short.Predictions, err, result.Predictions[:k])
			}
		})
	}
}

// TestEmbed checks that features do not depend on the head or on how many CPUs compute them, and that a model with nothing
// else refuses to classify.
func TestEmbed(t *testing.T) {
	t.Parallel()
	alone := open(t, Config{Weights: ownModel(t, 0, spec.None, nil), Concurrency: 1})
	want, timing, err := alone.Embed(t.Context(), tiny(t))
	if err != nil || len(want) != spec.Features || timing.Inference <= 0 {
		t.Fatalf("%d features in %v, error %v; want %d", len(want), timing, err, spec.Features)
	}
	if slices.Max(want) <= 0 || slices.Min(want) < 0 {
		t.Errorf("features from %g to %g, want means of what ReLU leaves", slices.Min(want), slices.Max(want))
	}
	other, err := os.ReadFile(filepath.Join("testdata", "photo.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, concurrency := range []int{1, 2} {
		e := open(t, Config{Weights: ownModel(t, 5, spec.Softmax, nil), Concurrency: concurrency})
		got, _, err := e.Embed(t.Context(), tiny(t))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d workers, 5 classes: other features, error %v", concurrency, err)
		}
		kept := slices.Clone(got)
		if _, _, err := e.Embed(t.Context(), resnet18cloud.Image{Bytes: other}); err != nil {
			t.Error(err)
		}
		if !slices.Equal(got, kept) {
			t.Errorf("%d workers: the next image changed what was returned", concurrency)
		}
	}
	var refusal *resnet18cloud.Error
	if _, err := alone.Classify(t.Context(), tiny(t)); !errors.As(err, &refusal) || !strings.Contains(refusal.Hint, "embeddings") {
		t.Errorf("Classify without classes: %v, want an error about embeddings", err)
	}
	if _, err := alone.Logits(t.Context(), tiny(t), nil); !errors.As(err, &refusal) || refusal.Code != resnet18cloud.CodeUnsuited {
		t.Errorf("Logits without classes: %v, want an error about embeddings", err)
	}
	if notes := alone.Info().Notes; len(notes) > 0 {
		t.Errorf("notes %q for want of labels that nothing needs", notes)
	}
	image := tiny(t)
	image.Want = resnet18cloud.Want{Embedding: true}
	if result, err := alone.Classify(t.Context(), image); err != nil || !slices.Equal(result.Embedding, want) || result.Predictions != nil {
		t.Errorf("features of Classify: %d, %v", len(result.Embedding), err)
	}
	if _, _, err := alone.Embed(t.Context(), resnet18cloud.Image{Bytes: []byte("no image")}); err == nil {
		t.Error("Embed of no image: no error")
	}
}

// TestOutputNoNumber checks that outputs that overflow are errors: logits, and features where there are no logits. The weights are
// numbers, so that nothing is wrong with them before.
func TestOutputNoNumber(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		classes int
		large   map[string]float32 // what all numbers of a tensor become
	}{
		"logits": {2, map[string]float32{"fc.weight": 3e38}},
		// In 8 bits, a bias of 1.5 units becomes 2, which are 4e38.
		"features": {0, map[string]float32{"layer4.1.conv2.bias": 3e38, "layer4.1.conv2.output_scale": 2e38}},
	} {
		set := ownModel(t, test.classes, spec.None, nil)
		set.Tensors = maps.Clone(set.Tensors)
		for name, v := range test.large {
			x := set.Tensors[name]
			set.Tensors[name] = tensor.Tensor{Shape: x.Shape, Data: slices.Repeat([]float32{v}, len(x.Data))}
		}
		e := open(t, Config{Weights: set, Concurrency: 1})
		image := tiny(t)
		image.Want.Embedding = test.classes == 0
		var refusal *resnet18cloud.Error
		for range 2 { // the worker is put back
			if r, err := e.Classify(t.Context(), image); !errors.As(err, &refusal) || refusal.Code != resnet18cloud.CodeInternal {
				t.Errorf("%s: %v, error %v, want one about the output", name, r.Scores, err)
			}
		}
	}
}

// TestEmbedding checks that features are copied, and normalized if that is wanted.
func TestEmbedding(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		features  []float32
		normalize bool
		want      []float32
	}{
		"as they are":      {[]float32{3, 0, 4}, false, []float32{3, 0, 4}},
		"normalized":       {[]float32{3, 0, 4}, true, []float32{0.6, 0, 0.8}},
		"zeros":            {[]float32{0, 0}, true, []float32{0, 0}},
		"small":            {[]float32{3e-30, 4e-30}, true, []float32{0.6, 0.8}}, // their squares are 0 in float32
		"shorter than one": {[]float32{0.5}, true, []float32{1}},
	} {
		kept := slices.Clone(test.features)
		got := embedding(test.features, test.normalize)
		if !slices.EqualFunc(got, test.want, func(g, w float32) bool { return math.Abs(float64(g-w)) < 1e-6 }) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		got[0]++
		if !slices.Equal(test.features, kept) {
			t.Errorf("%s: the features changed to %v, want %v", name, test.features, kept)
		}
	}
}

// TestUnknown checks that a model with features of known pictures tells others by its threshold, also where features are
// wanted, and that one without them is refused.
func TestUnknown(t *testing.T) {
	t.Parallel()
	set := ownModel(t, 2, spec.Softmax, nil)
	features, _, err := open(t, Config{Weights: set, Concurrency: 1}).Embed(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	set.Spec.Head.Unknown = spec.Unknown{Neighbors: 1, Threshold: 1e-3}
	if _, err := New(Config{Weights: set}); err == nil || !strings.Contains(err.Error(), spec.KnownTensor) {
		t.Errorf("New without the features: %v, want an error about %s", err, spec.KnownTensor)
	}
	set.Tensors[spec.KnownTensor] = tensor.Tensor{Shape: []int{1, spec.Features}, Data: features}
	e := open(t, Config{Weights: set, Concurrency: 1})
	other, err := os.ReadFile(filepath.Join("testdata", "photo.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, embedding := range []bool{false, true} {
		want := resnet18cloud.Want{Embedding: embedding}
		known, err := e.Classify(t.Context(), resnet18cloud.Image{Bytes: tiny(t).Bytes, Want: want})
		if err != nil || known.UnknownScore == nil || known.Unknown || *known.UnknownScore > 1e-5 {
			t.Errorf("the known picture: %+v, %v", known, err)
		}
		unknown, err := e.Classify(t.Context(), resnet18cloud.Image{Bytes: other, Want: want})
		if err != nil || unknown.UnknownScore == nil || !unknown.Unknown || *unknown.UnknownScore <= 1e-3 {
			t.Errorf("another picture: %+v, %v", unknown, err)
		}
	}
}

// TestObserveNeedsClasses: labels that agree are what int8 is adopted for.
func TestObserveNeedsClasses(t *testing.T) {
	t.Parallel()
	set := weights.Set{Spec: ownModel(t, 0, spec.None, nil).Spec}
	_, err := New(Config{Weights: &set, Precision: PrecisionInt8, Observe: new(observe.Config)})
	if err == nil || !strings.Contains(err.Error(), "model quantize") {
		t.Errorf("New: %v, want an error that says what to do", err)
	}
}

// TestLabelsAreCopied: a caller that changes its copy changes nobody else's.
func TestLabelsAreCopied(t *testing.T) {
	t.Parallel()
	Config{}.model().Labels[0] = "changed"
	if got := imagenet.Label(0); got != "tench" {
		t.Errorf("label 0 is %q", got)
	}
}

// TestHeaderKnowsTheModel: weights that are read in another way are other weights in shared memory.
func TestHeaderKnowsTheModel(t *testing.T) {
	t.Parallel()
	set := ownModel(t, 3, spec.Softmax, nil)
	var headers []string
	for _, change := range []func(m *spec.Model){
		func(*spec.Model) {},
		func(m *spec.Model) { m.Preprocess.Crop = 160 },
		func(m *spec.Model) { m.Preprocess.Mean[1] += 0.1 },
		func(m *spec.Model) { m.Head.Activation = spec.Sigmoid },
		func(m *spec.Model) { m.Head.Pool = spec.MaxAverage },
	} {
		own := *set
		change(&own.Spec)
		header, err := Config{Weights: &own}.header()
		if err != nil {
			t.Fatal(err)
		}
		if len(header) != headerBytes || slices.Contains(headers, string(header)) {
			t.Errorf("%d bytes of header for %+v, want %d, unlike the others'", len(header), own.Spec, headerBytes)
		}
		headers = append(headers, string(header))
	}
}
