package engine

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(closing{m}) }

// closing closes the engines that tests share before goroutines are counted.
type closing struct{ *testing.M }

func (m closing) Run() int {
	defer func() {
		for i := range common {
			if e := common[i].engine; e != nil {
				e.Close()
			}
		}
	}()
	return m.M.Run()
}

// common are engines that tests take turns with, because making one takes a second of CPU time: at 0 one on real weights,
// at each other place one on random weights with so many workers.
var common [4]struct {
	mu     sync.Mutex // held by the test that uses the engine
	engine *Engine
}

// take returns the engine at a place, for this test alone until its end. The first test to ask has it made.
func take(tb testing.TB, place int, cfg func() Config) *Engine {
	tb.Helper()
	c := &common[place]
	c.mu.Lock()
	tb.Cleanup(c.mu.Unlock)
	if c.engine == nil {
		e, err := New(cfg())
		if err != nil {
			tb.Fatal(err)
		}
		c.engine = e
	}
	return c.engine
}

// takeRandom returns an engine on random weights, which takes files of at most maxTestBytes.
func takeRandom(tb testing.TB, workers int) *Engine {
	tb.Helper()
	return take(tb, workers, func() Config { return Config{Concurrency: workers, MaxImageBytes: maxTestBytes} })
}

const maxTestBytes = 1 << 20

func open(tb testing.TB, cfg Config) *Engine {
	tb.Helper()
	e, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return e
}

// takeReal returns an engine on real weights.
func takeReal(tb testing.TB) *Engine {
	tb.Helper()
	return take(tb, 0, func() Config {
		set, err := weights.Load(testutil.Shared(tb, "models", "resnet18-ktb.pth"))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { set.Close() })
		return Config{Weights: set}
	})
}

// answer is torchvision's on one sample image.
type answer struct {
	File       string    `json:"file"`
	Top5       []int     `json:"top5"`
	Top5Logits []float64 `json:"top5_logits"`
	Top5Names  []string  `json:"top5_names"`
}

func answers(tb testing.TB) []answer {
	tb.Helper()
	return testutil.Lines[answer](tb, testutil.Shared(tb, "reference", "torchvision.jsonl"))
}

func sample(tb testing.TB, name string) resnet18cloud.Image {
	tb.Helper()
	data, err := os.ReadFile(testutil.Shared(tb, "images", "imagenet-sample", name))
	if err != nil {
		tb.Fatal(err)
	}
	return resnet18cloud.Image{Name: name, Bytes: data}
}

// TestTorchvisionsLabels compares the whole pipeline, from file to labels, with torchvision's answers on the sample images: all
// five labels, in order, and their logits: of every 25th image, with the tag slow of all, in plain Go of every hundredth.
func TestTorchvisionsLabels(t *testing.T) {
	t.Parallel()
	e := takeReal(t)
	all := answers(t)
	var wait sync.WaitGroup
	next := make(chan answer)
	var mu sync.Mutex
	worst := 0.0
	for range e.Info().Concurrency {
		wait.Go(func() {
			for want := range next {
				got, err := e.Classify(t.Context(), sample(t, want.File))
				if err != nil {
					t.Errorf("%s: %v", want.File, err)
					continue
				}
				if !slices.Equal(got.Predictions, want.Top5Names) {
					t.Errorf("%s: %q, want %q", want.File, got.Predictions, want.Top5Names)
				}
				for i, s := range got.Scores {
					d := math.Abs(float64(s.Logit) - want.Top5Logits[i])
					if s.Index != want.Top5[i] || d > 2e-3 {
						t.Errorf("%s: class %d with logit %g, want %d with %g", want.File, s.Index, s.Logit, want.Top5[i], want.Top5Logits[i])
					}
					mu.Lock()
					worst = max(worst, d)
					mu.Unlock()
				}
			}
		})
	}
	every := 25
	switch {
	case plainGo(e):
		every = 100
	case slow:
		every = 1
	}
	n := 0
	for i, want := range all {
		if i%every != 0 {
			continue
		}
		next <- want
		n++
	}
	close(next)
	wait.Wait()
	t.Logf("%d images, largest difference of a logit %.1e", n, worst)
}

// plainGo reports whether an engine has no kernels in assembly: then an image takes a second, and tests take fewer.
func plainGo(e *Engine) bool { return e.Info().Kernels == "generic" }

