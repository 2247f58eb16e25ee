package kernel8

import "encoding/binary"

// packing is the order in which a level's tiles read weights. A panel holds those of a tile's channels, row by row of the
// kernel. A row holds depth neighboring bytes of one channel, then of the next, and so on; after the last whole depth
// the same with four bytes each.
type packing struct {
	depth   int  // a multiple of 4
	shifted bool // before all this, 128 times the sum of each channel's weights, in 32 bits
}

// Pack writes a tile's weights to panel, which has Panel(g) elements. kernel writes one channel's row of the kernel, at
// most four bytes for each of g.Steps; the rest is zero.
func (s *Set) Pack(panel []int8, g Geometry, kernel func(channel, row int, to []int8)) {
	width := 4 * g.Steps
	whole := width / s.packing.depth * s.packing.depth
	from := make([]int8, width)
	for c := range s.Channels {
		sum := int32(0)
		for row := range g.Rows {
			kernel(c, row, from)
			for _, v := range from {
				sum += int32(v)
			}
			at := row * width * s.Channels
			s.spread(panel, at+c*s.packing.depth, from[:whole], s.packing.depth)
			s.spread(panel, at+whole*s.Channels+c*4, from[whole:], 4)
		}
		if s.packing.shifted {
			var bytes [4]byte
			binary.LittleEndian.PutUint32(bytes[:], uint32(128*sum))
			for i, b := range bytes {
				panel[4*c+i] = int8(b)
			}
		}
	}
}

// spread writes one channel's weights, depth of them at a time, interleaved with those of the other channels.
func (s *Set) spread(panel []int8, at int, from []int8, depth int) {
	panel = panel[s.header():]
	for ; len(from) > 0; from, at = from[depth:], at+depth*s.Channels {
		copy(panel[at:][:depth], from)
	}
}

// header is the number of bytes before the weights of a panel.
func (s *Set) header() int {
	if s.packing.shifted {
		return 4 * s.Channels
	}
	return 0
}

// Panel is the number of packed weights of a tile's Channels.
func (s *Set) Panel(g Geometry) int { return s.header() + g.Rows*g.Steps*4*s.Channels }

// Room is the number of bytes that Widen needs for a number of packed weights.
func (s *Set) Room(weights int) int {
	if s.widen == nil {
		return 0
	}
	return 2 * weights
}

// Widen converts packed weights, of whole panels, to the width that Convolve reads, in room of Room(len(packed)) bytes.
// Levels that multiply bytes return packed itself. Weights are stored in bytes at all levels: wide ones would take twice
// the memory and twice the time to load.
func (s *Set) Widen(room, packed []int8) []int8 {
	if s.widen == nil {
		return packed
	}
	wide := room[:s.Room(len(packed))]
	s.widen(wide, packed)
	return wide
}
