package bmp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// file describes a BMP file. Those that Pillow reads are in testdata of package decode.
type file struct {
	header        uint32 // length
	width, height int32
	bits          uint16
	compression   uint32
	colors        []byte // blue, green, red, unused for each
	masks         []uint32
	pixels        []byte
}

func (f file) make() []byte {
	le := binary.LittleEndian
	info := le.AppendUint32(nil, f.header)
	if f.header == coreHeader {
		info = le.AppendUint16(le.AppendUint16(info, uint16(f.width)), uint16(f.height))
		info = le.AppendUint16(le.AppendUint16(info, 1), f.bits)
	} else {
		info = le.AppendUint32(le.AppendUint32(info, uint32(f.width)), uint32(f.height))
		info = le.AppendUint16(le.AppendUint16(info, 1), f.bits)
		info = append(le.AppendUint32(info, f.compression), make([]byte, 12)...)
		info = append(le.AppendUint32(info, uint32(len(f.colors)/4)), 0, 0, 0, 0)
		for _, m := range f.masks {
			info = le.AppendUint32(info, m)
		}
		info = append(info, make([]byte, max(0, int(f.header)-len(info)))...)
		if f.header < infoHeader {
			info = info[:f.header]
		}
	}
	info = append(info, f.colors...)
	at := uint32(fileHeader + len(info))
	data := le.AppendUint32([]byte("BM"), at+uint32(len(f.pixels)))
	data = le.AppendUint32(append(data, 0, 0, 0, 0), at)
	return slices.Concat(data, info, f.pixels)
}

func nothing(int) error { return nil }

// read returns all pixels of a file.
func read(t *testing.T, data []byte) ([]byte, error) {
	t.Helper()
	return new(Reader).read(t, data)
}

// read is the same with a Reader that may have read other files.
func (r *Reader) read(t *testing.T, data []byte) ([]byte, error) {
	t.Helper()
	if err := r.Open(data, nothing); err != nil {
		return nil, err
	}
	var pix []byte
	for y := range r.Height {
		row := make([]byte, 3*r.Width)
		r.Row(row, y, 0, r.Width)
		for from := range r.Width { // parts are equal to the whole
			part := make([]byte, 3*(r.Width-from))
			if r.Row(part, y, from, r.Width); !bytes.Equal(part, row[3*from:]) {
				t.Errorf("pixels from %d on of row %d differ from the whole row", from, y)
			}
		}
		pix = append(pix, row...)
	}
	return pix, nil
}

// TestMasks holds pixels of random masks against arithmetic. Pillow refuses most of these.
func TestMasks(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	var r Reader
	for _, test := range []struct {
		bits  uint16
		masks []uint32
	}{
		{16, []uint32{0xF00, 0xF0, 0xF}}, {16, []uint32{0xF000, 0xE00, 0x1}}, {16, []uint32{0xFF, 0xFF00, 0}},
		{16, []uint32{0x1F, 0x7E0, 0xF800}}, {24, []uint32{0xFF, 0xFF00, 0xFF0000}}, {24, []uint32{0x3F, 0xFC0, 0x3F000}},
		{32, []uint32{0x3FF00000, 0xFFC00, 0x3FF}}, {32, []uint32{0xFFFFFFFF, 0xFF, 0xF0000000}},
		{16, []uint32{0x1F8, 0xE00, 0x7}}, {16, []uint32{0xF0, 0xFF0, 0x1FE0}}, {16, []uint32{0xFF00, 0x7F, 0xF00}}, {16, []uint32{0xFFFF, 0, 0x1FF}},
		{16, []uint32{0x1F0F800, 0x7E0, 0x1F}}, // bits that a pixel does not have
		{32, []uint32{0xFF0000, 0xFF00, 0xFF}}, {32, []uint32{0xFF, 0xFF0000, 0xFF000000}}, {32, []uint32{0xFF00, 0xFF00, 0xFF0}},
	} {
		for _, header := range []uint32{40, 52, 56, 108, 124} {
			const width, height = 9, 3
			row := (width*int(test.bits) + 31) / 32 * 4
			f := file{header: header, width: width, height: -height, bits: test.bits, compression: bitFields, masks: test.masks}
			f.pixels = make([]byte, row*height)
			for i := range f.pixels {
				f.pixels[i] = byte(random.Uint32())
			}
			var want []byte
			for y := range height {
				for x := range width {
					pixel := [4]byte{}
					copy(pixel[:], f.pixels[y*row+x*int(test.bits)/8:][:test.bits/8])
					v := uint64(binary.LittleEndian.Uint32(pixel[:]))
					for _, m := range test.masks {
						m &= uint32(1<<test.bits - 1)
						most := uint64(m >> bits.TrailingZeros32(m))
						c := v & uint64(m) >> bits.TrailingZeros32(m)
						for ; most > 255; most >>= 1 {
							c >>= 1
						}
						want = append(want, byte(c*255/max(most, 1)))
					}
				}
			}
			if got, err := r.read(t, f.make()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bits, masks %#x, header of %d bytes: error %v, pixels\n%x, want\n%x", test.bits, test.masks, header, err, got, want)
			}
		}
	}
}

