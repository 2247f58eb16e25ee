package bmp

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
)

// UnsupportedError reports a file that may be valid but uses something this package does not read.
type UnsupportedError struct {
	Feature string // for example "RLE24 compression"
}

func (e UnsupportedError) Error() string { return "bmp: unsupported: " + e.Feature }

// Values of the header's field for compression. In OS/2's headers 3 and 4 have other meanings.
const (
	rgb            = 0
	rle8           = 1
	rle4           = 2
	bitFields      = 3
	jpeg           = 4
	png            = 5
	alphaBitFields = 6
)

// Header is what the headers of a file say.
type Header struct {
	Width, Height int

	bits        int // of a pixel
	compression uint32
	topDown     bool      // the first row of the file is the top one
	masks       [3]uint32 // bits of a pixel that are red, green and blue, if it has no palette
	palette     int64     // where the palette is in the file
	colors      int       // of the palette, 0 without one
	entry       int       // bytes of a color
	pixels      int64     // where the pixels begin in the file
}

// Headers. The first field of each is its length, by which they are told apart.
const (
	fileHeader = 14  // "BM", length of the file, 4 bytes reserved, where the pixels begin
	coreHeader = 12  // OS/2 1: width and height in 16 bits each, planes, bits
	infoHeader = 40  // Windows 3; the fields of others are the same up to here
	maskHeader = 52  // with masks for red, green and blue
	os2Header  = 64  // OS/2 2, which may end anywhere after the height
	lastHeader = 124 // Windows 5
)

// ParseHeader reads the headers. A size of the picture below 1x1 is the caller's to refuse.
func ParseHeader(data []byte) (h Header, err error) {
	if len(data) < fileHeader+4 {
		return h, io.ErrUnexpectedEOF
	}
	le := binary.LittleEndian
	n := le.Uint32(data[fileHeader:])
	if n < coreHeader || n > lastHeader {
		return h, fmt.Errorf("bmp: header of %d bytes", n)
	}
	end := fileHeader + int64(n)
	if int64(len(data)) < end {
		return h, io.ErrUnexpectedEOF
	}
	var fields [lastHeader]byte // those that a header does not have are zero
	copy(fields[:], data[fileHeader:end])

	colors := uint32(0)
	if n == coreHeader {
		h.Width, h.Height = int(le.Uint16(fields[4:])), int(le.Uint16(fields[6:]))
		h.bits, h.entry = int(le.Uint16(fields[10:])), 3
	} else {
		width, height := int32(le.Uint32(fields[4:])), int32(le.Uint32(fields[8:]))
		if h.topDown = height < 0; h.topDown {
			height = -height // the smallest one stays negative
		}
		h.Width, h.Height = int(width), int(height)
		h.bits, h.entry = int(le.Uint16(fields[14:])), 4
		h.compression, colors = le.Uint32(fields[16:]), le.Uint32(fields[32:])
	}
	if err := h.check(n); err != nil {
		return h, err
	}
	if h.compression == bitFields || h.compression == alphaBitFields {
		if n < maskHeader { // the masks follow
			length := 3 * 4
			if h.compression == alphaBitFields {
				length = 4 * 4
			}
			if int64(len(data)) < end+int64(length) {
				return h, io.ErrUnexpectedEOF
			}
			copy(fields[infoHeader:], data[end:][:length])
			end += int64(length)
		}
		for i := range h.masks {
			h.masks[i] = le.Uint32(fields[infoHeader+4*i:])
		}
	}
	if err := h.checkMasks(); err != nil {
		return h, err
	}

	h.palette = end
	if h.bits <= 8 {
		if colors == 0 {
			colors = 1 << h.bits
		}
		h.colors = int(min(colors, 256))
	}
	// Some files do not say where the pixels begin, or that it is where the palette does.
	switch h.pixels = int64(le.Uint32(data[10:])); {
	case h.pixels == 0, h.bits <= 8 && h.pixels == fileHeader+int64(n):
		h.pixels = end
		if h.bits <= 8 {
			h.pixels += int64(h.entry) * int64(colors)
		}
	}
	return h, nil
}

