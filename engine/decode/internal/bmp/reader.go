// Package bmp reads BMP files, the bitmaps of Windows and OS/2, row by row: pixels of 1, 2, 4 and 8 bits with a palette,
// of 16, 24 and 32 bits with any masks, and those compressed by run lengths. Package decode gives it whole files and
// delivers the rows. The pixels are those of Pillow, where that reads a file.
//
// A file (https://learn.microsoft.com/windows/win32/gdi/bitmap-storage) is a file header, one of several headers with
// size and kind of the pixels, maybe masks, maybe a palette, and somewhere behind them the pixels, usually from the
// bottom row to the top one. Rows that are not compressed can be read in any order. For others the indices of the whole
// picture are in memory.
package bmp

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/palette"
)

// Reader reads the pixels of one file after the other and reuses its memory. The zero value is ready to use.
type Reader struct {
	Header
	pixels  []byte // of the file; rows are padded to four bytes
	palette palette.Palette
	whole   bool           // red, green and blue are whole bytes
	layout  kernel.Layout  // if so
	fields  [3]field       // of other pixels without palette
	split   bool           // parts are enough for the fields
	parts   [3][256]uint32 // of pixels of 16 bits: what bits 0 to 7, 4 to 11 and 8 to 15 add to the color
	indices []byte         // of pixels that were compressed
}

// Open reads all of a file but the pixels that are not compressed. It calls work for about every 64 KiB that it has
// processed, and returns its error unchanged. The Reader retains data until Close.
func (r *Reader) Open(data []byte, work func(bytes int) error) (err error) {
	if r.Header, err = ParseHeader(data); err != nil {
		return err
	}
	if _, err := r.Memory(len(data)); err != nil {
		return err
	}
	r.pixels = data[r.Header.pixels:]
	if r.bits <= 8 {
		r.readPalette(data)
	} else if r.layout, r.whole = r.byteLayout(); !r.whole {
		for i, m := range r.masks {
			r.fields[i] = newField(m, 8*i)
		}
		r.split = r.bits == 16 && r.splitFields()
	}
	if r.compressed() {
		return r.expand(work)
	}
	return nil
}

// Close makes the Reader forget the file.
func (r *Reader) Close() { r.pixels = nil }

// readPalette reads the colors, as many as the file has. In other entries an index is a gray.
func (r *Reader) readPalette(data []byte) {
	r.palette.Ramp()
	colors := data[min(r.Header.palette, int64(len(data))):]
	for i := range min(r.colors, len(colors)/r.entry) {
		c := colors[i*r.entry:]
		r.palette.Set(i, c[2], c[1], c[0])
	}
}

// Row writes the pixels from..end-1 of row y, counted from the top, to dst.
func (r *Reader) Row(dst []byte, y, from, end int) {
	if !r.topDown {
		y = r.Height - 1 - y
	}
	dst = dst[:3*(end-from)]
	if r.compressed() {
		r.palette.Look(dst, r.indices[y*r.Width:][from:end])
		return
	}
	length, padded := r.rowBytes()
	row := r.pixels[int64(y)*padded:][:length]
	bytes := r.bits / 8
	switch {
	case r.bits < 8:
		r.palette.LookPacked(dst, row, r.bits, from, end)
	case r.bits == 8:
		r.palette.Look(dst, row[from:end])
	case r.whole:
		r.layout.RGB(dst, row[bytes*from:bytes*end])
	case r.split:
		r.convert16(dst, row[2*from:2*end])
	default:
		r.convert(dst, row[bytes*from:bytes*end], bytes)
	}
}

// field is the part of a pixel that is one of its colors.
type field struct {
	shift  uint32      // below 32
	mask   uint32      // of the value after the shift, 8 bits at most
	scaled [256]uint32 // 255/mask times the value, rounded down as in Pillow, at its place in the result
}

// newField returns the field of a mask. Of more than eight bits it drops the lower ones.
func newField(mask uint32, place int) (f field) {
	if mask == 0 { // the color is not in the picture
		return f
	}
	f.shift = uint32(max(bits.TrailingZeros32(mask), bits.Len32(mask)-8))
	f.mask = mask >> f.shift
	for v := range f.mask + 1 {
		f.scaled[v] = v * 255 / f.mask << place
	}
	return f
}

// color returns red, green and blue of a pixel, from the lowest byte on.
func (r *Reader) color(pixel uint32) uint32 {
	red, green, blue := &r.fields[0], &r.fields[1], &r.fields[2]
	return red.scaled[byte(pixel>>(red.shift&31)&red.mask)] | green.scaled[byte(pixel>>(green.shift&31)&green.mask)] |
		blue.scaled[byte(pixel>>(blue.shift&31)&blue.mask)]
}