// colors returns a palette in which color i is i, 0, 2i.
func colors(n int) (p []byte) {
	for i := range n {
		p = append(p, byte(2*i), 0, byte(i), 0)
	}
	return p
}

// TestRuns holds what compressed pixels mean. Their colors are those of colors, so the red of a pixel is its index; of
// indices beyond the palette it is too.
func TestRuns(t *testing.T) {
	t.Parallel()
	const full = "\x05\x01\x00\x00" // a row of index 1
	for name, test := range map[string]struct {
		bits   uint16
		pixels string
		want   string // from the bottom row on; rows of 5 pixels
		err    error
	}{
		"runs":                    {8, "\x02\x07\x03\x08\x00\x00\x05\x09\x00\x00\x04\x03\x01\x02\x00\x01", "\x07\x07\x08\x08\x08\x09\x09\x09\x09\x09\x03\x03\x03\x03\x02", nil},
		"runs of 4 bits":          {4, "\x05\x12\x00\x00\x02\x34\x03\x56\x00\x00\x05\x70\x00\x01", "\x01\x02\x01\x02\x01\x03\x04\x05\x06\x05\x07\x00\x07\x00\x07", nil},
		"literals":                {8, "\x00\x05\x01\x02\x03\x04\x05\x00\x00\x00" + full + "\x00\x04\x09\x08\x07\x06\x01\x0A\x00\x01", "\x01\x02\x03\x04\x05\x01\x01\x01\x01\x01\x09\x08\x07\x06\x0A", nil},
		"literals of 4 bits":      {4, "\x00\x05\x12\x34\x50\x00\x00\x00\x05\x11\x00\x00\x00\x03\x98\x70\x02\x66\x00\x01", "\x01\x02\x03\x04\x05\x01\x01\x01\x01\x01\x09\x08\x07\x06\x06", nil},
		"an index without color":  {8, "\x05\xC8\x00\x00" + full + full + "\x00\x01", "\xC8\xC8\xC8\xC8\xC8\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", nil},
		"a run beyond its row":    {8, "\xFF\x02\x00\x00" + full + full + "\x00\x01", "\x02\x02\x02\x02\x02\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", nil},
		"a move":                  {8, "\x01\x09\x00\x02\x02\x01\x01\x08\x00\x00" + full + "\x00\x01", "\x09\x00\x00\x00\x00\x00\x00\x00\x08\x00\x01\x01\x01\x01\x01", nil},
		"a move to the corner":    {8, full + "\x00\x02\x05\x02", "\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", nil},
		"short rows":              {8, "\x02\x09\x00\x00\x00\x00\x01\x08\x00\x01", "\x09\x09\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00", nil},
		"an early end":            {8, full + "\x00\x01", "\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", nil},
		"no end":                  {8, full + full + "\x05\x02", "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02", nil},
		"more rows":               {8, full + full + full + full, "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", nil},
		"cut in a row":            {8, full + full + "\x04\x02", "", io.ErrUnexpectedEOF},
		"cut in a run":            {8, full + full + "\x04", "", io.ErrUnexpectedEOF},
		"cut in literals":         {8, full + full + "\x00\x04\x01\x02\x03", "", io.ErrUnexpectedEOF},
		"cut in literals, 4 bits": {4, full + full + "\x00\x05\x01\x02", "", io.ErrUnexpectedEOF},
		"cut in a move":           {8, full + "\x00\x02\x01", "", io.ErrUnexpectedEOF},
		"literals beyond the row": {8, "\x02\x01\x00\x04\x01\x02\x03\x04", "", errBeyond},
		"a move beyond the row":   {8, "\x02\x01\x00\x02\x04\x00", "", errBeyond},
		"a move beyond the top":   {8, "\x02\x01\x00\x02\x00\x04", "", errBeyond},
	} {
		for _, down := range []bool{false, true} {
			f := file{header: 40, width: 5, height: 3, bits: test.bits, compression: rle8, colors: colors(16), pixels: []byte(test.pixels)}
			if test.bits == 4 {
				f.compression = rle4
			}
			rows := []int{2, 1, 0}
			if down {
				f.height, rows = -3, []int{0, 1, 2}
			}
			pix, err := read(t, f.make())
			if test.err != nil {
				if !errors.Is(err, test.err) {
					t.Errorf("%s: error %v, want %v", name, err, test.err)
				}
				continue
			}
			var got, want []byte
			for i := 0; i < len(pix); i += 3 {
				got = append(got, pix[i])
			}
			for _, row := range rows {
				want = append(want, test.want[5*row:5*row+5]...)
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, top row first %t: % x, error %v; want % x", name, down, got, err, want)
			}
		}
	}
}

