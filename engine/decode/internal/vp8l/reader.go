package vp8l

import (
	"encoding/binary"
	"io"
)

// reader reads bits, the lowest of a byte first.
type reader struct {
	data  []byte
	pos   int    // of the next byte to take
	next  uint64 // the bits taken; above count they are what follows, or zero
	count uint
}

// fill takes bytes until there are at least 56 bits. After the data it takes zeros.
func (r *reader) fill() {
	if r.pos+8 <= len(r.data) {
		r.next |= binary.LittleEndian.Uint64(r.data[r.pos:]) << (r.count & 63)
		r.pos += int(63-r.count) >> 3
		r.count |= 56
		return
	}
	for ; r.count < 56; r.count += 8 {
		if r.pos < len(r.data) {
			r.next |= uint64(r.data[r.pos]) << r.count
		}
		r.pos++
	}
}

// fillSlowly is fill for callers where it would be in the way.
//
//go:noinline
func (r *reader) fillSlowly() { r.fill() }

// overrun reports whether more bits were read than there are.
func (r *reader) overrun() bool { return 8*r.pos-int(r.count) > 8*len(r.data) }

// short returns an error if more bits were read than there are.
func (r *reader) short() error {
	if r.overrun() {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// bits reads a number of up to 32 bits.
func (r *reader) bits(n uint) int {
	if r.count < n {
		r.fill()
	}
	v := r.next & (1<<n - 1)
	r.next >>= n
	r.count -= n
	return int(v)
}

// symbol reads a symbol. At least maxCode bits must have been taken.
func (r *reader) symbol(t *tree) int {
	e := t.find(r.next)
	r.next >>= e & 15
	r.count -= uint(e & 15)
	return int(e >> 4)
}

// number reads the rest of a length or distance code (section 5.2.2).
func (r *reader) number(symbol int) int {
	n := numbers[symbol]
	return n.first + r.bits(n.extra)
}

// numbers are those that length and distance codes stand for: each of them for 1<<extra numbers.
var numbers = func() (table [distances]struct {
	first int
	extra uint
}) {
	first := 1
	for i := range table {
		table[i].first, table[i].extra = first, uint(max(i-2, 0)/2)
		first += 1 << table[i].extra
	}
	return table
}()
