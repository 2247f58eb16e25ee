package resnet

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// Network is ResNet-18 packed for the kernels of this CPU. It is read-only, safe for concurrent use, and
// shared by its Runners.
type Network struct {
	precision string
	level     cpu.Level
	spec      spec.Model
	widths    []int // numbers that the head works with: what it pools, then the outputs of each of its layers
	layers    []Layer
	program   program
}

// Layer describes one step of the forward pass for measurements.
type Layer struct {
	Name      string // torchvision's name of the convolution: "layer1.0.conv1"; "fc", "fc.0", "fc.1" or "avgpool" in the head
	Algorithm string // "direct", or "winograd4" and so on
	MACs      int    // multiplications of a direct computation, whatever the algorithm does
}

// Weights is what New packs: *[Params] makes an fp32 network, *[Quantized] an int8 one.
type Weights interface {
	network(level cpu.Level, work *packing) *Network
}

// New packs weights for the kernels of this CPU, at the level that RESNET18_CPU names if it is set. Packed weights go
// to m, or to the heap if m is nil; if m holds them already, they are only read. The weights are not kept. An error
// says that this CPU has no such level, or is [ErrMemory].
func New(w Weights, m *Memory) (*Network, error) {
	level, err := cpu.Best()
	if err != nil {
		return nil, fmt.Errorf("choose kernels: %w", err)
	}
	work := packing{memory: m}
	n := w.network(level, &work)
	return n, work.finish()
}

// Kernels names the level of the kernels in use: "avx512", "avx2", "generic" and so on.
func (n *Network) Kernels() string { return n.level.String() }

// Precision is the arithmetic of the convolutions: "fp32" or "int8".
func (n *Network) Precision() string { return n.precision }

// Spec describes the model.
func (n *Network) Spec() spec.Model { return n.spec }

// Size is the height and width of the input in pixels, a multiple of 32.
func (n *Network) Size() int { return n.spec.Preprocess.Crop }

// InputBytes is the length of an input: Size rows of Size pixels, red, green and blue.
func (n *Network) InputBytes() int { return 3 * n.Size() * n.Size() }

// Classes is the number of logits; 0 if the model has features only.
func (n *Network) Classes() int { return n.spec.Head.Classes }

// Layers lists the steps of the forward pass in order, as Runner.Profile times them.
func (n *Network) Layers() []Layer { return n.layers }

// precision makes the steps of a network in one arithmetic. A is the type of an activation; V and S are those of a
// Winograd layer's transformed input and of its sums.
type precision[A activation, V, S number] interface {
	name() string
	level() cpu.Level
	// tile is the largest height and width of outputs that a kernel computes together.
	tile() int
	// tail is how many pixels behind the last one of an activation of the given height and width kernels may read.
	tail(size int) int
	stem(work *packing, o operation) step[A, V, S]
	convolution(work *packing, o operation) step[A, V, S]
	head(work *packing, p *plan) []step[A, V, S]
}

// step is one part of the forward pass. Every worker of a runner calls run with its number. A step waits at the
// barrier where workers need each other's results, and Forward does so after each step.
type step[A activation, V, S number] interface {
	run(p *pass[A, V, S], worker int)
	needs(worker int) needs
	algorithm() string
}

// build makes the steps of a plan and of a head. Their weights are in place when work is finished.
func build[A activation, V, S number](p *plan, t top, how precision[A, V, S], work *packing) *Network {
	list := []step[A, V, S]{how.stem(work, p.stem())}
	for _, o := range p.operations[1:] {
		list = append(list, how.convolution(work, o))
	}
	var layers []Layer
	for i, o := range p.operations {
		layers = append(layers, Layer{o.name, list[i].algorithm(), o.macs()})
	}
	m := t.spec
	m.Preprocess.Crop = p.size
	return &Network{precision: how.name(), level: how.level(), spec: m, widths: t.widths(), layers: append(layers, t.steps()...),
		program: &steps[A, V, S]{p, how.tile(), how.tail, append(list, how.head(work, p)...)}}
}
