package decode

import (
	"encoding/binary"
	"errors"
)

// unfilter undoes a filter (section 9.2). Each byte of a row was predicted by a, the one step before it, b, the one
// above it, c, the one above a, or several of them; what is stored is the difference. So each byte of a pixel depends
// on the same byte of other pixels only: those that the picture does not need, of alpha and the lower halves of 16-bit
// samples, keep their filter.
func (p *pngReader) unfilter(filter byte, row, above []byte) error {
	step, green, blue := p.step(), p.green, p.blue
	switch filter {
	case 0:
	case 1:
		if step == 3 || step == 4 {
			addLeft(row, step)
			break
		}
		for _, lane := range p.lanes() {
			a := byte(0)
			for i := lane; i < len(row); i += step {
				a += row[i]
				row[i] = a
			}
		}
	case 2:
		addBytes(row, above)
	case 3: // the mean of a and b
		if step == 3 || step == 4 {
			addMean(row, above, step)
			break
		}
		for _, lane := range p.lanes() {
			a := 0
			for i := lane; i < len(row); i += step {
				a = (int(row[i]) + (a+int(above[i]))/2) & 0xFF
				row[i] = byte(a)
			}
		}
	case 4:
		if green == 0 {
			paeth(row, above, step)
		} else {
			paethColor(row, above, step, green, blue)
		}
	default:
		return errors.New("unknown filter")
	}
	return nil
}

// lanes are the bytes of a pixel that the picture needs.
func (p *pngReader) lanes() []int {
	if p.green == 0 {
		return []int{0}
	}
	return []int{0, p.green, p.blue}
}

// Bytes of words are added without their highest bits, so that no sum overflows into the next byte, and those by an
// exclusive or.
const (
	low7x8 = 0x7F7F7F7F7F7F7F7F
	low7x4 = low7x8 & (1<<32 - 1)
)

// sum4 adds the bytes of two words.
func sum4(x, y uint32) uint32 { return (x&low7x4 + y&low7x4) ^ (x^y)&^low7x4 }

// mean4 returns the means of the bytes of two words, rounded down.
func mean4(x, y uint32) uint32 { return x&y + (x^y)>>1&low7x4 }

// addBytes adds the bytes of above to those of row.
func addBytes(row, above []byte) {
	for ; len(row) >= 8 && len(above) >= 8; row, above = row[8:], above[8:] {
		x, y := binary.LittleEndian.Uint64(row), binary.LittleEndian.Uint64(above)
		binary.LittleEndian.PutUint64(row, (x&low7x8+y&low7x8)^(x^y)&^low7x8)
	}
	for i, b := range above[:len(row)] {
		row[i] += b
	}
}

// addLeft adds to each pixel of 3 or 4 bytes the one to the left. It reads a pixel before it writes the one before, because a
// CPU waits for memory of which a part was just written.
func addLeft(row []byte, step int) {
	i, last := 0, len(row)-4-step
	if last >= 0 {
		keep := ^uint32(0) << (8 * step) // with 3 bytes, the word has a byte of the next pixel
		next, left := binary.LittleEndian.Uint32(row), uint32(0)
		for ; i <= last; i += step {
			x := next
			next = binary.LittleEndian.Uint32(row[i+step:])
			left = sum4(left, x)
			binary.LittleEndian.PutUint32(row[i:], left&^keep|x&keep)
		}
	}
	for i = max(i, step); i < len(row); i++ {
		row[i] += row[i-step]
	}
}

// addMean is addLeft for the mean of the pixels to the left and above.
func addMean(row, above []byte, step int) {
	i, last := 0, min(len(row), len(above))-4-step
	if last >= 0 {
		keep := ^uint32(0) << (8 * step)
		next, left := binary.LittleEndian.Uint32(row), uint32(0)
		for ; i <= last; i += step {
			x := next
			next = binary.LittleEndian.Uint32(row[i+step:])
			left = sum4(mean4(left, binary.LittleEndian.Uint32(above[i:])), x)
			binary.LittleEndian.PutUint32(row[i:], left&^keep|x&keep)
		}
	}
	for ; i < len(row); i++ {
		left := byte(0)
		if i >= step {
			left = row[i-step]
		}
		row[i] += byte((int(left) + int(above[i])) / 2)
	}
}

// paeth undoes the filter that predicts by the one of a, b and c that is nearest to a+b-c, for the first byte of each
// pixel.
func paeth(row, above []byte, step int) {
	a, c := 0, 0
	for i := 0; i < len(row) && i < len(above); i += step {
		b := int(above[i])
		a = (int(row[i]) + nearest(a, b, c)) & 0xFF
		row[i], c = byte(a), b
	}
}

// paethColor is paeth for the three bytes of a pixel that are its colors. It takes them together, because each one
// has to wait for the same byte of the pixel before.
func paethColor(row, above []byte, step, green, blue int) {
	var a0, a1, a2, c0, c1, c2 int
	for ; len(row) >= step && len(above) >= step; row, above = row[step:], above[step:] {
		b0, b1, b2 := int(above[0]), int(above[green]), int(above[blue])
		a0 = (int(row[0]) + nearest(a0, b0, c0)) & 0xFF
		a1 = (int(row[green]) + nearest(a1, b1, c1)) & 0xFF
		a2 = (int(row[blue]) + nearest(a2, b2, c2)) & 0xFF
		row[0], row[green], row[blue] = byte(a0), byte(a1), byte(a2)
		c0, c1, c2 = b0, b1, b2
	}
}

// nearest returns a, b or c, whichever is nearest to a+b-c, in this order if several are equally near.
func nearest(a, b, c int) int {
	// The distances: a+b-c-a and so on.
	da, db := b-c, a-c
	dc := da + db
	da, db, dc = max(da, -da), max(db, -db), max(dc, -dc)
	if db <= dc {
		c, dc = b, db
	}
	if da <= dc {
		c = a
	}
	return c
}
