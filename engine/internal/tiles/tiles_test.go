package tiles

import "testing"

func TestCut(t *testing.T) {
	t.Parallel()
	for most := 1; most <= 14; most++ {
		for m := 1; m <= 200; m++ {
			r := Cut(m, most)
			sum := 0
			for tile := range r.Count() {
				sum += r.Height(tile)
			}
			if sum != m || r.Sum() != m || r.N > most || r.Count() != (m+most-1)/most || r.Tall < 1 || r.Low > 0 && r.N < 2 {
				t.Fatalf("Cut(%d, %d) = %+v", m, most, r)
			}
		}
	}
}
