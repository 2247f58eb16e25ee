package inflate

import "math/bits"

// An entry says what the next bits stand for:
//
//	bits  0-5   drop: how many bits that is, those of the code and those after it that add to a base
//	bits  8-11  how many bits the code has
//	bits 12-13  literals: 1 or 2 of them, in bits 16-31; otherwise those are a base, of a match's length or distance
//	bit   14    special: bits 16-31 are one of the values below
type entry = uint32

const (
	entryDrop     = 1<<6 - 1
	entryCode     = 8
	entryLiterals = 12
	entrySpecial  = 1 << 14
	entryValue    = 16

	anyLiterals = 3 << entryLiterals

	noCode   entry = entrySpecial                 // the bits stand for nothing
	longCode entry = entrySpecial | 1<<entryValue // the code has more bits than the look-up takes
	endBlock entry = entrySpecial | valueEnd<<entryValue
	valueEnd       = 2
)

// The number of bits that a look-up takes. That of literals and lengths then has 8 KiB, a quarter of a first-level cache.
const (
	literalBits  = 11
	distanceBits = 9
	maxCode      = 15 // bits of the longest code
)

// code is a prefix code (RFC 1951, section 3.2.2): codes of a length are consecutive numbers, in the order of their symbols,
// and begin after those of the length before.
type code struct {
	meaning func(symbol int) entry // without the length of the code
	// For codes of n bits: the first number beyond them, with zeros up to maxCode bits, and what to add to a number to get
	// the index of its symbol in sorted.
	limit  [maxCode + 1]uint32
	offset [maxCode + 1]int32
	sorted [288]uint16
}

// build makes the code of symbols whose codes have the given lengths, zero for none, and fills the look-up by the next
// bits, the first one lowest. It returns false if some bits would have two meanings, or none: that is allowed only for a
// single code, or if there is none at all.
func (c *code) build(lookup []entry, lengths []uint8, meaning func(int) entry) bool {
	c.meaning = meaning
	var count [maxCode + 1]int
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	next, index, symbols := uint32(0), int32(0), int32(0)
	var at [maxCode + 1]int32
	for n := 1; n <= maxCode; n++ {
		next <<= 1
		at[n] = index
		c.offset[n] = index - int32(next)
		next += uint32(count[n])
		index += int32(count[n])
		if next > 1<<n {
			return false
		}
		c.limit[n] = next << (maxCode - n)
		symbols = index
	}
	if next != 1<<maxCode && symbols > 0 && (symbols > 1 || count[1] != 1) {
		return false
	}
	for symbol, n := range lengths {
		if n > 0 {
			c.sorted[at[n]] = uint16(symbol)
			at[n]++
		}
	}
	// The look-up for one bit more is that for one less twice, but for the codes that have as many bits.
	lookup[0] = noCode
	size, done := 1, 0
	for n := 1; n <= maxCode; n++ {
		long := size == len(lookup)
		if !long {
			copy(lookup[size:], lookup[:size])
			size *= 2
		}
		for ; done < int(at[n]); done++ {
			first := int(bits.Reverse32(uint32(int32(done)-c.offset[n])) >> (32 - n))
			if long {
				lookup[first&(size-1)] = longCode
			} else {
				lookup[first] = withLength(c.meaning(int(c.sorted[done])), n)
			}
		}
	}
	return true
}

// withLength completes the entry of a code of n bits.
func withLength(e entry, n int) entry { return e + uint32(n)<<entryCode + uint32(n) }

// long returns the entry of a code that is too long for the look-up.
func (c *code) long(next uint64) entry {
	number := uint32(bits.Reverse16(uint16(next))) >> (16 - maxCode)
	for n := 1; n <= maxCode; n++ {
		if number < c.limit[n] {
			return withLength(c.meaning(int(c.sorted[int32(number>>(maxCode-n))+c.offset[n]])), n)
		}
	}
	return noCode
}

// pair merges the entries of two literals whose codes fit into one look-up.
func pair(lookup *[1 << literalBits]entry) {
	for i := len(lookup) - 1; i >= 0; i-- { // what follows a code is at a lower index
		first := lookup[i]
		n := first & entryDrop
		if first&anyLiterals == 0 {
			continue
		}
		// Its code may need more bits than are left; then zeros stand for those that are not known.
		second := lookup[i>>n]
		if both := n + second&entryDrop; second&anyLiterals != 0 && both <= literalBits {
			lookup[i] = (first>>entryValue|second>>entryValue<<8)<<entryValue | 2<<entryLiterals | both
		}
	}
}

// literal is the meaning of literals and lengths (section 3.2.5).
func literal(symbol int) entry {
	switch {
	case symbol < 256:
		return uint32(symbol)<<entryValue | 1<<entryLiterals
	case symbol == 256:
		return endBlock
	case symbol <= 264:
		return uint32(symbol-257+3) << entryValue
	case symbol < 285: // four symbols for each number of further bits
		extra := uint32(symbol-261) / 4
		base := uint32(symbol-261)%4<<extra + 4<<extra + 3
		return base<<entryValue | extra
	case symbol == 285:
		return 258 << entryValue
	}
	return noCode
}

// distance is the meaning of distances.
func distance(symbol int) entry {
	if symbol > 29 {
		return noCode
	}
	if symbol < 4 {
		return uint32(symbol+1) << entryValue
	}
	extra := uint32(symbol)/2 - 1
	return ((2+uint32(symbol)%2)<<extra+1)<<entryValue | extra
}

// length is the meaning of the code for the lengths of the other codes (section 3.2.7).
func length(symbol int) entry { return uint32(symbol) << entryValue }
