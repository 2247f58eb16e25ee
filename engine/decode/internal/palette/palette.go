// Package palette turns the indices of a picture with a palette into RGB pixels, as package decode needs it for PNG, GIF
// and BMP. An index that a file has no color for is gray, as in Pillow, whose palettes begin as a ramp.
package palette

import "encoding/binary"

// Palette holds the colors of up to 256 indices. Ramp prepares it.
type Palette struct {
	colors [256]uint32 // red, green and blue from the lowest byte on
	pairs  [256]uint64 // of two packed indices, the first in the upper bits: their six bytes; for depth
	depth  int         // bits of a packed index; 0 if pairs is not valid
}

// Ramp makes index i the gray of brightness i.
func (p *Palette) Ramp() {
	for i := range p.colors {
		p.colors[i] = uint32(i) * 0x010101
	}
	p.depth = 0
}

// Set sets the color of an index.
func (p *Palette) Set(index int, red, green, blue byte) {
	p.colors[index] = uint32(red) | uint32(green)<<8 | uint32(blue)<<16
	p.depth = 0
}

// Color returns the red, green and blue bytes of an index.
func (p *Palette) Color(index byte) [3]byte {
	c := p.colors[index]
	return [3]byte{byte(c), byte(c >> 8), byte(c >> 16)}
}

// Look writes the colors of indices to dst, which has three bytes for each.
func (p *Palette) Look(dst, indices []byte) {
	n := len(indices)
	i := 0
	// Eight pixels at a time, in stores of four bytes, the last of which the next pixel overwrites: so a ninth has to follow. Go
	// splits stores of two pixels in eight bytes into eight stores.
	for ; i+9 <= n; i += 8 {
		in, out := (*[8]byte)(indices[i:]), (*[25]byte)(dst[3*i:])
		binary.LittleEndian.PutUint32(out[0:], p.colors[in[0]])
		binary.LittleEndian.PutUint32(out[3:], p.colors[in[1]])
		binary.LittleEndian.PutUint32(out[6:], p.colors[in[2]])
		binary.LittleEndian.PutUint32(out[9:], p.colors[in[3]])
		binary.LittleEndian.PutUint32(out[12:], p.colors[in[4]])
		binary.LittleEndian.PutUint32(out[15:], p.colors[in[5]])
		binary.LittleEndian.PutUint32(out[18:], p.colors[in[6]])
		binary.LittleEndian.PutUint32(out[21:], p.colors[in[7]])
	}
	for ; i < n; i++ {
		c := p.Color(indices[i])
		copy(dst[3*i:3*i+3], c[:])
	}
}

// LookPacked writes the colors of the indices from..end-1 of a row to dst. An index has 1, 2 or 4 bits; the first is in
// the highest bits of the first byte.
func (p *Palette) LookPacked(dst, row []byte, depth, from, end int) {
	if p.depth != depth {
		p.pair(depth)
	}
	perByte := 8 / depth
	one := func() {
		bit := from * depth
		c := p.Color(row[bit/8] >> (8 - depth - bit%8) & (1<<depth - 1))
		copy(dst[:3], c[:])
		dst, from = dst[3:], from+1
	}
	for from < end && from%perByte != 0 {
		one()
	}
	row, from, end = row[from/perByte:], 0, end-from
	whole := end / perByte // bytes
	if whole > 0 && len(dst) < 3*perByte*whole+2 {
		whole-- // the last store would go beyond dst
	}
	switch depth {
	case 4:
		for _, b := range row[:whole] {
			binary.LittleEndian.PutUint64(dst, p.pairs[b])
			dst = dst[6:]
		}
	case 2:
		for _, b := range row[:whole] {
			out := dst[:14:14]
			binary.LittleEndian.PutUint64(out, p.pairs[b>>4])
			binary.LittleEndian.PutUint64(out[6:], p.pairs[b&15])
			dst = dst[12:]
		}
	default:
		for _, b := range row[:whole] {
			out := dst[:26:26]
			binary.LittleEndian.PutUint64(out, p.pairs[b>>6])
			binary.LittleEndian.PutUint64(out[6:], p.pairs[b>>4&3])
			binary.LittleEndian.PutUint64(out[12:], p.pairs[b>>2&3])
			binary.LittleEndian.PutUint64(out[18:], p.pairs[b&3])
			dst = dst[24:]
		}
	}
	for from = whole * perByte; from < end; {
		one()
	}
}

// pair makes pairs for indices of depth bits.
func (p *Palette) pair(depth int) {
	p.depth = depth
	for i := range 1 << (2 * depth) {
		p.pairs[i] = uint64(p.colors[i>>depth]) | uint64(p.colors[i&(1<<depth-1)])<<24
	}
}
