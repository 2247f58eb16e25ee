// Package engine classifies images in this process: a file's bytes go in, the five best of ImageNet's classes come out,
// with the time of each stage. It joins decode, preprocess, resnet and imagenet; it does no networking and no logging.
// Package replica serves an [Engine] over HTTP; the classify command and tests call it directly.
//
// An engine has one worker for each CPU it may use. Under load each worker processes one image. An image that arrives
// while all other workers are idle has its inference spread over all CPUs, which shortens it.
package engine

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

var _ resnet18cloud.Classifier = (*Engine)(nil)

// Engine is a [resnet18cloud.Classifier]. Make it with [New], and Close it when it is no longer needed.
type Engine struct {
	cfg  Config
	info Info // except what changes with network
	// network is what the workers compute with. Write it while holding all workers, read it while holding one.
	network *resnet.Network
	packed  []byte // mapped memory of the first network's weights; nil if they are on the heap
	// active describes network to Info, which holds no worker.
	active atomic.Pointer[computation]

	// idle holds the workers without an image. A goroutine takes one, works with it and puts it back.
	// See docs/decisions/0042-idle-workers-are-lent.md.
	idle chan *worker
	// parallel computes on all CPUs, in the workers' memory. Use it while holding all workers.
	parallel *resnet.Runner

	observer    *observe.Observer // nil unless Config.Observe applies
	endObserver context.CancelFunc
	observing   sync.WaitGroup
}

// computation is what Info reports about a network.
type computation struct{ precision, kernels string }

// worker is the memory for one image at a time.
type worker struct {
	decoder decode.Decoder
	resizer preprocess.Resizer
	input   preprocess.Input
	logits  imagenet.Logits
	runner  *resnet.Runner

	rows     func(picture decode.RGB, first, end int) // takeRows, as a value that is allocated once
	resizing time.Duration                            // time spent on the picture in progress
}

func newWorker() *worker {
	w := new(worker)
	w.rows = w.takeRows
	return w
}

// takeRows resizes rows while they are in the cache; the picture is never in memory as a whole.
func (w *worker) takeRows(picture decode.RGB, first, end int) {
	clock := stopwatch{time.Now()}
	w.resizer.Rows(picture.Pix, picture.Stride, picture.Width, picture.Height, first, end)
	w.resizing += clock.lap()
}

// New makes an engine: it packs the weights and allocates the workers' memory, some 10 MB each. cfg.Weights is not kept.
func New(cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, info: cfg.info(), idle: make(chan *worker, cfg.Concurrency)}
	network, params, err := e.pack()
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	for range cfg.Concurrency {
		e.idle <- newWorker()
	}
	if err := e.use(context.Background(), network); err != nil {
		return nil, err
	}
	if cfg.observes() {
		// The set that params share may be closed when New has returned.
		e.observer = observe.New(*cfg.Observe, &host{engine: e, fp32: network, params: params.Clone()})
		var ctx context.Context
		ctx, e.endObserver = context.WithCancel(context.Background())
		e.observing.Go(func() { e.observer.Run(ctx) })
	}
	// The weights were in memory twice, as read and as packed. The process never needs that much again, and the
	// collector would keep it.
	debug.FreeOSMemory()
	return e, nil
}

// pack makes the first network, from shared memory if that fits.
func (e *Engine) pack() (*resnet.Network, *resnet.Params, error) {
	if e.cfg.Shared != nil && e.cfg.Weights != nil {
		// Errors of the memory do not matter: without it the start takes a little longer.
		if shared, err := e.cfg.attach(); err == nil && shared != nil {
			network, params, err := e.cfg.network(&resnet.Memory{Bytes: shared[headerBytes:], Packed: true})
			if err == nil {
				e.packed, e.info.Shared = shared, true
				return network, params, nil
			}
			if err := errors.Join(err, unmap(shared)); !errors.Is(err, resnet.ErrMemory) {
				return nil, nil, err
			}
		}
	}
	// Weights on the heap would count as live memory, in proportion to which the collector lets garbage grow.
	private, err := newPrivate(maxPackedBytes)
	if err != nil {
		return e.cfg.network(nil)
	}
	e.packed = private
	network, params, err := e.cfg.network(&resnet.Memory{Bytes: private})
	if err != nil {
		return nil, nil, errors.Join(err, e.unpack())
	}
	return network, params, nil
}

// unpack frees the first network's weights, when nothing computes with it any longer.
func (e *Engine) unpack() error {
	packed := e.packed
	e.packed = nil
	return unmap(packed)
}

// use switches all workers to another network, after the images in progress. An error is ctx's.
func (e *Engine) use(ctx context.Context, n *resnet.Network) error {
	var workers []*worker
	defer func() { e.putAll(workers) }()
	for range e.cfg.Concurrency {
		w, err := e.take(ctx)
		if err != nil {
			return err
		}
		workers = append(workers, w)
	}
	if e.parallel != nil {
		e.parallel.Close()
	}
	var runners []*resnet.Runner
	for _, w := range workers {
		if w.runner != nil {
			w.runner.Close()
		}
		w.runner = n.NewRunner(1)
		runners = append(runners, w.runner)
	}
	if len(runners) > 1 {
		e.parallel = n.Join(runners)
	}
	e.network = n
	e.active.Store(&computation{n.Precision(), n.Kernels()})
	return nil
}

// Close waits for the images in progress and ends the engine's goroutines. The engine must not be used afterwards.
func (e *Engine) Close() {
	if e.observer != nil {
		e.endObserver()
		e.observing.Wait()
	}
	for range e.cfg.Concurrency {
		(<-e.idle).runner.Close()
	}
	if e.parallel != nil {
		e.parallel.Close()
	}
	_ = e.unpack() // fails only for memory that is not mapped
}

