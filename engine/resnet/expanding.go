package resnet

import "github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"

// expanding is winograd by F4 with weights that are transformed in each pass, while they are multiplied.
type expanding struct {
	winograd[float32, float32, float32]
	kernels *kernel.Set
	taps    []float32 // [panel][input channel][kernel row][kernel column][NR]
}

// tilesOf is the number of an algorithm's tiles for outputs of the given height and width.
func tilesOf(size int, w *kernel.Winograd) int {
	return (size + w.Height - 1) / w.Height * ((size + w.Width - 1) / w.Width)
}

func newExpanding(work *packing, k *kernel.Set, o operation, c conv) *expanding {
	f := filterOf(k, kernel.F4, o, c)
	g := f.geometry()
	g.weightBytes = localBytes + 1 // workers divide the panels
	return &expanding{winograd[float32, float32, float32]{o, newTiling(o.shape, g), f}, k, wholeKernels(work, k.NR, c, o.in)}
}

// wholeKernels lays 3x3 kernels out for MultiplyKernels.
func wholeKernels(work *packing, columns int, c conv, in int) []float32 {
	panels, each := len(c.bias)/columns, in*9*columns
	taps := room[float32](work, panels*each+kernel.ExpandSlack*9*columns)
	work.add(panels, func(panel int) {
		to := taps[panel*each:][:each]
		for column := range columns {
			o := panel*columns + column
			factor := c.factor(o)
			for i, tap := range c.weight[o*in*9:][:in*9] {
				to[i*columns+column] = float32(float64(tap) * factor)
			}
		}
	})
	return taps
}

func (e *expanding) needs(worker int) needs {
	n := e.tiling.needs(worker)
	n.scratch = kernel.ExpandScratch
	return n
}

// run divides tiles among workers for the transforms, and panels for the products.
func (e *expanding) run(p *fp32Pass, worker int) {
	first, end := p.share(e.tiles(), worker)
	e.input(p, 0, 0, first, end)
	p.wait()
	from, to := p.share(e.panels, worker)
	for panel := from; panel < to; panel++ {
		column := panel * e.kernels.NR
		e.kernels.MultiplyKernels(kernel.Kernels{Channels: e.in, V: p.workspaces[0].v, VStride: e.vStride, Taps: e.taps[column*9*e.in:],
			Sums: p.workspaces[0].sums[column:], SumStride: e.sumStride, SumRow: e.out, Scratch: p.workspaces[worker].scratch})
	}
	p.wait()
	e.output(p, 0, 0, first, end)
}
