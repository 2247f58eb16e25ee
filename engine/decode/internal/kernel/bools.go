package kernel

import "encoding/binary"

// Bools decodes the decisions of a partition, each of which has a probability (RFC 6386, section 7). The coded number lies in an
// interval. Each decision divides it in two: the lower part stands for false, and has probability/256 of the width.
type Bools struct {
	data []byte
	pos  int // of the next byte to take
	// value is the distance of the number from the interval's lower end, left-aligned. Below its valid bits it has what follows in
	// data, or zeros.
	value uint64
	valid uint   // bits of value that have been taken; a decision needs 8
	width uint32 // of the interval: 128 to 255
	short bool
}

// NewBools decodes a partition.
func NewBools(data []byte) Bools { return Bools{data: data, width: 255} }

// Short reports whether a decision needed more bits than there are. Those are taken as zeros.
func (b *Bools) Short() bool { return b.short }

// fill takes bytes so that at least 8 bits are valid.
func (b *Bools) fill() {
	if b.pos+8 <= len(b.data) {
		b.value |= binary.BigEndian.Uint64(b.data[b.pos:]) >> (b.valid & 63)
		b.pos += int(63-b.valid) >> 3
		b.valid |= 56
		return
	}
	if b.pos == len(b.data) {
		b.short = true
		b.valid += 8
	}
	for ; b.pos < len(b.data) && b.valid < 56; b.pos++ {
		b.value |= uint64(b.data[b.pos]) << (56 - b.valid)
		b.valid += 8
	}
}

// shifts is how far each width of an interval is shifted to be 128 or more.
var shifts = func() (s [256]uint8) {
	for width := 1; width < 256; width++ {
		for width<<s[width] < 128 {
			s[width]++
		}
	}
	return s
}()

// Bit decodes a decision: 0 with probability/256, else 1.
func (b *Bools) Bit(probability uint8) int {
	if b.valid < 8 {
		b.fill()
	}
	lower := 1 + (b.width-1)*uint32(probability)>>8
	bit := 0
	if b.value>>56 >= uint64(lower) {
		b.value -= uint64(lower) << 56
		lower = b.width - lower
		bit = 1
	}
	shift := shifts[lower&0xFF] & 7
	b.width = lower << shift
	b.value <<= shift
	b.valid -= uint(shift)
	return bit
}

// Even is the probability of decisions that are as often false as true.
const Even = 128

// PositionProbs are the probabilities of a kind of block, for each position of a coefficient and each context. Those of position 16
// are not used.
type PositionProbs [17][3][11]uint8

// Block is the coefficients of 4x4 samples.
type Block [16]int16

// Factors are those by which coefficients are multiplied: DC and AC.
type Factors [2]uint16

// Block reads the coefficients of a block, from the one at position first on, and multiplies them with their factors (section 13). It
// returns the position after the last one. Context is how many of the blocks to the left and above have coefficients. Dst is zero
// before.
func (b *Bools) Block(dst *Block, probs *PositionProbs, context, first int, f *Factors) int {
	if uint(context) > 2 || uint(first) > 1 {
		panic("kernel: invalid context or position")
	}
	return readBlock(b, dst, probs, context, first, f)
}