// Info describes what computes the answers at present.
func (e *Engine) Info() Info {
	i, c := e.info, e.active.Load()
	i.Precision, i.Kernels = c.precision, c.kernels
	if e.observer != nil {
		status := e.observer.Status()
		i.Quantization = &status
	}
	return i
}

// Classify returns the five best classes of an image. An error is a *resnet18cloud.Error about the image, as
// decode.Decoder.Decode returns it, or ctx's; ctx is checked between stages.
func (e *Engine) Classify(ctx context.Context, img resnet18cloud.Image) (resnet18cloud.Result, error) {
	w, err := e.take(ctx)
	if err != nil {
		return resnet18cloud.Result{}, err
	}
	defer e.put(w)
	start := time.Now()
	timing, err := e.run(ctx, w, img)
	if err != nil {
		return resnet18cloud.Result{}, err
	}
	result := resnet18cloud.Result{
		Filename: img.Name, Timing: timing,
		Model: e.info.Weights, Precision: e.network.Precision(), Warning: e.info.Warning,
	}
	result.Predictions, result.Scores = best(&w.logits)
	result.InferenceTime = time.Since(start).Seconds()
	return result, nil
}

// Logits writes all 1000 logits of an image. Timing and errors are Classify's.
func (e *Engine) Logits(ctx context.Context, img resnet18cloud.Image, logits *imagenet.Logits) (resnet18cloud.Timing, error) {
	w, err := e.take(ctx)
	if err != nil {
		return resnet18cloud.Timing{}, err
	}
	defer e.put(w)
	timing, err := e.run(ctx, w, img)
	*logits = w.logits
	return timing, err
}

// take waits for an idle worker. Waiting callers are served in order.
func (e *Engine) take(ctx context.Context) (*worker, error) {
	select {
	case w := <-e.idle:
		return w, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (e *Engine) put(w *worker) { e.idle <- w }

// takeOthers takes all workers except the caller's if they are all idle, else none.
func (e *Engine) takeOthers(others []*worker) ([]*worker, bool) {
	for range e.cfg.Concurrency - 1 {
		select {
		case w := <-e.idle:
			others = append(others, w)
		default:
			e.putAll(others)
			return nil, false
		}
	}
	return others, true
}

func (e *Engine) putAll(workers []*worker) {
	for _, w := range workers {
		e.put(w)
	}
}

// run passes an image through the stages; the result is in w.logits.
func (e *Engine) run(ctx context.Context, w *worker, img resnet18cloud.Image) (t resnet18cloud.Timing, err error) {
	clock := stopwatch{time.Now()}
	w.resizing = 0
	picture, err := w.decoder.Decode(img.Bytes, decode.Options{
		Window: window, Rows: w.rows, MaxBytes: e.cfg.MaxImageBytes, MaxPixels: e.cfg.MaxPixels, Orient: e.cfg.Orient,
	})
	if err != nil {
		return t, err
	}
	t.Decode = clock.lap() - w.resizing
	w.resizer.Finish(&w.input)
	t.Preprocess = clock.lap() + w.resizing
	if picture.Width*picture.Height > keepPixels {
		w.decoder, w.resizer = decode.Decoder{}, preprocess.Resizer{}
	}
	if err := ctx.Err(); err != nil {
		return t, context.Cause(ctx)
	}
	e.infer(w)
	t.Inference = clock.lap()
	for _, x := range w.logits {
		if x != x || math.IsInf(float64(x), 0) { //nolint:gocritic // NaN
			return t, &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "The network's output is not a number",
				Hint: "The weights may be damaged. Check them with: resnet18cloud model verify"}
		}
	}
	if e.observer != nil {
		e.observer.Offer(&w.input, &w.logits)
	}
	return t, nil
}

// keepPixels is the largest picture after which a worker keeps its memory for the next one. Larger ones are rare: at the
// limit of 50 megapixels that would be 75 to 450 MB for each worker. Allocating again costs a few percent of decoding.
const keepPixels = 500_000

// window is preprocess.Window, as a value that is allocated once.
var window func(width, height int) image.Rectangle = preprocess.Window

// infer computes w.logits from w.input, on all CPUs if all other workers are idle.
func (e *Engine) infer(w *worker) {
	if e.parallel != nil {
		var room [64]*worker
		if others, ok := e.takeOthers(room[:0]); ok {
			defer e.putAll(others)
			e.parallel.Forward(&w.logits, &w.input)
			return
		}
	}
	w.runner.Forward(&w.logits, &w.input)
}

// best returns the TopK classes of logits, as labels and as scores.
func best(logits *imagenet.Logits) ([]string, []resnet18cloud.Prediction) {
	var top [resnet18cloud.TopK]int
	imagenet.Top(logits, top[:])
	var p imagenet.Logits
	imagenet.Softmax(&p, logits)
	labels := make([]string, len(top))
	scores := make([]resnet18cloud.Prediction, len(top))
	for i, class := range top {
		labels[i] = imagenet.Label(class)
		scores[i] = resnet18cloud.Prediction{Index: class, Label: labels[i], Logit: logits[class], Probability: p[class]}
	}
	return labels, scores
}

// stopwatch measures consecutive stages.
type stopwatch struct{ last time.Time }

// lap returns the time since the last lap, or since the start.
func (s *stopwatch) lap() time.Duration {
	now := time.Now()
	d := now.Sub(s.last)
	s.last = now
	return d
}
