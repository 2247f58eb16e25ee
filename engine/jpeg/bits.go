package jpeg

import (
	"bytes"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"
)

// bitReader reads bits, most significant first. Data holds no stuffing and ends with kernel.Padding zeros.
type bitReader struct {
	kernel.Reader
}

// overrun reports whether more bits were read than the file has.
func (r *bitReader) overrun() bool {
	return r.Pos > 8*(len(r.Data)-kernel.Padding)
}

// take returns the next size bits, size 0 to 16.
func (r *bitReader) take(size int) uint32 {
	v := uint32(r.Peek() >> 1 >> (63 - size))
	r.Pos += size
	return v
}

// code returns the entry of the next code of h, whose value's bits follow if it is open, or 0 if there is no valid
// code.
func (r *bitReader) code(h *huffman) uint32 {
	bits := r.Peek()
	e := h.lut[bits>>(64-lutBits)]
	if e == entryLong {
		e = h.long(uint32(bits >> 48))
	}
	r.Pos += int(e & 31)
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
