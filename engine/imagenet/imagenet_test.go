package imagenet

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"testing"

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
