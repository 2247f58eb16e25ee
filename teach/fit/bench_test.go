package fit

import "testing"

// BenchmarkMethods fits six classes of 40 vectors each, as a fold of 6 x 50 pictures has.
func BenchmarkMethods(b *testing.B) {
	s := corners(1, 6, 512, 40, 3)
	for i, x := range s.X {
		f := make([]float32, len(x))
		for j, v := range x {
			f[j] = float32(v)
		}
		s.X[i] = Normalize(f, 10)
	}
	for _, m := range Methods() {
		b.Run(m.Name, func(b *testing.B) {
			for b.Loop() {
				m.Fit(s)
			}
		})
	}
}
