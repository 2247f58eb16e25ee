package resnet

import (
	"sync"
	"sync/atomic"
	"time"
)

// Runner owns the memory of one forward pass, some 8 MB (1.5 in int8), and the goroutines that share its work. It is not
// for concurrent use.
type Runner struct {
	network *Network
	rgb     *[Pixels]byte
	logits  [paddedClasses]float32

	stems     []*stemScratch // by worker
	stemZeros []float32      // a row outside the picture, and one above the stem's first
	stages    [4][2]activations
	// The same in bytes, of an int8 network, whose runners have none of the floats above.
	input8     []uint8
	stemRows8  [][][]uint8
	stemZeros8 []uint8
	stages8    [4][2]activations8
	scratch8   []scratch[int16, int32]
	wide8      [][]int8 // by worker: the weights it works with, as kernel8.Set.Widen makes them

	scratch  []scratch[float32, float32] // by worker; the first's is large enough for all to share
	features []float32                   // mean of each channel
	zeros    []float32                   // a bias of nothing

	workers int
	barrier barrier
	closed  bool           // tells workers that wait for a pass to end; set before the barrier opens
	ended   sync.WaitGroup // of the workers but the first, which is the caller

	profile []time.Duration // time of each step, when wanted
	observe func(name string, values []float32)
}

// buffer names one of the two buffers of a stage.
type buffer struct{ stage, which int }

func (b buffer) channels() int { return 64 << b.stage }

// activations is one buffer: pixels with channels last, inside a border of zeros that is one pixel wide on
// the upper and left side, and wide enough for the last tile on the others.
type activations struct {
	data     []float32
	size     int // height and width without border
	side     int // with border
	channels int
}

func newActivations(size, channels int) activations {
	side := (size+3)/4*4 + 2
	return activations{make([]float32, side*side*channels), size, side, channels}
}

// at is where the pixel in row y and column x begins; -1 is in the border.
func (a *activations) at(y, x int) int { return ((y+1)*a.side + x + 1) * a.channels }

func (a *activations) rowStride() int { return a.side * a.channels }

// NewRunner makes a runner whose passes use so many threads, at least 1, the caller's among them. With more
// than one, Close must be called when it is not needed any more.
func (n *Network) NewRunner(threads int) *Runner {
	r := n.newRunner(max(1, threads))
	if n.kernels8 != nil {
		r.takeBytes()
	} else {
		r.takeFloats()
	}
	r.start()
	return r
}

// Join makes a runner with as many threads as there are runners of n, at least one, in their memory: neither they nor it
// may be at work while the other is. It must be closed, as they must.
func (n *Network) Join(runners []*Runner) *Runner {
	r, first := n.newRunner(len(runners)), runners[0]
	r.stemZeros, r.stages = first.stemZeros, first.stages
	r.input8, r.stemZeros8, r.stages8 = first.input8, first.stemZeros8, first.stages8
	for _, each := range runners {
		r.stems, r.scratch = append(r.stems, each.stems...), append(r.scratch, each.scratch...)
		r.stemRows8, r.scratch8 = append(r.stemRows8, each.stemRows8...), append(r.scratch8, each.scratch8...)
		r.wide8 = append(r.wide8, each.wide8...)
	}
	r.start()
	return r
}

// newRunner makes a runner without the memory of a precision.
func (n *Network) newRunner(workers int) *Runner {
	r := &Runner{network: n, features: make([]float32, features), zeros: make([]float32, features), workers: workers}
	r.barrier.parties = int32(workers)
	r.barrier.wake.L = &r.barrier.mu
	return r
}

// start starts the workers but the first.
func (r *Runner) start() {
	for worker := 1; worker < r.workers; worker++ {
		r.ended.Go(func() {
			for r.barrier.wait(idleSpins); !r.closed; r.barrier.wait(idleSpins) {
				r.pass(worker)
			}
		})
	}
}

// takeFloats makes the memory of an fp32 pass.
func (r *Runner) takeFloats() {
	r.stemZeros = make([]float32, rowFloats)
	for s := range r.stages {
		for i := range r.stages[s] {
			r.stages[s][i] = newActivations(56>>s, 64<<s)
		}
	}
	for worker := range r.workers {
		v, m := r.network.scratch(worker)
		r.scratch = append(r.scratch, scratch[float32, float32]{make([]float32, v), make([]float32, m)})
		r.stems = append(r.stems, newStemScratch())
	}
}

// takeBytes makes the memory of an int8 pass.
func (r *Runner) takeBytes() {
	r.input8 = make([]uint8, inputBytes)
	r.stemZeros8 = make([]uint8, rowFloats)
	for s := range r.stages8 {
		for i := range r.stages8[s] {
			r.stages8[s][i] = newActivations8(56>>s, 64<<s)
		}
	}
	for worker := range r.workers {
		v, m := r.network.scratch(worker)
		r.scratch8 = append(r.scratch8, scratch[int16, int32]{make([]int16, v), make([]int32, m)})
		r.wide8 = append(r.wide8, make([]int8, r.network.kernels8.Room(r.network.widest())))
		r.stemRows8 = append(r.stemRows8, [][]uint8{
			make([]uint8, rowFloats), make([]uint8, rowFloats), make([]uint8, rowFloats)})
	}
}

