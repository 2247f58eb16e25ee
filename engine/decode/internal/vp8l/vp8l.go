// Package vp8l decodes pictures in the lossless format of WebP (RFC 9649, chapter 3, whose sections the comments cite) for
// package decode. The data of a VP8L chunk goes in, pixels come out.
//
// A picture is stored as pixels after up to four transforms. Pixels are coded by prefix codes for their channels, as matches
// with earlier ones, or as indices into a cache of recent colors; codes may differ between tiles. The tables of transforms
// and the choice of codes are pictures themselves.
package vp8l

import (
	"cmp"
	"errors"
	"io"
	"slices"
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

const opaque Pixel = 0xFF << 24

// Decoder decodes pictures and reuses its memory. The zero value is ready to use. It is not safe for concurrent use.
type Decoder struct {
	reader
	check func(bytes int) error

	pix        []Pixel
	transforms []transform
	cache      [1 << 11]Pixel
	groups     []group
	lengths    []uint8
}

// transform is one of the transforms that the pixels have to be freed from (section 4).
type transform struct {
	kind  int
	width int     // of the picture after the inverse transform
	bits  uint    // log2 of the width of a tile; for palettes of the pixels in a word
	table []Pixel // a pixel for each tile, or the palette
}

const (
	predictor = iota
	crossColor
	subtractGreen
	colorIndexing
)

// group is the prefix codes for pixels (section 6.2): green with lengths and colors of the cache, red, blue, alpha, distances.
type group struct {
	trees [5]tree
	// If red, blue and alpha take no bits, as in pictures with a palette: those channels.
	plain bool
	rest  Pixel
}

const (
	literals  = 256
	lengths   = 24
	distances = 40
	maxCache  = 11
)

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

// Decode decodes the data of a chunk. The pixels, row by row, are valid until the next call. Check is called at least for
// each row and each group of prefix codes, with about how many bytes were processed, and ends decoding by an error.
func (d *Decoder) Decode(data []byte, check func(bytes int) error) (pix []Pixel, width, height int, err error) {
	d.reader, d.check, d.transforms = reader{data: data}, check, d.transforms[:0]
	defer func() { d.data, d.check = nil, nil }() // do not retain data
	if width, height, err = d.header(); err != nil {
		return nil, 0, 0, err
	}
	stored, err := d.readTransforms(width, height)
	if err != nil {
		return nil, 0, 0, err
	}
	d.pix = resize(d.pix, width*height)
	if err := d.pixels(d.pix[:stored*height], stored, height, true); err != nil {
		return nil, 0, 0, err
	}
	for _, t := range slices.Backward(d.transforms) {
		if err := d.invert(&t, d.pix, height); err != nil {
			return nil, 0, 0, err
		}
	}
	return d.pix, width, height, nil
}

// readTransforms reads the transforms of a picture. It returns the width of what is stored.
func (d *Decoder) readTransforms(width, height int) (int, error) {
	var seen [4]bool
	for d.bits(1) == 1 {
		t := transform{kind: d.bits(2), width: width}
		if seen[t.kind] {
			return 0, ErrData
		}
		seen[t.kind] = true
		var err error
		switch t.kind {
		case predictor, crossColor:
			t.bits = uint(d.bits(3)) + 2
			t.table, err = d.image(tiles(width, t.bits), tiles(height, t.bits))
		case colorIndexing:
			n := d.bits(8) + 1
			for t.bits = 3; n > 1<<(8>>t.bits) && t.bits > 0; t.bits-- { // 8, 4, 2 or 1 pixels in a word
			}
			width = tiles(width, t.bits)
			t.table, err = d.image(n, 1)
			for i := range t.table[1:] { // each color is stored as the difference to the one before
				t.table[i+1] = add(t.table[i+1], t.table[i])
			}
			t.table = append(t.table, make([]Pixel, 256-n)...) // others are transparent black
		}
		if err != nil {
			return 0, err
		}
		d.transforms = append(d.transforms, t)
	}
	return width, nil
}

// tiles is how many tiles of 1<<bits cover n pixels.
func tiles(n int, bits uint) int { return (n + 1<<bits - 1) >> bits }

// image reads a picture that is part of another one.
func (d *Decoder) image(width, height int) ([]Pixel, error) {
	pix := make([]Pixel, width*height)
	return pix, d.pixels(pix, width, height, false)
}

// pixels reads pixels (section 5). The main picture may have a group of prefix codes for each tile.
func (d *Decoder) pixels(pix []Pixel, width, height int, main bool) error {
	cacheBits := uint(0)
	if d.bits(1) == 1 {
		if cacheBits = uint(d.bits(4)); cacheBits < 1 || cacheBits > maxCache {
			return ErrData
		}
		clear(d.cache[:1<<cacheBits])
	}
	var choice []Pixel // of the group, for each tile
	tileBits, groups := uint(0), 1
	if main && d.bits(1) == 1 {
		tileBits = uint(d.bits(3)) + 2
		var err error
		if choice, err = d.image(tiles(width, tileBits), tiles(height, tileBits)); err != nil {
			return err
		}
		for i, p := range choice {
			choice[i] = p >> 8 & 0xFFFF
			groups = max(groups, int(choice[i])+1)
		}
		if groups > MaxGroups {
			return ErrGroups
		}
	}
	d.groups = slices.Grow(d.groups[:0], groups)[:groups]
	for i := range d.groups {
		if err := d.readGroup(&d.groups[i], cacheBits); err != nil {
			return err
		}
		if err := d.check(groupWork); err != nil {
			return err
		}
	}
	return d.decode(pix, width, cacheBits, tileBits, choice)
}

// groupWork is what a group of prefix codes costs, in bytes of pixels that could be read instead: up to 20 microseconds.
const groupWork = 8 << 10

// readGroup reads five prefix codes.
func (d *Decoder) readGroup(g *group, cacheBits uint) error {
	first := literals + lengths
	if cacheBits > 0 {
		first += 1 << cacheBits
	}
	for i, n := range [...]int{first, literals, literals, literals, distances} {
		if err := d.readTree(&g.trees[i], n); err != nil {
			return err
		}
	}
	red, blue, alpha := &g.trees[1], &g.trees[2], &g.trees[3]
	if g.plain = red.mask|blue.mask|alpha.mask == 0; g.plain {
		g.rest = red.lookup[0]>>8<<16 | blue.lookup[0]>>8 | alpha.lookup[0]>>8<<24
	}
	return nil
}

// readTree reads a prefix code for n symbols (section 6.2.1).
func (d *Decoder) readTree(t *tree, n int) error {
	d.lengths = resize(d.lengths, max(n, 256))
	clear(d.lengths)
	if d.bits(1) == 1 { // one symbol or two
		two := d.bits(1) == 1
		d.lengths[d.bits(1+7*uint(d.bits(1)))] = 1
		if two {
			d.lengths[d.bits(8)] = 1
		}
	} else if err := d.readLengths(d.lengths[:n]); err != nil {
		return err
	}
	if !t.build(d.lengths[:n]) {
		return cmp.Or(d.short(), ErrData)
	}
	return nil
}

// short returns an error if more was read than there is.
func (d *Decoder) short() error {
	if d.overrun() {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// lengthOrder is the order in which the lengths of the codes for lengths are stored.
var lengthOrder = [19]uint8{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// readLengths reads the lengths of a prefix code, which have a prefix code themselves.
func (d *Decoder) readLengths(dst []uint8) error {
	n := d.bits(4) + 4
	if n > len(lengthOrder) {
		return ErrData
	}
	var order [19]uint8
	for _, symbol := range lengthOrder[:n] {
		order[symbol] = uint8(d.bits(3))
	}
	var code tree
	if !code.build(order[:]) {
		return cmp.Or(d.short(), ErrData)
	}
	left := len(dst) // symbols of the code
	if d.bits(1) == 1 {
		if left = 2 + d.bits(2+2*uint(d.bits(3))); left > len(dst) {
			return cmp.Or(d.short(), ErrData)
		}
	}
	before := uint8(8)
	for ; left > 0 && len(dst) > 0; left-- {
		d.fill()
		length, repeat := uint8(d.symbol(&code)), 1
		switch {
		case length == 16: // the length before that was not zero
			length, repeat = before, 3+d.bits(2)
		case length == 17:
			length, repeat = 0, 3+d.bits(3)
		case length == 18:
			length, repeat = 0, 11+d.bits(7)
		case length > 0:
			before = length
		}
		if repeat > len(dst) || d.overrun() {
			return cmp.Or(d.short(), ErrData)
		}
		for i := range dst[:repeat] {
			dst[i] = length
		}
		dst = dst[repeat:]
	}
	return nil
}

// hash is the place of a color in a cache (section 5.2.3).
func hash(p Pixel, bits uint) Pixel { return p * 0x1E35A7BD >> (32 - bits) }

// decode reads the pixels (section 5.2).
func (d *Decoder) decode(pix []Pixel, width int, cacheBits, tileBits uint, choice []Pixel) error {
	r := &d.reader
	perRow := tiles(width, tileBits)
	tileMask := ^0 // with one group: no place but the first begins a tile
	if choice != nil {
		tileMask = 1<<tileBits - 1
	}
	at, x, y, cached := 0, 0, 0, 0
	checked := 0
	g := &d.groups[0]
	for at < len(pix) {
		if x&tileMask == 0 && choice != nil {
			g = &d.groups[choice[y>>tileBits*perRow+x>>tileBits]]
		}
		r.fill()
		symbol := r.symbol(&g.trees[0])
		switch {
		case symbol < literals:
			if g.plain {
				pix[at] = g.rest | Pixel(symbol)<<8
			} else {
				red := r.symbol(&g.trees[1])
				blue := r.symbol(&g.trees[2])
				if r.count < maxCode {
					r.fill()
				}
				alpha := r.symbol(&g.trees[3])
				pix[at] = Pixel(alpha)<<24 | Pixel(red)<<16 | Pixel(symbol)<<8 | Pixel(blue)
			}
			at++
			x++
		case symbol < literals+lengths:
			length := r.number(symbol - literals)
			r.fill()
			back := back(width, r.number(r.symbol(&g.trees[4])))
			if back > at || length > len(pix)-at {
				return cmp.Or(d.short(), ErrData)
			}
			repeat(pix[at-back:at+length], back)
			at += length
			x += length
			if choice != nil && x < width { // it may end inside of another tile
				g = &d.groups[choice[y>>tileBits*perRow+x>>tileBits]]
			}
		default:
			if symbol -= literals + lengths; cacheBits == 0 || symbol >= 1<<cacheBits {
				return cmp.Or(d.short(), ErrData)
			}
			for ; cached < at; cached++ {
				d.cache[hash(pix[cached], cacheBits)] = pix[cached]
			}
			pix[at] = d.cache[symbol]
			at++
			x++
		}
		if x >= width {
			y, x = y+x/width, x%width
			if choice != nil && at < len(pix) {
				g = &d.groups[choice[y>>tileBits*perRow+x>>tileBits]]
			}
			if d.overrun() {
				return io.ErrUnexpectedEOF
			}
			if err := d.check(4 * (at - checked)); err != nil {
				return err
			}
			checked = at
		}
	}
	return d.short()
}

// number reads the rest of a length or distance code (section 5.2.2).
func (r *reader) number(symbol int) int {
	if symbol < 4 {
		return symbol + 1
	}
	extra := uint(symbol-2) / 2
	return (2+symbol&1)<<extra + r.bits(extra) + 1
}

// repeat fills what follows the first back pixels with them.
func repeat(pix []Pixel, back int) {
	for done := back; done < len(pix); {
		done += copy(pix[done:], pix[:done])
	}
}

// near are the places that the 120 shortest distance codes stand for: columns to the left, up to 7 to the right, and rows above,
// the nearest first, of those the highest, of those the leftmost (section 5.2.2).
var near = func() (places [120]struct{ left, up int }) {
	i := 0
	for up := range 8 {
		for left := -7; left <= 8; left++ {
			if up > 0 || left > 0 {
				places[i].left, places[i].up = left, up
				i++
			}
		}
	}
	slices.SortFunc(places[:], func(a, b struct{ left, up int }) int {
		return cmp.Or(a.left*a.left+a.up*a.up-b.left*b.left-b.up*b.up, b.up-a.up, b.left-a.left)
	})
	return places
}()

// back returns how many pixels a distance code goes back.
func back(width, code int) int {
	if code > len(near) {
		return code - len(near)
	}
	place := near[code-1]
	return max(place.up*width+place.left, 1)
}

// resize returns s with length n, in its old memory if that suffices. The contents are unspecified.
func resize[T any](s []T, n int) []T {
	return slices.Grow(s[:0], n)[:n]
}
