// Package vp8l decodes pictures in the lossless format of WebP (RFC 9649, chapter 3, whose sections the comments cite) for
// package decode. The data of a VP8L chunk goes in, rows of pixels come out.
//
// A picture is stored as pixels after up to four transforms. Pixels are coded by prefix codes for their channels, as matches
// with earlier ones, or as indices into a cache of recent colors; codes may differ between tiles. The tables of transforms
// and the choice of codes are pictures themselves.
package vp8l

import (
	"errors"
	"io"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
)

// Errors of files that break the format, or go beyond a limit. Files that end before the picture does give
// io.ErrUnexpectedEOF.
var (
	ErrData   = errors.New("vp8l: invalid data")
	ErrGroups = errors.New("vp8l: more than 2600 groups of prefix codes")
)

// MaxGroups is how many groups of prefix codes are accepted: libwebp's encoder writes no more. The format allows 65536,
// with hundreds of megabytes of tables.
const MaxGroups = 2600

// Pixel is a pixel: blue in the lowest byte, then green, red and alpha.
type Pixel = uint32

// Decoder decodes pictures and reuses its memory. The zero value is ready to use. It is not safe for concurrent use.
type Decoder struct {
	reader
	check func(bytes int) error

	transforms    [4]transform // in the order of the file
	transformed   int          // how many there are
	width, height int
	stored        int     // width before the inverse transforms
	pix           []Pixel // before the inverse transforms
	row           int     // next row for the inverse transforms

	cache      cache
	choices    []Pixel // of groups, for each tile
	groups     []group
	lengths    []uint8
	lengthCode tree
}

// Size reads the size of a picture (section 3.4).
func Size(data []byte) (width, height int, err error) {
	r := reader{data: data}
	return r.header()
}

func (r *reader) header() (width, height int, err error) {
	signature := r.bits(8)
	width, height = r.bits(14)+1, r.bits(14)+1
	version := r.bits(4) >> 1 // after whether alpha is used, a hint
	switch {
	case r.overrun():
		return 0, 0, io.ErrUnexpectedEOF
	case signature != 0x2F || version != 0:
		return 0, 0, ErrData
	}
	return width, height, nil
}

// Begin reads the data of a chunk, whose pixels Row returns. Check is called at least for each row, here and in Row, and for each
// group of prefix codes, with about how many bytes were processed, and ends decoding by an error.
func (d *Decoder) Begin(data []byte, check func(bytes int) error) (width, height int, err error) {
	d.reader, d.check = reader{data: data}, check
	d.transformed, d.row = 0, 0
	if d.width, d.height, err = d.header(); err != nil {
		return 0, 0, err
	}
	if d.stored, err = d.readTransforms(); err != nil {
		return 0, 0, err
	}
	n := d.stored * d.height
	d.pix = resize(d.pix, n+kernel.Spare)
	return d.width, d.height, d.pixels(d.pix[:n], d.stored, d.height, true)
}

// Close makes the decoder retain no data. It must be called even if Begin or Row fails.
func (d *Decoder) Close() { d.data, d.check = nil, nil }

// Row returns row y, which is valid until the next call. Rows must be asked for in ascending order.
func (d *Decoder) Row(y int) (row []Pixel, err error) {
	for ; d.row <= y; d.row++ {
		row = d.pix[d.row*d.stored:][:d.stored+kernel.Spare]
		for i := range slices.Backward(d.transforms[:d.transformed]) {
			row = d.transforms[i].invert(row, d.row)
		}
		if err := d.check(4 * d.width * (1 + d.transformed)); err != nil {
			return nil, err
		}
	}
	return row[:d.width], nil
}

// image reads a picture that is part of another one, to memory that may be reused.
func (d *Decoder) image(memory []Pixel, width, height int) ([]Pixel, error) {
	pix := resize(memory, width*height)
	return pix, d.pixels(pix, width, height, false)
}

// tiles is how many tiles of 1<<bits cover n pixels.
func tiles(n int, bits uint) int { return (n + 1<<bits - 1) >> bits }

// resize returns s with length n, in its old memory if that suffices. The contents are unspecified.
func resize[T any](s []T, n int) []T {
	return slices.Grow(s[:0], n)[:n]
}
