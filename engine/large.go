package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
)

// A picture is large if its header says that decoding takes more memory or time than that of nearly all pictures. Large
// pictures are decoded without a worker, so that the others never wait for them; they wait for each other, for one of as
// many places as there are workers and for memory. They have the lowest priority, and while workers are busy they leave
// them most of the CPU time: priorities do not help where it is a quota that ends.
//
//	1 CPU, pictures that take 12 ms each, half of the time; then one that takes 2 s to decode
//	in a worker: the next picture waits for up to 2 s
//	beside it:   the CPU has half of its time left for the large one, and while a worker is busy it takes a quarter,
//	             so the others take up to 16 ms and the large one about 3 s
//
// A photograph of 12 megapixels is not large as a baseline JPEG, which takes about 0.1 s. As a progressive one it is.
//
// A header may promise less time than decoding takes, as that of a small PNG with megabytes of empty blocks does. Such a picture begins
// in a worker, and starts again as a large one after slowTime.
const (
	smallMemory = 16 << 20
	smallTime   = 200 * time.Millisecond
	slowTime    = 3 * smallTime // headers are right within a factor of two or three
)

// errSlow is the error of a picture that has been at work in a worker for slowTime.
var errSlow = errors.New("the picture takes longer to decode than its header promises")

// isLarge reports whether a picture is large.
func isLarge(h decode.Header) bool { return h.Memory > smallMemory || h.Time > smallTime }

// Large reports whether an image is decoded apart from the others because of what its header promises. An image that
// Classify refuses is not. It takes microseconds.
func (e *Engine) Large(image resnet18cloud.Image) bool { return e.cfg.large(image) }

// Large is [Engine.Large] for an engine with the default limits, in this process or another.
func Large(image resnet18cloud.Image) bool { return Config{}.withDefaultLimits().large(image) }

func (c Config) large(image resnet18cloud.Image) bool {
	if image.Want.Tensor {
		return false
	}
	h, err := decode.Inspect(image.Bytes, c.decodeOptions())
	return err == nil && isLarge(h)
}

// largeLane admits large pictures.
type largeLane struct {
	places *semaphore.Weighted // pictures
	bytes  *semaphore.Weighted // of memory; nil for no limit
	active atomic.Int64        // pictures being decoded
}

func newLargeLane(concurrency int, bytes int64) *largeLane {
	l := &largeLane{places: semaphore.NewWeighted(int64(concurrency))}
	if bytes >= 0 {
		l.bytes = semaphore.NewWeighted(bytes)
	}
	return l
}

// largeWait is how long a large picture waits for others before it is refused. Then its sender may try another replica.
const largeWait = 5 * time.Second

// enter waits until there is room for a picture that takes so much memory, which must be within the limit. The first
// to come is the first to be admitted.
func (l *largeLane) enter(ctx context.Context, bytes int64) (leave func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, largeWait)
	defer cancel()
	if err := l.places.Acquire(waiting, 1); err != nil {
		return nil, l.refusal(ctx)
	}
	if l.bytes != nil {
		if err := l.bytes.Acquire(waiting, bytes); err != nil {
			l.places.Release(1)
			return nil, l.refusal(ctx)
		}
	}
	l.active.Add(1)
	return func() {
		l.active.Add(-1)
		if bytes > smallMemory {
			// Without a collection the next one's memory would come on top of this one's. The heap is small: weights
			// are not in it.
			runtime.GC()
		}
		if l.bytes != nil {
			l.bytes.Release(bytes)
		}
		l.places.Release(1)
	}, nil
}

// refusal is the error of a picture that was not admitted in time.
func (*largeLane) refusal(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Other large images are being decoded",
		Hint: "retry after retry_after seconds, or send a smaller image", RetryAfter: time.Second}
}

// prepareLarge makes the network's input of a large picture.
func (e *Engine) prepareLarge(ctx context.Context, img []byte, h decode.Header) (p *preparer, t resnet18cloud.Timing, err error) {
	leave, err := e.large.enter(ctx, h.Memory)
	if err != nil {
		return nil, t, err
	}
	defer leave()
	p = newPreparer(e.cfg.preprocess())
	defer p.forget()
	inBackground(func() { t, err = p.prepare(ctx, e.cfg, img, e.gap) })
	return p, t, err
}

// inBackground calls f on a thread of its own, with the lowest priority where the system has priorities for threads, and
// returns or panics when f has. The thread ends with f, because an ordinary process cannot raise its priority again.
func inBackground(f func()) {
	defer process.add()()
	panicked := make(chan any, 1)
	go func() {
		defer func() { panicked <- recover() }()
		runtime.LockOSThread() // without a call to UnlockOSThread the thread ends with this goroutine
		lowerPriority()
		f()
	}()
	if p := <-panicked; p != nil {
		panic(p) // in the caller's goroutine, where a server recovers from it
	}
}

// processors raises GOMAXPROCS while goroutines run at low priority. Such a goroutine is running for Go, while the system may
// not run its thread. Without one more, others would wait for it. It is not raised all the time, because then more threads
// compete for the CPUs, which costs some 6 % of the throughput.
type processors struct {
	set func(n int) (before int) // runtime.GOMAXPROCS

	mu            sync.Mutex // guards what follows
	added, before int        // goroutines at low priority; GOMAXPROCS without what they add
	high          int        // how much is added for now: the most goroutines since it was lowered
	lower         *time.Timer
}

// process is the processors of this process. GOMAXPROCS is all engines', so its timer is of no engine: one that is closed leaves
// it to lower GOMAXPROCS.
var process = processors{set: runtime.GOMAXPROCS}

// keepProcessors is how long GOMAXPROCS stays high after the last goroutine at low priority. Each change stops all
// goroutines, which takes long where one of them is at low priority.
const keepProcessors = 10 * time.Second

// add raises GOMAXPROCS by one at least until remove is called.
func (p *processors) add() (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lower != nil {
		p.lower.Stop()
	}
	if p.high == 0 {
		p.before = p.set(0)
	}
	if p.added++; p.added > p.high {
		p.high = p.added
		p.set(p.before + p.high)
	}
	return p.remove
}

func (p *processors) remove() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.added--; p.added == 0 {
		p.lower = time.AfterFunc(keepProcessors, p.reset)
	}
}

// reset lowers GOMAXPROCS again, unless there are goroutines at low priority.
func (p *processors) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.added == 0 && p.high > 0 {
		p.high = 0
		p.set(p.before)
	}
}

// gap returns how long a large picture pauses after it has worked for a time.
func (e *Engine) gap(worked time.Duration) time.Duration {
	return pauseFor(worked, e.cfg.Concurrency-len(e.idle)+int(e.large.active.Load()), e.cfg.Concurrency)
}

// maxPause bounds a pause, for pictures whose decoding is not interrupted often.
const maxPause = 20 * time.Millisecond

// pauseFor returns how long a large picture pauses after it has worked for a time, while so many pictures of all sizes
// want cpus: not at all if there is one for each, and else three times as long, so that it takes a quarter of one.
func pauseFor(worked time.Duration, pictures, cpus int) time.Duration {
	if pictures <= cpus {
		return 0
	}
	return min(3*worked, maxPause)
}
