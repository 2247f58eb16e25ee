package decode

import (
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// A GIF file (GIF89a, https://www.w3.org/Graphics/GIF/spec-gif89a.txt) is a header with the size of the screen, and blocks.
// The first image block is the picture here: its place on the screen, and the indices of its pixels in a palette,
// compressed by LZW, in sub-blocks of up to 255 bytes. Its rows come in order unless it is interlaced; then all
// indices are in memory. Where the frame does not cover the screen, the screen shows the frame's transparent color or
// else color 0, as in Pillow.

// Errors of files that break the specification.
var (
	errGIFShort = errors.New("not enough image data")
	errGIFLong  = errors.New("too much image data")
)

// gifHeader is what precedes the first frame's pixels (sections 18 to 23).
type gifHeader struct {
	width, height  int // of the screen
	frame          image.Rectangle
	interlaced     bool
	palette        palette // the frame's own or else the global one
	colors         int     // entries of the palette that pixels may use
	transparent    byte    // entry of the palette, 0 if there is none
	hasTransparent bool
	pixels         int // where the pixels begin in the file
}

func gifSize(data []byte) (width, height int, err error) {
	if len(data) < 10 {
		return 0, 0, io.ErrUnexpectedEOF
	}
	if version := string(data[3:6]); version != "87a" && version != "89a" {
		return 0, 0, fmt.Errorf("unknown version %q", version)
	}
	return int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:])), nil
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
const gifFixedBytes = 64 << 10

// readGIFHeader reads up to the first frame's pixels.
func readGIFHeader(data []byte) (h gifHeader, err error) {
	if h.width, h.height, err = gifSize(data); err != nil {
		return h, err
	}
	r := gifBytes{data: data, at: 10}
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
		default:
			err = errors.New("no picture")
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

// readPalette reads flags, ignored bytes, and the color table that follows if the flags announce one.
func (h *gifHeader) readPalette(r *gifBytes, ignored int) error {
	flags, err := r.take(1 + ignored)
	if err != nil || flags[0]&0x80 == 0 {
		return err
	}
	h.colors = 2 << (flags[0] & 7)
	table, err := r.take(3 * h.colors)
	if err != nil {
		return err
	}
	h.palette = palette{}
	for i := range h.colors {
		h.palette[i] = [3]byte(table[3*i:])
	}
	return nil
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
		n, err := r.take(1)
		if err != nil || n[0] == 0 {
			return err
		}
		block, err := r.take(int(n[0]))
		if err != nil {
			return err
		}
		if label[0] == graphicControl && first && len(block) == 4 && block[0]&1 != 0 {
			h.transparent, h.hasTransparent = block[3], true
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
	if h.frame.Max.X > h.width || h.frame.Max.Y > h.height {
		return errors.New("frame exceeds the screen")
	}
	if r.at < len(r.data) {
		h.interlaced = r.data[r.at]&0x40 != 0
	}
	if err := h.readPalette(r, 0); err != nil {
		return err
	}
	if h.colors == 0 {
		return errors.New("no color table")
	}
	if h.hasTransparent { // some files have it beyond the palette
		h.colors = max(h.colors, int(h.transparent)+1)
	}
	return nil
}

// gifReader reads the pixels of a GIF file. It is for one file after the other, and reuses its memory.
type gifReader struct {
	gifHeader
	decoder *Decoder
	blocks  gifBlocks
	lzw     *lzw.Reader // nil before the first file
	indices []byte      // of a row, or of the frame if it is interlaced
	next    int         // next row of the frame to read
}

func (d *Decoder) decodeGIF(data []byte, o jpeg.Options) (RGB, error) {
	g := &d.gif
	g.decoder = d
	defer func() { g.blocks = gifBlocks{} }() // do not retain data
	if err := g.open(data); err != nil {
		return RGB{}, err
	}
	if g.interlaced {
		if err := g.readInterlaced(); err != nil {
			return RGB{}, err
		}
	}
	rgb, err := d.deliver(g.width, g.height, o, func(dst []byte, y int) error {
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
		g.palette.look(dst[3*from:3*end], row[from-g.frame.Min.X:end-g.frame.Min.X])
		return nil
	})
	if err != nil {
		return RGB{}, err
	}
	return rgb, g.finish()
}

// open reads up to the pixels.
func (g *gifReader) open(data []byte) (err error) {
	if g.gifHeader, err = readGIFHeader(data); err != nil {
		return err
	}
	r := gifBytes{data: data, at: g.pixels}
	width, err := r.take(1)
	if err != nil {
		return err
	}
	if width[0] < 2 || width[0] > 8 {
		return fmt.Errorf("codes of %d bits", width[0])
	}
	g.blocks = gifBlocks{file: r}
	if g.lzw == nil {
		g.lzw = lzw.NewReader(&g.blocks, lzw.LSB, int(width[0])).(*lzw.Reader)
	} else {
		g.lzw.Reset(&g.blocks, lzw.LSB, int(width[0]))
	}
	g.next = 0
	g.indices = slices.Grow(g.indices[:0], g.frame.Dx())[:g.frame.Dx()]
	return nil
}

// fill writes pixels that no frame covers.
func (g *gifReader) fill(dst []byte) {
	for c := g.palette[g.transparent]; len(dst) >= 3; dst = dst[3:] {
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
	if _, err := io.ReadFull(g.lzw, row); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errGIFShort
		}
		return lzwError(err)
	}
	if g.colors < len(g.palette) && len(row) > 0 && int(slices.Max(row)) >= g.colors {
		return errors.New("invalid pixel value")
	}
	return g.decoder.did(len(row))
}

// lzwError removes the library's name.
func lzwError(err error) error { return fmt.Errorf("invalid image data (%w)", err) }

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
	if !g.interlaced && !g.frame.Empty() {
		if _, err := g.row(g.frame.Dy() - 1); err != nil {
			return err
		}
	}
	var more [1]byte
	switch n, err := g.lzw.Read(more[:]); {
	case n > 0:
		return errGIFLong
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF): // some files have no code for the end
		return lzwError(err)
	}
	return g.blocks.end()
}

// gifBlocks is the contents of sub-blocks as one stream.
type gifBlocks struct {
	file  gifBytes
	block []byte // rest of the current one
	err   error  // io.EOF after the empty block that ends the stream
}

// fill makes block the next one that is not empty.
func (b *gifBlocks) fill() error {
	if b.err != nil || len(b.block) > 0 {
		return b.err
	}
	n, err := b.file.take(1)
	switch {
	case err != nil:
		b.err = err
	case n[0] == 0:
		b.err = io.EOF
	default:
		b.block, b.err = b.file.take(int(n[0]))
	}
	return b.err
}

// ReadByte implements io.ByteReader, which is what package lzw calls.
func (b *gifBlocks) ReadByte() (byte, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	c := b.block[0]
	b.block = b.block[1:]
	return c, nil
}

// Read implements io.Reader.
func (b *gifBlocks) Read(p []byte) (int, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	n := copy(p, b.block)
	b.block = b.block[n:]
	return n, nil
}

// end reads up to the end of the stream. What comes after the last code is ignored.
func (b *gifBlocks) end() error {
	for b.fill() == nil {
		b.block = nil
	}
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}