// check refuses kinds of pixels that the format does not have, or that are not read here. The header has n bytes.
func (h *Header) check(n uint32) error {
	os2 := n <= os2Header && n != infoHeader && n != maskHeader && n != maskHeader+4
	wrong := false
	switch h.compression {
	case rgb:
		switch h.bits {
		case 1, 2, 4, 8, 16, 24, 32:
		case 64:
			return UnsupportedError{"64 bits for each pixel"}
		default:
			wrong = true
		}
	case rle8:
		wrong = h.bits != 8
	case rle4:
		wrong = h.bits != 4
	case bitFields, alphaBitFields:
		if os2 {
			return UnsupportedError{"Huffman compression (OS/2)"}
		}
		wrong = h.bits != 16 && h.bits != 24 && h.bits != 32
	case jpeg:
		if os2 {
			return UnsupportedError{"RLE24 compression (OS/2)"}
		}
		return UnsupportedError{"an embedded JPEG file"}
	case png:
		return UnsupportedError{"an embedded PNG file"}
	case 11, 12, 13:
		return UnsupportedError{"CMYK"}
	default:
		return fmt.Errorf("bmp: compression %d, which is not defined", h.compression)
	}
	if wrong {
		return fmt.Errorf("bmp: %d bits for each pixel with compression %d", h.bits, h.compression)
	}
	return nil
}

// usualMasks are those of pixels of 24 and 32 bits without masks in the file.
var usualMasks = [3]uint32{0xFF << 16, 0xFF << 8, 0xFF}

// checkMasks completes the masks of a picture without palette.
func (h *Header) checkMasks() error {
	if h.bits <= 8 {
		return nil
	}
	present := uint32(1<<h.bits - 1)
	for i, m := range h.masks {
		h.masks[i] = m & present
	}
	if h.masks == [3]uint32{} {
		h.masks = usualMasks
		if h.bits == 16 {
			h.masks = [3]uint32{31 << 10, 31 << 5, 31}
		}
	}
	for _, m := range h.masks {
		if ones := m >> bits.TrailingZeros32(m); ones&(ones+1) != 0 {
			return fmt.Errorf("bmp: mask %#x with a gap", m)
		}
	}
	return nil
}

// byteLayout returns where red, green and blue are in a pixel if each of them is a whole byte, as is usual with 24 and 32 bits.
func (h *Header) byteLayout() (l kernel.Layout, ok bool) {
	var at [3]int
	for i, m := range h.masks {
		shift := bits.TrailingZeros32(m)
		if m>>shift != 0xFF || shift%8 != 0 {
			return l, false
		}
		at[i] = shift / 8
	}
	return kernel.NewLayout(h.bits/8, at[0], at[1], at[2]), true
}

// compressed reports whether the pixels are compressed by run lengths.
func (h *Header) compressed() bool { return h.compression == rle8 || h.compression == rle4 }

// Upward reports whether all rows are read faster from the bottom one on than from the top one on: if that is their order in
// memory, because CPUs load ahead forward. Rows of packed indices are so short that only the order of writing the result matters.
func (h *Header) Upward() bool { return !h.topDown && (h.bits >= 8 || h.compressed()) }

// rowBytes is the length of a row that is not compressed: without its padding, and with it.
func (h *Header) rowBytes() (length, padded int64) {
	n := int64(h.Width) * int64(h.bits)
	return (n + 7) / 8, (n + 31) / 32 * 4
}

// Memory returns how many bytes a Reader takes for the pixels of a file of this length. It refuses files that are too
// short for their pixels. The size of the picture must be positive.
func (h *Header) Memory(file int) (int64, error) {
	left := int64(file) - h.pixels
	if left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if h.compressed() { // any length may do
		return int64(h.Width) * int64(h.Height), nil
	}
	length, padded := h.rowBytes() // the last row needs no padding
	if left < length || (left-length)/padded < int64(h.Height-1) {
		return 0, io.ErrUnexpectedEOF
	}
	return 0, nil
}