// TestTwoBits holds pixels of two bits, which Pillow does not read.
func TestTwoBits(t *testing.T) {
	t.Parallel()
	f := file{header: 40, width: 5, height: 1, bits: 2, colors: colors(4), pixels: []byte{0b00_01_10_11, 0b01_00_00_00, 0, 0}}
	want := []byte{0, 0, 0, 1, 0, 2, 2, 0, 4, 3, 0, 6, 1, 0, 2}
	if got, err := read(t, f.make()); err != nil || !bytes.Equal(got, want) {
		t.Errorf("% x, error %v; want % x", got, err, want)
	}
}

// TestShortOS2Header holds a header that ends before the field for compression.
func TestShortOS2Header(t *testing.T) {
	t.Parallel()
	f := file{header: 16, width: 1, height: 1, bits: 24, pixels: []byte{3, 2, 1}}
	if got, err := read(t, f.make()); err != nil || !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("% x, error %v; want 01 02 03", got, err)
	}
}

// TestUpward holds which files are read from the bottom row on: those whose memory is in that order, but for packed indices.
func TestUpward(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		f    file
		want bool
	}{
		{file{header: 40, height: 1, bits: 24}, true},
		{file{header: 40, height: -1, bits: 24}, false},
		{file{header: 40, height: 1, bits: 8}, true},
		{file{header: 40, height: 1, bits: 4}, false},
		{file{header: 40, height: 1, bits: 4, compression: rle4}, true},
	} {
		test.f.width = 1
		h, err := ParseHeader(test.f.make())
		if got := h.Upward(); err != nil || got != test.want {
			t.Errorf("%+v: Upward %t, error %v; want %t", test.f, got, err, test.want)
		}
	}
}

// TestRefuses holds that what is refused is named.
func TestRefuses(t *testing.T) {
	t.Parallel()
	masks := []uint32{0xFF0000, 0xFF00, 0xFF, 0}
	for _, test := range []struct {
		f    file
		want string
	}{
		{file{header: 40, bits: 24, compression: 4}, "unsupported: an embedded JPEG file"},
		{file{header: 40, bits: 24, compression: 5}, "unsupported: an embedded PNG file"},
		{file{header: 64, bits: 1, compression: 3}, "unsupported: Huffman compression (OS/2)"},
		{file{header: 64, bits: 24, compression: 4}, "unsupported: RLE24 compression (OS/2)"},
		{file{header: 124, bits: 32, compression: 11}, "unsupported: CMYK"},
		{file{header: 40, bits: 64}, "unsupported: 64 bits for each pixel"},
		{file{header: 40, bits: 24, compression: 7}, "compression 7, which is not defined"},
		{file{header: 40, bits: 3}, "3 bits for each pixel with compression 0"},
		{file{header: 40, bits: 24, compression: 1}, "24 bits for each pixel with compression 1"},
		{file{header: 40, bits: 8, compression: 2}, "8 bits for each pixel with compression 2"},
		{file{header: 108, bits: 8, compression: 3, masks: masks}, "8 bits for each pixel with compression 3"},
		{file{header: 40, bits: 16, compression: 3, masks: []uint32{0xF0F0, 0xF00, 0xF}}, "mask 0xf0f0 with a gap"},
		{file{header: 11, bits: 24}, "header of 11 bytes"},
		{file{header: 200, bits: 24}, "header of 200 bytes"},
	} {
		test.f.width, test.f.height = 1, 1
		test.f.pixels = make([]byte, 400)
		_, err := read(t, test.f.make())
		if err == nil || err.Error() != "bmp: "+test.want {
			t.Errorf("%+v: error %v, want bmp: %s", test.f, err, test.want)
		}
		if _, ok := errors.AsType[UnsupportedError](err); ok != strings.HasPrefix(test.want, "unsupported") {
			t.Errorf("%v: UnsupportedError is %t", err, ok)
		}
	}
}

