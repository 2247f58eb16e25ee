package resnet

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

const features = spec.Features // channels of the last convolution

// shape is what the architecture says of one convolution.
type shape struct {
	name    string // torchvision's: "layer2.0.conv1"
	norm    string // of the batch norm that follows it: "layer2.0.bn1"
	in, out int    // channels
	kernel  int    // height and width
	stride  int
	size    int // height and width of the output
}

// macs is the number of multiplications in a direct convolution.
func (s shape) macs() int { return s.size * s.size * s.out * s.in * s.kernel * s.kernel }

// buffer names one of the two activation buffers of a stage.
type buffer struct{ stage, which int }

// operation is one convolution with its place in the forward pass.
type operation struct {
	shape
	from, to buffer // from is meaningless for the stem, which reads the picture
	input    string // name of the operation that writes from; empty for the stem
	residual string // name of the operation whose output is in to and is added; empty if none
}

// signed reports whether outputs can be negative: no ReLU follows a downsampling convolution.
func (o operation) signed() bool { return o.kernel == 1 }

// plan is the network up to its head: its operations in the order of the forward pass. It depends on the size of the
// input only, not on weights or precision.
type plan struct {
	size       int // height and width of the input, a multiple of 32
	operations []operation
}

// resnet18 is the plan of torchvision's input, for what all sizes have in common.
var resnet18 = newPlan(spec.Torchvision().Crop)

// newPlan lays out the stem and four stages of two residual blocks each. Two buffers for each stage are enough: a
// block's output replaces the residual that is added to it.
func newPlan(size int) *plan {
	p := &plan{size: size}
	add := func(o operation) string {
		p.operations = append(p.operations, o)
		return o.name
	}
	in, from := 64, buffer{0, 0}
	before := add(operation{shape: shape{"conv1", "bn1", 3, in, 7, 2, size / 2}, to: from})
	for s := range 4 {
		out, size, x, y := 64<<s, size/4>>s, buffer{s, 0}, buffer{s, 1}
		for b := range 2 {
			prefix, stride := fmt.Sprintf("layer%d.%d.", s+1, b), 1
			if out != in {
				stride = 2
			}
			conv1 := add(operation{shape{prefix + "conv1", prefix + "bn1", in, out, 3, stride, size}, from, y, before, ""})
			residual := before
			if out != in {
				residual = add(operation{shape{prefix + "downsample.0", prefix + "downsample.1", in, out, 1, 2, size}, from, x, before, ""})
			}
			before = add(operation{shape{prefix + "conv2", prefix + "bn2", out, out, 3, 1, size}, y, x, conv1, residual})
			in, from = out, x
		}
	}
	return p
}

func (p *plan) stem() operation { return p.operations[0] }

// last is the operation whose output the head pools.
func (p *plan) last() operation { return p.operations[len(p.operations)-1] }
