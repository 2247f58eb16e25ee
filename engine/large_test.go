package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/decodetest"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// costly is a file of 170 kB that takes a third of a second or so to decode: 128 MB of rows.
func costly() resnet18cloud.Image {
	return resnet18cloud.Image{Name: "costly.png", Bytes: decodetest.PNG{Depth: 16, Color: 6, Filter: 4}.Make(4000, 4000)}
}

func TestIsLarge(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Concurrency: 1})
	for name, test := range map[string]struct {
		file []byte
		want bool
	}{
		"an ordinary picture":    {tiny(t).Bytes, false},
		"PNG, 16 MP":             {decodetest.PNG{Depth: 8, Color: 2}.Make(4000, 4000), false},
		"PNG, 25 MP":             {decodetest.PNG{Depth: 8, Color: 2}.Make(5000, 5000), true},
		"PNG of 16 bits, 16 MP":  {costly().Bytes, true},
		"JPEG, 12 MP":            {decodetest.JPEG{Components: 3}.Make(4000, 3000), false},
		"JPEG, 24 MP":            {decodetest.JPEG{Components: 3}.Make(6000, 4000), true},
		"1 bit, 1 x 50000000":    {decodetest.PNG{Depth: 1}.Make(1, 50_000_000), true},
		"progressive, 2 MP":      {decodetest.JPEG{Components: 3, Scans: 1}.Make(1600, 1250), false},
		"progressive, 3 MP":      {decodetest.JPEG{Components: 3, Scans: 1}.Make(2000, 1500), true},
		"refused by its header":  {decodetest.WebP{}.Make(7071, 7071), false},
		"not an image":           {[]byte("text"), false},
		"WebP of 40 bytes, 2 MP": {decodetest.WebP{}.Make(1500, 1400), false},
	} {
		image := resnet18cloud.Image{Bytes: test.file}
		if got := e.Large(image); got != test.want || Large(image) != got {
			t.Errorf("%s: Large = %t and %t, want %t", name, got, Large(image), test.want)
		}
	}
}

// TestInBackground checks that work in the background panics where its caller can recover.
func TestInBackground(t *testing.T) {
	t.Parallel()
	defer func() {
		if p := recover(); p != "broken" {
			t.Errorf("recovered %v, want what was panicked with", p)
		}
	}()
	done := false
	inBackground(func() { done = true })
	if !done {
		t.Error("inBackground returned before the work was done")
	}
	inBackground(func() { panic("broken") })
}

// TestProcessors checks that GOMAXPROCS has one more for each of the goroutines at low priority at a time, is lowered some time
// after the last of them, and not while there is another.
func TestProcessors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := 4
		p := processors{set: func(n int) int {
			before := now
			if n > 0 {
				now = n
			}
			return before
		}}
		want := func(n int, when string) {
			t.Helper()
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			if now != n {
				t.Errorf("GOMAXPROCS is %d %s, want %d", now, when, n)
			}
		}
		first := p.add()
		want(5, "with one goroutine")
		second := p.add()
		want(6, "with two")
		first()
		second()
		time.Sleep(keepProcessors / 2)
		want(6, "soon after the last")
		third := p.add()
		time.Sleep(2 * keepProcessors)
		want(6, "with another one")
		third()
		time.Sleep(keepProcessors)
		want(4, "later")
		p.add()()
		time.Sleep(keepProcessors / 2)
		last := p.add()
		p.reset() // as a timer that was stopped too late
		want(5, "with one after that")
		last()
		time.Sleep(keepProcessors * 3 / 4)
		want(5, "after the last one's predecessor")
		time.Sleep(keepProcessors)
		want(4, "in the end")
	})
}

// awaitLarge waits until a picture is decoded beside the workers. It must not end before.
func awaitLarge(t *testing.T, e *Engine, ended <-chan error) {
	t.Helper()
	for e.large.active.Load() == 0 {
		select {
		case err := <-ended:
			t.Fatalf("the picture was not decoded beside the workers, or took no time: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestOthersDoNotWait checks that a picture on an engine with one worker is classified while a large one is decoded.
func TestOthersDoNotWait(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Concurrency: 1})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	image := costly()
	go func() {
		_, err := e.Classify(ctx, image)
		ended <- err
	}()
	awaitLarge(t, e, ended)
	if _, err := e.Classify(t.Context(), tiny(t)); err != nil {
		t.Fatal(err)
	}
	if e.large.active.Load() == 0 {
		t.Error("the large picture was decoded before the other was classified")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the large picture, whose sender has left: %v, want that", err)
	}
	if _, err := e.Classify(t.Context(), tiny(t)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestDecodingStops checks that decoding ends at the next check after its context has ended.
func TestDecodingStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the client has left")
	checks := 0
	timing, err := newPreparer(spec.Torchvision()).prepare(ctx, Config{}.withDefaults(), costly().Bytes, func(time.Duration) time.Duration {
		if checks++; checks == 3 {
			cancel(cause)
		}
		return 0
	})
	if !errors.Is(err, cause) || checks != 3 {
		t.Errorf("prepare: error %v after %d checks, want the context's cause after 3", err, checks)
	}
	if timing.Decode <= 0 {
		t.Error("the time until then is not known")
	}
}

// TestDecodeTime checks that an image whose decoding takes too long is refused, whatever its size, and that pauses do
// not count.
func TestDecodeTime(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Concurrency: 1, MaxDecodeTime: time.Nanosecond})
	for _, image := range []resnet18cloud.Image{tiny(t), costly()} {
		_, err := e.Classify(t.Context(), image)
		failure, ok := errors.AsType[*resnet18cloud.Error](err)
		if !ok || failure.Code != resnet18cloud.CodeTooLarge || failure.Message != "Image takes longer than 1ns to decode" || failure.Hint == "" {
			t.Errorf("%s: %v, want a refusal", image.Name, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPreparer(spec.Torchvision())
		pauses := 0
		start := time.Now()
		_, err := p.prepare(t.Context(), Config{MaxDecodeTime: time.Second}.withDefaults(), costly().Bytes, func(time.Duration) time.Duration {
			pauses++
			return time.Second
		})
		if err != nil || pauses < 10 || time.Since(start) < time.Duration(pauses)*time.Second {
			t.Errorf("prepare: %v after %d pauses, %s", err, pauses, time.Since(start))
		}
	})
}

// TestSlow checks that a picture ends in a worker after slowTime of work, not of waiting for the CPU, and beside them does not.
func TestSlow(t *testing.T) {
	t.Parallel()
	beside := func(time.Duration) time.Duration { return 0 }
	for name, test := range map[string]struct {
		gap   func(time.Duration) time.Duration
		part  time.Duration // between two checks
		parts int           // without an error
		want  error         // after one more
	}{
		"in a worker":               {nil, 10 * time.Millisecond, 60, errSlow},
		"in a worker on a busy CPU": {nil, time.Second, 30, errSlow},
		"beside the workers":        {beside, 10 * time.Millisecond, 60, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPreparer(spec.Torchvision())
				p.budget = budget{ctx: t.Context(), last: time.Now(), gap: test.gap}
				for i := range test.parts {
					time.Sleep(test.part)
					if err := p.proceed(); err != nil {
						t.Fatalf("after part %d: %v", i, err)
					}
				}
				time.Sleep(test.part)
				if err := p.proceed(); !errors.Is(err, test.want) {
					t.Errorf("after part %d: %v, want %v", test.parts, err, test.want)
				}
			})
		})
	}
}

