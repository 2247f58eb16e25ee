// Package engine classifies images in this process: a file's bytes go in, the best classes of the model or its features
// come out, with the time of each stage. It joins decode, preprocess, resnet and imagenet; it does no networking and no logging.
// Package replica serves an [Engine] over HTTP; the classify command and tests call it directly.
//
// An engine has one worker for each CPU it may use. Under load each worker processes one image. An image that arrives
// while all other workers are idle has its inference spread over all CPUs, which shortens it. Large pictures are decoded
// beside the workers, within a limit on their memory: see large.go.
package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/novelty"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

var (
	_ resnet18cloud.Classifier = (*Engine)(nil)
	_ resnet18cloud.Labeler    = (*Engine)(nil)
)

// Engine is a [resnet18cloud.Classifier]. Make it with [New], and Close it when it is no longer needed.
type Engine struct {
	cfg   Config
	model spec.Model
	info  Info // except what changes with network
	// network is what the workers compute with. Write it while holding all workers, read it while holding one.
	network *resnet.Network
	known   *novelty.Known // nil if the model does not tell unknown pictures
	packed  []byte         // mapped memory of the first network's weights; nil if they are on the heap
	// active describes network to Info, which holds no worker.
	active atomic.Pointer[computation]

	// idle holds the workers without an image. A goroutine takes one, works with it and puts it back.
	// See docs/decisions/0042-idle-workers-are-lent.md.
	idle chan *worker
	// parallel computes on all CPUs, in the workers' memory. Use it while holding all workers.
	parallel *resnet.Runner
	large    *largeLane

	observer    *observe.Observer // nil unless Config.Observe applies
	endObserver context.CancelFunc
	observing   sync.WaitGroup
}

// computation is what Info and results report about a network.
type computation struct {
	precision, kernels string
	model              *resnet18cloud.ModelInfo // shared by all results
}

// worker is the memory for one image at a time.
type worker struct {
	*preparer
	logits   []float32
	features []float32
	runner   *resnet.Runner
}

