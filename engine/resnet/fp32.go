package resnet

import (
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// fp32 is arithmetic in float32.
type fp32 struct {
	*Params
	kernels *kernel.Set
}

type (
	fp32Pass = pass[float32, float32, float32]
	fp32Step = step[float32, float32, float32]
)

func (p *Params) network(level cpu.Level, work *packing) *Network {
	return build(newPlan(p.spec.Preprocess.Crop), p.top, fp32{p, kernel.For(level)}, work)
}

func (f fp32) name() string { return "fp32" }

func (f fp32) level() cpu.Level { return f.kernels.Level }

func (f fp32) tile() int { return kernel.F4.Height }

func (f fp32) tail(int) int { return 0 }

func (f fp32) stem(work *packing, o operation) fp32Step {
	return newStem(work, f.kernels, o, f.convs[o.name], f.spec.Preprocess)
}

func (f fp32) head(work *packing, p *plan) []fp32Step {
	return newHead[float32, float32, float32](work, f.kernels, f.top, p, 1)
}

// convolution uses the algorithm that measured best for the shape.
func (f fp32) convolution(work *packing, o operation) fp32Step {
	c := f.convs[o.name]
	w := winogradFor(f.kernels, o.shape)
	if w == nil {
		return newDirect(work, f.kernels, o, c)
	}
	filter := newFilter(work, f.kernels, w, o, c)
	if a := trimmedFor(f.kernels, w, o.size); a != nil {
		return newTrimmed(filter, a, o)
	}
	return newWinogradStep(o, filter)
}

// winogradFor chooses a convolution's Winograd algorithm; nil if direct multiplication is faster, as for few tiles with stride 2, except
// with AVX2, whose last tiles can be smaller. Where F4 would read 38 MB of weights a layer for a few tiles, AVX-512, which multiplies so fast
// that memory bounds it, uses the algorithm with the fewest. So does AVX2, and so do all at 4x4 and 5x5, where tiles of four rows are few or
// reach beyond the edge.
//
// See docs/decisions/0101-a-plan-for-each-size.md and docs/decisions/0173-the-last-tiles-are-smaller.md.
func winogradFor(k *kernel.Set, s shape) *kernel.Winograd {
	wide := k.NR > 16
	switch {
	case s.kernel != 3, s.stride == 2 && (wide || s.size < 5 || s.size < 8 && k.Level != cpu.AVX2):
		return nil // few tiles for many weights
	case s.stride == 2:
		return kernel.Stride2
	case s.size >= 14:
		return kernel.F4
	case wide, s.size < 6, k.Level == cpu.AVX2 && s.size <= 8:
		return kernel.F2
	default:
		return kernel.F4x2
	}
}
