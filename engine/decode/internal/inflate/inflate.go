// Package inflate decompresses zlib streams (RFC 1950 and 1951) for package decode, to which they come in pieces. It does
// what compress/zlib does in less time: it takes eight bytes of input and of a match at a time, and one look-up resolves two
// literals if they fit into eleven bits.
package inflate

import (
	"encoding/binary"
	"errors"
	"hash"
	"hash/adler32"
	"io"
	"math/bits"
)

// Errors of streams that break the specifications.
var (
	ErrHeader   = errors.New("zlib: invalid header")
	ErrData     = errors.New("zlib: invalid compressed data")
	ErrChecksum = errors.New("zlib: invalid checksum")
)

const (
	window = 32 << 10        // a match reaches at most so far back
	limit  = window + 64<<10 // after as many bytes in the buffer no step begins
	slack  = 258 + 8         // a step writes at most a match of 258 bytes, and beyond that less than another 8
	ahead  = 16              // bytes of input that a step of the fast loop looks at
)

// Reader decompresses a stream. The zero value has to be Reset.
type Reader struct {
	source func() ([]byte, error)
	work   func(bytes int) error
	ended  error  // of source
	in     []byte // rest of its piece
	bits   uint64 // input taken from pieces, the next bit lowest
	count  uint   // how many of bits are taken; those above are zero, or already what in begins with

	step  func(*Reader) error // what comes next in the stream
	final bool                // this block is the last one
	left  int                 // bytes left of a block without compression

	buf           [limit + slack]byte
	read, written int // buf[:read] was returned, buf[:written] is there
	checksum      hash.Hash32
	want          uint32 // the check sum in the stream
	err           error

	literals  [1 << literalBits]entry
	distances [1 << distanceBits]entry
	literal   code
	distance  code
	hasFixed  bool // these are the fixed codes
}

// Reset begins a stream whose input is what source returns, piece after piece. Source is called when more input is needed,
// never after the piece that has the stream's end. Its error becomes that of Read. Work, if not nil, is called for each block
// with about as many bytes as take the time that the block's beginning takes, because blocks may be empty; its error ends the
// stream. Reset(nil, nil) lets go of the input.
func (r *Reader) Reset(source func() ([]byte, error), work func(bytes int) error) {
	r.source, r.work, r.ended, r.in, r.bits, r.count = source, work, nil, nil, 0, 0
	r.step, r.final, r.left = (*Reader).header, false, 0
	r.read, r.written, r.err = 0, 0, nil
	if r.checksum == nil {
		r.checksum = adler32.New()
	}
	r.checksum.Reset()
}

// Read returns decompressed bytes. At the end its error is io.EOF, if the check sum is right.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.read == r.written && r.err == nil {
		r.decompress()
	}
	if r.read == r.written {
		return 0, r.err
	}
	n := copy(p, r.buf[r.read:r.written])
	r.read += n
	return n, nil
}

// decompress fills the buffer after all of it was returned. It may end with nothing new only at an error.
func (r *Reader) decompress() {
	if r.written > window {
		copy(r.buf[:window], r.buf[r.written-window:r.written])
		r.read, r.written = window, window
	}
	for r.err == nil && r.written < limit {
		r.err = r.step(r)
	}
	_, _ = r.checksum.Write(r.buf[r.read:r.written]) // never fails
	if errors.Is(r.err, io.EOF) && r.want != r.checksum.Sum32() {
		r.err = ErrChecksum
	}
}

// fill takes input until there are n bits, or no more.
func (r *Reader) fill(n uint) {
	for r.count < n {
		for len(r.in) == 0 {
			if r.ended != nil {
				return
			}
			r.in, r.ended = r.source()
		}
		r.bits |= uint64(r.in[0]) << r.count
		r.in = r.in[1:]
		r.count += 8
	}
}

// take returns the next n bits, at most 32.
func (r *Reader) take(n uint) (uint32, error) {
	r.fill(n)
	if r.count < n {
		return 0, r.ended
	}
	v := uint32(r.bits & (1<<n - 1))
	r.drop(n)
	return v, nil
}

func (r *Reader) drop(n uint) {
	r.bits >>= n
	r.count -= n
}

// header reads the stream's header (RFC 1950, section 2.2).
func (r *Reader) header() error {
	v, err := r.take(16)
	if err != nil {
		return err
	}
	method, flags := v&0xFF, v>>8
	const deflate, maxWindow, preset = 8, 7, 0x20
	if method&15 != deflate || method>>4 > maxWindow || flags&preset != 0 || (method<<8|flags)%31 != 0 {
		return ErrHeader
	}
	r.step = (*Reader).block
	return nil
}

// block reads the header of a block (RFC 1951, section 3.2.3), or the check sum after the last one.
func (r *Reader) block() error {
	if r.final {
		return r.trailer()
	}
	v, err := r.take(3)
	if err != nil {
		return err
	}
	r.final = v&1 != 0
	begin, bytes := (*Reader).stored, blockWork
	switch v >> 1 {
	case 1:
		if begin = (*Reader).fixed; !r.hasFixed {
			bytes = codesWork
		}
	case 2:
		begin, bytes = (*Reader).dynamic, codesWork
	case 3:
		return ErrData
	}
	if r.work != nil {
		if err := r.work(bytes); err != nil {
			return err
		}
	}
	return begin(r)
}

