package kernel

import "encoding/binary"

const (
	// LookupBits is the number of bits that one look-up resolves. The PairTables of a luminance and of a chrominance
	// component then fit into half of a first-level cache of 32 KB.
	LookupBits = 10

	// Open marks a table's entry as not holding the value's bits.
	Open = 1 << 6

	// EndOfBlock is the number of steps in an entry that ends the block, and more than there are coefficients.
	EndOfBlock = 129

	// Padding is the number of bytes that must follow the coded ones. A block takes at most 64 codes of 16 bits with
	// 15 bits of value, less than 4 bytes each, and at most 16 bytes from the position on are loaded at a time: checking the
	// position after each block suffices.
	Padding = blockBytes

	blockBytes = 4*64 + 16
)

// SymbolTable resolves the next LookupBits bits to one symbol:
//
//	bits  0-5   bits consumed by the code, and by the value if it is in the entry
//	bit   6     Open: only the code is in the entry; without a code (bits 0-5 zero) it is longer than LookupBits
//	bits  8-15  run: zero coefficients before this one, or EndOfBlock-1
//	bits 16-31  the value, signed; in open entries the number of its bits
type SymbolTable = [1 << LookupBits]uint32

// PairTable resolves the next LookupBits bits of a sequential scan's AC coefficients to one symbol or two:
//
//	bits  0-5   bits consumed by all codes and values in the entry
//	bit   6     Open, as in a SymbolTable, of one symbol
//	bits  8-15  steps from the coefficient before to the first, or EndOfBlock
//	bits 16-31  value of the first; in open entries the number of its bits, 1 to 15
//	bits 32-39  steps from the coefficient before to the second; as to the first if there is none
//	bits 48-63  value of the second; as of the first if there is none
type PairTable = [1 << LookupBits]uint64

// Unit is a block to be read. Assembly knows its layout; its length keeps the coefficients of all units of a slice in
// the same place of a cache line.
type Unit struct {
	Coefs [64]int16 // in natural order; the first is the difference to the block before
	_     [4]int16  // for those written before their index is checked
	DC    *SymbolTable
	AC    *PairTable
	Last  int // what Next returns for this block: 63, or EndOfBlock and more
}

// Reader reads the coefficients of sequential scans (T.81, F.2.2). Assembly knows its layout.
type Reader struct {
	Data  []byte // entropy-coded bytes without stuffing, and Padding zeros
	Pos   int    // bits read
	Units []Unit // the blocks to read
	Read  int    // units that are complete
}

// Next continues after coefficient k of the first unit that is not complete, in zig-zag order; -1 begins it. It then reads the
// units that follow. It returns the index of the last coefficient read:
//   - with 63 a block is complete;
//   - with EndOfBlock or more a block ended EndOfBlock coefficients before;
//   - with anything else above 63 the data is damaged;
//   - below 63 the next symbol is one that the tables do not resolve, or hold only together with one of the next block:
//     the caller reads this one symbol by other means and calls again.
//
// It may return after any complete block, as it does where Data could end within the next. A k of 63 or more only ends the block.
// It panics unless Data reaches 4*(63-k)+16 bytes beyond Pos.
func (r *Reader) Next(k int) int {
	if k >= 63 {
		if k == 63 || k >= EndOfBlock {
			r.Units[r.Read].Last = k
			r.Read++
		}
		return k
	}
	if r.Pos < 0 || k < -1 || r.Pos>>3+4*(63-k)+16 > len(r.Data) {
		panic("kernel: position outside of the data or the block")
	}
	return r.next(k)
}

// Peek returns the next 57 bits or more at the top.
func (r *Reader) Peek() uint64 {
	return binary.BigEndian.Uint64(r.Data[r.Pos>>3:]) << (r.Pos & 7)
}
