package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/lzw"
	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/palette"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// A GIF file (GIF89a, https://www.w3.org/Graphics/GIF/spec-gif89a.txt) is a header with the size of the screen, and blocks.
// The first image block is the picture here: its place on the screen, and the indices of its pixels in a palette,
// compressed by LZW, in sub-blocks of up to 255 bytes. Its rows come in order unless it is interlaced; then all
// indices are in memory. Where the frame does not cover the screen, the screen shows the frame's transparent color or
// else color 0; a frame that reaches beyond the screen enlarges it; what comes after the last pixel does not matter: all
// as in Pillow.

// errGIFShort is the error of a frame whose data ends before its pixels do.
var errGIFShort = errors.New("not enough image data")

// gifHeader is what precedes the first frame's pixels (sections 18 to 23).
type gifHeader struct {
	width, height int // of the screen, enlarged to hold the frame
	frame         image.Rectangle
	interlaced    bool
	colors        []byte // the frame's own color table or else the global one, three bytes for each; it may be empty
	transparent   byte   // index, 0 if there is none
	pixels        int    // where the pixels begin in the file
}

func gifSize(data []byte) (width, height int, err error) {
	h, err := readGIFHeader(data)
	return h.width, h.height, err
}

// lzwRatio is more than the largest number of pixels for each byte of LZW: a code of 12 bits stands for at most 4096 of
// them.
const lzwRatio = 4096 * 8 / 12

// gifCost counts a strip of the picture and a row of the frame, or all of it if it is interlaced.
func gifCost(data []byte, width, height int) (c cost, err error) {
	h, err := readGIFHeader(data)
	if err != nil {
		return c, err
	}
	area := int64(h.frame.Dx()) * int64(h.frame.Dy())
	if area/lzwRatio > int64(len(data)) {
		return c, io.ErrUnexpectedEOF
	}
	c.time = perPixel(10*time.Nanosecond, width, height)
	c.memory = stripBytes(width) + gifFixedBytes + int64(h.frame.Dx())
	if h.interlaced {
		c.memory += area
	}
	return c, nil
}

// gifFixedBytes is more than the state of decompression takes.
const gifFixedBytes = 96 << 10

// readGIFHeader reads up to the first frame's pixels.
func readGIFHeader(data []byte) (h gifHeader, err error) {
	r := gifBytes{data: data}
	screen, err := r.take(10)
	if err != nil {
		return h, err
	}
	if version := string(screen[3:6]); version != "87a" && version != "89a" {
		return h, fmt.Errorf("unknown version %q", version)
	}
	h.width, h.height = int(binary.LittleEndian.Uint16(screen[6:])), int(binary.LittleEndian.Uint16(screen[8:]))
	if err := h.readPalette(&r, 2); err != nil {
		return h, err
	}
	for {
		introducer, err := r.take(1)
		if err != nil {
			return h, err
		}
		switch introducer[0] {
		case '!':
			err = h.readExtension(&r)
		case ',':
			err = h.readFrame(&r)
			h.pixels = r.at
			return h, err
		case ';':
			err = errors.New("no picture")
		default: // not between blocks, but some files have it
		}
		if err != nil {
			return h, err
		}
	}
}

// gifBytes reads bytes of a file.
type gifBytes struct {
	data []byte
	at   int
}

// take returns the next n bytes.
func (r *gifBytes) take(n int) ([]byte, error) {
	if n > len(r.data)-r.at {
		return nil, io.ErrUnexpectedEOF
	}
	r.at += n
	return r.data[r.at-n : r.at], nil
}

// block returns the data of a sub-block, io.EOF for the empty one that ends a series of them.
func (r *gifBytes) block() ([]byte, error) {
	n, err := r.take(1)
	if err != nil {
		return nil, err
	}
	if n[0] == 0 {
		return nil, io.EOF
	}
	return r.take(int(n[0]))
}

// readPalette reads flags, ignored bytes, and the color table that follows if the flags announce one.
func (h *gifHeader) readPalette(r *gifBytes, ignored int) error {
	flags, err := r.take(1 + ignored)
	if err != nil || flags[0]&0x80 == 0 {
		return err
	}
	h.colors, err = r.take(3 * 2 << (flags[0] & 7))
	return err
}

// readExtension reads an extension: of a graphic control extension the transparent entry, of others nothing. The last
// one wins.
func (h *gifHeader) readExtension(r *gifBytes) error {
	const graphicControl = 0xF9
	label, err := r.take(1)
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		block, err := r.block()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if label[0] == graphicControl && first && len(block) >= 4 && block[0]&1 != 0 {
			h.transparent = block[3]
		}
	}
}

