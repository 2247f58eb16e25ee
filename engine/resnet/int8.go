package resnet

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
)

// NewInt8 packs quantized weights for the kernels of this CPU, of the level that RESNET18_CPU names if it is set. An
// error says that this CPU has no such level. q is not kept.
func NewInt8(q *Quantized) (*Network, error) {
	level, err := cpu.Best()
	if err != nil {
		return nil, fmt.Errorf("choose kernels: %w", err)
	}
	return newInt8(q, kernel.For(level), kernel8.For(level)), nil
}

// NewInt8In is NewInt8 as NewIn is New.
func NewInt8In(q *Quantized, m *Memory) (*Network, error) {
	level, err := cpu.Best()
	if err != nil {
		return nil, fmt.Errorf("choose kernels: %w", err)
	}
	work := packing{memory: m}
	n := planInt8(q, kernel.For(level), kernel8.For(level), &work)
	return n, m.fill(&work)
}

func newInt8(q *Quantized, k *kernel.Set, k8 *kernel8.Set) *Network {
	var work packing
	n := planInt8(q, k, k8, &work)
	work.do()
	return n
}

func planInt8(q *Quantized, k *kernel.Set, k8 *kernel8.Set, work *packing) *Network {
	n := &Network{kernels: k, kernels8: k8}
	n.add(newStem8(work, k8, q.convs[stem.name]))
	before := tensor8{buffer{0, 0}, q.convs[stem.name].output, 0}
	for s, stage := range stages() {
		for _, b := range stage {
			x := tensor8{at: buffer{s, 0}, scale: before.scale, zero: before.zero}
			y := tensor8{at: buffer{s, 1}, scale: q.convs[b.conv1.name].output}
			n.convolve8(work, b.conv1, q.convs[b.conv1.name], before, y, nil)
			if b.downsample != nil {
				x.scale, x.zero = q.convs[b.downsample.name].output, 128
				n.convolve8(work, *b.downsample, q.convs[b.downsample.name], before, x, nil)
			}
			out := tensor8{at: x.at, scale: q.convs[b.conv2.name].output}
			n.convolve8(work, b.conv2, q.convs[b.conv2.name], y, out, &x)
			before = out
		}
	}
	n.add(newHead8(work, k, q.fc, before))
	return n
}

// convolve8 adds the step for one convolution, with the algorithm that is fastest with these kernels; but at 7x7, where
// Winograd's algorithm gains least and has 25 MB of weights, the one that is smaller.
func (n *Network) convolve8(work *packing, s shape, c conv8, in, out tensor8, residual *tensor8) {
	if w := n.kernels8.Winograd; w != nil && s.kernel == 3 && s.stride == 1 && s.size >= 14 {
		n.add(newWinograd8(work, w, s, c, in, out, residual))
	} else {
		n.add(newDirect8(work, n.kernels8, s, c, in, out, residual))
	}
}

// tensor8 says what the bytes of a buffer mean: (byte - zero) * scale.
type tensor8 struct {
	at    buffer
	scale float32
	zero  float32
}

// activations8 is one buffer of bytes: pixels with channels last, inside a border of zeros that is one pixel wide on the
// upper and left side, and wide enough for the last tile on the others.
type activations8 struct {
	data     []uint8
	size     int // height and width without border
	side     int // with border
	channels int
}

func newActivations8(size, channels int) activations8 {
	side := side8(size)
	return activations8{make([]uint8, side*side*channels), size, side, channels}
}

// side8 is the height and width of a buffer with border.
func side8(size int) int { return (size+kernel8.M-1)/kernel8.M*kernel8.M + 2 }

func (a *activations8) rowStride() int { return a.side * a.channels }

func (r *Runner) buffer8(b buffer) *activations8 { return &r.stages8[b.stage][b.which] }

func (a *activations8) at(y, x int) int { return ((y+1)*a.side + x + 1) * a.channels }

// direct8 is a convolution of bytes.
type direct8 struct {
	shape
	finish8
	in, out      buffer
	geometry     kernel8.Geometry
	w            []int8
	panels, each int // panels of output channels, and packed weights in each
}

