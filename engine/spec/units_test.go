package spec

import "testing"

func TestUnits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ mean, deviation, wantMean, wantDeviation [3]float64 }{
		{[3]float64{.485, .456, .406}, [3]float64{.229, .224, .225}, [3]float64{.485, .456, .406}, [3]float64{.229, .224, .225}},
		{[3]float64{51, 102, 153}, [3]float64{51, 51, 51}, [3]float64{.2, .4, .6}, [3]float64{.2, .2, .2}},
		{[3]float64{}, [3]float64{255, 255, 255}, [3]float64{}, [3]float64{1, 1, 1}},
		{[3]float64{0, 0, 51}, [3]float64{1, 1, 1}, [3]float64{0, 0, .2}, [3]float64{1. / 255, 1. / 255, 1. / 255}},
		{[3]float64{-51, 0, 0}, [3]float64{1, 1, 1}, [3]float64{-.2, 0, 0}, [3]float64{1. / 255, 1. / 255, 1. / 255}},
		{[3]float64{5, -5, 0}, [3]float64{5, 1, 1}, [3]float64{5, -5, 0}, [3]float64{5, 1, 1}},
	} {
		if mean, deviation := Units(test.mean, test.deviation); mean != test.wantMean || deviation != test.wantDeviation {
			t.Errorf("Units(%v, %v) = %v, %v, want %v, %v", test.mean, test.deviation, mean, deviation, test.wantMean, test.wantDeviation)
		}
	}
}
