package jpeg

import (
	"bytes"
	"encoding/binary"
)

// bitPadding is the number of zero bytes after the entropy-coded ones. One block takes at most 64 codes of 16 bits
// with 15 bits of value, 248 bytes: a check after each block suffices to never read beyond the padding.
const bitPadding = 256 + 8

// bitReader reads bits, most significant first, from bytes that hold no stuffing and end with bitPadding zeros.
type bitReader struct {
	acc  uint64 // the next n bits at the top, zeros or bits that will be read again below
	n    int
	pos  int // next byte of data to load
	data []byte
}

// reset starts reading data.
func (r *bitReader) reset(data []byte) {
	*r = bitReader{data: data}
}

// fill makes at least 56 bits ready.
func (r *bitReader) fill() {
	r.acc |= binary.BigEndian.Uint64(r.data[r.pos:]) >> (uint(r.n) & 63)
	r.pos += (63 - r.n) >> 3
	r.n |= 56
}

// overrun reports whether bits were read that the file does not have.
func (r *bitReader) overrun() bool {
	return 8*r.pos-r.n > 8*(len(r.data)-bitPadding)
}

// take returns the next size bits, size 0 to 16. fill must have made them ready.
func (r *bitReader) take(size int) uint32 {
	v := uint32(r.acc >> 1 >> (63 - uint(size)&63))
	r.acc <<= uint(size) & 63
	r.n -= size
	return v
}

// code returns the entry of the next code of h and steps over what its length says, or 0 if there is no valid code.
// It needs 31 bits ready to also hold the value's bits.
func (r *bitReader) code(h *huffman) uint32 {
	e := h.lut[r.acc>>(64-lutBits)]
	if e == entryLong {
		if e = h.long(uint32(r.acc >> 48)); e == 0 {
			return 0
		}
	}
	n := uint(e & 63)
	r.acc <<= n
	r.n -= int(n)
	return e
}

// value returns the value of an entry, whose bits follow if it is open.
func (r *bitReader) value(e uint32) int32 {
	if e&entryOpen != 0 {
		size := int(e >> 16)
		return extend(r.take(size), size)
	}
	return int32(e) >> 16
}

// unstuff appends to dst the entropy-coded bytes at the head of src, without the zero byte after each 0xFF (T.81,
// F.1.2.3). It returns the position of the marker that ends them, or len(src) if there is none.
func unstuff(dst, src []byte) ([]byte, int) {
	pos := 0
	for {
		i := bytes.IndexByte(src[pos:], 0xFF)
		if i < 0 {
			return append(dst, src[pos:]...), len(src)
		}
		dst = append(dst, src[pos:pos+i]...)
		pos += i
		after := pos + 1
		for after < len(src) && src[after] == 0xFF { // fill bytes (B.1.1.2)
			after++
		}
		if after == len(src) {
			return dst, after
		}
		if src[after] != 0 {
			return dst, pos
		}
		dst = append(dst, 0xFF)
		pos = after + 1
	}
}
