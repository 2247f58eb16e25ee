package resnet

import (
	"fmt"
	"sync"
	"time"
)

// Runner owns the memory of one forward pass, some 6 MB (3 in int8), and the goroutines that share its work. It is not
// safe for concurrent use.
type Runner struct {
	team    team
	input   int // length of an input
	classes int
	layers  []Layer
	pass    execution

	closed bool           // tells workers that wait for a pass to end; set before the barrier opens
	ended  sync.WaitGroup // of the workers except the first, which is the caller

	profile []time.Duration // time of each layer; nil if not wanted
	observe func(name string, values []float32)
}

// team is a runner's workers and what they share whatever the precision.
type team struct {
	workers int
	barrier barrier

	rgb      []byte
	values   [][]float32 // what the head pools, then the outputs of each of its layers, padded to whole panels of weights
	scaled   []float32   // what the head pools, scaled to Head.Normalize
	features []float32   // mean of each channel: the last of what the head pools
}

// share is a worker's part of n things: those from first to end.
func (t *team) share(n, worker int) (first, end int) {
	return n * worker / t.workers, n * (worker + 1) / t.workers
}

func (t *team) wait() { t.barrier.wait(spins) }

// NewRunner makes a runner whose passes use the given number of threads, at least 1, including the caller's. With more
// than one, Close must be called when it is no longer needed.
func (n *Network) NewRunner(threads int) *Runner { return n.newRunner(max(1, threads), nil) }

// Join makes a runner that works in the memory of others of the same network, with one thread for each of them. It and
// they must not be in use at the same time. Close it before or after them.
func (n *Network) Join(runners []*Runner) *Runner { return n.newRunner(len(runners), runners) }

func (n *Network) newRunner(workers int, of []*Runner) *Runner {
	const panel = 64 // a multiple of the columns of every kernel
	r := &Runner{input: n.InputBytes(), classes: n.Classes(), layers: n.layers, team: team{workers: workers}}
	for _, width := range n.widths {
		r.team.values = append(r.team.values, make([]float32, (width+panel-1)/panel*panel))
	}
	r.team.scaled = make([]float32, len(r.team.values[0]))
	r.team.features = r.team.values[0][n.widths[0]-features:]
	r.team.barrier.init(workers)
	r.pass = n.program.newPass(&r.team, of)
	for worker := 1; worker < workers; worker++ {
		r.ended.Go(func() {
			for r.team.barrier.wait(idleSpins); !r.closed; r.team.barrier.wait(idleSpins) {
				r.work(worker)
			}
		})
	}
	return r
}

// Close ends the runner's goroutines and waits for them. The runner must not be used afterwards.
func (r *Runner) Close() {
	r.closed = true
	r.team.wait()
	r.ended.Wait()
}

// Forward computes the logits of one picture, Network.Classes of them, from Network.InputBytes bytes: rows of pixels from
// top to bottom, red, green and blue, 0..255. It panics if a slice has another length. It allocates nothing.
func (r *Runner) Forward(logits []float32, rgb []byte) {
	if len(rgb) != r.input || len(logits) != r.classes {
		panic(fmt.Sprintf("resnet: %d logits of %d bytes, want %d of %d", len(logits), len(rgb), r.classes, r.input))
	}
	r.team.rgb = rgb
	r.team.wait()
	r.work(0)
	r.team.rgb = nil
	copy(logits, r.team.values[len(r.team.values)-1])
}

// Features is the 512 means of the last convolution's channels in the last pass, whatever the head makes of them: what
// embeddings are. It is valid until the next pass.
func (r *Runner) Features() []float32 { return r.team.features }

// Observe is Forward of an fp32 network that also passes each convolution's output to f, for calibration: its name and,
// row by row, the values with channels last. The stem's output is that after pooling, the others' that after all that
// is fused with them. f may change the values, and the pass continues with the changed ones. The slices are valid
// during the call.
func (r *Runner) Observe(logits []float32, rgb []byte, f func(name string, values []float32)) {
	r.observe = f
	defer func() { r.observe = nil }()
	r.Forward(logits, rgb)
}

// Profile is Forward that also returns how long each of the network's Layers took.
func (r *Runner) Profile(logits []float32, rgb []byte) []time.Duration {
	r.profile = make([]time.Duration, len(r.layers))
	defer func() { r.profile = nil }()
	r.Forward(logits, rgb)
	return r.profile
}

// work is one worker's part of the forward pass.
func (r *Runner) work(worker int) {
	for step := range r.layers {
		var start time.Time
		timed := worker == 0 && r.profile != nil
		if timed {
			start = time.Now()
		}
		r.pass.run(step, worker)
		r.team.wait()
		if timed {
			r.profile[step] = time.Since(start)
		}
		if r.observe != nil {
			if worker == 0 {
				r.pass.show(step, r.observe)
			}
			r.team.wait()
		}
	}
}
