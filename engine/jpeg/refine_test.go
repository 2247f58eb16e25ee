package jpeg_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// entropyCoded packs zeros and ones into bytes, with padding and stuffing.
func entropyCoded(bits string) (data []byte) {
	bits += strings.Repeat("1", (8-len(bits)%8)%8)
	for ; bits != ""; bits = bits[8:] {
		b := byte(0)
		for _, bit := range bits[:8] {
			b = b<<1 | byte(bit-'0')
		}
		if data = append(data, b); b == 0xFF {
			data = append(data, 0)
		}
	}
	return data
}

// TestRefinement checks that AC coefficients coded bit by bit are those coded at once, in files of one block that no
// encoder writes. All codes are a zero bit.
func TestRefinement(t *testing.T) {
	t.Parallel()
	// Every AC coefficient is 2, 3, -2 or -3.
	var first, second, atOnce strings.Builder
	for k := 1; k <= 63; k++ {
		positive, odd := k%3 != 0, k%5 < 3
		first.WriteString(map[bool]string{true: "01", false: "00"}[positive])
		second.WriteString(map[bool]string{true: "1", false: "0"}[odd])
		atOnce.WriteString("0" + map[[2]bool]string{{true, true}: "11", {true, false}: "10", {false, false}: "01", {false, true}: "00"}[[2]bool{positive, odd}])
	}
	band := func(symbol, first, last, bits byte, data string) []byte {
		return slices.Concat(oneCode(0x10, symbol), segment(0xDA, 1, 1, 0, first, last, bits), entropyCoded(data))
	}
	file := func(bands ...[]byte) []byte {
		return slices.Concat([]byte{0xFF, 0xD8}, segment(0xDB, append([]byte{0}, bytes.Repeat([]byte{9}, 64)...)...),
			oneCode(0, 0), segment(0xC2, 8, 0, 8, 0, 8, 1, 1, 0x11, 0), segment(0xDA, 1, 1, 0, 0, 0, 0), []byte{0},
			slices.Concat(bands...), []byte{0xFF, 0xD9})
	}
	const one, two, end, endOf64 = 0x01, 0x02, 0x00, 0x60 // symbols: a value of 1 or 2 bits, end of 1 block, of 64 and more
	for name, test := range map[string]struct{ bitByBit, atOnce []byte }{
		"63 corrections": {
			file(band(one, 1, 63, 0x01, first.String()), band(end, 1, 63, 0x10, "0"+second.String())),
			file(band(two, 1, 63, 0, atOnce.String())),
		},
		"63 corrections from a byte's last bit on": {
			file(band(one, 1, 63, 0x01, first.String()), band(endOf64, 1, 63, 0x10, "0000000"+second.String())),
			file(band(two, 1, 63, 0, atOnce.String())),
		},
		"known coefficient beyond the band": {
			file(band(one, 1, 1, 0x01, "01"), band(end, 2, 5, 0x01, "0"), band(one, 6, 6, 0x01, "01"),
				band(end, 1, 5, 0x10, "01"+"111111"), band(end, 6, 6, 0x10, "00")),
			file(band(two, 1, 1, 0, "011"), band(two, 6, 6, 0, "010")),
		},
		"known coefficient before the band": {
			file(band(one, 1, 1, 0x01, "01"), band(end, 2, 5, 0x01, "0"), band(one, 6, 6, 0x01, "01"),
				band(end, 6, 6, 0x10, "00"+"111111"), band(end, 1, 5, 0x10, "01")),
			file(band(two, 1, 1, 0, "011"), band(two, 6, 6, 0, "010")),
		},
		"new coefficient between known ones": {
			file(band(one, 1, 2, 0x01, "0101"), band(end, 3, 3, 0x01, "0"), band(one, 4, 4, 0x01, "00"),
				// A code and a sign; the corrections that precede coefficient 3.
				band(one, 1, 3, 0x10, "00"+"10"), band(end, 4, 4, 0x10, "01")),
			file(band(two, 1, 2, 0, "011"+"010"), band(one, 3, 3, 0, "00"), band(two, 4, 4, 0, "000")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d jpeg.Decoder
			// Some files lack coefficients. As DC is zero, smoothing guesses zeros for them.
			want, err := d.Decode(test.atOnce, jpeg.Options{})
			if err != nil {
				t.Fatal(err)
			}
			pix := slices.Clone(want.Pix)
			if slices.Max(pix) == slices.Min(pix) {
				t.Fatal("the block is flat")
			}
			got, err := d.Decode(test.bitByBit, jpeg.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Pix, pix) {
				t.Error("pixels differ from those of the file coded at once")
			}
		})
	}
}

// grayBlock returns a file of one gray block: its frame marker, and segments and scans after the header and tables
// whose only codes are a zero bit.
func grayBlock(frame byte, parts ...[]byte) []byte {
	return slices.Concat([]byte{0xFF, 0xD8}, segment(0xDB, append([]byte{0}, bytes.Repeat([]byte{2}, 64)...)...), oneCode(0, 2), oneCode(0x10, 0),
		segment(frame, 8, 0, 8, 0, 8, 1, 1, 0x11, 0), slices.Concat(parts...), []byte{0xFF, 0xD9})
}

// TestQuantizationIsFixed checks that a component keeps the quantization table of its first scan.
func TestQuantizationIsFixed(t *testing.T) {
	t.Parallel()
	dc := append(segment(0xDA, 1, 1, 0, 0, 0, 0), entropyCoded("011")...)
	ac := append(segment(0xDA, 1, 1, 0, 1, 63, 0), entropyCoded("0")...)
	other := segment(0xDB, append([]byte{0}, bytes.Repeat([]byte{99}, 64)...)...)
	var d jpeg.Decoder
	var pictures [][]byte
	for _, file := range [][]byte{grayBlock(0xC2, dc, ac), grayBlock(0xC2, dc, other, ac), grayBlock(0xC2, other, dc, ac)} {
		m, err := d.Decode(file, jpeg.Options{})
		if err != nil {
			t.Fatal(err)
		}
		pictures = append(pictures, slices.Clone(m.Pix))
	}
	if !bytes.Equal(pictures[1], pictures[0]) {
		t.Error("a table between scans changes pixels")
	}
	if bytes.Equal(pictures[2], pictures[0]) {
		t.Error("a table before the first scan changes nothing")
	}
}

// TestTableOfAnotherProcess checks that a Decoder does not take the symbols of a Huffman table, kept from a file before,
// for those of the other process, in which they mean something else.
func TestTableOfAnotherProcess(t *testing.T) {
	t.Parallel()
	sequential := grayBlock(0xC0, segment(0xDA, 1, 1, 0, 0, 63, 0), entropyCoded("0110"))
	progressive := grayBlock(0xC2, segment(0xDA, 1, 1, 0, 0, 0, 0), entropyCoded("011"), segment(0xDA, 1, 1, 0, 1, 63, 0), entropyCoded("0"))
	var d jpeg.Decoder
	var first []byte
	for i, file := range [][]byte{sequential, progressive, sequential, progressive} {
		m, err := d.Decode(file, jpeg.Options{})
		if err != nil {
			t.Fatalf("file %d: %v", i+1, err)
		}
		if first == nil {
			first = slices.Clone(m.Pix)
		} else if !bytes.Equal(m.Pix, first) {
			t.Errorf("file %d: pixels differ from the first file's", i+1)
		}
	}
}
