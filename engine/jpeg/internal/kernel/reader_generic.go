package kernel

// natural maps the order in the file, zig-zag, to that of rows (T.81, figure A.6), and all beyond to a place outside
// of the block.
var natural = func() (order [256]uint8) {
	// The path goes along diagonals, in turns up and down.
	k := 0
	for sum := range 15 {
		for i := range sum + 1 {
			x, y := i, sum-i
			if sum&1 == 1 {
				x, y = y, x
			}
			if x < 8 && y < 8 {
				order[k] = uint8(8*y + x)
				k++
			}
		}
	}
	for ; k < len(order); k++ {
		order[k] = 64
	}
	return order
}()

func (r *Reader) nextGeneric(k int) int {
	for {
		k = r.blockGeneric(&r.Units[r.Read], k)
		if k < 63 {
			return k
		}
		before := r.Read
		r.Next(k)
		if r.Read == before || r.Read == len(r.Units) || r.Pos>>3+blockBytes > len(r.Data) {
			return k
		}
		k = -1
	}
}

// blockGeneric continues after coefficient k of u and returns the last one read.
func (r *Reader) blockGeneric(u *Unit, k int) int {
	if k < 0 {
		u.Coefs = [64]int16{}
		e := uint64(u.DC[r.Peek()>>(64-LookupBits)])
		switch {
		case e&Open == 0:
			r.Pos += int(e & 63)
			u.Coefs[0] = int16(e >> 16)
		case e&63 == 0:
			return k
		default:
			u.Coefs[0] = r.openValue(e)
		}
		k = 0
	}
	for k < 63 {
		bits := r.Peek()
		for range 57 / LookupBits {
			e := u.AC[bits>>(64-LookupBits)]
			first, last := k+int(e>>8&0xFF), k+int(e>>32&0xFF)
			if e&Open != 0 {
				if e&63 == 0 {
					return k
				}
				u.put(first, r.openValue(e))
				k = first
				break
			}
			if first >= 63 && first < last {
				return k
			}
			u.put(first, int16(e>>16))
			u.put(last, int16(e>>48))
			bits <<= e & 31
			r.Pos += int(e & 31)
			if k = last; k >= 63 {
				break
			}
		}
	}
	return k
}

// openValue steps over an open entry's code and the value behind it, and returns that.
func (r *Reader) openValue(e uint64) int16 {
	r.Pos += int(e & 63)
	bits, size := r.Peek(), int(e>>16&15)
	r.Pos += size
	// T.81, F.2.2.1: a value that begins with a zero is negative, and one more than its complement.
	v := int64(bits >> (64 - uint(size)))
	return int16(v + int64(^bits)>>63&(1-1<<size))
}

// put stores a coefficient if there is one of that index.
func (u *Unit) put(k int, v int16) {
	if k < 64 {
		u.Coefs[natural[uint8(k)]] = v
	}
}
