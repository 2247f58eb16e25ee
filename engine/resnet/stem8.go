package resnet

import (
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// stemRounded is the stem in float32, whose outputs become bytes: where products of bytes cost as much as those of floats, it
// is faster, as it takes fewer of them.
type stemRounded struct {
	*stem
	kernels *kernel8.Set
}

// newStemRounded makes a stem that computes in steps of its outputs' bytes.
func newStemRounded(work *packing, k *kernel.Set, k8 *kernel8.Set, o operation, c conv8, pre spec.Preprocess) *stemRounded {
	each := len(c.weight) / o.out
	floats := conv{weight: make([]float32, len(c.weight)), bias: make([]float32, o.out)}
	for i, w := range c.weight {
		color := i / (o.kernel * o.kernel) % o.in
		floats.weight[i] = float32(float64(w) * float64(c.scale[i/each]) * 255 * pre.Deviation[color] / float64(c.output))
	}
	for i, b := range c.bias {
		floats.bias[i] = b / c.output
	}
	return &stemRounded{newStem(work, k, o, floats, pre), k8}
}

func (s *stemRounded) needs(int) needs {
	n := s.space()
	n.pooled = s.size / 2 * s.out
	return needs{stem: n}
}

// run computes a worker's part of the pooled rows.
func (s *stemRounded) run(p *int8Pass, worker int) {
	first, end := p.share(s.size/2, worker)
	w, out := &p.workspaces[worker].stem, p.buffer(s.to)
	s.rows(w, p.rgb, first, end, func(y int, r0, r1, r2 []float32) {
		s.stem.kernels.MaxPool(w.pooled, r0, r1, r2, s.size/2, s.out)
		s.kernels.Round(out.data[out.at(y, 0):], w.pooled)
	})
}

// stem8 is the 7x7 convolution of raw pixels and the 3x3 maximum. Outside the picture normalized values are zero, and
// so contribute nothing to the bias; bytes there are zero and contribute nothing to the sum. So the bias depends on how
// many taps are outside: there are four kinds of rows, and in each the columns have their own.
type stem8 struct {
	operation
	kernels  *kernel8.Set
	geometry kernel8.Geometry
	w        []int8
	mul      []float32
	bias     [4][]float32 // by kind of row: [column][channel]
	zeros    []uint8      // the row above the first row of outputs
}

func newStem8(work *packing, k *kernel8.Set, o operation, c conv8, pre spec.Preprocess) *stem8 {
	s := &stem8{operation: o, kernels: k, zeros: make([]uint8, stemRow(o))}
	width := o.kernel * o.in
	s.geometry = kernel8.Geometry{Rows: o.kernel, Steps: (width + 3) / 4, RowStride: inputStride(o.size), PixelStride: o.stride * o.in,
		DstStride: o.out, BiasStride: o.out, Width: o.size}
	s.w, _ = bytePanels(work, k, c, o.shape, s.geometry)
	s.mul = make([]float32, o.out)
	for i := range s.mul {
		s.mul[i] = c.scale[i] / c.output
	}
	for kind, y := range []int{0, 1, 2, o.size - 1} {
		s.bias[kind] = stemBias(o, c, y, pre.Mean)
	}
	return s
}

// stemBias is the biases in row y, [column][channel], with room for a whole number of tiles.
func stemBias(s operation, c conv8, y int, mean [3]float64) []float32 {
	inside := func(i int) bool { return i >= 0 && i < 2*s.size }
	biases := make([]float32, (s.size+kernel8.Behind(s.size))*s.out)
	for o := range s.out {
		var means [7][7]float64 // what each tap adds for the mean of the pixels
		for row := range means {
			for column := range means[row] {
				for color := range mean {
					means[row][column] += float64(c.weight[((o*3+color)*7+row)*7+column]) * float64(c.scale[o]) * 255 * mean[color]
				}
			}
		}
		for x := range s.size {
			bias := float64(c.bias[o])
			for row := range means {
				for column, m := range means[row] {
					if inside(2*y+row-stemBorder) && inside(2*x+column-stemBorder) {
						bias -= m
					}
				}
			}
			biases[x*s.out+o] = float32(bias / float64(c.output))
		}
	}
	return biases
}

// rowBias is the bias of row y.
func (s *stem8) rowBias(y int) []float32 {
	if y == s.size-1 {
		return s.bias[3]
	}
	return s.bias[min(y, 2)]
}

func (s *stem8) algorithm() string { return "direct" }

// needs: the input is the picture with its border, and a few bytes more that the last tile reads.
func (s *stem8) needs(int) needs {
	return needs{input: (2*s.size+2*stemBorder)*inputStride(s.size) + 4 + kernel8.Behind(s.size)*s.geometry.PixelStride,
		row: stemRow(s.operation), ring: stemRing, wide: s.kernels.Room(len(s.w)), rest: kernel8.RestBytes(s.size)}
}

// run computes a worker's part of the pooled rows, each of which needs three rows of the convolution, the first of them
// in common with the row before.
func (s *stem8) run(p *int8Pass, worker int) {
	first, end := p.share(s.size/2, worker)
	if first == end {
		return
	}
	m, out := &p.workspaces[worker], p.buffer(s.to)
	row := func(y int) []uint8 {
		if y < 0 {
			return s.zeros
		}
		return m.rows[y%stemRing]
	}
	y := max(0, 2*first-1)
	s.input(p, worker, 2*y-stemBorder, 2*2*end+stemBorder)
	w := s.kernels.Widen(m.wide, s.w)
	for ; y < 2*end; y++ {
		s.convolve(m, w, row(y)[s.out:], y)
		if y%2 == 1 && y/2 >= first {
			s.kernels.MaxPool(out.data[out.at(y/2, 0):], row(y-2), row(y-1), row(y), s.size/2)
		}
	}
}

// input copies the picture's rows from first to end into the border.
func (s *stem8) input(p *int8Pass, worker, first, end int) {
	to, width := p.workspaces[worker].input, 2*s.size*3
	for y := max(0, first); y < min(end, 2*s.size); y++ {
		copy(to[(y+stemBorder)*inputStride(s.size)+3*stemBorder:], p.rgb[y*width:][:width])
	}
}

func (s *stem8) convolve(m *workspace[uint8, int16, int32], w []int8, to []uint8, y int) {
	k := s.kernels
	panels := s.out / k.Channels
	each, bias := len(w)/panels, s.rowBias(y)
	for panel := range panels {
		c := panel * k.Channels
		k.Convolve(kernel8.Convolution{
			Geometry: s.geometry, Lines: 1, Dst: to[c:], Src: m.input[2*y*inputStride(s.size):], W: w[panel*each:], Mul: s.mul[c:],
			Bias: bias[c:], Rest: m.rest,
		})
	}
}
