package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/inflate"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/palette"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// A PNG file (PNG specification, third edition, https://www.w3.org/TR/png-3/) is a signature and chunks: length, type,
// data, check sum. IHDR has the size and the kind of the pixels, PLTE a palette; the IDAT chunks together are one zlib
// stream of rows, each with a byte that names its filter; IEND ends the file. A row depends on the one before only, so
// two of them are in memory at a time, unless the picture is interlaced.
//
// Chunks that do not change the pixels are not checked, as in libpng and Pillow: transparency, a palette beside gray or
// RGB, and all that comes after the last row, IEND included.
const pngSignature = "\x89PNG\r\n\x1a\n"

// Errors of files that break the specification.
var (
	errPNGOrder    = errors.New("chunk out of order")
	errPNGChecksum = errors.New("invalid checksum")
	errPNGShort    = errors.New("not enough pixel data")
	errPNGHeader   = errors.New("invalid header")
	errPNGPalette  = errors.New("invalid palette")
)

// Color types (section 11.2.1). Bit 0 says palette, bit 1 color, bit 2 alpha.
const (
	pngGray      = 0
	pngColor     = 2
	pngPalette   = 3
	pngGrayAlpha = 4
	pngAlpha     = 6
)

// pngHeader is the content of IHDR.
type pngHeader struct {
	width, height int
	depth         int // bits of a sample
	color         byte
	interlaced    bool
}

// valid reports whether samples of the color type may have the depth (section 11.2.1).
func (h *pngHeader) valid() bool {
	switch h.color {
	case pngGray:
		return slices.Contains([]int{1, 2, 4, 8, 16}, h.depth)
	case pngPalette:
		return slices.Contains([]int{1, 2, 4, 8}, h.depth)
	case pngColor, pngGrayAlpha, pngAlpha:
		return h.depth == 8 || h.depth == 16
	}
	return false
}

// samples is the number of samples of a pixel.
func (h *pngHeader) samples() int {
	switch h.color {
	case pngColor:
		return 3
	case pngGrayAlpha:
		return 2
	case pngAlpha:
		return 4
	}
	return 1
}

// rowBytes is the length of a row of width pixels, without its filter byte.
func (h *pngHeader) rowBytes(width int) int64 {
	return (int64(h.samples())*int64(h.depth)*int64(width) + 7) / 8
}

// step is the distance, in bytes, to the sample that a filter takes for the one to the left.
func (h *pngHeader) step() int { return max(h.samples()*h.depth/8, 1) }

// pngPass is one of the seven pictures of which an interlaced one consists (section 8.1): the pixels (x+i*dx, y+j*dy).
type pngPass struct{ x, y, dx, dy int }

var adam7 = [...]pngPass{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}

// passes returns the passes of a picture, one if it is not interlaced.
func (h *pngHeader) passes() []pngPass {
	if h.interlaced {
		return adam7[:]
	}
	return []pngPass{{0, 0, 1, 1}}
}

// size returns the size of a pass, which may be empty.
func (p pngPass) size(h *pngHeader) (width, height int) {
	return max(0, (h.width-p.x+p.dx-1)/p.dx), max(0, (h.height-p.y+p.dy-1)/p.dy)
}

// pngChunks reads chunk after chunk.
type pngChunks struct{ rest []byte }

// next returns the next chunk, whose check sum is right.
func (c *pngChunks) next() (name string, body []byte, err error) {
	if len(c.rest) < 12 {
		return "", nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.BigEndian.Uint32(c.rest))
	if n > int64(len(c.rest)-12) {
		return "", nil, io.ErrUnexpectedEOF
	}
	named, sum := c.rest[4:8+n], c.rest[8+n:]
	if crc32.ChecksumIEEE(named) != binary.BigEndian.Uint32(sum) {
		return "", nil, errPNGChecksum
	}
	c.rest = sum[4:]
	return string(named[:4]), named[4:], nil
}

// readPNGHeader reads a file up to IHDR. Other chunks before it are skipped if they are none that PNG defines.
func readPNGHeader(c *pngChunks) (h pngHeader, err error) {
	name, body := "", []byte(nil)
	for name != "IHDR" {
		if name, body, err = c.next(); err != nil {
			return h, err
		}
		switch name {
		case "CgBI":
			return h, unsupportedError("Apple's CgBI variant of PNG, made for apps")
		case "PLTE", "IDAT", "IEND":
			return h, errPNGOrder
		}
	}
	if len(body) != 13 {
		return h, errPNGHeader
	}
	width, height := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
	if width > 1<<31-1 || height > 1<<31-1 || body[10] != 0 || body[11] != 0 || body[12] > 1 {
		return h, errPNGHeader
	}
	h = pngHeader{int(width), int(height), int(body[8]), body[9], body[12] == 1}
	if !h.valid() {
		return h, fmt.Errorf("bit depth %d with color type %d", h.depth, h.color)
	}
	return h, nil
}

func pngSize(data []byte) (width, height int, err error) {
	h, err := readPNGHeader(&pngChunks{data[len(pngSignature):]})
	return h.width, h.height, err
}

// inflateRatio is the largest ratio at which zlib compresses: a match of 258 bytes takes at least two bits.
const inflateRatio = 258 * 8 / 2

