package vp8l

import "github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"

// transform is one of the transforms that the pixels have to be freed from (section 4).
type transform struct {
	kind  int
	width int     // of the picture after the inverse transform
	bits  uint    // log2 of the width of a tile; for palettes of the pixels in a word
	table []Pixel // a pixel for each tile, or the palette

	// The last row after the inverse transform, and if it is a prediction the one above, with kernel.Spare pixels behind them.
	row, above []Pixel
}

const (
	predictor = iota
	crossColor
	subtractGreen
	colorIndexing
)

const opaque Pixel = 0xFF << 24

// readTransforms reads the transforms of a picture. It returns the width of what is stored.
func (d *Decoder) readTransforms() (width int, err error) {
	width = d.width
	var seen [4]bool
	for d.bits(1) == 1 {
		kind := d.bits(2)
		if seen[kind] {
			return 0, ErrData
		}
		seen[kind] = true
		t := &d.transforms[d.transformed]
		t.kind, t.width = kind, width
		switch t.kind {
		case predictor, crossColor:
			t.bits = uint(d.bits(3)) + 2
			t.table, err = d.image(t.table, tiles(width, t.bits), tiles(d.height, t.bits))
		case colorIndexing:
			n := d.bits(8) + 1
			for t.bits = 3; n > 1<<(8>>t.bits) && t.bits > 0; t.bits-- { // 8, 4, 2 or 1 pixels in a word
			}
			width = tiles(width, t.bits)
			t.table = resize(t.table, 256)
			colors := t.table[:n]
			err = d.pixels(colors, n, 1, false)
			for i := range colors[1:] { // each is stored as the difference to the one before
				colors[i+1] = kernel.Add(colors[i+1], colors[i])
			}
			clear(t.table[n:]) // transparent black
		}
		if err != nil {
			return 0, err
		}
		t.row = resize(t.row, t.width+kernel.Spare)
		if t.kind == predictor {
			t.above = resize(t.above, t.width+kernel.Spare)
		}
		d.transformed++
	}
	return width, nil
}

// invert frees row y from a transform.
func (t *transform) invert(src []Pixel, y int) []Pixel {
	switch t.kind {
	case predictor:
		t.row, t.above = t.above, t.row
		t.predict(src, y)
	case crossColor:
		kernel.AddColors(t.row, src, t.tiles(y), t.bits)
	case subtractGreen:
		kernel.AddGreen(t.row, src)
	case colorIndexing:
		t.lookUp(src)
	}
	return t.row
}

// tiles returns the tiles in which row y is.
func (t *transform) tiles(y int) []Pixel {
	n := tiles(t.width, t.bits)
	return t.table[y>>t.bits*n:][:n]
}

// predict adds to the pixels of a row what is predicted from those before. The green of a tile says how (section 4.1).
func (t *transform) predict(src []Pixel, y int) {
	if y == 0 { // the first row is predicted from the left, its first pixel is black
		t.row[0] = kernel.Add(src[0], opaque)
		kernel.Predict(kernel.Left, t.row, src, t.above, 1, t.width)
		return
	}
	t.row[0] = kernel.Add(src[0], t.above[0])
	t.above[t.width] = t.row[0] // above and to the right of the last pixel is what follows in the file
	modes := t.tiles(y)
	for x := 1; x < t.width; {
		mode := modes[x>>t.bits] >> 8 & 15
		tile := x>>t.bits + 1
		for tile < len(modes) && modes[tile]>>8&15 == mode {
			tile++
		}
		end := min(tile<<t.bits, t.width)
		kernel.Predict(int(mode), t.row, src, t.above, x, end)
		x = end
	}
}

// lookUp replaces indices, of which 1, 2, 4 or 8 are in the green of a pixel, by colors (section 4.4).
func (t *transform) lookUp(src []Pixel) {
	palette := (*[256]Pixel)(t.table)
	dst := t.row[:t.width]
	if t.bits == 0 {
		for i, p := range src[:len(dst)] {
			dst[i] = palette[uint8(p>>8)]
		}
		return
	}
	size := uint(8) >> t.bits // bits of an index
	mask := Pixel(1)<<size - 1
	n := 1 << t.bits
	for len(dst) > 0 {
		indices := src[0] >> 8 & 0xFF
		src = src[1:]
		part := dst[:min(n, len(dst))]
		for i := range part {
			part[i] = palette[uint8(indices&mask)]
			indices >>= size & 7
		}
		dst = dst[len(part):]
	}
}
