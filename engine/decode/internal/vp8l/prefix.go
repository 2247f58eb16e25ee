package vp8l

import (
	"cmp"
	"math/bits"
)

const (
	lookupBits = 8  // bits that a look-up takes
	maxCode    = 15 // bits of the longest code
)

// entry is what a look-up finds: a symbol, and in the lowest four bits the length of its code. A length of more than lookupBits is that
// of the longest code that begins with these bits; instead of the symbol there is the place of a table in tree.long.
type entry = uint16

// tree is a prefix code (section 6.2.1). Codes of a length are consecutive numbers, in the order of their symbols, and begin
// after those of the length before; their first bit is the highest.
type tree struct {
	lookup [1 << lookupBits]entry // by the next bits in the file; all the same if there is one symbol, which takes no bits
	// Tables for codes that are longer, by the bits after those of the look-up. As codes are in the order of their lengths, all
	// tables are full of different symbols but one for each length: less than 256 entries are repeated, and places fit in 12 bits.
	long []entry
}

// find looks up the code at the beginning of the next bits.
func (t *tree) find(next uint64) entry {
	e := t.lookup[uint8(next)]
	if e&15 > lookupBits {
		e = t.long[uint64(e>>4)+next>>lookupBits&(1<<(e&15-lookupBits)-1)]
	}
	return e
}

// build makes the code of symbols whose codes have the given lengths, zero for none. It returns false if some bits would have
// two meanings, or none.
func (t *tree) build(lengths []uint8) bool {
	var count [maxCode + 1]int
	only := 0
	for symbol, n := range lengths {
		count[n&maxCode]++
		if n > 0 {
			only = symbol
		}
	}
	switch len(lengths) - count[0] {
	case 0:
		return false
	case 1: // whatever its length
		for i := range t.lookup {
			t.lookup[i] = entry(only << 4)
		}
		return true
	}
	var code [maxCode + 1]int // the next one of each length
	next := 0
	for n := 1; n <= maxCode; n++ {
		next <<= 1
		code[n] = next
		if next += count[n]; next > 1<<n {
			return false
		}
	}
	if next != 1<<maxCode {
		return false
	}
	t.makeTables(&code, &count)
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		first := bits.Reverse16(uint16(code[n&maxCode] << (16 - n)))
		code[n&maxCode]++
		e := entry(symbol<<4) | entry(n)
		table, at := t.lookup[:], int(first)
		if n > lookupBits {
			place := t.lookup[uint8(first)]
			table, at, n = t.long[place>>4:][:1<<(place&15-lookupBits)], at>>lookupBits, n-lookupBits
		}
		for ; at < len(table); at += 1 << n {
			table[at] = e
		}
	}
	return true
}

// makeTables makes tables for the codes that are too long for the look-up. Of each length there are count codes from code on.
func (t *tree) makeTables(code, count *[maxCode + 1]int) {
	var longest [1 << lookupBits]uint8 // of the codes that begin with these bits
	for n := lookupBits + 1; n <= maxCode; n++ {
		for i := code[n] >> (n - lookupBits); i<<(n-lookupBits) < code[n]+count[n]; i++ {
			longest[i] = uint8(n)
		}
	}
	size := 0
	for i, n := range longest {
		if n > 0 {
			t.lookup[bits.Reverse8(uint8(i))] = entry(size<<4) | entry(n)
			size += 1 << (n - lookupBits)
		}
	}
	t.long = resize(t.long, size)
}

// group is the prefix codes for pixels (section 6.2): green with lengths and colors of the cache, red, blue, alpha, distances.
type group struct {
	trees [5]tree
	// The channels that take no bits, as all but green in pictures with a palette.
	constant Pixel
	plain    bool // red, blue and alpha are constant
	opaque   bool // alpha is constant
}

const (
	green = iota
	red
	blue
	alpha
	distance
)

// readGroup reads five prefix codes.
func (d *Decoder) readGroup(g *group) error {
	first := literals + lengths
	if d.cache.bits > 0 {
		first += 1 << d.cache.bits
	}
	for i, n := range [...]int{first, literals, literals, literals, distances} {
		if err := d.readTree(&g.trees[i], n); err != nil {
			return err
		}
	}
	g.constant, g.opaque, g.plain = 0, false, false
	if e := g.trees[alpha].lookup[0]; e&15 == 0 {
		g.constant, g.opaque = Pixel(e>>4)<<24, true
		r, b := g.trees[red].lookup[0], g.trees[blue].lookup[0]
		if r&15 == 0 && b&15 == 0 {
			g.constant, g.plain = g.constant|Pixel(r>>4)<<16|Pixel(b>>4), true
		}
	}
	return nil
}

// readTree reads a prefix code for n symbols (section 6.2.1).
func (d *Decoder) readTree(t *tree, n int) error {
	d.lengths = resize(d.lengths, max(n, 256))
	clear(d.lengths)
	if d.bits(1) == 1 { // one symbol or two
		two := d.bits(1) == 1
		d.lengths[d.bits(1+7*uint(d.bits(1)))] = 1
		if two {
			d.lengths[d.bits(8)] = 1
		}
	} else if err := d.readLengths(d.lengths[:n]); err != nil {
		return err
	}
	if !t.build(d.lengths[:n]) {
		return cmp.Or(d.short(), ErrData)
	}
	return nil
}

// lengthOrder is the order in which the lengths of the codes for lengths are stored.
var lengthOrder = [19]uint8{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// readLengths reads the lengths of a prefix code, which have a prefix code themselves.
func (d *Decoder) readLengths(dst []uint8) error {
	n := d.bits(4) + 4
	if n > len(lengthOrder) {
		return ErrData
	}
	var order [19]uint8
	for _, symbol := range lengthOrder[:n] {
		order[symbol] = uint8(d.bits(3))
	}
	code := &d.lengthCode
	if !code.build(order[:]) {
		return cmp.Or(d.short(), ErrData)
	}
	left := len(dst) // symbols of the code
	if d.bits(1) == 1 {
		if left = 2 + d.bits(2+2*uint(d.bits(3))); left > len(dst) {
			return cmp.Or(d.short(), ErrData)
		}
	}
	before := uint8(8)
	for ; left > 0 && len(dst) > 0; left-- {
		d.fill()
		length, repeat := uint8(d.symbol(code)), 1
		switch {
		case length == 16: // the length before that was not zero
			length, repeat = before, 3+d.bits(2)
		case length == 17:
			length, repeat = 0, 3+d.bits(3)
		case length == 18:
			length, repeat = 0, 11+d.bits(7)
		case length > 0:
			before = length
		}
		if repeat > len(dst) || d.overrun() {
			return cmp.Or(d.short(), ErrData)
		}
		for i := range dst[:repeat] {
			dst[i] = length
		}
		dst = dst[repeat:]
	}
	return nil
}
