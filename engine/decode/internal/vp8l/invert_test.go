package vp8l

import "testing"

// TestNearest checks which of two pixels is taken if both are equally near, as in libwebp.
func TestNearest(t *testing.T) {
	t.Parallel()
	const left, top = 0x03, 0x0300
	for topLeft, want := range map[Pixel]Pixel{0: top, 1: top, 0x0100: left} {
		if got := nearest(left, top, topLeft); got != want {
			t.Errorf("nearest(%#x, %#x, %#x) = %#x, want %#x", left, top, topLeft, got, want)
		}
	}
}