// pngCost counts two rows of the file and a strip of the picture, or the whole one if it is interlaced.
func pngCost(data []byte, width, height int) (c cost, err error) {
	h, err := readPNGHeader(&pngChunks{data[len(pngSignature):]})
	if err != nil {
		return c, err
	}
	raw := int64(0)
	for _, p := range h.passes() {
		if w, n := p.size(&h); w > 0 {
			raw += int64(n) * (1 + h.rowBytes(w))
		}
	}
	if raw/inflateRatio > int64(len(data)) {
		return c, io.ErrUnexpectedEOF
	}
	c.time = 2*time.Nanosecond*time.Duration(raw) + perPixel(4*time.Nanosecond, width, height)
	c.memory = 2*(1+h.rowBytes(width)) + pngBlock + pngFixedBytes
	if h.interlaced {
		c.memory += 3 * int64(width) * int64(height)
	} else {
		c.memory += stripBytes(width)
	}
	return c, nil
}

// pngFixedBytes is more than the state of decompression takes, with its window of 32 KiB.
const pngFixedBytes = 192 << 10

// pngReader reads the pixels of a PNG file. It is for one file after the other, and reuses its memory.
type pngReader struct {
	pngHeader
	decoder     *Decoder
	chunks      pngChunks
	body        []byte // rest of the current IDAT chunk
	palette     palette.Palette
	green, blue int                    // offsets from a pixel's red sample; zero without color
	layout      kernel.Layout          // of a pixel, if its samples are bytes or pairs of them
	inflate     *inflate.Reader        // nil before the first file
	source      func() ([]byte, error) // nextData, as a value that is allocated once
	work        func(bytes int) error  // the decoder's did, the same

	rowLength int    // in the file, with the byte of the filter
	left      int    // rows of the pass that block does not have yet
	block     []byte // rows, up to at without filter
	at        int
	last      []byte // the row before block
	row       []byte // the current row, without the byte of the filter
}

func (d *Decoder) decodePNG(data []byte, o jpeg.Options) (RGB, error) {
	p := &d.png
	p.decoder = d
	defer p.release()
	if err := p.open(data); err != nil {
		return RGB{}, err
	}
	var rgb RGB
	var err error
	if p.interlaced {
		rgb, err = p.interlacedRows(o)
	} else {
		rgb, err = p.rows(o)
	}
	if err != nil {
		return RGB{}, err
	}
	return rgb, p.finish()
}

// open reads up to the first IDAT chunk.
func (p *pngReader) open(data []byte) (err error) {
	p.chunks = pngChunks{data[len(pngSignature):]}
	if p.pngHeader, err = readPNGHeader(&p.chunks); err != nil {
		return err
	}
	p.palette.Ramp()
	p.green, p.blue = 0, 0
	if p.color&^4 == pngColor {
		p.green, p.blue = p.depth/8, p.depth/8*2
	}
	p.layout = kernel.NewLayout(p.step(), 0, p.green, p.blue)
	if p.depth < 8 && p.color == pngGray {
		for i := range 1 << p.depth {
			v := byte(i * 255 / (1<<p.depth - 1))
			p.palette.Set(i, v, v, v)
		}
	}
	hasPalette := false
	for {
		name, body, err := p.nextChunk()
		if err != nil {
			return err
		}
		switch name {
		case "IHDR", "IEND":
			return errPNGOrder
		case "PLTE":
			if p.color != pngPalette {
				continue // a suggestion for few colors, or a mistake
			}
			hasPalette = true
			if err := p.readPalette(body); err != nil {
				return err
			}
		case "IDAT":
			if p.color == pngPalette && !hasPalette {
				return errPNGOrder
			}
			p.body = body
			p.startInflate()
			return nil
		}
	}
}

// nextChunk reads a chunk. A file may have hundreds of thousands that are empty.
func (p *pngReader) nextChunk() (name string, body []byte, err error) {
	if name, body, err = p.chunks.next(); err == nil {
		err = p.decoder.did(len(body)/8 + 64)
	}
	return name, body, err
}

// readPalette reads PLTE. Entries that it lacks are gray.
func (p *pngReader) readPalette(body []byte) error {
	n := len(body) / 3
	if len(body)%3 != 0 || n == 0 || n > 256 {
		return errPNGPalette
	}
	for i := range n {
		p.palette.Set(i, body[3*i], body[3*i+1], body[3*i+2])
	}
	return nil
}

func (p *pngReader) startInflate() {
	if p.inflate == nil {
		p.inflate, p.source, p.work = new(inflate.Reader), p.nextData, p.decoder.did
	}
	p.inflate.Reset(p.source, p.work)
}

// release lets go of the file's data.
func (p *pngReader) release() {
	p.chunks, p.body = pngChunks{}, nil
	if p.inflate != nil {
		p.inflate.Reset(nil, nil)
	}
}

// nextData returns the data of the first IDAT chunk, which open has found, and then of those after it.
func (p *pngReader) nextData() ([]byte, error) {
	for len(p.body) == 0 {
		name, body, err := p.nextChunk()
		if err != nil {
			return nil, err
		}
		if name != "IDAT" {
			return nil, errPNGShort
		}
		p.body = body
	}
	body := p.body
	p.body = nil
	return body, nil
}

// finish compares zlib's check sum. Rows that the picture does not have may come before it; then nothing is left to check.
func (p *pngReader) finish() error {
	var more [1]byte
	if _, err := io.ReadFull(p.inflate, more[:]); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
