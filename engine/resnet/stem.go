package resnet

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// The stem's input has a border of three pixels on either side, for its 7x7 kernel.
const (
	inputSide   = Size + 6
	inputStride = 3 * inputSide
	// rowFloats is a row of the stem's output with the left border that pooling wants.
	rowFloats = (112 + 1) * 64
)

// stemStep is normalisation, the 7x7 stride-2 convolution, ReLU and the 3x3 stride-2 maximum. Pooling follows
// the convolution three rows behind, so that its 3 MB never leave the cache.
type stemStep struct {
	b, bias []float32
	lookup  [256][3]float32 // normalised value of a byte, by colour
}

func newStem(p *packing, k *kernel.Set, c conv) *stemStep {
	s := &stemStep{b: p.direct(k, c, stem.in, stem.kernel*stem.kernel), bias: slices.Clone(c.bias)}
	for x := range s.lookup {
		for colour := range s.lookup[x] {
			s.lookup[x][colour] = float32((float64(x)/255 - mean[colour]) / deviation[colour])
		}
	}
	return s
}

func (s *stemStep) layer() Layer { return Layer{stem.name, "direct", stem.macs()} }

func (s *stemStep) run(r *Runner, worker int) {
	first, end := r.share(Size, worker)
	for y := first; y < end; y++ {
		s.normalise(r.input[(y+3)*inputStride+9:], r.rgb[y*Size*3:])
	}
	r.barrier.wait(spins)

	out := r.buffer(buffer{0, 0})
	rows := r.stemRows[worker]
	row := func(y int) []float32 {
		if y < 0 {
			return r.stemZeros // ReLU leaves nothing below zero, so zeros never win
		}
		return rows[y%3]
	}
	first, end = r.share(stem.size/2, worker)
	for y := first; y < end; y++ {
		next := 2 * y // rows 2y-1, 2y and 2y+1 are needed, the first of them by the row before too
		if y == first && y > 0 {
			next--
		}
		for ; next <= 2*y+1; next++ {
			s.convolve(r, row(next)[64:], next)
		}
		r.network.kernels.MaxPool(out.data[out.at(y, 0):], row(2*y-1), row(2*y), row(2*y+1), stem.size/2, stem.out)
	}
}

func (s *stemStep) normalise(to []float32, rgb []byte) {
	to = to[:Size*3]
	rgb = rgb[:Size*3]
	for i := 0; i+2 < len(rgb) && i+2 < len(to); i += 3 {
		to[i] = s.lookup[rgb[i]][0]
		to[i+1] = s.lookup[rgb[i+1]][1]
		to[i+2] = s.lookup[rgb[i+2]][2]
	}
}

// convolve computes one row of the convolution.
func (s *stemStep) convolve(r *Runner, to []float32, y int) {
	k := r.network.kernels
	const deep = 7 * 3
	k.Multiply(stem.size, stem.out/k.Columns, to, stem.out, r.input[2*y*inputStride:], 2*3, inputStride, 7, deep, s.b, s.bias, nil, true, nil)
}
