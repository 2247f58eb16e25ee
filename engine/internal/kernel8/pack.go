package kernel8

import "encoding/binary"

// packing is how a level's tiles read weights. A panel holds those of a tile's channels, row by row of the kernel; in a
// row, depth neighbouring bytes of one channel, then of the next, and so on, and behind the last whole depth the same
// with four bytes each.
type packing struct {
	depth   int  // a multiple of 4
	wide    bool // weights are stored in 16 bits each
	shifted bool // before all this, 128 times the sum of each channel's weights, in 32 bits
}

// Pack lays weights out for tiles of Channels: one panel after the other. at returns the weight of a channel for one
// byte of a kernel's row; it is not asked for bytes beyond width, which become zeros.
func (s *Set) Pack(channels, rows, width int, at func(channel, row, i int) int8) []int8 {
	g := Geometry{Rows: rows, Steps: (width + 3) / 4}
	each := s.Panel(g)
	all := make([]int8, channels/s.Channels*each)
	for c := range channels {
		panel, column := all[c/s.Channels*each:][:each], c%s.Channels
		sum := int32(0)
		for r := range rows {
			for i := range width {
				v := at(c, r, i)
				sum += int32(v)
				to := s.place(g, column, r, i)
				panel[to] = v
				if s.packing.wide {
					panel[to+1] = v >> 7 // little-endian: the upper byte repeats the sign
				}
			}
		}
		if s.packing.shifted {
			var bytes [4]byte
			binary.LittleEndian.PutUint32(bytes[:], uint32(128*sum))
			for i, b := range bytes {
				panel[4*column+i] = int8(b)
			}
		}
	}
	return all
}

// place is where in a panel the weight of a channel for byte i of a row is.
func (s *Set) place(g Geometry, column, row, i int) int {
	to := row * 4 * g.Steps * s.Channels
	depth := s.packing.depth
	if whole := 4 * g.Steps / depth * depth; i >= whole {
		to += whole * s.Channels
		i -= whole
		depth = 4
	}
	to += (i/depth*s.Channels+column)*depth + i%depth
	if s.packing.wide {
		to *= 2
	}
	return s.header() + to
}

// header is the number of bytes before the weights of a panel.
func (s *Set) header() int {
	if s.packing.shifted {
		return 4 * s.Channels
	}
	return 0
}

// Panel is the number of packed weights of a tile's Channels.
func (s *Set) Panel(g Geometry) int {
	n := g.Rows * g.Steps * 4 * s.Channels
	if s.packing.wide {
		n *= 2
	}
	return s.header() + n
}
