package kernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kerneltest"
)

// TestGrid compares the stem in two dimensions with a direct convolution in float64.
func TestGrid(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		if !s.HasGrid() {
			t.Skip("has the stem along rows only")
		}
		for _, tiles := range []int{GridTiles - 1, GridTiles} {
			for trial := range 4 {
				t.Run(fmt.Sprintf("%d/%d", tiles, trial), func(t *testing.T) { testGrid(t, s, tiles, newSource(uint64(trial), false)) })
			}
		}
	})
}

func testGrid(t *testing.T, s *Set, tiles int, src source) {
	region := func(n int) *kerneltest.Region[float32] { return kerneltest.NewRegion[float32](t, n, guard) }
	width := 3 * (2*StemOutputs*(tiles-1) + StemPixels)
	rs := tiles*GridPixels + src.IntN(20)
	n := (GridRows-1)*rs + tiles*GridPixels + GridSlack
	rows := region(n)
	transformed := rows.Slice(n)
	var pixels [GridRows][]float32
	for i := range pixels {
		pixels[i] = region(width + StemSlack).Copy(src.floats(width + StemSlack))
		s.GridRow(transformed[i*rs:], pixels[i], tiles)
	}
	rows.Check(t, "GridRow")
	values := region(GridValues)
	v := values.Slice(GridValues)
	s.GridColumns(v, transformed, rs, tiles)
	values.Check(t, "GridColumns")

	const factor, colors, size = 1.5, 3, 7
	kernels := make([][]float32, GridPanel)
	weights := region(GridWeights)
	u := weights.Slice(GridWeights)
	for c := range kernels {
		kernels[c] = src.floats(colors * size * size)
		GridPack(u, c, kernels[c], factor)
	}
	weights.Check(t, "GridPack")
	sums := region(GridSums)
	m := sums.Slice(GridSums)
	s.GridMultiply(m, v, u, tiles)
	sums.Check(t, "GridMultiply")
	bias := region(GridPanel).Copy(src.floats(GridPanel))
	length := (StemOutputs*tiles-1)*stemChannels + GridPanel
	var outputs [StemOutputs]*kerneltest.Region[float32]
	var y [StemOutputs][]float32
	for i := range y {
		outputs[i] = region(length)
		y[i] = outputs[i].Slice(length)
	}
	s.GridOutput(y, m, bias, tiles)
	for i := range y {
		outputs[i].Check(t, "GridOutput")
		for at, got := range y[i] {
			column, c := at/stemChannels, at%stemChannels
			if c >= GridPanel {
				if got != guard {
					t.Fatalf("row %d: wrote between pixels at %d", i, at)
				}
				continue
			}
			want, magnitude := float64(bias[c]), 1.0
			for j := range colors * size * size {
				color, row, tap := j/size/size, j/size%size, j%size
				product := factor * float64(kernels[c][j]) * float64(pixels[2*i+row][3*(2*column+tap)+color])
				want, magnitude = want+product, magnitude+math.Abs(product)
			}
			if want = max(0, want); math.Abs(float64(got)-want) > 2e-5*magnitude {
				t.Fatalf("row %d, column %d, channel %d is %g, want %g", i, column, c, got, want)
			}
		}
	}
}

// TestGridEqualsGeneric compares the parts of the stem in two dimensions with those in Go, bit for bit on integers.
func TestGridEqualsGeneric(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *Set) {
		if !s.HasGrid() {
			t.Skip("has the stem along rows only")
		}
		equal := func(what string, got, want []float32) {
			t.Helper()
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s: %d is %g, want %g", what, i, got[i], want[i])
				}
			}
		}
		for _, tiles := range []int{GridTiles - 1, GridTiles} {
			src := newSource(uint64(tiles), true)
			x := src.floats(GridRows*GridTiles*GridPixels + GridSlack)
			got, want := make([]float32, GridValues), make([]float32, GridValues)
			s.GridColumns(got, x, GridTiles*GridPixels, tiles)
			generic.GridColumns(want, x, GridTiles*GridPixels, tiles)
			for position := range StemPositions * StemPositions { // what is behind a position's values may differ
				at, deep := gridPlace(position)
				equal("GridColumns", got[at:][:tiles*deep], want[at:][:tiles*deep])
			}
			u := src.floats(GridWeights)
			sums, wanted := make([]float32, GridSums), make([]float32, GridSums)
			s.GridMultiply(sums, want, u, tiles)
			generic.GridMultiply(wanted, want, u, tiles)
			equal("GridMultiply", sums, wanted)
			bias := src.floats(GridPanel)
			var y, z [StemOutputs][]float32
			for i := range y {
				y[i], z[i] = make([]float32, tiles*StemOutputs*stemChannels), make([]float32, tiles*StemOutputs*stemChannels)
			}
			m := src.floats(GridSums)
			s.GridOutput(y, m, bias, tiles)
			generic.GridOutput(z, m, bias, tiles)
			for i := range y {
				equal("GridOutput", y[i], z[i])
			}
		}
	})
}
