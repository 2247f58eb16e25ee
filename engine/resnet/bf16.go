package resnet

import (
	"fmt"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel16"
)

// CheckBF16 returns an error if this CPU cannot multiply in bf16; it says what the CPU has.
func CheckBF16() error {
	if err := cpu.Require("precision bf16", cpu.BF16); err != nil {
		return fmt.Errorf("%w (use fp32 or int8; arm64 CPUs with FEAT_BF16, such as Graviton 3, have it on Linux)", err)
	}
	return nil
}

// BF16 returns p as weights that New packs in bf16. An error is CheckBF16's.
func (p *Params) BF16() (Weights, error) {
	if err := CheckBF16(); err != nil {
		return nil, err
	}
	return halves{p}, nil
}

// halves is weights in float32 that are rounded to bf16.
type halves struct{ *Params }

func (h halves) network(level cpu.Level, work *packing) *Network {
	return build(newPlan(h.spec.Preprocess.Crop), h.top, bf16{fp32{h.Params, kernel.For(level)}, kernel16.For(level)}, work)
}

// bf16 is fp32 with products of bf16 in the convolutions after the stem. Activations, sums, the stem and the head are in float32.
//
// See docs/decisions/0155-bf16-rounds-what-is-multiplied.md.
type bf16 struct {
	fp32
	kernels16 *kernel16.Set
}

func (b bf16) name() string { return "bf16" }

func (b bf16) level() cpu.Level { return b.kernels16.Level }

// convolution uses F2 wherever there is a choice: it has 4/9 of the multiplications, and its transformed numbers are hardly
// larger than those that they are made of, so that rounding them changes logits little more.
func (b bf16) convolution(work *packing, o operation) fp32Step {
	c := b.convs[o.name]
	if o.kernel == 3 && o.stride == 1 {
		f := filterOf(b.kernels, kernel.F2, o, c)
		u := matrices(work, kernel16.Columns, kernel.F2, c, o.in, kernel16.Pack)
		return newWinogradStep(o, &filter16{f, b.kernels16, u})
	}
	return newDirect16(work, b.kernels16, o, c)
}

// filter16 is filter32 with products of bf16.
type filter16 struct {
	*filter32
	kernels *kernel16.Set
	u       []uint16 // [matrix][panel], each packed by kernel16.Pack
}

func (f *filter16) geometry() geometry {
	g := f.filter32.geometry()
	g.columns, g.weightBytes = kernel16.Columns, 2*len(f.u)
	return g
}

func (f *filter16) multiply(t *tiling, tiles int, sums, v []float32, first, next, _ int) {
	position, panel := f.order[first/t.panels], first%t.panels
	f.kernels.Multiply(kernel16.Product{
		M: tiles, N: (next - first) * kernel16.Columns, K: f.in, Rows: 1,
		A: v[position*t.vStride:], LDA: f.in, B: f.u[(f.winograd.Matrix(position)*t.panels+panel)*f.in*kernel16.Columns:],
		C: sums[position*t.sumStride+panel*kernel16.Columns:], LDC: f.out, Bias: noBias[:],
	})
}

// direct16 is direct with products of bf16, for convolutions of stride 2. None of these adds a residual.
type direct16 struct {
	operation
	kernels *kernel16.Set
	b       []uint16 // panels, each packed by kernel16.Pack
	bias    []float32
}

func newDirect16(work *packing, k *kernel16.Set, o operation, c conv) *direct16 {
	const columns = kernel16.Columns
	taps := o.kernel * o.kernel
	each := o.in * taps * columns
	d := &direct16{o, k, room[uint16](work, o.out/columns*each), slices.Clone(c.bias)}
	work.add(o.out/columns, func(panel int) {
		floats := make([]float32, each)
		fillPanel(floats, columns, panel*columns, c, o.in, taps)
		kernel16.Pack(d.b[panel*each:][:each], floats)
	})
	return d
}

func (d *direct16) algorithm() string { return "direct" }

func (d *direct16) needs(int) needs { return needs{} }

// run divides panels among workers, as direct does.
func (d *direct16) run(p *fp32Pass, worker int) {
	const columns = kernel16.Columns
	in, out := p.buffer(d.from), p.buffer(d.to)
	pad, deep := d.kernel/2, d.kernel*d.in
	first, end := p.share(d.out/columns, worker)
	for panel := first; panel < end; panel++ {
		for y := range d.size {
			to := out.data[out.at(y, 0)+panel*columns:]
			d.kernels.Multiply(kernel16.Product{
				M: d.size, N: columns, K: deep, Rows: d.kernel, RowStride: in.rowStride(),
				A: in.data[in.at(d.stride*y-pad, -pad):], LDA: d.stride * in.channels, B: d.b[panel*d.kernel*deep*columns:],
				C: to, LDC: out.channels, Bias: d.bias[panel*columns:], ReLU: !d.signed(),
			})
		}
	}
}
