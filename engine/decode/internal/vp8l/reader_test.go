package vp8l

import "testing"

// TestNumbers compares the table of numbers with the computation in section 5.2.2.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for symbol, n := range numbers {
		first, extra := symbol+1, uint(0)
		if symbol >= 4 {
			extra = uint(symbol-2) >> 1
			first = (2+symbol&1)<<extra + 1
		}
		if n.first != first || n.extra != extra {
			t.Errorf("symbol %d: from %d on with %d bits, want %d and %d", symbol, n.first, n.extra, first, extra)
		}
	}
}
