package resnet

import (
	"slices"
	"sync"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// filter32 is one of kernel's algorithms with a layer's weights.
type filter32 struct {
	kernels        *kernel.Set
	winograd       *kernel.Winograd
	in, out        int       // channels
	u              []float32 // [matrix][panel][input channel][NR]; nil if they are words
	words          []uint32  // [matrix][panel], each as kernel.Pack20 writes it
	order          []int     // as orderOf returns it
	bias           []float32
	residual, relu bool // the residual is what the output's buffer holds
}

// noBias is the bias of products that are transformed before it is added.
var noBias [features]float32

func newFilter(work *packing, k *kernel.Set, w *kernel.Winograd, o operation, c conv) *filter32 {
	f := filterOf(k, w, o, c)
	if k.Level == cpu.AVX2 && 4*w.Matrices()*o.in*o.out > streamedBytes {
		f.pack20(work, c)
		return f
	}
	f.u = matrices(work, k.NR, w, c, o.in, func(to, from []float32) { copy(to, from) })
	return f
}

// streamedBytes bounds the weights of a layer, as floats, beyond which AVX2 has them in 20 bits: they are read from memory in each pass, and
// waiting for it takes longer than converting.
const streamedBytes = 4 << 20

// panelMemory is for weights of a panel before they are packed: *[]float32.
var panelMemory = sync.Pool{New: func() any { return new([]float32) }}

// pack20 packs the weights in 20 bits.
func (f *filter32) pack20(work *packing, c conv) {
	columns, matrices := f.kernels.NR, f.winograd.Matrices()
	panels, each := f.out/columns, kernel.Len20(f.in, columns)
	f.words = room[uint32](work, matrices*panels*each)
	work.add(panels, func(panel int) {
		t := panelMemory.Get().(*[]float32)
		defer panelMemory.Put(t)
		*t = slices.Grow((*t)[:0], matrices*f.in*columns)[:matrices*f.in*columns]
		transformed(f.winograd, columns, c, f.in, panel, func(matrix, i int, weights []float32) {
			copy((*t)[(matrix*f.in+i)*columns:], weights)
		})
		for matrix := range matrices {
			kernel.Pack20(f.words[(matrix*panels+panel)*each:][:each], columns, (*t)[matrix*f.in*columns:][:f.in*columns])
		}
	})
}

// filterOf is a filter without its weights.
func filterOf(k *kernel.Set, w *kernel.Winograd, o operation, c conv) *filter32 {
	return &filter32{kernels: k, winograd: w, in: o.in, out: o.out, bias: slices.Clone(c.bias), residual: o.residual != "", relu: !o.signed(),
		order: orderOf(w)}
}

// orderOf is an algorithm's positions, those that share a matrix next to each other.
func orderOf(w *kernel.Winograd) (positions []int) {
	for position := range w.Positions() {
		positions = append(positions, position)
	}
	slices.SortStableFunc(positions, func(a, b int) int { return w.Matrix(a) - w.Matrix(b) })
	return positions
}

// matrices lays the transformed weights of a 3x3 convolution out as [matrix][panel][input channel][column]. store writes those of
// four input channels.
func matrices[T float32 | uint16](work *packing, columns int, w *kernel.Winograd, c conv, in int, store func(to []T, from []float32)) []T {
	matrices, panels := w.Matrices(), len(c.bias)/columns
	u := room[T](work, matrices*in*len(c.bias))
	work.add(panels, func(panel int) {
		transformed(w, columns, c, in, panel, func(matrix, i int, weights []float32) {
			store(u[((matrix*panels+panel)*in+i)*columns:][:len(weights)], weights)
		})
	})
	return u
}

// transformed transforms a panel's weights. It calls store for each matrix with those of a few input channels, from i on.
func transformed(w *kernel.Winograd, columns int, c conv, in, panel int, store func(matrix, i int, weights []float32)) {
	// Matrices lie powers of two apart, where they would compete for the same lines of a cache. So a block of input
	// channels is transformed in a small piece of memory first.
	const block = 4
	matrices := w.Matrices()
	t := make([]float32, matrices*block*columns)
	for i := 0; i < in; i += block {
		for column := range columns {
			o := panel*columns + column
			factor := c.factor(o)
			for j := range block {
				w.Weights(t[j*columns+column:], block*columns, c.weight[(o*in+i+j)*9:][:9], factor)
			}
		}
		for matrix := range matrices {
			store(matrix, i, t[matrix*block*columns:][:block*columns])
		}
	}
}

// algorithms are Layer's names for them.
var algorithms = map[*kernel.Winograd]string{
	kernel.F2: "winograd2", kernel.F4: "winograd4", kernel.F4x2: "winograd4x2", kernel.Stride2: "winograd-s2",
}

func (f *filter32) name() string { return algorithms[f.winograd] }

func (f *filter32) geometry() geometry {
	w, group := f.winograd, 1
	if f.kernels.Level == cpu.AVX2 {
		group = groupRows
	}
	return geometry{height: w.Height, width: w.Width, positions: w.Positions(), columns: f.kernels.NR,
		weightBytes: 4 * (len(f.u) + len(f.words)), group: group, vBytes: 4, sumBytes: 4}
}

func (f *filter32) input(v []float32, vStride int, x []float32, rowStride, channels int) {
	f.kernels.Input(f.winograd, v, vStride, x, rowStride, channels)
}

func (f *filter32) multiply(t *tiling, tiles int, sums, v []float32, first, next, ahead int) {
	f.multiplyTiles(t, sums, v, first, next, ahead, span{0, tiles})
}

// multiplyTiles is multiply for some of the tiles.
func (f *filter32) multiplyTiles(t *tiling, sums, v []float32, first, next, ahead int, tiles span) {
	position, panel := f.order[first/t.panels], first%t.panels
	if f.words != nil {
		f.kernels.Multiply20(kernel.Product20{
			M: tiles.end - tiles.first, N: (next - first) * f.kernels.NR, K: f.in,
			A: v[position*t.vStride+tiles.first*f.in:], LDA: f.in, B: f.words20(t, first),
			C: sums[position*t.sumStride+tiles.first*f.out+panel*f.kernels.NR:], LDC: f.out, Ahead: f.words20(t, ahead),
		})
		return
	}
	f.kernels.Multiply(kernel.Product{
		M: tiles.end - tiles.first, N: (next - first) * f.kernels.NR, K: f.in, Rows: 1,
		A: v[position*t.vStride+tiles.first*f.in:], LDA: f.in, B: f.weights(t, first),
		C: sums[position*t.sumStride+tiles.first*f.out+panel*f.kernels.NR:], LDC: f.out, Bias: noBias[:], Ahead: f.weights(t, ahead),
	})
}

// weights begin with a unit's panel.
func (f *filter32) weights(t *tiling, unit int) []float32 {
	return f.u[(f.winograd.Matrix(f.order[unit/t.panels])*t.panels+unit%t.panels)*f.in*f.kernels.NR:]
}

// words20 are weights in 20 bits.
func (f *filter32) words20(t *tiling, unit int) []uint32 {
	return f.words[(f.winograd.Matrix(f.order[unit/t.panels])*t.panels+unit%t.panels)*kernel.Len20(f.in, f.kernels.NR):]
}

func (f *filter32) output(y []float32, rowStride, channels, rows, columns int, sums []float32, sumStride int) {
	var residual []float32
	if f.residual {
		residual = y
	}
	f.kernels.Output(f.winograd, kernel.Outputs{Y: y, RowStride: rowStride, Channels: channels, Rows: rows, Columns: columns,
		Sums: sums, SumStride: sumStride, Bias: f.bias, Residual: residual, ReLU: f.relu})
}
