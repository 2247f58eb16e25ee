package engine

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// patches is a picture of random rectangles.
func patches(tb testing.TB, seed uint64) resnet18cloud.Image {
	tb.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	img := image.NewNRGBA(image.Rect(0, 0, 256, 256))
	for range 40 {
		x, y, w, h := r.IntN(256), r.IntN(256), 1+r.IntN(128), 1+r.IntN(128)
		color := [4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 255}
		for j := y; j < min(256, y+h); j++ {
			for i := x; i < min(256, x+w); i++ {
				copy(img.Pix[img.PixOffset(i, j):], color[:])
			}
		}
	}
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&file, img); err != nil {
		tb.Fatal(err)
	}
	return resnet18cloud.Image{Name: "patches.png", Bytes: file.Bytes()}
}

// journal keeps the states that an engine went through.
type journal struct {
	mu         sync.Mutex
	states     []observe.State
	once       sync.Once
	calibrated chan struct{} // closed when the scales are there, or refused
}

func newJournal() *journal { return &journal{calibrated: make(chan struct{})} }

func (j *journal) add(q observe.Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.states = append(j.states, q.State)
	if q.State == observe.Comparing || q.State == observe.Refused {
		j.once.Do(func() { close(j.calibrated) })
	}
}

// until classifies pictures on two goroutines until a state is reached, and returns how many answers came in each
// precision. Some of them come while the engine calibrates, which then has the CPUs for itself.
func until(t *testing.T, e *Engine, j *journal, want observe.State, picture func(i int) resnet18cloud.Image) map[string]int {
	t.Helper()
	const limit, calibrating = 3000, 8
	answers := map[string]int{}
	meanwhile := 0
	for i := range limit {
		var pair sync.WaitGroup
		var results [2]resnet18cloud.Result
		for j := range results {
			pair.Go(func() {
				var err error
				if results[j], err = e.Classify(context.Background(), picture(2*i+j)); err != nil {
					t.Error(err)
				}
			})
		}
		pair.Wait()
		for _, r := range results {
			answers[r.Precision]++
		}
		switch e.Info().Quantization.State {
		case want:
			return answers
		case observe.Calibrating:
			if meanwhile++; meanwhile == calibrating {
				<-j.calibrated
			}
		}
	}
	t.Fatalf("after %d pictures: %+v, want %s", 2*limit, *e.Info().Quantization, want)
	return nil
}

// TestObserve takes an engine on random weights from fp32 to int8 while it answers, and checks that it keeps checking.
// Package observe tests the decisions.
func TestObserve(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("classifies hundreds of pictures")
	}
	j := newJournal()
	e := open(t, Config{Precision: PrecisionInt8, Concurrency: 2,
		Observe: &observe.Config{Pictures: 4, Agreement: 0.01, Share: 1, Changed: j.add}})
	if i := e.Info(); i.Precision != PrecisionFP32 || i.Quantization.State != observe.Observing {
		t.Fatalf("starts as %s, %s", i.Precision, i.Quantization.State)
	}
	picture := func(i int) resnet18cloud.Image { return patches(t, uint64(i%50)) }
	if answers := until(t, e, j, observe.Adopted, picture); answers[PrecisionFP32] < 8 {
		t.Errorf("answers by precision: %v, want at least 8 in fp32", answers)
	}
	compared := e.Info().Quantization.Compared
	for i := 0; e.Info().Quantization.Compared < compared+5; i++ {
		r, err := e.Classify(t.Context(), picture(i))
		if err != nil || r.Precision != PrecisionInt8 {
			t.Fatalf("classified in %q, error %v, want int8", r.Precision, err)
		}
		if i > 1000 {
			t.Fatal("nothing is checked any more")
		}
	}
	i := e.Info()
	if i.Precision != PrecisionInt8 || i.Quantization.Observed != 4 || i.Quantization.Equal > i.Quantization.Compared {
		t.Errorf("ends as %+v, %+v", i, *i.Quantization)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	want := []observe.State{observe.Calibrating, observe.Comparing, observe.Adopted}
	if len(j.states) != 3 || j.states[0] != want[0] || j.states[1] != want[1] || j.states[2] != want[2] {
		t.Errorf("went through %v, want %v", j.states, want)
	}
}

// TestObserveOwnModel takes a model of few classes and another size to int8: the answers keep its labels.
func TestObserveOwnModel(t *testing.T) {
	t.Parallel()
	set, err := weights.Load(testutil.Shared(t, "own", "checkpoints", "timm-a3-160"))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	j := newJournal()
	e := open(t, Config{Weights: set, Precision: PrecisionInt8, Concurrency: 1, Observe: &observe.Config{Pictures: 2, Agreement: 0.01, Share: -1, Changed: j.add}})
	until(t, e, j, observe.Adopted, func(i int) resnet18cloud.Image { return patches(t, uint64(i%50)) })
	r, err := e.Classify(t.Context(), patches(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if r.Precision != PrecisionInt8 || len(r.Predictions) != 5 || !slices.Contains(set.Spec.Labels, r.Predictions[0]) {
		t.Errorf("%s answers %q, want five of %q in int8", r.Precision, r.Predictions, set.Spec.Labels)
	}
}

// TestCloseWhileObserving checks that an engine can be closed in any state.
func TestCloseWhileObserving(t *testing.T) {
	t.Parallel()
	for _, pictures := range []int{1, 2, 5} {
		e, err := New(Config{Precision: PrecisionInt8, Concurrency: 1, Observe: &observe.Config{Pictures: 3}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range pictures {
			if _, err := e.Classify(t.Context(), patches(t, uint64(i))); err != nil {
				t.Error(err)
			}
		}
		e.Close()
	}
}

func TestObserveIsChecked(t *testing.T) {
	t.Parallel()
	if e, err := New(Config{Precision: PrecisionInt8, Observe: &observe.Config{Pictures: -1}}); err == nil {
		e.Close()
		t.Error("-1 pictures are valid")
	}
}
