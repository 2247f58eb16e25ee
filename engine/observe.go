package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/quantize"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

// Observation lets an engine with weights in float32 find its own way to int8: it answers in fp32 while it keeps the
// first pictures, takes the scales from them, compares both networks' labels on the pictures that follow, and changes
// over if enough are equal. The zero value is usable.
type Observation struct {
	// Pictures is how many are kept for the scales, and after that how many are compared. 0 means 256.
	Pictures int
	// Agreement is the share of best labels, 0..1, that must be equal. 0 means 0.95.
	Agreement float64
	// Share is the share of pictures, 0..1, that int8 answered and fp32 checks afterwards, for as long as the engine
	// lives. 0 means 0.01, -1 none.
	Share float64
	// Changed, if not nil, is told of each new state, from the engine's own goroutine; it must not call the engine.
	Changed func(Quantization)
}

func (o Observation) withDefaults() Observation {
	if o.Pictures == 0 {
		o.Pictures = 256
	}
	if o.Agreement == 0 {
		o.Agreement = 0.95
	}
	if o.Share == 0 {
		o.Share = 0.01
	}
	return o
}

func (o Observation) validate() error {
	switch {
	case o.Pictures < 1:
		return fmt.Errorf("engine: %d pictures to observe, want at least 1", o.Pictures)
	case !(o.Agreement >= 0 && o.Agreement <= 1):
		return fmt.Errorf("engine: agreement %v wanted, must be between 0 and 1", o.Agreement)
	case o.Share != -1 && !(o.Share > 0 && o.Share <= 1):
		return fmt.Errorf("engine: share %v to check, must be above 0 and at most 1, or -1 for none", o.Share)
	}
	return nil
}

// State is how far an engine is on its way to int8.
type State string

// The states, in this order; the last two are other ends.
const (
	StateObserving   State = "observing"   // fp32 answers; pictures are kept
	StateCalibrating State = "calibrating" // fp32 answers; scales are computed
	StateComparing   State = "comparing"   // fp32 answers; int8 computes the same pictures
	StateAdopted     State = "adopted"     // int8 answers; fp32 checks a share
	StateRefused     State = "refused"     // fp32 answers: too few labels were equal
	StateWithdrawn   State = "withdrawn"   // fp32 answers again: too few labels were equal later
)

// States lists them all.
func States() []State {
	return []State{StateObserving, StateCalibrating, StateComparing, StateAdopted, StateRefused, StateWithdrawn}
}

// Quantization tells how far an [Observation] came.
type Quantization struct {
	State    State
	Observed int // pictures kept so far for the scales
	Compared int // pictures that both networks answered, ever
	Equal    int // of those, the ones with the same best label
	// Agreement is the share of equal ones: while comparing of all so far, later of the last checks. NaN before the first.
	Agreement float64
	Wanted    float64 // Observation.Agreement
	Problem   string  // why there is no int8; empty unless refused or withdrawn
}

// checks is how many of the last checks Agreement is taken from once int8 answers.
const checks = 256

// observer leads an engine to int8.
type observer struct {
	cfg    Observation
	engine *Engine
	params *resnet.Params // until int8 is packed

	// Workers take an empty one, fill it, and pass it on as seen; when there is none, nobody is interested.
	empty, seen chan *answered
	every       atomic.Uint64 // which pictures are wanted: every so many
	count       atomic.Uint64 // pictures answered

	mu     sync.Mutex
	status Quantization // guarded by mu
	recent recent       // guarded by mu
}

// answered is one picture and the best class it was answered with.
type answered struct {
	input preprocess.Input
	class int
}

// recent holds the last outcomes of comparisons.
type recent struct {
	equal [checks]bool
	n     int
}

func (r *recent) add(equal bool) { r.equal[r.n%checks] = equal; r.n++ }

// share is how many of the last outcomes are kept, and which part of them is equal.
func (r *recent) share() (n int, share float64) {
	n = min(r.n, checks)
	sum := 0
	for _, equal := range r.equal[:n] {
		if equal {
			sum++
		}
	}
	return n, float64(sum) / float64(n)
}

func newObserver(cfg Observation, e *Engine, params *resnet.Params) *observer {
	const room = 16 // a few pictures, so that a burst is not lost while the observer is busy
	o := &observer{cfg: cfg, engine: e, params: params, empty: make(chan *answered, room), seen: make(chan *answered, room)}
	o.every.Store(1)
	o.status = Quantization{State: StateObserving, Agreement: math.NaN(), Wanted: cfg.Agreement}
	return o
}

// saw is called with each answer; it never waits.
func (o *observer) saw(input *preprocess.Input, logits *imagenet.Logits) {
	if o.count.Add(1)%o.every.Load() != 0 {
		return
	}
	select {
	case s := <-o.empty:
		s.input, s.class = *input, bestClass(logits)
		o.seen <- s // has room for all there are
	default:
	}
}

func bestClass(logits *imagenet.Logits) int {
	var top [1]int
	imagenet.Top(logits, top[:])
	return top[0]
}

