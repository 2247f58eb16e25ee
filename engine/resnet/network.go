package resnet

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
)

// Network is ResNet-18 packed for the kernels of this CPU. It is read-only, safe for concurrent use, and
// shared by its Runners.
type Network struct {
	kernels  *kernel.Set
	kernels8 *kernel8.Set // of an int8 network; nil in others
	steps    []step
}

// step is one part of the forward pass. Every worker of a runner calls run with its number; a step waits at
// the runner's barrier where workers need each other's results, and Forward does so after each step.
type step interface {
	run(r *Runner, worker int)
	layer() Layer
}

// Layer describes one step of the forward pass to those who measure it.
type Layer struct {
	Name      string // torchvision's name of the convolution: "layer1.0.conv1"
	Algorithm string // "direct", or "winograd4" and so on
	MACs      int    // multiplications of a direct computation, whatever the algorithm does
}

// New packs weights for the kernels of this CPU, of the level that RESNET18_CPU names if it is set. An error
// says that this CPU has no such level. p is not kept.
func New(p *Params) (*Network, error) {
	level, err := cpu.Best()
	if err != nil {
		return nil, fmt.Errorf("choose kernels: %w", err)
	}
	return newNetwork(p, kernel.For(level)), nil
}

// NewIn is New with the packed weights in m. If they are there already, they are only read; ErrMemory says that m has not
// the size for them.
func NewIn(p *Params, m *Memory) (*Network, error) {
	level, err := cpu.Best()
	if err != nil {
		return nil, fmt.Errorf("choose kernels: %w", err)
	}
	work := packing{memory: m}
	n := plan(p, kernel.For(level), &work)
	return n, m.fill(&work)
}

// Kernels names the level of the kernels in use: "avx512", "avx2", "generic" and so on.
func (n *Network) Kernels() string {
	if n.kernels8 != nil {
		return n.kernels8.Level.String()
	}
	return n.kernels.Level.String()
}

// Precision is the arithmetic of the convolutions: "fp32" or "int8".
func (n *Network) Precision() string {
	if n.kernels8 != nil {
		return "int8"
	}
	return "fp32"
}

// Layers lists the steps of the forward pass in order, as Runner.Profile times them.
func (n *Network) Layers() []Layer {
	layers := make([]Layer, len(n.steps))
	for i, s := range n.steps {
		layers[i] = s.layer()
	}
	return layers
}

func newNetwork(p *Params, k *kernel.Set) *Network {
	var work packing
	n := plan(p, k, &work)
	work.do()
	return n
}

// plan lays out the steps. Their weights are in place when the work is done.
func plan(p *Params, k *kernel.Set, work *packing) *Network {
	n := &Network{kernels: k}
	n.add(newStem(work, k, p.convs[stem.name]))
	before := buffer{0, 0} // the stem's output
	for s, stage := range stages() {
		// Two buffers are enough: a block's output takes the place of the residual it was added to.
		x, y := buffer{s, 0}, buffer{s, 1}
		for _, b := range stage {
			n.convolve(work, p.convs, b.conv1, before, y, nil, true)
			if b.downsample != nil {
				n.convolve(work, p.convs, *b.downsample, before, x, nil, false)
			}
			n.convolve(work, p.convs, b.conv2, y, x, &x, true)
			before = x
		}
	}
	n.add(newHead(work, k, p.fc, before))
	return n
}

func (n *Network) add(s step) { n.steps = append(n.steps, s) }

// convolve adds the step for one convolution, with the algorithm that measured best for its shape.
func (n *Network) convolve(work *packing, convs map[string]conv, s shape, in, out buffer, residual *buffer, relu bool) {
	c := convs[s.name]
	if w := algorithm(n.kernels, s); w != nil {
		n.add(newWinograd(work, n.kernels, w, s, c, in, out, residual, relu))
	} else {
		n.add(newDirect(work, n.kernels, s, c, in, out, residual, relu))
	}
}

// algorithm is which of Winograd's a convolution has; nil if none. AVX-512 multiplies so fast that it waits for weights
// where they are many: at 7x7, where F4's 38 MB a layer would serve four tiles, it has the algorithm with the fewest.
func algorithm(k *kernel.Set, s shape) *kernel.Winograd {
	wide := k.Columns > 16
	switch {
	case s.kernel != 3, s.stride == 2 && (wide || s.size < 14):
		return nil // at 7x7 every fourth output of stride 2 would be thrown away
	case s.stride == 2:
		return kernel.Stride2
	case s.size >= 14:
		return kernel.F4
	case wide:
		return kernel.F2
	default:
		return kernel.F4x2
	}
}