// tiny is a JPEG that needs no file: 16x16, gray.
func tiny(tb testing.TB) resnet18cloud.Image {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(testutil.Root(tb), "engine", "jpeg", "testdata", "*.jpg"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no pictures in engine/jpeg/testdata: %v", err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		tb.Fatal(err)
	}
	return resnet18cloud.Image{Name: "tiny.jpg", Bytes: data}
}

func TestRandomWeightsWarn(t *testing.T) {
	t.Parallel()
	e := takeRandom(t, 2)
	if e.Info().Warning == "" || e.Info().SHA256 != "" {
		t.Errorf("Info() = %+v, want a warning", e.Info())
	}
	result, err := e.Classify(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	if result.Warning == "" || len(result.Predictions) != 5 || result.Timing.Inference == 0 || result.Filename != "tiny.jpg" {
		t.Errorf("result %+v", result)
	}
	sum := 0.0
	for _, s := range result.Scores {
		sum += float64(*s.Probability)
	}
	if sum <= 0 || sum > 1.0001 {
		t.Errorf("probabilities add up to %g", sum)
	}
}

// TestParallelEqualsSerial checks that an image's logits do not depend on how many threads had time for it.
func TestParallelEqualsSerial(t *testing.T) {
	t.Parallel()
	image := tiny(t)
	var narrow, wide [imagenet.Classes]float32
	if _, err := takeRandom(t, 1).Logits(t.Context(), image, narrow[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := takeRandom(t, 3).Logits(t.Context(), image, wide[:]); err != nil {
		t.Fatal(err)
	}
	if narrow != wide {
		t.Error("logits differ between one thread and three")
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	e := takeRandom(t, 2)
	image := tiny(t)
	want, err := e.Classify(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	times := 5
	if plainGo(e) {
		times = 1
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range times {
				got, err := e.Classify(t.Context(), image)
				if err != nil || !cmp.Equal(got.Scores, want.Scores) {
					t.Errorf("Classify = %v, %v; want %v", got.Scores, err, want.Scores)
				}
			}
		})
	}
	wait.Wait()
}

func TestClassifyRefuses(t *testing.T) {
	t.Parallel()
	e := takeRandom(t, 1)
	for name, test := range map[string]struct {
		data []byte
		want resnet18cloud.Code
	}{
		"empty":     {nil, resnet18cloud.CodeUndecodable},
		"text":      {[]byte("hello, this is no image"), resnet18cloud.CodeUndecodable},
		"truncated": {tiny(t).Bytes[:40], resnet18cloud.CodeUndecodable},
		"too large": {make([]byte, maxTestBytes+1), resnet18cloud.CodeTooLarge},
	} {
		_, err := e.Classify(t.Context(), resnet18cloud.Image{Name: name, Bytes: test.data})
		if failure, ok := errors.AsType[*resnet18cloud.Error](err); !ok || failure.Code != test.want {
			t.Errorf("%s: %v, want code %s", name, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Classify(ctx, tiny(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"precision":   {Precision: "fp16"},
		"concurrency": {Concurrency: -1},
		"weights":     {Weights: &weights.Set{SHA256: "0123456789", Spec: spec.ImageNet()}},
	} {
		if e, err := New(cfg); err == nil {
			e.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// TestSafetensorsInFloats: a safetensors file without 8-bit tensors is served in fp32.
func TestSafetensorsInFloats(t *testing.T) {
	t.Parallel()
	set := &weights.Set{Format: weights.FormatSafetensors, Spec: spec.ImageNet()}
	if got := (Config{Weights: set}).withDefaults().Precision; got != PrecisionFP32 {
		t.Errorf("precision %s, want fp32", got)
	}
}

// BenchmarkClassify is the whole way of a typical picture on one worker.
func BenchmarkClassify(b *testing.B) {
	e := takeReal(b)
	image := sample(b, "n01531178_goldfinch.JPEG")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Classify(b.Context(), image); err != nil {
			b.Fatal(err)
		}
	}
}

// refusals are the error codes of files that the reference data expects to be refused.
var refusals = map[string]resnet18cloud.Code{
	"refused: not a decodable image": resnet18cloud.CodeUndecodable,
	"refused: too many pixels":       resnet18cloud.CodeTooLarge,
}

// TestOddFiles checks the answers to unusual files, and the errors of broken ones.
func TestOddFiles(t *testing.T) {
	t.Parallel()
	e := takeReal(t)
	type expectation struct {
		answer
		Expect string `json:"expect"`
	}
	expectations := testutil.Lines[expectation](t, testutil.Shared(t, "reference", "odd.jsonl"))
	for n, want := range expectations {
		if plainGo(e) && n%8 != 0 && refusals[want.Expect] == "" {
			continue // the tests of decoding and preprocessing have all of them
		}
		data, err := os.ReadFile(testutil.Shared(t, "images", "odd", want.File))
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Classify(t.Context(), resnet18cloud.Image{Name: want.File, Bytes: data})
		if want.File == "jpeg-arithmetic.jpg" { // Pillow's wheels refuse it, so what it shows is not in the reference
			if err != nil || len(got.Predictions) == 0 {
				t.Errorf("%s: %q, %v, want predictions", want.File, got.Predictions, err)
			}
			continue
		}
		if code, refused := refusals[want.Expect]; refused {
			if e, ok := errors.AsType[*resnet18cloud.Error](err); !ok || e.Code != code {
				t.Errorf("%s: error %v, want code %s", want.File, err, code)
			}
			continue
		}
		if err != nil || !slices.Equal(got.Predictions, want.Top5Names) {
			t.Errorf("%s: %q, %v, want %q", want.File, got.Predictions, err, want.Top5Names)
			continue
		}
		for i, s := range got.Scores {
			if math.Abs(float64(s.Logit)-want.Top5Logits[i]) > 2e-3 {
				t.Errorf("%s: logit %g of %s, want %g", want.File, s.Logit, s.Label, want.Top5Logits[i])
			}
		}
	}
}

// TestIdleWorkersAreLent: an image alone is given all workers, one that is not is given none and takes none away.
func TestIdleWorkersAreLent(t *testing.T) {
	t.Parallel()
	e := takeRandom(t, 3)
	take := func() *worker {
		w, err := e.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	alone := take()
	if others, ok := e.takeOthers(nil); !ok || len(others) != 2 {
		t.Fatalf("an image alone is lent %d workers, %t; want both others", len(others), ok)
	} else {
		e.putAll(others)
	}
	second := take()
	if others, ok := e.takeOthers(nil); ok || len(others) > 0 {
		t.Errorf("one of two images is lent %d workers, %t; want none", len(others), ok)
	}
	if len(e.idle) != 1 {
		t.Errorf("%d workers are idle, want the third", len(e.idle))
	}
	e.put(alone)
	e.put(second)
}

// TestLogitsAllocatesNothing checks that an image allocates nothing once a worker is warm.
func TestLogitsAllocatesNothing(t *testing.T) {
	image := tiny(t)
	for _, e := range []*Engine{
		takeRandom(t, 1), takeRandom(t, 2), open(t, Config{Concurrency: 1, Weights: randomInt8(t)}), open(t, Config{Concurrency: 2, Weights: randomInt8(t)}),
	} {
		var logits [imagenet.Classes]float32
		classify := func() {
			if _, err := e.Logits(context.Background(), image, logits[:]); err != nil {
				t.Fatal(err)
			}
		}
		for range e.Info().Concurrency { // workers take turns
			classify()
		}
		runs := 5
		if plainGo(e) {
			runs = 1
		}
		if n := testing.AllocsPerRun(runs, classify); n != 0 {
			t.Errorf("with %d workers an image in %s takes %v allocations", e.Info().Concurrency, e.Info().Precision, n)
		}
	}
}

// randomInt8 is quantized weights that mean nothing: a set of the test's own, on tensors made once, which none may change.
func randomInt8(tb testing.TB) *weights.Set {
	tb.Helper()
	set, err := quantizedRandom()
	if err != nil {
		tb.Fatal(err)
	}
	own := *set
	return &own
}

var quantizedRandom = sync.OnceValues(func() (*weights.Set, error) {
	scales := map[string]float32{}
	for _, name := range resnet.Activations() {
		scales[name] = 1. / 32
	}
	q, err := resnet.Quantize(resnet.Random(randomSeed, spec.ImageNet()), &resnet.Calibration{Scale: scales})
	if err != nil {
		return nil, err
	}
	set := q.Set()
	set.SHA256 = "0123456789"
	return set, nil
})