// What the beginning of a block costs, in bytes that could be decompressed instead. Codes take microseconds to build.
const (
	blockWork = 64
	codesWork = 8 << 10
)

// trailer reads the check sum, whose bytes are in the other order.
func (r *Reader) trailer() error {
	r.drop(r.count % 8)
	v, err := r.take(32)
	if err != nil {
		return err
	}
	r.want = bits.ReverseBytes32(v)
	return io.EOF
}

// stored begins a block without compression (section 3.2.4).
func (r *Reader) stored() error {
	r.drop(r.count % 8)
	v, err := r.take(32)
	if err != nil {
		return err
	}
	if v>>16 != ^v&0xFFFF {
		return ErrData
	}
	r.left = int(v & 0xFFFF)
	r.step = (*Reader).copyStored
	return nil
}

// copyStored copies bytes of a block without compression.
func (r *Reader) copyStored() error {
	for ; r.left > 0 && r.count > 0 && r.written < limit; r.left-- {
		r.buf[r.written] = byte(r.bits)
		r.written++
		r.drop(8)
	}
	if r.count == 0 {
		r.bits = 0
		n := copy(r.buf[r.written:limit], r.in[:min(r.left, len(r.in))])
		r.written += n
		r.left -= n
		r.in = r.in[n:]
	}
	switch {
	case r.left == 0:
		r.step = (*Reader).block
	case r.written < limit:
		if r.fill(8); r.count == 0 {
			return r.ended
		}
	}
	return nil
}

// fixed begins a block of the fixed codes (section 3.2.6).
func (r *Reader) fixed() error {
	if r.hasFixed { // a file may consist of empty blocks of 10 bits
		r.step = (*Reader).symbols
		return nil
	}
	var lengths [288 + 32]uint8
	for i := range lengths {
		switch {
		case i < 144, i >= 280 && i < 288:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 5
		}
	}
	err := r.codes(lengths[:288], lengths[288:])
	r.hasFixed = err == nil
	return err
}

// lengthOrder is the order in which the lengths of the codes for lengths are stored.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic begins a block that has its codes before it (section 3.2.7).
func (r *Reader) dynamic() error {
	v, err := r.take(14)
	if err != nil {
		return err
	}
	literals, distances, n := int(v&31)+257, int(v>>5&31)+1, int(v>>10)+4
	if literals > 286 || distances > 30 {
		return ErrData
	}
	var order [19]uint8
	for _, symbol := range lengthOrder[:n] {
		v, err := r.take(3)
		if err != nil {
			return err
		}
		order[symbol] = uint8(v)
	}
	r.hasFixed = false
	// Their look-up is made in the place of the distances'.
	if !r.distance.build(r.distances[:1<<7], order[:], length) {
		return ErrData
	}
	var lengths [286 + 30]uint8
	for i := 0; i < literals+distances; {
		r.fill(7)
		e := r.distances[r.bits&(1<<7-1)]
		if e&entrySpecial != 0 {
			return ErrData
		}
		if e&entryDrop > uint32(r.count) {
			return r.ended
		}
		r.drop(uint(e & entryDrop))
		symbol, repeat := uint8(e>>entryValue), 1
		switch symbol {
		case 16: // the length before, 3 to 6 times
			if i == 0 {
				return ErrData
			}
			v, err = r.take(2)
			symbol, repeat = lengths[i-1], int(v)+3
		case 17: // no code, 3 to 10 times
			v, err = r.take(3)
			symbol, repeat = 0, int(v)+3
		case 18:
			v, err = r.take(7)
			symbol, repeat = 0, int(v)+11
		}
		if err != nil {
			return err
		}
		if i+repeat > literals+distances {
			return ErrData
		}
		for ; repeat > 0; repeat-- {
			lengths[i] = symbol
			i++
		}
	}
	return r.codes(lengths[:literals], lengths[literals:literals+distances])
}

// codes begins the data of a block with codes of these lengths.
func (r *Reader) codes(literals, distances []uint8) error {
	if !r.literal.build(r.literals[:], literals, literal) || !r.distance.build(r.distances[:], distances, distance) {
		return ErrData
	}
	pair(&r.literals)
	r.step = (*Reader).symbols
	return nil
}

// symbols decompresses what the buffer has room for, or the rest of the block.
func (r *Reader) symbols() error {
	for r.written < limit {
		if len(r.in) >= ahead {
			if end, err := r.fast(); end || err != nil {
				return err
			}
			continue
		}
		if end, err := r.symbol(); end || err != nil {
			return err
		}
	}
	return nil
}

