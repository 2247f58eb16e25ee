package observe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
)

// Host is the engine that an Observer leads from fp32 to another precision. Only one method is called at a time.
type Host interface {
	// Precision names the other precision, and reports whether it is calibrated with pictures. It is always the same.
	Precision() (name string, calibrated bool)
	// Turn waits until the caller may use the CPU that one image would; done ends that. An error is ctx's.
	Turn(ctx context.Context) (done func(), err error)
	// Prepare makes the network in the other precision, from pictures if that is calibrated: inputs of the network. It calls between
	// after each piece of work and returns its error.
	Prepare(pictures [][]byte, between func() error) error
	// Other makes a runner of the network that does not answer: that in the other precision until it is adopted, then fp32.
	Other() Runner
	// Adopt has the other precision answer, after the images in progress. An error is ctx's.
	Adopt(ctx context.Context) error
	// Withdraw has fp32 answer again, after the images in progress. An error is ctx's.
	Withdraw(ctx context.Context) error
	// Forget frees fp32, which will not be used again.
	Forget() error
}

// Runner computes with one network.
type Runner interface {
	Forward(logits []float32, input []byte)
	Close()
}

// Observer leads a Host to another precision. Run does the work; the other methods may be called concurrently with it.
type Observer struct {
	cfg  Config
	host Host

	precision  string // that the host is led to
	calibrated bool   // with pictures

	// Offer takes an empty answer, fills it and passes it on as seen. When there is none, none is wanted.
	empty, seen chan *answer
	every       atomic.Uint64 // one of this many pictures is wanted
	count       atomic.Uint64 // pictures offered

	mu     sync.Mutex
	status Status // guarded by mu
	recent recent // guarded by mu
}

// answer is a picture and what the host answered.
type answer struct {
	input   []byte
	classes int // number of logits
	class   int // as imagenet.Verdict returns it
}

// New makes an observer in the state Observing. cfg must be valid.
func New(cfg Config, host Host) *Observer {
	const room = 16 // a few pictures, so that a burst is not lost while the observer is busy
	cfg = cfg.withDefaults()
	o := &Observer{cfg: cfg, host: host, empty: make(chan *answer, room), seen: make(chan *answer, room)}
	o.every.Store(1)
	o.precision, o.calibrated = host.Precision()
	o.status = Status{State: Observing, Precision: o.precision, Agreement: math.NaN(), Wanted: cfg.Agreement}
	return o
}

// Offer shows the observer a picture that was answered, of which it keeps no reference. All have as many logits, at least
// one. It never waits.
func (o *Observer) Offer(input []byte, logits []float32) {
	if o.count.Add(1)%o.every.Load() != 0 {
		return
	}
	select {
	case a := <-o.empty:
		a.input, a.classes, a.class = append(a.input[:0], input...), len(logits), imagenet.Verdict(logits)
		o.seen <- a // has room for all there are
	default:
	}
}

// Status returns the present state.
func (o *Observer) Status() Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.status
}

// Run goes through the states until the last, or until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	err := o.lead(ctx)
	for empty := true; empty; { // no more pictures are wanted
		select {
		case <-o.empty:
		default:
			empty = false
		}
	}
	if ctx.Err() != nil || err == nil {
		return
	}
	state := Refused
	if o.Status().State == Adopted {
		state = Withdrawn
	}
	o.enter(state, err.Error())
}

func (o *Observer) lead(ctx context.Context) error {
	if err := o.calibrate(ctx); err != nil {
		return err
	}
	o.enter(Comparing, "")
	if err := o.compare(ctx, o.cfg.Pictures, o.checkAdoption); err != nil {
		return err
	}
	if err := o.host.Adopt(ctx); err != nil {
		return err
	}
	o.enter(Adopted, "")
	if o.cfg.Share == -1 {
		return o.host.Forget()
	}
	o.every.Store(uint64(math.Round(1 / o.cfg.Share)))
	if err := o.compare(ctx, -1, o.checkDrift); err != nil {
		return errors.Join(err, o.host.Withdraw(ctx))
	}
	return nil
}

func (o *Observer) enter(s State, problem string) {
	o.mu.Lock()
	o.status.State, o.status.Problem = s, problem
	o.recent = recent{}
	status := o.status
	o.mu.Unlock()
	if o.cfg.Changed != nil {
		o.cfg.Changed(status)
	}
}

// calibrate keeps pictures, if the precision needs any, and has the network made from them.
func (o *Observer) calibrate(ctx context.Context) error {
	var pictures [][]byte
	for o.calibrated && len(pictures) < o.cfg.Pictures {
		a, err := o.next(ctx, new(answer))
		if err != nil {
			return err
		}
		pictures = append(pictures, a.input)
		o.mu.Lock()
		o.status.Observed = len(pictures)
		o.mu.Unlock()
	}
	o.enter(Calibrating, "")
	// Each picture takes its turn, so that requests get theirs in between and no CPU is used twice.
	done, err := o.host.Turn(ctx)
	if err != nil {
		return err
	}
	err = o.host.Prepare(pictures, func() error {
		done()
		var err error
		if done, err = o.host.Turn(ctx); err != nil {
			done = func() {}
		}
		return err
	})
	done()
	pictures = nil       //nolint:ineffassign,wastedassign // for the collector
	debug.FreeOSMemory() // the pictures and the weights that were quantized are large, and not needed again
	return err
}

// next lends Offer an empty answer and waits for one that is filled.
func (o *Observer) next(ctx context.Context, empty *answer) (*answer, error) {
	o.empty <- empty // there are never more than there is room for
	select {
	case a := <-o.seen:
		return a, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// compare computes pictures that were answered with the other network: count of them or, if that is -1, until ctx ends.
// check says after each whether to give up.
func (o *Observer) compare(ctx context.Context, count int, check func(n int, share float64) error) error {
	r := o.host.Other()
	defer r.Close()
	a := new(answer)
	var logits []float32
	for i := 0; i != count; i++ {
		var err error
		if a, err = o.next(ctx, a); err != nil {
			return err
		}
		done, err := o.host.Turn(ctx)
		if err != nil {
			return err
		}
		if logits == nil {
			logits = make([]float32, a.classes)
		}
		r.Forward(logits, a.input)
		done()
		n, share := o.record(imagenet.Verdict(logits) == a.class)
		if err := check(n, share); err != nil {
			return err
		}
	}
	return nil
}

func (o *Observer) record(equal bool) (n int, share float64) {
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

// checkAdoption decides when all pictures have been compared whether the other precision is adopted.
func (o *Observer) checkAdoption(_ int, _ float64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	share := float64(o.status.Equal) / float64(o.status.Compared)
	o.status.Agreement = share
	if o.status.Compared < o.cfg.Pictures || share >= o.cfg.Agreement {
		return nil
	}
	return fmt.Errorf("%s agreed with fp32 on %.1f %% of %d labels, wanted %.1f %%", o.precision, 100*share, o.status.Compared, 100*o.cfg.Agreement)
}

// checkDrift decides after adoption whether it is withdrawn. A share slightly below the wanted one may be chance, so it
// must be three standard deviations below.
func (o *Observer) checkDrift(n int, share float64) error {
	p := o.cfg.Agreement
	if n < checks/2 || share >= p-3*math.Sqrt(p*(1-p)/float64(n)) {
		return nil
	}
	return fmt.Errorf("%s agreed with fp32 on %.1f %% of the last %d labels checked, wanted %.1f %%", o.precision, 100*share, n, 100*p)
}
