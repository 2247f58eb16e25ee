package wilson_test

import (
	"math"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/wilson"
)

// TestBounds has values of R's prop.test(correct = FALSE).
func TestBounds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 0, 0, 1}, {0, 10, 0, 0.2775}, {10, 10, 0.7225, 1}, {5, 10, 0.2366, 0.7634}, {81, 263, 0.2553, 0.3662},
	} {
		low, high := wilson.Bounds(test.k, test.n, wilson.Z95)
		if math.Abs(low-test.low) > 1e-4 || math.Abs(high-test.high) > 1e-4 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", test.k, test.n, low, high, test.low, test.high)
		}
	}
}

// TestRoots checks that the bounds are the roots of the equation that they are defined by.
func TestRoots(t *testing.T) {
	t.Parallel()
	for _, z := range []float64{wilson.Z95, 2.576} {
		for _, n := range []int{1, 2, 50, 3200} {
			for k := 0; k <= n; k += max(1, n/7) {
				low, high := wilson.Bounds(k, n, z)
				p := float64(k) / float64(n)
				for _, x := range []float64{low, high} {
					if diff := (p-x)*(p-x) - z*z*x*(1-x)/float64(n); math.Abs(diff) > 1e-9 {
						t.Errorf("%d of %d: bound %g is off by %g", k, n, x, diff)
					}
				}
				const rounding = 1e-12
				if !(0 <= low && low <= p+rounding && p-rounding <= high && high <= 1) {
					t.Errorf("%d of %d: %g to %g around %g", k, n, low, high, p)
				}
			}
		}
	}
}
