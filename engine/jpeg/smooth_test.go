package jpeg_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// TestSmoothingOfKnownZero checks that a file is smoothed alike whether a coefficient that smoothing leaves at zero is
// known to be zero or known only roughly, and otherwise if no AC coefficient is known. The picture is a column of
// blocks, which has no horizontal frequencies to guess.
func TestSmoothingOfKnownZero(t *testing.T) {
	t.Parallel()
	file := func(scans ...[]byte) []byte {
		// Differences of 6 bits after a code of a zero bit: 60, -40, 50, -60, 33.
		differences := []byte{0b0_111100_0, 0b010111_0_1, 0b10010_0_00, 0b0011_0_100, 0b001_11111}
		return slices.Concat([]byte{0xFF, 0xD8}, segment(0xDB, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...)...),
			oneCode(0, 6), oneCode(0x10, 0), segment(0xC2, 8, 0, 40, 0, 8, 1, 1, 0x11, 0),
			segment(0xDA, 1, 1, 0, 0, 0, 0), differences, slices.Concat(scans...), []byte{0xFF, 0xD9})
	}
	band := func(first, last, low byte) []byte { return append(segment(0xDA, 1, 1, 0, first, last, low), 0) } // of zeros
	var d jpeg.Decoder
	decode := func(scans ...[]byte) []byte {
		m, err := d.Decode(file(scans...), jpeg.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(m.Pix)
	}
	none, all := decode(), decode(band(1, 63, 0))
	known, roughly := decode(band(1, 1, 0)), decode(band(1, 1, 13))
	if bytes.Equal(none, all) || bytes.Equal(known, all) || bytes.Equal(known, none) {
		t.Fatal("the file is not smoothed, or smoothed alike whatever is known")
	}
	if !bytes.Equal(known, roughly) {
		t.Error("a coefficient known to be zero changes the guess of others")
	}
}
