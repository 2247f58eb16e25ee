package dense

import (
	"slices"
	"testing"
)

// TestFold compares folded layers with the layer and what is done before or after it. All numbers are exact.
func TestFold(t *testing.T) {
	t.Parallel()
	x := []float64{2, -3, 5, 7}
	for name, test := range map[string]struct {
		fold func(l *Layer)
		want func(l Layer) []float64
	}{
		"before": {func(l *Layer) { l.Before([]float64{2, 4, -1, 0}, []float64{1, 0, 3, -2}) },
			func(l Layer) []float64 { return apply(l, []float64{2*2 + 1, 4 * -3, -5 + 3, -2}) }},
		"after": {func(l *Layer) { l.After([]float64{2, -0.5}, []float64{1, 4}) },
			func(l Layer) []float64 { y := apply(l, x); return []float64{2*y[0] + 1, -0.5*y[1] + 4} }},
		"swapped": {(*Layer).Swap, func(l Layer) []float64 { return apply(l, []float64{5, 7, 2, -3}) }},
	} {
		layer := func() Layer { return Layer{4, []float64{1, 2, 3, 4, -1, 0, 8, 0.5}, []float64{10, -20}} }
		got := layer()
		test.fold(&got)
		if got, want := apply(got, x), test.want(layer()); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func apply(l Layer, x []float64) []float64 {
	y := slices.Clone(l.Bias)
	for o := range y {
		for i, v := range x {
			y[o] += l.Weight[o*l.In+i] * v
		}
	}
	return y
}

func TestWideAndNarrow(t *testing.T) {
	t.Parallel()
	x := []float32{0, 1.5, -2e30}
	if got := Narrow(Wide(x)); !slices.Equal(got, x) {
		t.Errorf("%v became %v", x, got)
	}
}