// TestLargeWait checks how large pictures wait for each other.
func TestLargeWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLargeLane(2, 100)
		enter := func(bytes int64) func() {
			t.Helper()
			leave, err := l.enter(t.Context(), bytes)
			if err != nil {
				t.Fatal(err)
			}
			return leave
		}
		first, second := enter(60), enter(40)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("left"))
		defer cancel()
		if _, err := l.enter(ctx, 1); err == nil || err.Error() != "left" {
			t.Errorf("beyond the places: %v, want the context's cause", err)
		}
		second()
		start := time.Now()
		_, err := l.enter(t.Context(), 41)
		if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeFull || e.RetryAfter <= 0 || time.Since(start) != largeWait {
			t.Errorf("beyond the memory: %v after %s, want CodeFull after %s", err, time.Since(start), largeWait)
		}
		time.AfterFunc(time.Second, first)
		start = time.Now()
		enter(100)() // all of it
		if time.Since(start) != time.Second {
			t.Errorf("entered after %s, want when the first has left", time.Since(start))
		}
		if n := l.active.Load(); n != 0 {
			t.Errorf("%d are active at the end", n)
		}
	})
	l := newLargeLane(1, -1)
	leave, err := l.enter(t.Context(), 1<<50)
	if err != nil {
		t.Fatalf("without a limit on memory: %v", err)
	}
	leave()
}

func TestPauseFor(t *testing.T) {
	t.Parallel()
	const worked = 2 * time.Millisecond
	for _, test := range []struct {
		worked         time.Duration
		pictures, cpus int
		want           time.Duration
	}{
		{worked, 1, 1, 0},
		{worked, 2, 2, 0},
		{worked, 2, 1, 3 * worked},
		{worked, 5, 4, 3 * worked},
		{time.Second, 2, 1, maxPause},
		{time.Second, 1, 2, 0},
	} {
		if got := pauseFor(test.worked, test.pictures, test.cpus); got != test.want {
			t.Errorf("pauseFor(%s, %d, %d) = %s, want %s", test.worked, test.pictures, test.cpus, got, test.want)
		}
	}
}

// TestHeaderRefuses checks that what the header shows is refused without a worker: all of them are in use here.
func TestHeaderRefuses(t *testing.T) {
	t.Parallel()
	interlaced := decodetest.PNG{Depth: 16, Color: 6, Interlaced: true}.Make(7071, 7071)
	e := open(t, Config{Concurrency: 1, MaxDecodeBytes: 100 << 20})
	w, err := e.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.put(w)
	for name, test := range map[string]struct {
		file    []byte
		message string
	}{
		"WebP of 40 bytes":            {decodetest.WebP{}.Make(7071, 7071), "Image has too many pixels: 7071x7071"},
		"WebP of 40 bytes, 16 MP":     {decodetest.WebP{}.Make(4000, 4000), "Image has too many pixels for a WebP file of "},
		"CMYK progressive JPEG":       {decodetest.JPEG{Components: 4, Scans: 1}.Make(7064, 7064), "Image takes too much memory to decode: "},
		"PNG of 16 bits, interlaced":  {interlaced, "Image takes too much memory to decode: "},
		"PNG with less than its rows": {decodetest.PNG{Depth: 1}.Make(9000, 5000)[:60], "Not a decodable image: PNG file is truncated"},
	} {
		_, err := e.Classify(t.Context(), resnet18cloud.Image{Name: name, Bytes: test.file})
		if failure, ok := errors.AsType[*resnet18cloud.Error](err); !ok || !strings.HasPrefix(failure.Message, test.message) {
			t.Errorf("%s: %v, want %s...", name, err, test.message)
		}
	}
	if h, err := decode.Inspect(interlaced, Config{}.withDefaultLimits().decodeOptions()); err != nil || h.Memory > 160e6 {
		t.Errorf("the interlaced PNG takes %d bytes, %v; want at most 160 MB, of 1,080 in former versions", h.Memory, err)
	}
}
