package imagenet

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestLabel(t *testing.T) {
	t.Parallel()
	for class, want := range map[int]string{0: "tench", 11: "goldfinch", 16: "bulbul", 134: "crane bird", 517: "crane", 999: "toilet tissue"} {
		if got := Label(class); got != want {
			t.Errorf("Label(%d) = %q, want %q", class, got, want)
		}
	}
}

func TestLabelsAreTorchvisions(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(testutil.Shared(t, "reference", "imagenet_classes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for class := range Classes {
		if got := Label(class); got != want[class] {
			t.Errorf("Label(%d) = %q, want %q", class, got, want[class])
		}
	}
}

// TestTop compares with sorting, on logits that have many ties.
func TestTop(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, spread := range []int{1, 3, 40, 1 << 20} {
		for _, k := range []int{0, 1, 2, 5, 100, Classes} {
			var logits [Classes]float32
			order := make([]int, Classes)
			for i := range logits {
				logits[i] = float32(rng.IntN(spread))
				order[i] = i
			}
			sort.SliceStable(order, func(i, j int) bool { return logits[order[i]] > logits[order[j]] })
			got := make([]int, k)
			Top(logits[:], got)
			if !slices.Equal(got, order[:k]) {
				t.Errorf("Top of %d, %d values = %v, want %v", k, spread, got, order[:k])
			}
		}
	}
}

func TestTopPutsNaNLast(t *testing.T) {
	t.Parallel()
	var logits [Classes]float32
	nan := float32(math.NaN())
	for i := range logits {
		logits[i] = nan
	}
	logits[7], logits[900] = -3, 2
	got := make([]int, 4)
	if Top(logits[:], got); !slices.Equal(got, []int{900, 7, 0, 1}) {
		t.Errorf("Top = %v, want [900 7 0 1]", got)
	}
}

func TestSoftmax(t *testing.T) {
	t.Parallel()
	var logits, p [Classes]float32
	for i := range logits {
		logits[i] = float32(math.Log(float64(i + 1)))
	}
	Softmax(p[:], logits[:])
	const sum = Classes * (Classes + 1) / 2
	for i := range p {
		if want := float64(i+1) / sum; math.Abs(float64(p[i])-want) > 1e-6*want {
			t.Errorf("p[%d] = %g, want %g", i, p[i], want)
		}
	}
}

// TestSoftmaxOfLargeLogits checks that logits beyond exp's range do no harm, nor writing over the input.
func TestSoftmaxOfLargeLogits(t *testing.T) {
	t.Parallel()
	var x [Classes]float32
	x[3], x[4] = 3e38, 3e38
	Softmax(x[:], x[:])
	for i, got := range x {
		want := float32(0)
		if i == 3 || i == 4 {
			want = 0.5
		}
		if got != want {
			t.Errorf("p[%d] = %g, want %g", i, got, want)
		}
	}
}

func BenchmarkTop5(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var logits [Classes]float32
	for i := range logits {
		logits[i] = float32(rng.NormFloat64())
	}
	top := make([]int, 5)
	b.ReportAllocs()
	for b.Loop() {
		Top(logits[:], top)
	}
}

// TestTopOfFewClasses checks that there are no more classes than logits.
func TestTopOfFewClasses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		logits []float32
		want   []int
	}{
		{nil, nil},
		{[]float32{-1}, []int{0}},
		{[]float32{1, 3, 2}, []int{1, 2, 0}},
		{[]float32{float32(math.NaN()), 3, 3}, []int{1, 2, 0}},
		{[]float32{1, 2, 3, 4, 5, 6}, []int{5, 4, 3, 2, 1}},
	} {
		if got := Top(test.logits, make([]int, 5)); !slices.Equal(got, test.want) {
			t.Errorf("Top(%v) = %v, want %v", test.logits, got, test.want)
		}
	}
}

// TestScores compares activations with their definitions, also in place.
func TestScores(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, test := range []struct {
		activation   spec.Activation
		logits, want []float32
	}{
		{spec.Softmax, nil, nil},
		{spec.Softmax, []float32{0, float32(math.Log(3))}, []float32{0.25, 0.75}},
		{spec.Softmax, []float32{nan, 1}, []float32{nan, nan}},
		{spec.Softmax, make([]float32, 4096), slices.Repeat([]float32{1. / 4096}, 4096)},
		{spec.Sigmoid, nil, nil},
		{spec.Sigmoid, []float32{0, float32(math.Log(3)), -1000, 1000, inf, nan}, []float32{0.5, 0.75, 0, 1, 1, nan}},
		{spec.None, []float32{-3, nan, 1e30}, []float32{-3, nan, 1e30}},
	} {
		p, place := make([]float32, len(test.logits)), slices.Clone(test.logits)
		Scores(p, test.logits, test.activation)
		Scores(place, place, test.activation)
		for i, want := range test.want {
			for _, got := range []float32{p[i], place[i]} {
				if !(math.Abs(float64(got-want)) <= 1e-6*math.Abs(float64(want))) && !(got != got && want != want) { //nolint:gocritic // NaN
					t.Errorf("%s of %g is %g, want %g", test.activation, test.logits[i], got, want)
				}
			}
		}
	}
}

// TestVerdict checks the class that logits stand for.
func TestVerdict(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		logits []float32
		want   int
	}{
		{[]float32{1, 3, 2}, 1},
		{[]float32{-0.5}, 0},
		{[]float32{0}, 0},
		{[]float32{0.5}, 1},
	} {
		if got := Verdict(test.logits); got != test.want {
			t.Errorf("Verdict(%v) = %d, want %d", test.logits, got, test.want)
		}
	}
}
