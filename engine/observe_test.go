package engine

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
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
		colour := [4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 255}
		for j := y; j < min(256, y+h); j++ {
			for i := x; i < min(256, x+w); i++ {
				copy(img.Pix[img.PixOffset(i, j):], colour[:])
			}
		}
	}
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&file, img); err != nil {
		tb.Fatal(err)
	}
	return resnet18cloud.Image{Name: "patches.png", Bytes: file.Bytes()}
}

// even is a grey picture.
func even(tb testing.TB) resnet18cloud.Image {
	tb.Helper()
	img := image.NewGray(image.Rect(0, 0, 256, 256))
	for i := range img.Pix {
		img.Pix[i] = 120
	}
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		tb.Fatal(err)
	}
	return resnet18cloud.Image{Name: "even.png", Bytes: file.Bytes()}
}

// journal keeps the states that an engine went through.
type journal struct {
	mu         sync.Mutex
	states     []State
	once       sync.Once
	calibrated chan struct{} // closed when the scales are there, or refused
}

func newJournal() *journal { return &journal{calibrated: make(chan struct{})} }

func (j *journal) add(q Quantization) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.states = append(j.states, q.State)
	if q.State == StateComparing || q.State == StateRefused {
		j.once.Do(func() { close(j.calibrated) })
	}
}

// until classifies pictures on two goroutines until a state is reached, and returns how many answers came in each
// precision. Some of them come while the engine calibrates, which then has the CPUs for itself.
func until(t *testing.T, e *Engine, j *journal, want State, picture func(i int) resnet18cloud.Image) map[string]int {
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
		case StateCalibrating:
			if meanwhile++; meanwhile == calibrating {
				<-j.calibrated
			}
		}
	}
	t.Fatalf("after %d pictures: %+v, want %s", 2*limit, *e.Info().Quantization, want)
	return nil
}

// TestObserve takes an engine on random weights from fp32 to int8 while it answers, and holds that it goes on checking.
func TestObserve(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("classifies hundreds of pictures")
	}
	j := newJournal()
	e := open(t, Config{Precision: PrecisionInt8, Concurrency: 2,
		Observe: &Observation{Pictures: 8, Agreement: 0.01, Share: 1, Changed: j.add}})
	if i := e.Info(); i.Precision != PrecisionFP32 || i.Quantization.State != StateObserving {
		t.Fatalf("starts as %s, %s", i.Precision, i.Quantization.State)
	}
	picture := func(i int) resnet18cloud.Image { return patches(t, uint64(i%50)) }
	if answers := until(t, e, j, StateAdopted, picture); answers[PrecisionFP32] < 16 {
		t.Errorf("answers by precision: %v, want at least 16 in fp32", answers)
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
	if i.Precision != PrecisionInt8 || i.Quantization.Observed != 8 || i.Quantization.Equal > i.Quantization.Compared {
		t.Errorf("ends as %+v, %+v", i, *i.Quantization)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	want := []State{StateCalibrating, StateComparing, StateAdopted}
	if len(j.states) != 3 || j.states[0] != want[0] || j.states[1] != want[1] || j.states[2] != want[2] {
		t.Errorf("went through %v, want %v", j.states, want)
	}
}

// TestObserveRefuses lets the observer calibrate with an even picture, whose ranges are too narrow for the others, so that
// int8 does not keep their labels.
func TestObserveRefuses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("classifies hundreds of pictures")
	}
	j := newJournal()
	e := open(t, Config{Precision: PrecisionInt8, Concurrency: 2,
		Observe: &Observation{Pictures: 20, Agreement: 1, Changed: j.add}})
	even := even(t)
	until(t, e, j, StateRefused, func(i int) resnet18cloud.Image {
		if e.Info().Quantization.State == StateObserving {
			return even
		}
		return patches(t, uint64(i))
	})
	i := e.Info()
	if i.Precision != PrecisionFP32 || !strings.Contains(i.Quantization.Problem, "wanted 100.0 %") {
		t.Errorf("ends as %s: %q", i.Precision, i.Quantization.Problem)
	}
}

// TestObserveRealPictures holds that real weights and pictures lead to int8. Which pictures are compared is a matter of
// time, and a few of these 40 differ, so it asks for less than the default; the tests of quantize hold the agreement.
func TestObserveRealPictures(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("classifies hundreds of pictures")
	}
	set, err := weights.Load(testutil.Shared(t, "models", "resnet18-ktb.pth"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(testutil.Shared(t, "images", "imagenet-sample"), "*.JPEG"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pictures: %v", err)
	}
	j := newJournal()
	e := open(t, Config{Weights: set, Precision: PrecisionInt8, Concurrency: 2,
		Observe: &Observation{Pictures: 40, Agreement: 0.8, Changed: j.add}})
	if err := set.Close(); err != nil { // the observer needs the weights long after New
		t.Fatal(err)
	}
	until(t, e, j, StateAdopted, func(i int) resnet18cloud.Image {
		data, err := os.ReadFile(files[i*7%len(files)])
		if err != nil {
			t.Error(err)
		}
		return resnet18cloud.Image{Bytes: data}
	})
	if q := e.Info().Quantization; q.Compared < 40 || float64(q.Equal) < 0.8*float64(q.Compared) {
		t.Errorf("adopted with %+v", *q)
	}
}

// TestCloseWhileObserving holds that an engine can be closed in any state.
func TestCloseWhileObserving(t *testing.T) {
	t.Parallel()
	for _, pictures := range []int{1, 2, 5} {
		e, err := New(Config{Precision: PrecisionInt8, Concurrency: 1, Observe: &Observation{Pictures: 3}})
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

// TestJudgement holds when int8 is refused, and when it is withdrawn.
func TestJudgement(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		equal, of      int
		refuse, revoke bool
	}{
		{"all", 200, 200, false, false},
		{"enough", 190, 200, false, false},
		{"too few before, chance later", 188, 200, true, false},
		{"too few", 170, 200, true, true},
		{"not enough to judge", 20, 100, false, false},
		{"the last count", 300, 500, true, true},
	} {
		o := &observer{cfg: Observation{Pictures: 200, Agreement: 0.95}}
		var n int
		var share float64
		for i := range test.of {
			n, share = o.record(i < test.equal)
		}
		if refuse := o.tooFew(n, share) != nil; refuse != test.refuse {
			t.Errorf("%s: refused %t", test.name, refuse)
		}
		if revoke := o.fallen(n, share) != nil; revoke != test.revoke {
			t.Errorf("%s: withdrawn %t", test.name, revoke)
		}
	}
}

func TestObservationIsChecked(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Observation{
		"pictures": {Pictures: -1}, "agreement": {Agreement: 1.5}, "share": {Share: 2}, "no number": {Agreement: math.NaN()},
	} {
		if e, err := New(Config{Precision: PrecisionInt8, Observe: &o}); err == nil {
			e.Close()
			t.Errorf("%s: %+v was taken", name, o)
		}
	}
}