// Close ends the runner's goroutines and waits for them. The runner must not be used after it.
func (r *Runner) Close() {
	r.closed = true
	r.barrier.wait(spins)
	r.ended.Wait()
}

// Forward computes the logits of one picture: Size rows of Size pixels from top to bottom, red, green and
// blue, 0..255. It allocates nothing.
func (r *Runner) Forward(logits *[Classes]float32, rgb *[Pixels]byte) {
	r.rgb = rgb
	r.barrier.wait(spins)
	r.pass(0)
	r.rgb = nil
	copy(logits[:], r.logits[:])
}

// Observe is Forward of an fp32 network that shows what each convolution put out, for calibration: f gets the name and,
// row by row, the values with channels last; of the stem after pooling, of the others after all that is fused with
// them. f may change the values, and the pass goes on with the changed ones. The slices are valid during the call.
func (r *Runner) Observe(logits *[Classes]float32, rgb *[Pixels]byte, f func(name string, values []float32)) {
	r.observe = f
	defer func() { r.observe = nil }()
	r.Forward(logits, rgb)
}

// show passes a step's output to the observer.
func (r *Runner) show(s step) {
	var at buffer
	switch s := s.(type) {
	case *stemStep:
		at = buffer{0, 0}
	case *direct:
		at = s.out
	case *winograd:
		at = s.out
	default:
		return
	}
	a := r.buffer(at)
	for y := range a.size {
		r.observe(s.layer().Name, a.data[a.at(y, 0):][:a.size*a.channels])
	}
}

// Profile is Forward that also says how long each of the network's Layers took.
func (r *Runner) Profile(logits *[Classes]float32, rgb *[Pixels]byte) []time.Duration {
	r.profile = make([]time.Duration, len(r.network.steps))
	defer func() { r.profile = nil }()
	r.Forward(logits, rgb)
	return r.profile
}

// pass is one worker's part of the forward pass.
func (r *Runner) pass(worker int) {
	for i, s := range r.network.steps {
		var start time.Time
		timed := worker == 0 && r.profile != nil
		if timed {
			start = time.Now()
		}
		s.run(r, worker)
		r.barrier.wait(spins)
		if timed {
			r.profile[i] = time.Since(start)
		}
		if r.observe != nil {
			if worker == 0 {
				r.show(s)
			}
			r.barrier.wait(spins)
		}
	}
}

// share is a worker's part of n things: those from first to end.
func (r *Runner) share(n, worker int) (first, end int) {
	return n * worker / r.workers, n * (worker + 1) / r.workers
}

func (r *Runner) buffer(b buffer) *activations { return &r.stages[b.stage][b.which] }

// scratch is memory for a Winograd layer's transformed input and sums.
type scratch[V, M any] struct {
	v []V
	m []M
}

// barrier makes workers wait for each other. Steps take tens of microseconds, about what it takes to park and
// wake a goroutine, so it spins; but not for long, as the worker that is waited for may have lost its CPU to
// another process, and would get it back sooner from a waiter that sleeps.
type barrier struct {
	parties int32
	arrived atomic.Int32
	passed  atomic.Uint32 // times that all had arrived

	asleep atomic.Int32 // workers in or before wake.Wait
	mu     sync.Mutex
	wake   sync.Cond // on mu: passed has changed
}

// spins is how often to look before sleeping: about a millisecond. Much less, and a worker that slept comes back so
// late that the next one falls asleep waiting for it, and so on through the whole pass.
const spins = 1 << 20

// yieldEvery is how often to look before offering the CPU to another thread, some ten microseconds: it may be the one
// that is waited for.
const yieldEvery = 1 << 13

// idleSpins is how often to look for the next pass before sleeping: a few dozen microseconds, about what waking takes.
// Images that follow each other closely then find all workers awake.
const idleSpins = 1 << 15

func (b *barrier) wait(spins int) {
	if b.parties == 1 {
		return
	}
	passed := b.passed.Load()
	if b.arrived.Add(1) == b.parties {
		b.arrived.Store(0)
		b.passed.Add(1)
		// A worker counts itself asleep before it looks at passed for the last time, so either it sees the new
		// value or this sees it asleep.
		if b.asleep.Load() > 0 {
			b.mu.Lock()
			b.mu.Unlock() //nolint:staticcheck // it is in Wait now, or has seen the new value
			b.wake.Broadcast()
		}
		return
	}
	for i := range spins {
		if b.passed.Load() != passed {
			return
		}
		if i%yieldEvery == yieldEvery-1 {
			yield()
		}
	}
	b.asleep.Add(1)
	b.mu.Lock()
	for b.passed.Load() == passed {
		b.wake.Wait()
	}
	b.mu.Unlock()
	b.asleep.Add(-1)
}
