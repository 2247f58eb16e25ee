package prefetch

import (
	"bytes"
	"testing"
)

func TestSpan(t *testing.T) {
	for _, c := range []struct {
		address uintptr
		bytes   int
		want    int
	}{
		{0, 1, 1}, {0, 64, 1}, {0, 65, 2}, {63, 1, 1}, {63, 2, 2}, {1, 64, 2}, {128, 640, 10}, {132, 640, 11}, {60, 4, 1},
	} {
		if got := span(c.address, c.bytes); got != c.want {
			t.Errorf("%d bytes at %d are in %d lines, want %d", c.bytes, c.address, got, c.want)
		}
	}
}

// TestSliceChangesNothing prefetches slices of several lengths at each place in a line.
func TestSliceChangesNothing(t *testing.T) {
	all := bytes.Repeat([]byte{18}, 4*line)
	for from := range line {
		for _, n := range []int{0, 1, line - 1, line, line + 1, 2 * line} {
			Slice(all[from:][:n])
		}
	}
	Slice([]float32(nil))
	for i, b := range all {
		if b != 18 {
			t.Errorf("byte %d is %d", i, b)
		}
	}
}

func BenchmarkSlice(b *testing.B) {
	all := make([]float32, 4096)
	b.SetBytes(int64(4 * len(all)))
	for b.Loop() {
		Slice(all)
	}
}
