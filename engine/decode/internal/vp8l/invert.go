package vp8l

import (
	"encoding/binary"
	"math/bits"
)

// RGB writes the red, green and blue bytes of pixels to dst. It writes four bytes at a time, the last of which the next pixel
// overwrites.
func RGB(dst []byte, pix []Pixel) {
	for ; len(dst) >= 4 && len(pix) > 0; dst, pix = dst[3:], pix[1:] {
		binary.LittleEndian.PutUint32(dst, bits.ReverseBytes32(pix[0])>>8)
	}
	for ; len(pix) > 0; dst, pix = dst[3:], pix[1:] {
		dst[0], dst[1], dst[2] = byte(pix[0]>>16), byte(pix[0]>>8), byte(pix[0])
	}
}

// Channels are added and averaged four at a time. Without their highest bits no sum overflows into the next channel.
const low7 = 0x7F7F7F7F

func add(p, q Pixel) Pixel { return (p&low7 + q&low7) ^ (p^q)&^low7 }

func mean(p, q Pixel) Pixel { return p&q + (p^q)>>1&low7 }

// invert frees a picture from a transform.
func (d *Decoder) invert(t *transform, pix []Pixel, height int) error {
	if t.kind == colorIndexing {
		return d.invertIndexing(t, pix, height)
	}
	perRow := tiles(t.width, t.bits)
	var above []Pixel
	for y := range height {
		row := pix[y*t.width : (y+1)*t.width]
		switch t.kind {
		case predictor:
			t.predict(row, above, t.table[y>>t.bits*perRow:])
		case crossColor:
			for x := 0; x < len(row); x += 1 << t.bits {
				addColors(row[x:min(x+1<<t.bits, len(row))], t.table[y>>t.bits*perRow+x>>t.bits])
			}
		case subtractGreen:
			for x, p := range row {
				green := p >> 8 & 0xFF
				row[x] = add(p, green<<16|green)
			}
		}
		above = row
		if err := d.check(4 * len(row)); err != nil {
			return err
		}
	}
	return nil
}

// invertIndexing replaces indices, of which 1, 2, 4 or 8 are in the green of a pixel, by colors (section 4.4). A row takes more
// memory than before, so it begins with the last one.
func (d *Decoder) invertIndexing(t *transform, pix []Pixel, height int) error {
	stored := tiles(t.width, t.bits)
	palette := (*[256]Pixel)(t.table)
	size := 8 >> t.bits // bits of an index
	within := 1<<t.bits - 1
	for y := height - 1; y >= 0; y-- {
		from, to := pix[y*stored:(y+1)*stored], pix[y*t.width:(y+1)*t.width]
		for x := t.width - 1; x >= 0; x-- {
			index := from[x>>t.bits] >> 8 & 0xFF >> (size * (x & within)) & (1<<size - 1)
			to[x] = palette[index]
		}
		if err := d.check(4 * t.width); err != nil {
			return err
		}
	}
	return nil
}

// addColors adds to red and blue of a tile's row parts of other channels, whose factors are in the tile's pixel (section 4.2).
func addColors(row []Pixel, factors Pixel) {
	greenToRed, greenToBlue, redToBlue := int32(int8(factors)), int32(int8(factors>>8)), int32(int8(factors>>16))
	for i, p := range row {
		green := int32(int8(p >> 8))
		red := p>>16 + Pixel(greenToRed*green>>5)
		blue := p + Pixel(greenToBlue*green>>5) + Pixel(redToBlue*int32(int8(red))>>5)
		row[i] = p&0xFF00FF00 | red&0xFF<<16 | blue&0xFF
	}
}

