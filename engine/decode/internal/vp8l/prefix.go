package vp8l

import "math/bits"

const (
	lookupBits = 8  // bits that a look-up takes
	maxCode    = 15 // bits of the longest code
)

// tree is a prefix code (section 6.2.1). Codes of a length are consecutive numbers, in the order of their symbols, and begin
// after those of the length before; their first bit is the highest.
type tree struct {
	// lookup has, for the next bits in the file, symbol<<8 and the length of its code, or longCode. It is as small as the
	// longest code allows: a single symbol takes no bits.
	lookup []uint32
	mask   uint64
	// For codes of n bits, beyond those of a look-up: the first number beyond them, with zeros up to maxCode bits, and what
	// to add to a number to get the index of its symbol in sorted.
	limit  [maxCode + 1]uint32
	offset [maxCode + 1]int32
	sorted []uint16
}

const longCode = 1 << 7

// build makes the code of symbols whose codes have the given lengths, zero for none. It returns false if some bits would have
// two meanings, or none.
func (t *tree) build(lengths []uint8) bool {
	var count [maxCode + 1]int
	longest, symbols, only := 0, 0, 0
	for symbol, n := range lengths {
		count[n]++
		if n > 0 {
			symbols++
			only = symbol
			longest = max(longest, int(n))
		}
	}
	switch symbols {
	case 0:
		return false
	case 1: // whatever its length
		t.lookup, t.mask = append(t.lookup[:0], uint32(only)<<8), 0
		return true
	}
	count[0] = 0
	var at [maxCode + 1]int32
	next, index := uint32(0), int32(0)
	for n := 1; n <= maxCode; n++ {
		next <<= 1
		at[n], t.offset[n] = index, index-int32(next)
		next += uint32(count[n])
		index += int32(count[n])
		if next > 1<<n {
			return false
		}
		t.limit[n] = next << (maxCode - n)
	}
	if next != 1<<maxCode {
		return false
	}
	size := 1 << min(longest, lookupBits)
	t.lookup = resize(t.lookup, size)
	t.mask = uint64(size - 1)
	t.sorted = t.sorted[:0]
	if longest > lookupBits {
		t.sorted = resize(t.sorted, symbols)
	}
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		i := at[n]
		at[n]++
		if len(t.sorted) > 0 {
			t.sorted[i] = uint16(symbol)
		}
		first := int(bits.Reverse32(uint32(i-t.offset[n])) >> (32 - n))
		if int(n) > lookupBits {
			t.lookup[first&(size-1)] = longCode
			continue
		}
		for j := first; j < size; j += 1 << n {
			t.lookup[j] = uint32(symbol)<<8 | uint32(n)
		}
	}
	return true
}

// long returns the entry of a code that is too long for the look-up.
func (t *tree) long(next uint64) uint32 {
	number := uint32(bits.Reverse16(uint16(next))) >> (16 - maxCode)
	n := lookupBits + 1
	for number >= t.limit[n] { // ends at maxCode, whose limit is beyond all numbers
		n++
	}
	return uint32(t.sorted[int32(number>>(maxCode-n))+t.offset[n]])<<8 | uint32(n)
}