// finish8 is what turns a convolution's sums into bytes.
type finish8 struct {
	mul, bias   []float32 // by output channel
	residual    bool      // the output's buffer holds one
	residualMul float32
}

func newFinish8(c conv8, in, out tensor8, residual *tensor8) finish8 {
	f := finish8{mul: make([]float32, len(c.scale)), bias: make([]float32, len(c.scale))}
	for o := range f.mul {
		f.mul[o] = in.scale * c.scale[o] / out.scale
		f.bias[o] = c.bias[o]/out.scale + out.zero
	}
	if residual != nil {
		f.residual, f.residualMul = true, residual.scale/out.scale
		for o := range f.bias {
			f.bias[o] -= residual.zero * f.residualMul
		}
	}
	return f
}

// residualOf is what a kernel is given as the residual of what it will store at dst.
func (f *finish8) residualOf(dst []uint8) []uint8 {
	if f.residual {
		return dst
	}
	return nil
}

func newDirect8(p *packing, k *kernel8.Set, s shape, c conv8, in, out tensor8, residual *tensor8) *direct8 {
	d := &direct8{shape: s, finish8: newFinish8(c, in, out, residual), in: in.at, out: out.at, panels: s.out / k.Channels}
	d.geometry = kernel8.Geometry{
		Rows: s.kernel, Steps: s.kernel * s.in / 4, RowStride: side8(s.size*s.stride) * s.in,
		PixelStride: s.stride * s.in, DstStride: s.out, Tiles: s.size / kernel8.Pixels,
	}
	d.geometry.SrcLine, d.geometry.DstLine = s.stride*d.geometry.RowStride, side8(s.size)*s.out
	d.w, d.each = p.bytes(k, c, s, d.geometry)
	return d
}

func (d *direct8) layer() Layer { return Layer{d.name, "direct", d.macs()} }

// run shares out rows of panels, panel by panel: with many panels each worker streams its own weights, with few they
// share them.
func (d *direct8) run(r *Runner, worker int) {
	k := r.network.kernels8
	in, out := r.buffer8(d.in), r.buffer8(d.out)
	pad := d.kernel / 2
	first, end := r.share(d.panels*d.size, worker)
	for unit, next := first, 0; unit < end; unit = next {
		panel, y := unit/d.size, unit%d.size
		next = min(unit-y+d.size, end) // all of the panel's rows, if they are this worker's
		c := panel * k.Channels
		w := k.Widen(r.wide8[worker], d.w[panel*d.each:][:d.each])
		dst := out.data[out.at(y, 0)+c:]
		k.Convolve(next-unit, dst, in.data[in.at(d.stride*y-pad, -pad):], w, d.geometry, d.mul[c:], d.bias[c:],
			d.residualOf(dst), d.residualMul)
	}
}

// widest is the most weights that a worker has Widen take at a time.
func (n *Network) widest() int {
	most := 0
	for _, s := range n.steps {
		switch s := s.(type) {
		case *stem8:
			most = max(most, len(s.w))
		case *direct8:
			most = max(most, s.each)
		}
	}
	return most
}

// The int8 stem's input has the float one's border, and a few bytes more that its last tile reads.
const inputBytes = inputSide*inputStride + 4

// stem8 is the 7x7 convolution of raw pixels and the 3x3 maximum. Outside the picture normalised values are zero, and
// so contribute nothing to the bias; bytes there are zero and contribute nothing to the sum. So the bias depends on how
// many taps are outside: it has four kinds of rows, and in each the columns' own.
type stem8 struct {
	geometry kernel8.Geometry
	w        []int8
	mul      []float32
	bias     [4][]float32 // by kind of row: [column][channel]
	panels   int
}