// splitFields makes parts for pixels of 16 bits. It reports whether each field is within one of them, as in all usual files.
func (r *Reader) splitFields() bool {
	r.parts = [3][256]uint32{}
	for i := range r.fields {
		f := &r.fields[i]
		end := f.shift + uint32(bits.Len32(f.mask))
		part := (max(end, 8) - 5) / 4 // the first that does not end before
		first := 4 * part
		if f.shift < first {
			return false
		}
		for v := range r.parts[part] {
			r.parts[part][v] |= f.scaled[uint32(v)>>(f.shift-first)&f.mask]
		}
	}
	return true
}

// convert16 converts pixels by parts, two at a time: a third has to follow, as each store writes a byte of the next pixel.
func (r *Reader) convert16(dst, row []byte) {
	low, middle, high := &r.parts[0], &r.parts[1], &r.parts[2]
	for ; len(row) >= 4 && len(dst) >= 7; dst, row = dst[6:], row[4:] {
		v := binary.LittleEndian.Uint32(row)
		binary.LittleEndian.PutUint32(dst, low[byte(v)]|middle[byte(v>>4)]|high[byte(v>>8)])
		binary.LittleEndian.PutUint32(dst[3:], low[byte(v>>16)]|middle[byte(v>>20)]|high[byte(v>>24)])
	}
	r.convert(dst, row, 2)
}

// convert converts pixels of so many bytes. It loads and stores four bytes for each: what of them is the next pixel has no part in
// a color, and is written again.
func (r *Reader) convert(dst, row []byte, bytes int) {
	for ; len(row) >= 4 && len(dst) >= 4; dst, row = dst[3:], row[bytes:] {
		binary.LittleEndian.PutUint32(dst, r.color(binary.LittleEndian.Uint32(row)))
	}
	for ; len(row) >= bytes; dst, row = dst[3:], row[bytes:] {
		var pixel [4]byte
		copy(pixel[:], row[:bytes])
		c := r.color(binary.LittleEndian.Uint32(pixel[:]))
		dst[0], dst[1], dst[2] = byte(c), byte(c>>8), byte(c>>16)
	}
}

var errBeyond = errors.New("bmp: compressed pixels beyond the picture")

// expand reads all indices of a compressed picture. Its pixels are a sequence of pairs of bytes:
//
//	n i     the index i n times; for 4 bits its two halves in turn. What is beyond the end of the row is dropped
//	0 0     end of the row
//	0 1     end of the picture
//	0 2 x y move x pixels to the right and y rows on
//	0 n ... n indices as they are, padded to an even number of bytes
//
// Pixels that are passed over have index 0.
func (r *Reader) expand(work func(bytes int) error) error {
	if err := r.clear(work); err != nil {
		return err
	}
	data, done := r.pixels, 0
	x, y := 0, 0
	for y < r.Height {
		if len(data) < 2 {
			if x == r.Width && y == r.Height-1 { // only the end of the picture is missing
				return nil
			}
			return io.ErrUnexpectedEOF
		}
		if done++; done%(workPart/64) == 0 {
			if err := work(workPart); err != nil {
				return err
			}
		}
		n, code := int(data[0]), data[1]
		data = data[2:]
		row := r.indices[y*r.Width:][:r.Width]
		switch {
		case n > 0:
			x += r.run(row[x:min(x+n, r.Width)], code)
		case code == 0:
			x, y = 0, y+1
		case code == 1:
			return nil
		case code == 2:
			if len(data) < 2 {
				return io.ErrUnexpectedEOF
			}
			x, y = x+int(data[0]), y+int(data[1])
			if x > r.Width || y > r.Height {
				return errBeyond
			}
			data = data[2:]
		default:
			n = int(code)
			if x+n > r.Width {
				return errBeyond
			}
			length := (n*r.bits + 7) / 8
			if len(data) < length {
				return io.ErrUnexpectedEOF
			}
			r.literals(row[x:x+n], data)
			x += n
			data = data[min(length+length%2, len(data)):]
		}
	}
	return nil
}

// workPart is how many bytes are processed between calls of Open's work.
const workPart = 64 << 10

// clear makes all indices 0.
func (r *Reader) clear(work func(bytes int) error) error {
	n := r.Width * r.Height
	r.indices = slices.Grow(r.indices[:0], n)[:n]
	for rest := r.indices; len(rest) > 0; {
		part := rest[:min(len(rest), workPart)]
		clear(part)
		if err := work(len(part)); err != nil {
			return err
		}
		rest = rest[len(part):]
	}
	return nil
}

// run repeats an index, or for 4 bits its halves in turn. It returns the length of dst.
func (r *Reader) run(dst []byte, code byte) int {
	even, odd := code, code
	if r.bits == 4 {
		even, odd = code>>4, code&15
	}
	for i := range dst {
		dst[i] = even
		even, odd = odd, even
	}
	return len(dst)
}

// literals writes as many indices as dst holds.
func (r *Reader) literals(dst, data []byte) {
	if r.bits == 8 {
		copy(dst, data)
		return
	}
	for i := range dst {
		dst[i] = data[i/2] >> (4 - i%2*4) & 15
	}
}
