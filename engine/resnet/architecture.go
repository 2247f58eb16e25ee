package resnet

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
)

const (
	// Size is the height and width of the input in pixels.
	Size = 224
	// Pixels is the length of an input: Size rows of Size pixels, red, green and blue.
	Pixels = Size * Size * 3
	// Classes is the number of logits.
	Classes = 1000

	features = 512 // channels of the last convolution
)

// Normalisation that torchvision's weights expect: (x/255 - mean) / deviation for each colour.
var mean, deviation = imagenet.Mean, imagenet.Deviation

// shape is what the architecture says of one convolution.
type shape struct {
	name    string // torchvision's: "layer2.0.conv1"
	norm    string // of the batch norm behind it: "layer2.0.bn1"
	in, out int    // channels
	kernel  int    // height and width
	stride  int
	size    int // height and width of the output
}

// macs is the number of multiplications a direct convolution takes.
func (s shape) macs() int { return s.size * s.size * s.out * s.in * s.kernel * s.kernel }

// block is one residual block: two convolutions around which the input is added, itself or through a 1x1
// convolution where its shape changes.
type block struct {
	conv1, conv2 shape
	downsample   *shape
}

var stem = shape{name: "conv1", norm: "bn1", in: 3, out: 64, kernel: 7, stride: 2, size: 112}

// stages lists the four stages of two blocks each.
func stages() (all [4][2]block) {
	in, out, size := 64, 64, 56
	for s := range all {
		for b := range all[s] {
			prefix := fmt.Sprintf("layer%d.%d.", s+1, b)
			stride := 1
			if s > 0 && b == 0 {
				stride = 2
			}
			blk := block{
				conv1: shape{prefix + "conv1", prefix + "bn1", in, out, 3, stride, size},
				conv2: shape{prefix + "conv2", prefix + "bn2", out, out, 3, 1, size},
			}
			if stride == 2 {
				blk.downsample = &shape{prefix + "downsample.0", prefix + "downsample.1", in, out, 1, 2, size}
			}
			all[s][b] = blk
			in = out
		}
		out, size = 2*out, size/2
	}
	return all
}

// convolutions lists all twenty, in the order of the forward pass.
func convolutions() []shape {
	all := []shape{stem}
	for _, stage := range stages() {
		for _, b := range stage {
			all = append(all, b.conv1)
			if b.downsample != nil {
				all = append(all, *b.downsample)
			}
			all = append(all, b.conv2)
		}
	}
	return all
}
