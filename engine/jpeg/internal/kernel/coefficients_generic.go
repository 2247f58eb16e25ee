package kernel

import "encoding/binary"

const (
	// LookupBits is the number of bits that one look-up in a PairTable resolves. The table of a luminance and that
	// of a chrominance component then fit into half of a first-level cache of 32 KB.
	LookupBits = 10

	// Open marks an entry of a PairTable, or of any table like it, as not holding the value's bits.
	Open = 1 << 6

	// EndOfBlock is the number of steps in an entry that ends the block, and more than there are coefficients.
	EndOfBlock = 129

	// BlockRoom is the length of a block's memory while its coefficients are decoded: those written before their
	// index is checked land behind the 64th.
	BlockRoom = 256

	// BitPadding is the number of bytes that must follow the coded ones. A block takes at most 64 codes of 16 bits
	// with 15 bits of value, 248 bytes, and bits are loaded by eight bytes: who checks the position after each
	// block never reads beyond.
	BitPadding = 256 + 8
)

// PairTable resolves the next LookupBits bits of a sequential scan's AC coefficients to one symbol or two:
//
//	bits  0-5   bits consumed by all codes and values in the entry
//	bit   6     Open: of one symbol only the code is in the entry, then bits 16-19 are the number of its value's
//	            bits; without a code (bits 0-5 zero) the code is longer than LookupBits or invalid
//	bits  8-15  steps from the coefficient before to the first, or EndOfBlock
//	bits 16-31  value of the first
//	bits 32-39  steps from the coefficient before to the second; as to the first if there is none
//	bits 48-63  value of the second; as of the first if there is none
type PairTable = [1 << LookupBits]uint64

// natural maps the order in the file, zig-zag, to that of rows (T.81, figure A.6), and all beyond to a place outside
// of the block.
var natural = func() (order [BlockRoom]uint8) {
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

func coefficientsGeneric(block *[BlockRoom]int16, table *PairTable, data []byte, pos, k int) (int, int) {
	for k < 63 {
		bits := binary.BigEndian.Uint64(data[pos>>3:]) << (pos & 7)
		for range 57 / LookupBits {
			e := table[bits>>(64-LookupBits)]
			first, last := k+int(e>>8&0xFF), k+int(e>>32&0xFF)
			if e&Open != 0 {
				length, size := int(e&63), int(e>>16&15)
				if length == 0 {
					return k, pos
				}
				bits = binary.BigEndian.Uint64(data[(pos+length)>>3:]) << ((pos + length) & 7)
				block[natural[uint8(first)]] = int16(extend(bits, size))
				pos += length + size
				k = first
				break
			}
			if last >= 63 && first >= 63 && first < last {
				return k, pos
			}
			block[natural[uint8(first)]] = int16(e >> 16)
			block[natural[uint8(last)]] = int16(e >> 48)
			bits <<= e & 31
			pos += int(e & 31)
			if k = last; k >= 63 {
				break
			}
		}
	}
	return k, pos
}

// extend gives the value that the topmost size bits stand for (T.81, F.2.2.1): one that begins with a zero is
// negative, and one more than its complement.
func extend(bits uint64, size int) int64 {
	v := int64(bits >> (64 - uint(size)))
	return v + int64(^bits)>>63&(1-1<<size)
}