// readFrame reads an image descriptor (section 20), with its palette.
func (h *gifHeader) readFrame(r *gifBytes) error {
	b, err := r.take(8)
	if err != nil {
		return err
	}
	le16 := func(at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }
	h.frame = image.Rect(0, 0, le16(4), le16(6)).Add(image.Pt(le16(0), le16(2)))
	h.width, h.height = max(h.width, h.frame.Max.X), max(h.height, h.frame.Max.Y)
	if r.at < len(r.data) {
		h.interlaced = r.data[r.at]&0x40 != 0
	}
	return h.readPalette(r, 0)
}

// gifReader reads the pixels of a GIF file. It is for one file after the other, and reuses its memory.
type gifReader struct {
	gifHeader
	decoder *Decoder
	palette palette.Palette
	blocks  gifBytes
	lzw     *lzw.Decoder // nil before the first file
	indices []byte       // of a row, or of the frame if it is interlaced
	next    int          // next row of the frame to read
}

func (d *Decoder) decodeGIF(data []byte, o jpeg.Options) (RGB, error) {
	g := &d.gif
	g.decoder = d
	defer g.close()
	if err := g.open(data); err != nil {
		return RGB{}, err
	}
	if g.interlaced {
		if err := g.readInterlaced(); err != nil {
			return RGB{}, err
		}
	}
	rgb, err := d.deliver(g.width, g.height, o, downward, func(dst []byte, y int) error {
		from, end := o.Window.Min.X, o.Window.Max.X
		if y < g.frame.Min.Y || y >= g.frame.Max.Y || g.frame.Min.X > from || g.frame.Max.X < end {
			g.fill(dst[3*from : 3*end])
		}
		from, end = max(from, g.frame.Min.X), min(end, g.frame.Max.X)
		if y < g.frame.Min.Y || y >= g.frame.Max.Y || from >= end {
			return nil
		}
		row, err := g.row(y - g.frame.Min.Y)
		if err != nil {
			return err
		}
		g.palette.Look(dst[3*from:3*end], row[from-g.frame.Min.X:end-g.frame.Min.X])
		return nil
	})
	if err != nil {
		return RGB{}, err
	}
	return rgb, g.finish()
}

// close makes the reader retain no data.
func (g *gifReader) close() {
	g.colors, g.blocks = nil, gifBytes{}
	if g.lzw != nil {
		g.lzw.Reset(0, nil)
	}
}

// open reads up to the pixels.
func (g *gifReader) open(data []byte) (err error) {
	if g.gifHeader, err = readGIFHeader(data); err != nil {
		return err
	}
	g.palette.Ramp()
	for i := range len(g.colors) / 3 {
		c := g.colors[3*i:]
		g.palette.Set(i, c[0], c[1], c[2])
	}
	g.blocks = gifBytes{data: data, at: g.pixels}
	bits, err := g.blocks.take(1)
	if err != nil {
		return err
	}
	if bits[0] > lzw.MaxLiteral {
		return fmt.Errorf("pixels of %d bits", bits[0])
	}
	if g.lzw == nil {
		g.lzw = new(lzw.Decoder)
	}
	g.lzw.Reset(int(bits[0]), g.block)
	g.next = 0
	g.indices = slices.Grow(g.indices[:0], g.frame.Dx())[:g.frame.Dx()]
	return nil
}

// block returns the data of the next sub-block. Each of its bits may be a code that stands for no pixel.
func (g *gifReader) block() ([]byte, error) {
	block, err := g.blocks.block()
	if err == nil {
		err = g.decoder.did(8*len(block) + 64)
	}
	return block, err
}

// fill writes pixels that no frame covers.
func (g *gifReader) fill(dst []byte) {
	for c := g.palette.Color(g.transparent); len(dst) >= 3; dst = dst[3:] {
		copy(dst, c[:])
	}
}

// row returns the indices of row y of the frame.
func (g *gifReader) row(y int) ([]byte, error) {
	width := g.frame.Dx()
	if g.interlaced {
		return g.indices[y*width:][:width], nil
	}
	for ; g.next <= y; g.next++ {
		if err := g.read(g.indices); err != nil {
			return nil, err
		}
	}
	return g.indices, nil
}

// read reads the next row of indices of the file.
func (g *gifReader) read(row []byte) error {
	if err := g.lzw.Read(row); errors.Is(err, io.EOF) {
		return errGIFShort
	} else if err != nil {
		return err
	}
	return g.decoder.did(len(row))
}

// readInterlaced reads all rows, which are in the order of appendix E.
func (g *gifReader) readInterlaced() error {
	width, height := g.frame.Dx(), g.frame.Dy()
	g.indices = slices.Grow(g.indices[:0], width*height)[:width*height]
	for _, pass := range [...]struct{ first, step int }{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		for y := pass.first; y < height; y += pass.step {
			if err := g.read(g.indices[y*width:][:width]); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish reads the rest of the frame.
func (g *gifReader) finish() error {
	if g.interlaced || g.frame.Empty() {
		return nil
	}
	_, err := g.row(g.frame.Dy() - 1)
	return err
}