// predict adds to the pixels of a row what is predicted from those before. Modes has a pixel for each tile, whose green says how
// (section 4.1).
func (t *transform) predict(row, above, modes []Pixel) {
	if above == nil { // the first row is predicted from the left, its first pixel is black
		row[0] = add(row[0], opaque)
		for x := 1; x < len(row); x++ {
			row[x] = add(row[x], row[x-1])
		}
		return
	}
	row[0] = add(row[0], above[0])
	for x := 1; x < len(row); {
		end := min((x>>t.bits+1)<<t.bits, len(row))
		predictTile(row, above, x, end, modes[x>>t.bits]>>8&15)
		x = end
	}
}

// predictTile predicts pixels x..end-1 of a row, x at least 1. The pixel above and to the right of the last one is the first one of
// the row itself.
func predictTile(row, above []Pixel, x, end int, mode Pixel) {
	left := row[x-1]
	topLeft, top := above[x-1], above[x:end]
	row = row[x:end]
	top = top[:len(row)]
	right := above[x+1 : end+1][:len(row)] // above and to the right
	switch mode {
	case 1:
		for i, p := range row {
			left = add(p, left)
			row[i] = left
		}
	case 2:
		for i, p := range row {
			row[i] = add(p, top[i])
		}
	case 3:
		for i, p := range row {
			row[i] = add(p, right[i])
		}
	case 4:
		for i, p := range row {
			row[i] = add(p, topLeft)
			topLeft = top[i]
		}
	case 5:
		for i, p := range row {
			left = add(p, mean(mean(left, right[i]), top[i]))
			row[i] = left
		}
	case 6:
		for i, p := range row {
			left = add(p, mean(left, topLeft))
			row[i], topLeft = left, top[i]
		}
	case 7:
		for i, p := range row {
			left = add(p, mean(left, top[i]))
			row[i] = left
		}
	case 8:
		for i, p := range row {
			row[i] = add(p, mean(topLeft, top[i]))
			topLeft = top[i]
		}
	case 9:
		for i, p := range row {
			row[i] = add(p, mean(top[i], right[i]))
		}
	case 10:
		for i, p := range row {
			left = add(p, mean(mean(left, topLeft), mean(top[i], right[i])))
			row[i], topLeft = left, top[i]
		}
	case 11:
		for i, p := range row {
			left = add(p, nearest(left, top[i], topLeft))
			row[i], topLeft = left, top[i]
		}
	case 12:
		for i, p := range row {
			left = add(p, gradient(left, top[i], topLeft))
			row[i], topLeft = left, top[i]
		}
	case 13:
		for i, p := range row {
			left = add(p, halfGradient(mean(left, top[i]), topLeft))
			row[i], topLeft = left, top[i]
		}
	default:
		for i, p := range row {
			row[i] = add(p, opaque)
		}
	}
}

// nearest returns left or top, whichever has the smaller distance to left+top-topLeft over all channels; top if they are equal.
func nearest(left, top, topLeft Pixel) Pixel {
	toLeft, toTop := int32(0), int32(0)
	for shift := 0; shift < 32; shift += 8 {
		c := int32(topLeft >> shift & 0xFF)
		dt, dl := int32(top>>shift&0xFF)-c, int32(left>>shift&0xFF)-c
		toLeft += max(dt, -dt)
		toTop += max(dl, -dl)
	}
	if toLeft < toTop {
		return left
	}
	return top
}

// gradient returns left+top-topLeft, each channel clipped.
func gradient(left, top, topLeft Pixel) (p Pixel) {
	for shift := 0; shift < 32; shift += 8 {
		v := int32(left>>shift&0xFF) + int32(top>>shift&0xFF) - int32(topLeft>>shift&0xFF)
		p |= Pixel(min(max(v, 0), 255)) << shift
	}
	return p
}

// halfGradient returns average+(average-topLeft)/2, each channel clipped.
func halfGradient(average, topLeft Pixel) (p Pixel) {
	for shift := 0; shift < 32; shift += 8 {
		a := int32(average >> shift & 0xFF)
		v := a + (a-int32(topLeft>>shift&0xFF))/2
		p |= Pixel(min(max(v, 0), 255)) << shift
	}
	return p
}
