package jpeg

import (
	"bytes"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"
)

// lutBits is the number of bits that one look-up resolves. Longer codes are rare and take the slow path.
const lutBits = kernel.LookupBits

// huffman is one Huffman table (T.81, annex C) and its look-up tables.
//
// A look-up by the next lutBits bits gives an entry:
//
//	bits  0-5   length: bits consumed by the code, and by the value's bits if those are in the entry too
//	bit   6     entryOpen: the value's bits are not in the entry, or it is entryLong
//	bits  8-15  run: number of zero coefficients to skip before the value; runEnd for end of block
//	bits 16-31  the value, signed; in open entries the number of its bits
//
// Bit strings that begin a code longer than lutBits, or none, have entryLong.
type huffman struct {
	spec  []byte // as in the file: 16 counts of codes per length, then the symbols in the order of their codes
	class symbolClass
	ready bool // the fields below are those of spec and class

	lut   kernel.SymbolTable
	pairs kernel.PairTable // only for classAC
	// For codes of length n: the first code beyond them, shifted to 16 bits, and what to add to a code to get the
	// index of its symbol.
	limit  [17]int32
	offset [17]int32
}

const (
	entryOpen = kernel.Open
	entryLong = entryOpen // with length zero
	runEnd    = kernel.EndOfBlock - 1
)

// symbolClass is the meaning of symbols: the low four bits are a number of value bits, the others a run.
type symbolClass byte

const (
	classDC            symbolClass = iota // no run
	classAC                               // 0x00 ends the block
	classACProgressive                    // 0xr0 ends 2^r blocks and more, r < 15
)

// prepare builds the look-up tables of spec for symbols of the given class. It returns false for a table that is not a
// prefix code or holds symbols that the class forbids. A table equal to the one before is ready: many files share
// theirs.
func (h *huffman) prepare(spec []byte, class symbolClass) bool {
	if h.ready && h.class == class && bytes.Equal(h.spec, spec) {
		return true
	}
	h.spec = append(h.spec[:0], spec...)
	counts, symbols := h.spec[:16], h.spec[16:]
	h.ready = false
	for i := range h.lut {
		h.lut[i] = entryLong
	}
	code, next := 0, 0
	for n := 1; n <= 16; n++ {
		h.offset[n] = int32(next - code)
		for range counts[n-1] {
			symbol := symbols[next]
			if code>>n != 0 || class == classDC && symbol > 15 {
				return false
			}
			if n <= lutBits {
				h.fill(code, n, symbol, class)
			}
			code++
			next++
		}
		h.limit[n] = int32(code << (16 - n))
		if code >= 1<<n { // the code of ones only is not allowed (T.81, C.2), and libjpeg-turbo refuses it too
			return false
		}
		code <<= 1
	}
	if class == classAC {
		h.pair()
	}
	h.ready, h.class = true, class
	return true
}

// pair fills pairs from lut.
func (h *huffman) pair() {
	for i, first := range h.lut {
		steps, length := uint64(first>>8&0xFF+1), uint64(first&63)
		if first&entryOpen != 0 {
			h.pairs[i] = uint64(first>>16)<<16 | steps<<8 | entryOpen | length
			continue
		}
		last, lastSteps := first, steps
		if steps < kernel.EndOfBlock {
			// The bits beyond the first symbol, and zeros where they are not known.
			second := h.lut[i<<length&(1<<lutBits-1)]
			if second&entryOpen == 0 && length+uint64(second&63) <= lutBits {
				length += uint64(second & 63)
				last, lastSteps = second, steps+uint64(second>>8&0xFF)+1
			}
		}
		h.pairs[i] = uint64(last>>16)<<48 | lastSteps<<32 | uint64(first>>16)<<16 | steps<<8 | length
	}
}

// fill writes the entries of all bit strings that start with code, which has n bits.
func (h *huffman) fill(code, n int, symbol byte, class symbolClass) {
	free := lutBits - n
	base := code << free
	e := newEntry(n, symbol, class)
	size := int(symbol & 15)
	for low := range 1 << free {
		if e&entryOpen != 0 && size > 0 && size <= free {
			value := extend(uint32(low>>(free-size)), size)
			h.lut[base+low] = uint32(n+size) | e&0xFF00 | uint32(value)<<16
		} else {
			h.lut[base+low] = e
		}
	}
}

// newEntry returns the entry for a symbol whose code has n bits, without the value's bits.
func newEntry(n int, symbol byte, class symbolClass) uint32 {
	run, size := uint32(symbol>>4), uint32(symbol&15)
	switch {
	case size > 0 || class == classACProgressive && run < 15:
		return uint32(n) | entryOpen | run<<8 | size<<16
	case class == classAC && run < 15:
		return uint32(n) | runEnd<<8 // libjpeg takes every 0xr0 but 0xF0 as the end
	default:
		return uint32(n) | run<<8 // zero difference, or sixteen zeros
	}
}

// long returns the entry for a code longer than lutBits at the head of peek, the next 16 bits. It returns 0 if
// there is no such code.
func (h *huffman) long(peek uint32) uint32 {
	for n := lutBits + 1; n <= 16; n++ {
		if int32(peek) < h.limit[n] {
			i := int32(peek>>(16-n)) + h.offset[n]
			return newEntry(n, h.spec[16+i], h.class)
		}
	}
	return 0
}

// extend gives the value that size bits of a file stand for (T.81, F.2.2.1, EXTEND).
func extend(bits uint32, size int) int32 {
	if bits < 1<<(size-1) {
		return int32(bits) - 1<<size + 1
	}
	return int32(bits)
}

// standardHuffman holds the tables of T.81, K.3: files of motion JPEG leave them out, and libjpeg fills them in.
var standardHuffman = [2][2][]byte{
	{ // luminance: DC, AC
		[]byte("\x00\x01\x05\x01\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00" +
			"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"),
		[]byte("\x00\x02\x01\x03\x03\x02\x04\x03\x05\x05\x04\x04\x00\x00\x01\x7d" +
			"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07" +
			"\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0" +
			"\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28" +
			"\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49" +
			"\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69" +
			"\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89" +
			"\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7" +
			"\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5" +
			"\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2" +
			"\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8" +
			"\xf9\xfa"),
	},
	{ // chrominance: DC, AC
		[]byte("\x00\x03\x01\x01\x01\x01\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00" +
			"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"),
		[]byte("\x00\x02\x01\x02\x04\x04\x03\x04\x07\x05\x04\x04\x00\x01\x02\x77" +
			"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71" +
			"\x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0" +
			"\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26" +
			"\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48" +
			"\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68" +
			"\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87" +
			"\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5" +
			"\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3" +
			"\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda" +
			"\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8" +
			"\xf9\xfa"),
	},
}
