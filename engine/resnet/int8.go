package resnet

import (
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
)

// int8s is arithmetic on bytes; the head stays in float32.
type int8s struct {
	*Quantized
	kernels  *kernel.Set
	kernels8 *kernel8.Set
}

type (
	int8Pass = pass[uint8, int16, int32]
	int8Step = step[uint8, int16, int32]
)

func (q *Quantized) network(level cpu.Level, work *packing) *Network {
	return build(newPlan(q.spec.Preprocess.Crop), q.top, int8s{q, kernel.For(level), kernel8.For(level)}, work)
}

func (b int8s) name() string { return "int8" }

func (b int8s) level() cpu.Level { return b.kernels8.Level }

// tile8 is the largest height and width of a tile's outputs.
var tile8 = kernel.F4.Height

func (b int8s) tile() int { return tile8 }

// tail is what the last tile of a row reads behind it, at stride 1 or 2.
func (b int8s) tail(size int) int { return max(kernel8.Behind(size), 2*kernel8.Behind(size/2)) }

func (b int8s) stem(work *packing, o operation) int8Step {
	if b.kernels8.F4 != nil {
		return newStemRounded(work, b.kernels, b.kernels8, o, b.convs[o.name], b.spec.Preprocess)
	}
	return newStem8(work, b.kernels8, o, b.convs[o.name], b.spec.Preprocess)
}

func (b int8s) head(work *packing, p *plan) []int8Step {
	return newHead[uint8, int16, int32](work, b.kernels, b.top, p, b.convs[p.last().name].output)
}

// convolution uses the algorithm that measured best for the shape.
func (b int8s) convolution(work *packing, o operation) int8Step {
	c, f := b.convs[o.name], newFinish(o, b.convs)
	if w := winograd8For(b.kernels8, o.shape); w != nil {
		return newWinogradStep(o, newFilter8(work, w, o, c, f))
	}
	return newDirect8(work, b.kernels8, o, c, f)
}

// winograd8For chooses a convolution's Winograd algorithm; nil if direct multiplication is faster. In layer4 F2 is as fast
// as F4 and has less than half of its weights, 8 MB a layer.
//
// See docs/decisions/0149-winograd-in-16-bits.md.
func winograd8For(k *kernel8.Set, s shape) *kernel8.Winograd {
	switch {
	case s.kernel != 3:
		return nil
	case s.stride == 2:
		return k.Stride2
	case s.size < 8:
		return k.F2
	default:
		return k.F4
	}
}

// zeroPoint is the byte that stands for zero in an operation's output.
func zeroPoint(signed bool) float32 {
	if signed {
		return 128
	}
	return 0
}

// finish is how a convolution's sums become bytes: sum*mul + bias + residual*residualMul, rounded.
type finish struct {
	mul, bias   []float32 // by output channel
	residual    bool      // add what the output's buffer holds
	residualMul float32
}

func newFinish(o operation, convs map[string]conv8) finish {
	c, in := convs[o.name], convs[o.input].output
	f := finish{mul: make([]float32, len(c.scale)), bias: make([]float32, len(c.scale)), residual: o.residual != ""}
	for i := range f.mul {
		f.mul[i] = in * c.scale[i] / c.output
		f.bias[i] = c.bias[i]/c.output + zeroPoint(o.signed())
	}
	if f.residual {
		f.residualMul = convs[o.residual].output / c.output
		zero := zeroPoint(Signed(o.residual))
		for i := range f.bias {
			f.bias[i] -= zero * f.residualMul
		}
	}
	return f
}

// residualAt is the residual of the outputs that a kernel stores at dst.
func (f *finish) residualAt(dst []uint8) []uint8 {
	if f.residual {
		return dst
	}
	return nil
}

// bytePanels lays 8-bit weights out for the kernels of a geometry, in panels of the given number of bytes.
func bytePanels(work *packing, k *kernel8.Set, c conv8, s shape, g kernel8.Geometry) (w []int8, each int) {
	each = k.Panel(g)
	w = room[int8](work, s.out/k.Channels*each)
	work.add(s.out/k.Channels, func(panel int) {
		k.Pack(w[panel*each:][:each], g, func(channel, row int, to []int8) {
			from := c.weight[(panel*k.Channels+channel)*s.in*s.kernel*s.kernel+row*s.kernel:]
			for column := range s.kernel {
				for i, at := 0, column; i < s.in; i, at = i+1, at+s.kernel*s.kernel {
					to[column*s.in+i] = from[at]
				}
			}
		})
	})
	return w, each
}
