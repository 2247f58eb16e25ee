// Package lzw decompresses the pixels of GIF files (GIF89a, appendix F) for package decode. It differs from compress/lzw
// in that it reads the file's blocks as they are and writes eight bytes at a time, which takes half the time, and in
// that it takes the literals of 0, 1 and more than 8 bits that some files have.
package lzw

import (
	"encoding/binary"
	"errors"
	"io"
)

// MaxLiteral is the largest number of bits of a literal.
const MaxLiteral = maxWidth - 1

const (
	maxWidth = 12 // bits of a code
	maxCodes = 1 << maxWidth
	// Output is decompressed at least so many bytes at a time, and the last code may stand for as many as there are codes.
	outBytes = 8 << 10
)

var errCode = errors.New("lzw: invalid code")

// Decoder decompresses one stream after the other. Reset prepares it.
//
// A code stands for a string of bytes: a literal for itself, each further one for the string of the code before it and
// one more byte. Strings are kept in parts of up to eight bytes: a code has the last part, and the code whose string is
// everything before it. So a string is written backwards with one store for eight bytes.
type Decoder struct {
	more func() ([]byte, error)
	end  error // of more, which is not called again
	in   []byte
	bits uint64 // read from in, but not yet used; the lowest ones come first
	have uint   // number of bits

	literal uint // bits of a literal
	clear   int  // the code that begins again with literals only; the next one ends the stream
	next    int  // code that is defined next
	width   uint // bits of a code
	last    int  // the code before, -1 if there is none
	first   byte // of its string

	part   [maxCodes]uint64 // last part of the string, the first byte lowest; the others are zero
	before [maxCodes]uint16 // code of the parts before
	length [maxCodes]uint16 // of the string, less one

	out      [outBytes + maxCodes + 8]byte
	from, to int   // of out, decompressed and not yet read
	err      error // why there is no more
}

// Reset prepares for a stream with literals of so many bits, up to MaxLiteral. The function more returns the next
// bytes of the stream, at least one, or an error; io.EOF where the stream ends.
func (d *Decoder) Reset(literal int, more func() ([]byte, error)) {
	d.more, d.end, d.in, d.bits, d.have = more, nil, nil, 0, 0
	d.from, d.to, d.err = 0, 0, nil
	d.literal, d.clear = uint(literal), 1<<literal
	for code := range d.clear {
		d.part[code], d.before[code], d.length[code] = uint64(byte(code)), 0, 0
	}
	d.next, d.width, d.last = d.clear+2, d.literal+1, -1
}

// Read fills dst. It returns io.EOF if the stream ends before, or the error of more unchanged.
func (d *Decoder) Read(dst []byte) error {
	for len(dst) > 0 {
		if d.from == d.to {
			if d.err != nil {
				return d.err
			}
			d.from, d.to = 0, 0
			d.err = d.decompress()
		}
		n := copy(dst, d.out[d.from:d.to])
		d.from, dst = d.from+n, dst[n:]
	}
	return nil
}

// decompress adds to out. It returns an error where the stream ends.
func (d *Decoder) decompress() (err error) {
	bits, have, in := d.bits, d.have, d.in
	next, width, last, first := d.next, d.width, d.last, d.first
	limit := 1 << (width & 63) // of codes; a shift that is below 64 for certain takes one instruction
	to := 0
	for to < outBytes {
		if have < width {
			if len(in) >= 8 {
				bits |= binary.LittleEndian.Uint64(in) << (have & 63)
				n := (63 - have) / 8 & 7
				in, have = in[n:], have+8*n
			} else {
				d.bits, d.have, d.in, d.width = bits, have, in, width
				if err = d.refill(); err != nil {
					break
				}
				bits, have, in = d.bits, d.have, d.in
			}
		}
		code := int(bits) & (limit - 1) & (maxCodes - 1)
		bits, have = bits>>(width&63), have-width
		if uint(code-d.clear) <= 1 { // one of the two that stand for no bytes
			if code != d.clear {
				err = io.EOF
				break
			}
			next, width, last = d.clear+2, d.literal+1, -1
			limit = 1 << (width & 63)
			continue
		}
		if code < next {
			first = d.write(to, code)
		} else if code > next || last < 0 { // the next code means the string of the code before, and its first byte again
			err = errCode
			break
		}
		if last >= 0 && next < maxCodes { // define it: the string of the code before, and first
			length := d.length[last&(maxCodes-1)] + 1
			part, before := d.part[last&(maxCodes-1)], d.before[last&(maxCodes-1)]
			full := length % 8
			if full == 0 {
				part, before = 0, uint16(last)
			}
			d.part[next], d.before[next], d.length[next] = part|uint64(first)<<(8*full&63), before, length
			if code == next {
				d.write(to, code)
			}
			// With literals of 0 or 1 bits codes never get longer: in such files only literals can be used, as in Pillow.
			if next++; next == limit && width < maxWidth {
				width, limit = width+1, 2*limit
			}
		}
		to += int(d.length[code]) + 1
		last = code
	}
	d.bits, d.have, d.in = bits, have, in
	d.next, d.width, d.last, d.first = next, width, last, first
	d.to = to
	return err
}

// write writes the string of a code to out, and returns its first byte.
func (d *Decoder) write(at, code int) byte {
	for end := at + int(d.length[code&(maxCodes-1)])&^7; end > at; end -= 8 {
		binary.LittleEndian.PutUint64(d.out[end:], d.part[code&(maxCodes-1)])
		code = int(d.before[code&(maxCodes-1)])
	}
	part := d.part[code&(maxCodes-1)]
	binary.LittleEndian.PutUint64(d.out[at:], part)
	return byte(part)
}

// refill makes at least as many bits available as a code has, byte by byte.
func (d *Decoder) refill() error {
	for d.have < maxWidth {
		if len(d.in) == 0 && d.end == nil {
			d.in, d.end = d.more()
		}
		if d.end != nil {
			if d.have >= d.width { // the last codes
				return nil
			}
			return d.end
		}
		d.bits |= uint64(d.in[0]) << d.have
		d.in, d.have = d.in[1:], d.have+8
	}
	return nil
}
