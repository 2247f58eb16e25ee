//go:build slow

package engine

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// slow has TestTorchvisionsLabels classify all images.
const slow = true

// even is a gray picture.
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

// TestObserveRefuses lets the observer calibrate with an even picture, whose ranges are too narrow for the others, so that
// int8 does not keep their labels.
func TestObserveRefuses(t *testing.T) {
	t.Parallel()
	j := newJournal()
	e := open(t, Config{Precision: PrecisionInt8, Concurrency: 2,
		Observe: &observe.Config{Pictures: 20, Agreement: 1, Changed: j.add}})
	even := even(t)
	until(t, e, j, observe.Refused, func(i int) resnet18cloud.Image {
		if e.Info().Quantization.State == observe.Observing {
			return even
		}
		return patches(t, uint64(i))
	})
	i := e.Info()
	if i.Precision != PrecisionFP32 || !strings.Contains(i.Quantization.Problem, "wanted 100.0 %") {
		t.Errorf("ends as %s: %q", i.Precision, i.Quantization.Problem)
	}
}

// TestObserveRealPictures checks that real weights and pictures lead to int8. Which pictures are compared is a matter of
// time, and a few of these 40 differ, so it asks for less than the default; the tests of quantize hold the agreement.
func TestObserveRealPictures(t *testing.T) {
	t.Parallel()
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
		Observe: &observe.Config{Pictures: 40, Agreement: 0.8, Changed: j.add}})
	if err := set.Close(); err != nil { // the observer needs the weights long after New
		t.Fatal(err)
	}
	until(t, e, j, observe.Adopted, func(i int) resnet18cloud.Image {
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

// TestWorstFilesTogether classifies the costliest files of every format on an engine with two workers, eight at a time,
// and checks that the memory of decoding stays within its limit.
func TestWorstFilesTogether(t *testing.T) {
	e := open(t, Config{Concurrency: 2})
	files := make(chan []byte)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for file := range files {
				for {
					_, err := e.Classify(t.Context(), resnet18cloud.Image{Bytes: file})
					if err == nil || resnet18cloud.AsError(err).Code != resnet18cloud.CodeFull {
						break
					}
				}
			}
		})
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	done := make(chan uint64)
	stop := make(chan struct{})
	go func() {
		most := uint64(0)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-tick.C:
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapInuse)
			case <-stop:
				done <- most
				return
			}
		}
	}()
	for _, file := range decodetest.Worst(decode.DefaultMaxPixels) {
		files <- file.Make() // takes memory too, some 50 MB
	}
	close(files)
	senders.Wait()
	close(stop)
	most := <-done - before.HeapInuse
	t.Logf("%d MiB", most>>20)
	if limit := uint64(e.cfg.MaxDecodeBytes + 200<<20); most > limit {
		t.Errorf("%d MiB of memory, want at most %d", most>>20, limit>>20)
	}
}

// TestSlowPicture checks that a picture which takes seconds to decode, while its header promises less than a millisecond, leaves
// the only worker to others, and is classified, unless its sender has no place for it.
func TestSlowPicture(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Concurrency: 1, MaxDecodeTime: -1})
	picture := resnet18cloud.Image{Name: "slow.png", Bytes: decodetest.PNG{Depth: 8, Blocks: 500_000}.Make(100, 100)}
	if e.Large(picture) {
		t.Fatal("its header promises what it takes")
	}
	slow := 0
	picture.Slow = func() error {
		if slow++; len(e.idle) != 1 {
			t.Error("it has the worker when it is found to be slow")
		}
		return nil
	}
	ended := make(chan error, 1)
	go func() {
		_, err := e.Classify(t.Context(), picture)
		ended <- err
	}()
	awaitLarge(t, e, ended)
	if _, err := e.Classify(t.Context(), tiny(t)); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		t.Errorf("it ended before the other picture: %v", err)
	default:
		if err := <-ended; err != nil || slow != 1 {
			t.Errorf("error %v; it was found to be slow %d times, want once", err, slow)
		}
	}
	refused := errors.New("no place")
	picture.Slow = func() error { return refused }
	if _, err := e.Classify(t.Context(), picture); !errors.Is(err, refused) || len(e.idle) != 1 {
		t.Errorf("error %v with %d idle workers, want that of Slow and one", err, len(e.idle))
	}
}
