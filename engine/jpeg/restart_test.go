package jpeg_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// TestRunEndsAtRestart checks that a run of blocks without coefficients (EOBRUN) ends with its restart interval (T.81,
// F.2.1.3.1 and G.1.2.2), however many blocks it announces. Encoders write no such file, so it is made here: two blocks
// in an interval each, of which only the second has a coefficient.
func TestRunEndsAtRestart(t *testing.T) {
	t.Parallel()
	file := func(firstBlock byte) []byte {
		return slices.Concat(
			[]byte("\xff\xd8"),
			[]byte("\xff\xdb\x00\x43\x00"), bytes.Repeat([]byte{1}, 64), // quantization by 1
			[]byte("\xff\xc2\x00\x0b\x08\x00\x08\x00\x10\x01\x01\x11\x00"),                                     // progressive, 16x8, one component
			[]byte("\xff\xc4\x00\x14\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), // DC: 0 is a difference of 0
			[]byte("\xff\xc4\x00\x16\x10\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),     // AC: three codes of two bits:
			[]byte{0x00, 0x10, 0x04},                                           // 00 end of block, 01 end of 2 or 3 blocks, 10 a value of 4 bits
			[]byte("\xff\xdd\x00\x04\x00\x01"),                                 // an interval is one block
			[]byte("\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00\x7f\xff\xd0\x7f"), // DC scan
			[]byte("\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"), []byte{firstBlock}, []byte("\xff\xd0\xbc\xff\xd9"),
		)
	}
	var d jpeg.Decoder
	decode := func(firstBlock byte) []byte {
		m, err := d.Decode(file(firstBlock), jpeg.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(m.Pix)
	}
	const oneBlock, twoBlocks = 0b00_111111, 0b01_0_11111
	want, got := decode(oneBlock), decode(twoBlocks)
	if want[3*8] == want[3*15] {
		t.Fatal("the second block has no coefficient")
	}
	if !bytes.Equal(got, want) {
		t.Error("a run over the restart changes the block after it")
	}
}
