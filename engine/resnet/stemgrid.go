package resnet

import "github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"

const (
	// gridRing is the rows of outputs that are kept: those of a row of tiles, and the last above it.
	gridRing = kernel.StemOutputs + 1
	// gridStep is the rows of pixels from one row of tiles to the next.
	gridStep = 2 * kernel.StemOutputs
	// gridKept is how many transformed rows of pixels fit. Rows that the next tiles also read are copied when it is full.
	gridKept = kernel.GridRows + 3*gridStep
	// gridRoom is where transformed rows begin in a worker's memory, at the start of a cache line, after a group's values.
	gridRoom = (kernel.GridValues + 15) &^ 15
)

// gridMatrices lays the transformed weights of the stem in two dimensions out in panels.
func gridMatrices(work *packing, o operation, c conv) []float32 {
	panels, each := len(c.bias)/kernel.GridPanel, o.in*o.kernel*o.kernel
	u := room[float32](work, panels*kernel.GridWeights)
	work.add(panels, func(panel int) {
		for column := range kernel.GridPanel {
			channel := panel*kernel.GridPanel + column
			kernel.GridPack(u[panel*kernel.GridWeights:], column, c.weight[channel*each:][:each], c.factor(channel))
		}
	})
	return u
}

// gridStride is a transformed row of pixels.
func (s *stem) gridStride() int { return s.tiles * kernel.GridPixels }

// gridSpace is a worker's memory for the stem in two dimensions.
func (s *stem) gridSpace() stemNeeds {
	return stemNeeds{input: inputStride(s.size) + kernel.StemSlack, row: stemRow(s.operation), ring: gridRing,
		v: gridRoom + gridKept*s.gridStride() + kernel.GridSlack, sums: kernel.GridSums}
}

// gridRows is rows for the stem in two dimensions, a row of tiles at a time. One that has a row above another worker's first pooled row is
// computed by both.
func (s *stem) gridRows(w *stemSpace, rgb []byte, first, end int, pool func(y int, r0, r1, r2 []float32)) {
	row := func(y int) []float32 {
		if y < 0 {
			return s.zeros
		}
		return w.rows[y%gridRing]
	}
	stride := s.gridStride()
	kept := w.v[gridRoom:][:gridKept*stride+kernel.GridSlack]
	x := kept // the transformed rows of a row of tiles
	have := 0 // those already computed for the row of tiles above
	for tile := max(0, 2*first-1) / kernel.StemOutputs; kernel.StemOutputs*tile < 2*end; tile++ {
		if len(x) < kernel.GridRows*stride+kernel.GridSlack {
			copy(kept, x[:have*stride])
			x = kept
		}
		for i := have; i < kernel.GridRows; i++ {
			s.kernels.GridRow(x[i*stride:], s.pixels(w, rgb, gridStep*tile+i-stemBorder), s.tiles)
		}
		y := kernel.StemOutputs * tile
		s.gridTiles(w, x, [kernel.StemOutputs][]float32{row(y), row(y + 1), row(y + 2), row(y + 3)})
		for pooled := y / 2; pooled < y/2+2; pooled++ {
			if pooled >= first && pooled < end {
				pool(pooled, row(2*pooled-1), row(2*pooled), row(2*pooled+1))
			}
		}
		x, have = x[gridStep*stride:], kernel.GridRows-gridStep
	}
}

// gridTiles computes a row of tiles from its transformed rows of pixels, group by group.
func (s *stem) gridTiles(w *stemSpace, x []float32, rows [kernel.StemOutputs][]float32) {
	k := s.kernels
	groups := (s.tiles + kernel.GridTiles - 1) / kernel.GridTiles
	for group := range groups {
		first, end := s.tiles*group/groups, s.tiles*(group+1)/groups
		k.GridColumns(w.v, x[first*kernel.GridPixels:], s.gridStride(), end-first)
		for channel := 0; channel < s.out; channel += kernel.GridPanel {
			k.GridMultiply(w.sums, w.v, s.u[channel/kernel.GridPanel*kernel.GridWeights:], end-first)
			var y [kernel.StemOutputs][]float32
			for i, row := range rows {
				y[i] = row[(1+kernel.StemOutputs*first)*s.out+channel:] // after the border
			}
			k.GridOutput(y, w.sums, s.bias[channel:], end-first)
		}
	}
}
