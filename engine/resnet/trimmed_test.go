package resnet

import (
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
)

// TestLargeWeightsHave20Bits checks which layers have packed weights of 20 bits: with AVX2, and nowhere else.
func TestLargeWeightsHave20Bits(t *testing.T) {
	t.Parallel()
	k := kernel.For(cpu.AVX2)
	if k.Level != cpu.AVX2 {
		t.Skip("this build has no kernels for AVX2")
	}
	for _, test := range []struct {
		kernels  *kernel.Set
		winograd *kernel.Winograd
		in, out  int
		packed   bool
	}{
		{k, kernel.F4, 128, 128, false},
		{k, kernel.Stride2, 128, 256, false},
		{k, kernel.F4, 256, 256, true},
		{k, kernel.Stride2, 256, 512, true},
		{k, kernel.F2, 512, 512, true},
		{kernel.For(cpu.Generic), kernel.F2, 512, 512, false},
		{kernel.For(cpu.AVX512), kernel.F2, 512, 512, false},
	} {
		f := newFilter(new(packing), test.kernels, test.winograd, operation{shape: shape{in: test.in, out: test.out}}, conv{bias: make([]float32, test.out)})
		if got := f.words != nil; got != test.packed || got == (f.u != nil) {
			t.Errorf("%s, %d x %d weights, %d matrices: %d words and %d floats", test.kernels.Level, test.in, test.out, test.winograd.Matrices(),
				len(f.words), len(f.u))
		}
	}
}

// TestTrimmedTiles checks that tiles cover each output once, that each position's span has just the tiles with a product there, and
// that the halves of the positions have nearly as many products.
func TestTrimmedTiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		a        *kernel.Trimmed
		size     int
		products int
	}{
		{"F4 at 14", &kernel.TrimmedF4, 14, 22 * 22},
		{"F4 at 10", &kernel.TrimmedF4, 10, 16 * 16},
		{"F2 at 7", &kernel.TrimmedF2, 7, 15 * 15},
		{"F2 at 5", &kernel.TrimmedF2, 5, 11 * 11},
		{"stride 2 at 7", &kernel.TrimmedStride2, 7, 18 * 18},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &filter32{winograd: test.a.Whole}
			list := trimmedTiles(f, test.a, test.size/test.a.Whole.Height)
			covered := make([]int, test.size*test.size)
			uses := make([][]int, test.a.Whole.Positions())
			for i, tile := range list {
				w := tile.filter.winograd
				for y := tile.y; y < tile.y+w.Height; y++ {
					for x := tile.x; x < tile.x+w.Width; x++ {
						covered[y*test.size+x]++
					}
				}
				for position := range w.Positions() {
					uses[w.Place(position)] = append(uses[w.Place(position)], i)
				}
			}
			if slices.Min(covered) != 1 || slices.Max(covered) != 1 {
				t.Errorf("outputs are covered %v times, want once", covered)
			}
			spans, products := spansOf(list, len(uses)), 0
			for position, s := range spans {
				var want []int
				for i := s.first; i < s.end; i++ {
					want = append(want, i)
				}
				if !slices.Equal(uses[position], want) {
					t.Errorf("position %d has products with tiles %v, its span is %v", position, uses[position], s)
				}
				products += len(want)
			}
			if products != test.products {
				t.Errorf("%d products, want %d", products, test.products)
			}
			twice := 0 // the products of the first half, in which half of a middle position may be
			order := diagonally(test.a.Whole)
			for i, position := range order {
				twice += min(2, max(0, len(order)-2*i)) * (spans[position].end - spans[position].first)
			}
			if d := float64(twice)/float64(products) - 1; d < -0.03 || d > 0.03 {
				t.Errorf("%v of %d products are in the first half", float64(twice)/2, products)
			}
			slices.Sort(order)
			if !slices.Equal(order, slices.Sorted(slices.Values(orderOf(test.a.Whole)))) {
				t.Errorf("positions are %v", order)
			}
		})
	}
}