// TestTruncated holds that every missing byte is noticed, but for padding after the last row.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for _, f := range []file{
		{header: 40, width: 3, height: 2, bits: 24, pixels: make([]byte, 12+9)},
		{header: 12, width: 3, height: 2, bits: 16, pixels: make([]byte, 8+6)},
		{header: 12, width: 3, height: 1, bits: 24, pixels: make([]byte, 9)},
		{header: 40, width: 3, height: 2, bits: 32, compression: bitFields, masks: []uint32{0xFF, 0xFF00, 0xFF0000}, pixels: make([]byte, 24)},
		{header: 40, width: 3, height: 2, bits: 32, compression: alphaBitFields, masks: []uint32{0xFF, 0xFF00, 0xFF0000, 0}, pixels: make([]byte, 24)},
		{header: 40, width: 3, height: 2, bits: 8, compression: rle8, colors: colors(3), pixels: []byte("\x03\x01\x00\x00\x03\x02")},
	} {
		data := f.make()
		if _, err := read(t, data); err != nil {
			t.Errorf("whole file of %d bits: %v", f.bits, err)
		}
		for n := range len(data) {
			if _, err := read(t, data[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("file of %d bits cut to %d of %d bytes: error %v, want io.ErrUnexpectedEOF", f.bits, n, len(data), err)
			}
		}
	}
}

// TestWork holds that a caller can end the expansion of a compressed picture, in the middle of long sequences of pairs.
func TestWork(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	f := file{header: 40, width: 1, height: 1, bits: 8, compression: rle8, pixels: bytes.Repeat([]byte{1, 1}, 100_000)}
	data := f.make()
	calls := 0
	var r Reader
	err := r.Open(data, func(int) error {
		if calls++; calls == 50 {
			return stop
		}
		return nil
	})
	if err != stop { //nolint:errorlint // unchanged
		t.Errorf("Open: error %v after %d calls of work, want its error at the 50th", err, calls)
	}
}

// FuzzReader checks that any bytes give rows or an error.
func FuzzReader(f *testing.F) {
	f.Add(file{header: 40, width: 5, height: 3, bits: 8, compression: rle8, colors: colors(3), pixels: []byte("\x00\x03\x01\x02\x03\x00\x00\x02\x01\x01\x00\x01")}.make())
	f.Add(file{header: 108, width: 5, height: 3, bits: 16, compression: bitFields, masks: []uint32{31, 31 << 5, 31 << 10}, pixels: make([]byte, 36)}.make())
	f.Add(file{header: 12, width: 5, height: 3, bits: 1, pixels: make([]byte, 18)}.make())
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHeader(data)
		if err != nil || h.Width < 1 || h.Height < 1 || h.Width > 1000 || h.Height > 1000 {
			return
		}
		memory, err := h.Memory(len(data))
		if err != nil {
			return
		}
		var r Reader
		if err := r.Open(data, nothing); err != nil {
			return
		}
		if int64(len(r.indices)) > memory {
			t.Errorf("%d indices, more than the %d bytes expected", len(r.indices), memory)
		}
		row := make([]byte, 3*h.Width)
		for y := range h.Height {
			r.Row(row, y, 0, h.Width)
			r.Row(row[:3*((h.Width+1)/2)], y, h.Width/2, h.Width)
		}
	})
}