// run goes through the states until ctx ends.
func (o *observer) run(ctx context.Context) {
	err := o.lead(ctx)
	for empty := true; empty; { // from here on nobody is interested
		select {
		case <-o.empty:
		default:
			empty = false
		}
	}
	if ctx.Err() != nil || err == nil {
		return
	}
	state := StateRefused
	if o.quantization().State == StateAdopted {
		state = StateWithdrawn
	}
	o.enter(state, err.Error())
}

func (o *observer) lead(ctx context.Context) error {
	exact := o.engine.network
	rough, err := o.calibrate(ctx, exact)
	if err != nil {
		return err
	}
	o.enter(StateComparing, "")
	if err := o.compare(ctx, rough, o.cfg.Pictures, o.tooFew); err != nil {
		return err
	}
	if err := o.engine.use(ctx, rough); err != nil {
		return err
	}
	o.enter(StateAdopted, "")
	if o.cfg.Share == -1 {
		return o.engine.unpack()
	}
	o.every.Store(uint64(math.Round(1 / o.cfg.Share)))
	if err := o.compare(ctx, exact, -1, o.fallen); err != nil {
		return errors.Join(err, o.engine.use(ctx, exact))
	}
	return nil
}

func (o *observer) enter(s State, problem string) {
	o.mu.Lock()
	o.status.State, o.status.Problem = s, problem
	o.recent = recent{}
	q := o.status
	o.mu.Unlock()
	if o.cfg.Changed != nil {
		o.cfg.Changed(q)
	}
}

// calibrate keeps pictures and makes the int8 network of them.
func (o *observer) calibrate(ctx context.Context, exact *resnet.Network) (*resnet.Network, error) {
	var pictures []*preprocess.Input
	for len(pictures) < o.cfg.Pictures {
		s, err := o.next(ctx, new(answered))
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, &s.input)
		o.mu.Lock()
		o.status.Observed = len(pictures)
		o.mu.Unlock()
	}
	o.enter(StateCalibrating, "")
	// A worker is taken for each picture, so that requests in between get their turn and no CPU is used twice.
	w, err := o.engine.take(ctx)
	if err != nil {
		return nil, err
	}
	calibration, err := quantize.Calibrate(exact, pictures, func(_, _ int) error {
		o.engine.put(w)
		w, err = o.engine.take(ctx)
		return err
	})
	if w != nil {
		o.engine.put(w)
	}
	if err != nil {
		return nil, err
	}
	q, err := resnet.Quantize(o.params, calibration)
	if err != nil {
		return nil, err
	}
	n, err := resnet.New(q, nil)
	o.params, pictures = nil, nil
	debug.FreeOSMemory() // both are large, and not needed again
	return n, err
}

// next lends the workers an empty one and waits for one that is filled.
func (o *observer) next(ctx context.Context, empty *answered) (*answered, error) {
	o.empty <- empty // there are never more than there is room
	select {
	case s := <-o.seen:
		return s, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// compare computes pictures that were answered with another network, count of them or, if that is -1, for ever. judge
// says after each whether to give up.
func (o *observer) compare(ctx context.Context, other *resnet.Network, count int, judge func(n int, share float64) error) error {
	r := other.NewRunner(1)
	defer r.Close()
	s := new(answered)
	var logits imagenet.Logits
	for i := 0; i != count; i++ {
		var err error
		if s, err = o.next(ctx, s); err != nil {
			return err
		}
		w, err := o.engine.take(ctx)
		if err != nil {
			return err
		}
		r.Forward(&logits, &s.input)
		o.engine.put(w)
		n, share := o.record(bestClass(&logits) == s.class)
		if err := judge(n, share); err != nil {
			return err
		}
	}
	return nil
}

func (o *observer) record(equal bool) (n int, share float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status.Compared++
	if equal {
		o.status.Equal++
	}
	o.recent.add(equal)
	n, share = o.recent.share()
	o.status.Agreement = share
	return n, share
}

// tooFew judges before int8 is adopted, when all pictures have been compared.
func (o *observer) tooFew(_ int, _ float64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	share := float64(o.status.Equal) / float64(o.status.Compared)
	o.status.Agreement = share
	if o.status.Compared < o.cfg.Pictures || share >= o.cfg.Agreement {
		return nil
	}
	return fmt.Errorf("int8 agreed with fp32 on %.1f %% of %d labels, wanted %.1f %%", 100*share, o.status.Compared, 100*o.cfg.Agreement)
}

// fallen judges afterwards. A share below what is wanted may be chance, so it must be three deviations below.
func (o *observer) fallen(n int, share float64) error {
	p := o.cfg.Agreement
	if n < checks/2 || share >= p-3*math.Sqrt(p*(1-p)/float64(n)) {
		return nil
	}
	return fmt.Errorf("int8 agreed with fp32 on %.1f %% of the last %d labels checked, wanted %.1f %%", 100*share, n, 100*p)
}

// quantization is the present state.
func (o *observer) quantization() *Quantization {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.status
	return &q
}