func newStem8(p *packing, k *kernel8.Set, c conv8) *stem8 {
	s := &stem8{panels: stem.out / k.Channels}
	const width = 7 * 3
	s.geometry = kernel8.Geometry{Rows: 7, Steps: (width + 3) / 4, RowStride: inputStride, PixelStride: 2 * 3,
		DstStride: stem.out, BiasStride: stem.out, Tiles: stem.size / kernel8.Pixels}
	s.w, _ = p.bytes(k, c, stem, s.geometry)
	s.mul = make([]float32, stem.out)
	for o := range s.mul {
		s.mul[o] = c.scale[o] / c.output
	}
	for kind, y := range []int{0, 1, 2, stem.size - 1} {
		s.bias[kind] = stemBias(c, y)
	}
	return s
}

// stemBias is the biases in row y, [column][channel].
func stemBias(c conv8, y int) []float32 {
	biases := make([]float32, stem.size*stem.out)
	for o := range stem.out {
		var means [7][7]float64 // what each tap adds for the mean of the pixels
		for row := range means {
			for column := range means[row] {
				for colour := range mean {
					means[row][column] += float64(c.weight[((o*3+colour)*7+row)*7+column]) * float64(c.scale[o]) * 255 * mean[colour]
				}
			}
		}
		for x := range stem.size {
			bias := float64(c.bias[o])
			for row := range means {
				for column, m := range means[row] {
					if inside(2*y+row-3) && inside(2*x+column-3) {
						bias -= m
					}
				}
			}
			biases[x*stem.out+o] = float32(bias / float64(c.output))
		}
	}
	return biases
}

func inside(i int) bool { return i >= 0 && i < Size }

// rowKind is which bias a row has.
func rowKind(y int) int {
	switch {
	case y < 2:
		return y
	case y == stem.size-1:
		return 3
	default:
		return 2
	}
}

func (s *stem8) layer() Layer { return Layer{stem.name, "direct", stem.macs()} }

func (s *stem8) run(r *Runner, worker int) {
	first, end := r.share(Size, worker)
	for y := first; y < end; y++ {
		copy(r.input8[(y+3)*inputStride+9:], r.rgb[y*Size*3:(y+1)*Size*3])
	}
	r.barrier.wait(spins)

	out := &r.stages8[0][0]
	rows := r.stemRows8[worker]
	row := func(y int) []uint8 {
		if y < 0 {
			return r.stemZeros8
		}
		return rows[y%3]
	}
	w := r.network.kernels8.Widen(r.wide8[worker], s.w)
	first, end = r.share(stem.size/2, worker)
	for y := first; y < end; y++ {
		next := 2 * y // rows 2y-1, 2y and 2y+1 are needed, the first of them by the row before too
		if y == first && y > 0 {
			next--
		}
		for ; next <= 2*y+1; next++ {
			s.convolve(r, w, row(next)[stem.out:], next)
		}
		r.network.kernels8.MaxPool(out.data[out.at(y, 0):], row(2*y-1), row(2*y), row(2*y+1), stem.size/2)
	}
}

func (s *stem8) convolve(r *Runner, w []int8, to []uint8, y int) {
	k := r.network.kernels8
	each := len(w) / s.panels
	bias := s.bias[rowKind(y)]
	for panel := range s.panels {
		c := panel * k.Channels
		k.Convolve(1, to[c:], r.input8[2*y*inputStride:], w[panel*each:], s.geometry, s.mul[c:], bias[c:], nil, 0)
	}
}

// head8 is the mean over all pixels, taken in integers, and the fully connected layer in float32.
type head8 struct {
	head
	scale float32
}

func newHead8(p *packing, k *kernel.Set, fc conv, in tensor8) *head8 {
	return &head8{*newHead(p, k, fc, in.at), in.scale}
}

func (h *head8) run(r *Runner, worker int) {
	if worker == 0 {
		h.average(r)
	}
	r.barrier.wait(spins)
	h.connect(r, worker)
}

func (h *head8) average(r *Runner) {
	in := r.buffer8(h.in)
	size := in.size
	clear(r.features)
	for y := range size {
		for x := range size {
			for c, v := range in.data[in.at(y, x):][:features] {
				r.features[c] += float32(v)
			}
		}
	}
	for c := range r.features {
		r.features[c] *= h.scale / float32(size*size)
	}
}