// New makes an engine: it packs the weights and allocates the workers' memory, some 10 MB each. cfg.Weights is not kept.
func New(cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, model: cfg.model(), idle: make(chan *worker, cfg.Concurrency),
		large: newLargeLane(cfg.Concurrency, cfg.MaxDecodeBytes)}
	var err error
	if e.info, err = cfg.info(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if e.known, err = cfg.known(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	network, params, err := e.pack()
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	for range cfg.Concurrency {
		e.idle <- &worker{preparer: newPreparer(e.model.Preprocess), logits: make([]float32, e.model.Head.Classes)}
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
	if len(e.cfg.Shared) > 0 && e.cfg.Weights != nil {
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
	e.active.Store(&computation{n.Precision(), n.Kernels(), e.modelInfo(n.Precision())})
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
	i.Precision, i.Kernels, i.Model = c.precision, c.kernels, *c.model
	if e.observer != nil {
		status := e.observer.Status()
		i.Quantization = &status
	}
	return i
}

// Spec describes the model. Its labels are those that answers carry; nil if there are none.
func (e *Engine) Spec() spec.Model { return e.model }

// Labels returns the classes of the model. There is no error.
func (e *Engine) Labels(context.Context) (resnet18cloud.Labels, error) {
	return resnet18cloud.Labels{Model: e.info.Weights, Classes: e.model.Head.Classes, Labels: e.model.Labels,
		Activation: string(e.model.Head.Activation)}, nil
}

// modelInfo describes the model as results do.
func (e *Engine) modelInfo(precision string) *resnet18cloud.ModelInfo {
	p := e.model.Preprocess
	p.Orient = p.Orient || e.cfg.Orient
	return &resnet18cloud.ModelInfo{Name: e.info.Name, Version: e.info.Version, Precision: precision, Preprocessing: p.String(),
		Activation: string(e.model.Head.Activation), Classes: e.model.Head.Classes}
}

// Classify returns what img.Want asks for: the best classes of an image, all if there are fewer, or its features, as the
// method Embed does. An error is a *resnet18cloud.Error about the image, as decode.Decoder.Decode returns it, or ctx's, which
// ends decoding too. CodeFull is that of a large picture that has waited for others too long, CodeUnsuited that of a model
// that has features only, if classes are wanted.
func (e *Engine) Classify(ctx context.Context, img resnet18cloud.Image) (resnet18cloud.Result, error) {
	if e.model.Head.Classes == 0 && !img.Want.Embedding {
		return resnet18cloud.Result{}, errNoClasses()
	}
	w, timing, err := e.run(ctx, img)
	if err != nil {
		return resnet18cloud.Result{}, err
	}
	defer e.put(w)
	result := resnet18cloud.Result{
		Filename: img.Name, Timing: timing,
		Model: e.info.Weights, ModelInfo: e.active.Load().model, Precision: e.network.Precision(), Warning: e.info.Warning,
	}
	if img.Want.Embedding {
		result.Embedding = embedding(w.features, img.Want.Normalize)
	} else {
		result.Predictions, result.Scores = best(e.model, w.logits, img.Want.Classes())
	}
	if e.known != nil {
		distance := e.known.Distance(w.features)
		result.UnknownScore, result.Unknown = &distance, distance > e.model.Head.Unknown.Threshold
	}
	result.InferenceTime = timing.Inference.Seconds()
	return result, nil
}

// embedding returns a copy of the features, divided by their Euclidean norm if they are to be normalized. Features that are
// all zero stay so.
func embedding(features []float32, normalize bool) []float32 {
	out := slices.Clone(features)
	sum := 0.0
	for _, x := range features {
		sum += float64(x) * float64(x)
	}
	if normalize && sum > 0 {
		for i, x := range features {
			out[i] = float32(float64(x) / math.Sqrt(sum))
		}
	}
	return out
}

// errNoClasses is the answer to requests for classes of a model that has none.
func errNoClasses() error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeUnsuited, Message: "The model has no classes, only features",
		Hint: "request embeddings with POST /embed or classify --embed, or use a model with a fully connected layer"}
}

// Logits writes the logits of all classes of an image; there must be room for as many as Spec says. Timing and errors are
// Classify's.
func (e *Engine) Logits(ctx context.Context, img resnet18cloud.Image, logits []float32) (resnet18cloud.Timing, error) {
	if e.model.Head.Classes == 0 {
		return resnet18cloud.Timing{}, errNoClasses()
	}
	w, timing, err := e.run(ctx, img)
	if err != nil {
		return timing, err
	}
	defer e.put(w)
	copy(logits, w.logits)
	return timing, nil
}

// Embed returns the features of an image: the 512 means of the last convolution's channels, which any model has. They are
// not normalized. Timing and errors are Classify's.
func (e *Engine) Embed(ctx context.Context, img resnet18cloud.Image) ([]float32, resnet18cloud.Timing, error) {
	w, timing, err := e.run(ctx, img)
	if err != nil {
		return nil, timing, err
	}
	defer e.put(w)
	return slices.Clone(w.features), timing, nil
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

// run passes an image through the stages. The result is in the logits of the worker, which the caller puts back.
func (e *Engine) run(ctx context.Context, img resnet18cloud.Image) (w *worker, t resnet18cloud.Timing, err error) {
	if img.Want.Tensor {
		return e.runTensor(ctx, img.Bytes)
	}
	h, err := decode.Inspect(img.Bytes, e.cfg.decodeOptions())
	if err != nil {
		return nil, t, err
	}
	if !isLarge(h) {
		w, t, err = e.runSmall(ctx, img.Bytes, h)
		if !errors.Is(err, errSlow) {
			return w, t, err
		}
		if img.Slow != nil {
			if err := img.Slow(); err != nil {
				return nil, t, err
			}
		}
	}
	lost := t.Decode
	p, t, err := e.prepareLarge(ctx, img.Bytes, h)
	t.Decode += lost
	if err != nil {
		return nil, t, err
	}
	if w, err = e.take(ctx); err != nil {
		return nil, t, err
	}
	w.input = p.input
	return e.finish(ctx, w, t)
}

// runSmall is run for a picture that is not large by its header. If it takes much longer than that promises, the error is errSlow.
func (e *Engine) runSmall(ctx context.Context, img []byte, h decode.Header) (w *worker, t resnet18cloud.Timing, err error) {
	if w, err = e.take(ctx); err != nil {
		return nil, t, err
	}
	t, err = w.prepare(ctx, e.cfg, img, nil)
	if h.Memory > keepBytes {
		w.forget()
	}
	if err != nil {
		e.put(w)
		return nil, t, err
	}
	return e.finish(ctx, w, t)
}

// finish computes the logits from the worker's input. After an error it puts the worker back.
func (e *Engine) finish(ctx context.Context, w *worker, t resnet18cloud.Timing) (*worker, resnet18cloud.Timing, error) {
	if ctx.Err() != nil {
		e.put(w)
		return nil, t, context.Cause(ctx)
	}
	clock := stopwatch{time.Now()}
	e.infer(w)
	t.Inference = clock.lap()
	if !finite(w.logits) || !finite(w.features) {
		e.put(w)
		return nil, t, &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "The network's output is not a number",
			Hint: "The weights may be damaged. Check them with: resnet18cloud model verify"}
	}
	if e.observer != nil {
		e.observer.Offer(w.input, w.logits)
	}
	return w, t, nil
}

func finite(values []float32) bool {
	for _, x := range values {
		if x != x || math.IsInf(float64(x), 0) { //nolint:gocritic // NaN
			return false
		}
	}
	return true
}

// keepBytes is the most memory of a picture that a worker keeps for the next one. Pictures that take more are rare, and
// allocating again costs a few percent of decoding.
const keepBytes = 4 << 20

// infer computes w.logits and w.features from w.input, on all CPUs if all other workers are idle and no large picture uses them.
func (e *Engine) infer(w *worker) {
	alone := true
	if n := e.cfg.Inferring; n != nil {
		alone = n.Add(1) == 1
		defer n.Add(-1)
	}
	if alone && e.parallel != nil && e.large.active.Load() == 0 {
		var room [64]*worker
		if others, ok := e.takeOthers(room[:0]); ok {
			defer e.putAll(others)
			e.parallel.Forward(w.logits, w.input)
			w.features = append(w.features[:0], e.parallel.Features()...)
			return
		}
	}
	w.runner.Forward(w.logits, w.input)
	w.features = append(w.features[:0], w.runner.Features()...)
}

// best returns the k best classes of logits, or all if there are fewer, as labels and as scores.
func best(m spec.Model, logits []float32, k int) ([]string, []resnet18cloud.Prediction) {
	top := imagenet.Top(logits, make([]int, min(k, len(logits))))
	var room [spec.MaxClasses]float32
	p := room[:len(logits)]
	imagenet.Scores(p, logits, m.Head.Activation)
	labels := make([]string, len(top))
	scores := make([]resnet18cloud.Prediction, len(top))
	probabilities := make([]float32, len(top))
	for i, class := range top {
		labels[i] = m.Label(class)
		scores[i] = resnet18cloud.Prediction{Index: class, Label: labels[i], Logit: logits[class]}
		if m.Head.Activation != spec.None {
			probabilities[i] = p[class]
			scores[i].Probability = &probabilities[i]
		}
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