// symbol decompresses a match, or one or two literals, where a piece of input ends. It returns true at the end of the block.
func (r *Reader) symbol() (end bool, err error) {
	r.fill(maxCode + 5)
	e := r.literals[r.bits&(1<<literalBits-1)]
	if e == longCode {
		e = r.literal.long(r.bits)
	}
	switch {
	case e&entryDrop > uint32(r.count) || e&entrySpecial != 0 && e>>entryValue != valueEnd:
		return false, r.invalid()
	case e&entrySpecial != 0:
		r.drop(uint(e & entryDrop))
		r.step = (*Reader).block
		return true, nil
	case e&anyLiterals != 0:
		r.drop(uint(e & entryDrop))
		binary.LittleEndian.PutUint16(r.buf[r.written:], uint16(e>>entryValue))
		r.written += int(e >> entryLiterals & 3)
		return false, nil
	}
	length := sum(e, r.bits)
	r.drop(uint(e & entryDrop))
	r.fill(maxCode + 13)
	e = r.distances[r.bits&(1<<distanceBits-1)]
	if e == longCode {
		e = r.distance.long(r.bits)
	}
	if e&entryDrop > uint32(r.count) || e&entrySpecial != 0 {
		return false, r.invalid()
	}
	back := sum(e, r.bits)
	r.drop(uint(e & entryDrop))
	if back > r.written {
		return false, ErrData
	}
	r.written = repeat(&r.buf, r.written, back, length)
	return false, nil
}

// invalid is the error of bits that stand for nothing. If the input has ended, what is missing may be the reason.
func (r *Reader) invalid() error {
	if r.ended != nil {
		return r.ended
	}
	return ErrData
}

// sum returns the base of an entry plus the bits that follow its code.
func sum(e entry, next uint64) int {
	return int(e>>entryValue) + int(next&(1<<(e&entryDrop)-1)>>(e>>entryCode&15))
}

// repeat writes length bytes at a position, those that are so many bytes back, and returns the position after them. Up to 7
// bytes more are overwritten.
func repeat(buf *[limit + slack]byte, at, back, length int) int {
	end, from := at+length, at-back
	if back < 8 { // the pattern of a multiple of back is the same
		far := back
		for ; far < 8; far += back {
		}
		for stop := at + far - back; at < stop; at++ {
			buf[at] = buf[from]
			from++
		}
		from = at - far
	}
	for ; at < end; at += 8 {
		binary.LittleEndian.PutUint64(buf[at:at+8], binary.LittleEndian.Uint64(buf[from:from+8]))
		from += 8
	}
	return end
}

// fast is symbol again and again, while neither input nor room run out. It takes eight bytes at a time, as many as fit into
// the 64 bits that are ahead, and so has 56 bits or more.
func (r *Reader) fast() (end bool, err error) {
	in, next, count := r.in, r.bits, r.count
	buf, at := &r.buf, r.written
	pos := 0
	for pos+ahead <= len(in) && at < limit {
		next |= binary.LittleEndian.Uint64(in[pos:]) << (count & 63)
		pos += int(63-count) >> 3
		count |= 56
		e := r.literals[next&(1<<literalBits-1)]
		// At most three times literals, of 11 bits. After two of them enough bits are left for a length's 15 and 5.
		if e&anyLiterals != 0 {
			binary.LittleEndian.PutUint16(buf[at:at+2], uint16(e>>entryValue))
			at += int(e >> entryLiterals & 3)
			next >>= e & entryDrop
			count -= uint(e & entryDrop)
			e = r.literals[next&(1<<literalBits-1)]
			if e&anyLiterals != 0 {
				binary.LittleEndian.PutUint16(buf[at:at+2], uint16(e>>entryValue))
				at += int(e >> entryLiterals & 3)
				next >>= e & entryDrop
				count -= uint(e & entryDrop)
				e = r.literals[next&(1<<literalBits-1)]
				if e&anyLiterals != 0 {
					binary.LittleEndian.PutUint16(buf[at:at+2], uint16(e>>entryValue))
					at += int(e >> entryLiterals & 3)
					next >>= e & entryDrop
					count -= uint(e & entryDrop)
					continue
				}
			}
		}
		if e == longCode {
			e = r.literal.long(next)
		}
		length := sum(e, next)
		next >>= e & entryDrop
		count -= uint(e & entryDrop)
		if e&(entrySpecial|anyLiterals) != 0 {
			if e&anyLiterals != 0 { // of a long code
				buf[at] = byte(e >> entryValue)
				at++
				continue
			}
			if end = e>>entryValue == valueEnd; end {
				r.step = (*Reader).block
			} else {
				err = ErrData
			}
			break
		}
		next |= binary.LittleEndian.Uint64(in[pos:]) << (count & 63)
		pos += int(63-count) >> 3
		count |= 56
		e = r.distances[next&(1<<distanceBits-1)]
		if e == longCode {
			e = r.distance.long(next)
		}
		back := sum(e, next)
		next >>= e & entryDrop
		count -= uint(e & entryDrop)
		if e&entrySpecial != 0 || back > at {
			err = ErrData
			break
		}
		at = repeat(buf, at, back, length)
	}
	r.in, r.bits, r.count, r.written = in[pos:], next, count, at
	return end, err
}
