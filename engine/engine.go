// Package engine classifies images in this process: a file's bytes go in, the five best of ImageNet's classes come out,
// with the time that each stage took. It joins decode, preprocess, resnet and imagenet, and knows no network and no
// log. replica serves an [Engine] over HTTP; the classify command and tests call it directly.
//
// An engine has one worker for each CPU it may use. When images wait, each worker takes one; an image that finds all
// the others idle has its inference spread over all CPUs, which shortens it.
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

// Engine is a [resnet18cloud.Classifier]. Make it with [New], and Close it when it is not needed any more.
type Engine struct {
	cfg  Config
	info Info // but for what changes with network
	// network is what the workers compute with. It belongs to whoever holds all workers, and may be read by whoever
	// holds one.
	network *resnet.Network
	packed  []byte // mapped memory that the first network's weights lie in; nil if they lie on the heap
	// computes says Info what network is, at any time.
	computes atomic.Pointer[computation]

	// idle holds the workers that have no image. Whoever has taken a worker works with it and puts it back.
	idle chan *worker
	// wide computes on all CPUs, in the workers' memory. It belongs to whoever holds all workers.
	wide *resnet.Runner

	observer    *observe.Observer // nil if there is nothing to observe
	endObserver context.CancelFunc
	observing   sync.WaitGroup
}

// computation is what Info says of a network.
type computation struct{ precision, kernels string }

// worker is the memory for one image at a time.
type worker struct {
	decoder decode.Decoder
	resizer preprocess.Resizer
	input   preprocess.Input
	logits  imagenet.Logits
	runner  *resnet.Runner

	rows     func(picture decode.RGB, first, end int) // takeRows, as a value that is made once
	resizing time.Duration                            // what it took for the picture at work
}

func newWorker() *worker {
	w := new(worker)
	w.rows = w.takeRows
	return w
}

// takeRows resizes rows while they are in a cache, so that the picture is never in memory as a whole.
func (w *worker) takeRows(picture decode.RGB, first, end int) {
	clock := stopwatch{time.Now()}
	w.resizer.Rows(picture.Pix, picture.Stride, picture.Width, picture.Height, first, end)
	w.resizing += clock.lap()
}

// New makes an engine: it packs the weights and takes the workers' memory, some 10 MB each. cfg.Weights is not kept.
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
	// The weights were there twice, as they were read and as they are packed, and the collector would keep that
	// memory for a process that never needs as much again.
	debug.FreeOSMemory()
	return e, nil
}

// pack makes the first network: of shared memory if that is what it should be, else by itself.
func (e *Engine) pack() (*resnet.Network, *resnet.Params, error) {
	if e.cfg.Shared != nil && e.cfg.Weights != nil {
		// What is wrong with the memory is of no interest: without it a start takes a little longer.
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
	// Weights on the heap would count as what lives, a part of which the collector lets gather as garbage.
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

// unpack gives the first network's weights back, when nothing computes with it any more.
func (e *Engine) unpack() error {
	packed := e.packed
	e.packed = nil
	return unmap(packed)
}

// use has all workers compute with another network, after the images they are at. An error is ctx's.
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
	if e.wide != nil {
		e.wide.Close()
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
		e.wide = n.Join(runners)
	}
	e.network = n
	e.computes.Store(&computation{n.Precision(), n.Kernels()})
	return nil
}

// Close waits for the images at work and ends the engine's goroutines. The engine must not be used after it.
func (e *Engine) Close() {
	if e.observer != nil {
		e.endObserver()
		e.observing.Wait()
	}
	for range e.cfg.Concurrency {
		(<-e.idle).runner.Close()
	}
	if e.wide != nil {
		e.wide.Close()
	}
	_ = e.unpack() // fails only for memory that is not mapped
}

// Info says what computes the answers now.
func (e *Engine) Info() Info {
	i, c := e.info, e.computes.Load()
	i.Precision, i.Kernels = c.precision, c.kernels
	if e.observer != nil {
		status := e.observer.Status()
		i.Quantization = &status
	}
	return i
}

// Classify names the five best classes of an image. Errors are *resnet18cloud.Error that blame the image, as
// decode.Decoder.Decode gives them, or ctx's when it ended first; ctx is looked at between stages.
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

// take waits for an idle worker. Those who wait are served in order.
func (e *Engine) take(ctx context.Context) (*worker, error) {
	select {
	case w := <-e.idle:
		return w, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (e *Engine) put(w *worker) { e.idle <- w }

// takeOthers takes all workers but the one that the caller has, if they are idle, or none.
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

// run takes an image through the stages; w.logits has the outcome.
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
			return t, &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "The network's answer is not a number",
				Hint: "the weights may be broken: check them with: resnet18cloud model verify"}
		}
	}
	if e.observer != nil {
		e.observer.Offer(&w.input, &w.logits)
	}
	return t, nil
}

// keepPixels is the size of picture up to which workers keep their memory for the next one. Larger ones are rare, and
// at the limit of 50 megapixels it would be 75 to 450 MB for each worker. Taking memory anew for one costs a few percent of
// decoding it.
const keepPixels = 500_000

// window is preprocess.Window as a value that is made once.
var window func(width, height int) image.Rectangle = preprocess.Window

// infer computes w.logits from w.input: on all CPUs if nobody else uses them.
func (e *Engine) infer(w *worker) {
	if e.wide != nil {
		var room [64]*worker
		if others, ok := e.takeOthers(room[:0]); ok {
			defer e.putAll(others)
			e.wide.Forward(&w.logits, &w.input)
			return
		}
	}
	w.runner.Forward(&w.logits, &w.input)
}

// best words the TopK classes of logits, as labels and as scores.
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

// stopwatch measures stages that follow each other.
type stopwatch struct{ last time.Time }

// lap is the time since the last lap, or since the start.
func (s *stopwatch) lap() time.Duration {
	now := time.Now()
	d := now.Sub(s.last)
	s.last = now
	return d
}
