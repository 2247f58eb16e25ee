package jpeg

import (
	"encoding/binary"
	"math/bits"
)

// Arithmetic coding (T.81, annex D) turns a picture into decisions with two answers, and those into one long binary
// fraction. The decoder keeps the interval in which that fraction lies. For each decision it splits the interval, the lower
// part for the answer that is more probable, by how probable it is; the part in which the fraction lies is the answer, and
// the interval from then on. Probable answers shrink it little and so take a fraction of a bit.
//
// How probable an answer is was learned from earlier answers to the same question. A bin, of a byte, keeps it for each
// question: one of 113 states, which is an estimate of the less probable answer's part, and in bit 7 the answer that is more
// probable. The encoder learns the same.

// decisions reads decisions. Its data holds no stuffing and ends with at least three zeros.
type decisions struct {
	data   []byte
	pos    int
	size   uint64 // of the interval, 0x8000 to 0x10000 between decisions
	offset uint64 // of the fraction from the interval's lower end
	ahead  uint   // bits of offset beyond those of size, 16 or more between decisions
}

// startDecisions begins with the first byte of data.
func startDecisions(data []byte) decisions {
	d := decisions{data: data, size: 0x10000}
	d.fill() // the first 16 bits belong to size
	d.ahead -= 16
	return d
}

// fill appends four bytes to the offset. Encoders leave out zeros at the end (D.1.8).
func (d *decisions) fill() {
	d.offset <<= 32
	if d.pos+4 <= len(d.data) {
		d.offset |= uint64(binary.BigEndian.Uint32(d.data[d.pos:]))
	}
	d.pos += 4
	d.ahead += 32
}

// maxZeros is how many zeros may be read after the data. The zeros that an encoder leaves out are bits of answers that
// were all the more probable ones. The largest picture has 800,000 blocks for each component, with up to 30 decisions each
// if there are DC differences only. At 1/32768 bit for the surest of them this makes 300 bytes.
const maxZeros = 1 << 10

// overrun reports whether so many zeros were read after the data that it cannot be complete.
func (d *decisions) overrun() bool { return d.pos > len(d.data)+maxZeros }

// decide reads a decision and updates its bin (D.2.4 to D.2.6).
func (d *decisions) decide(bin *uint8) bool {
	now := *bin
	e := &estimates[now]
	less := uint64(e.size)
	d.size -= less
	answer := now >= 0x80
	upper := d.size << (d.ahead & 63)
	var probable bool
	if d.offset < upper {
		if d.size >= 0x8000 {
			return answer
		}
		// Where the estimate is off so far that the upper part is the larger one, that is the more probable answer's.
		probable = d.size >= less
	} else {
		probable = d.size < less
		d.offset -= upper
		d.size = less
	}
	if probable {
		*bin = e.probable
	} else {
		*bin = e.other
		answer = !answer
	}
	shift := uint(bits.LeadingZeros16(uint16(d.size)))
	d.size <<= shift & 15
	if d.ahead -= shift; d.ahead < 16 {
		d.fill()
	}
	return answer
}

// evenState is a state after the 113 of the standard for questions whose answers are equally probable.
const evenState = 113

// estimates has for each value of a bin the size of the less probable answer's part and the bin's next value after each
// of the answers.
var estimates = func() (e [256]estimate) {
	for state, s := range append(states[:], estimate{0x5A1D, evenState, evenState}) {
		for _, answer := range []uint8{0, 0x80} {
			e[uint8(state)|answer] = estimate{s.size, s.probable | answer, s.other | answer}
		}
	}
	// In these states the other answer becomes the more probable one (Switch_MPS).
	for _, state := range [...]uint8{0, 14, 36, 64, 80, 88, 95, 105, 110, 112} {
		e[state].other ^= 0x80
		e[state|0x80].other ^= 0x80
	}
	return e
}()

// estimate is a row of table D.3 of T.81: Qe_Value, Next_Index_MPS, Next_Index_LPS.
type estimate struct {
	size            uint16
	probable, other uint8
}

var states = [evenState]estimate{
	{0x5A1D, 1, 1}, {0x2586, 2, 14}, {0x1114, 3, 16}, {0x080B, 4, 18}, {0x03D8, 5, 20}, {0x01DA, 6, 23},
	{0x00E5, 7, 25}, {0x006F, 8, 28}, {0x0036, 9, 30}, {0x001A, 10, 33}, {0x000D, 11, 35}, {0x0006, 12, 9},
	{0x0003, 13, 10}, {0x0001, 13, 12}, {0x5A7F, 15, 15}, {0x3F25, 16, 36}, {0x2CF2, 17, 38}, {0x207C, 18, 39},
	{0x17B9, 19, 40}, {0x1182, 20, 42}, {0x0CEF, 21, 43}, {0x09A1, 22, 45}, {0x072F, 23, 46}, {0x055C, 24, 48},
	{0x0406, 25, 49}, {0x0303, 26, 51}, {0x0240, 27, 52}, {0x01B1, 28, 54}, {0x0144, 29, 56}, {0x00F5, 30, 57},
	{0x00B7, 31, 59}, {0x008A, 32, 60}, {0x0068, 33, 62}, {0x004E, 34, 63}, {0x003B, 35, 32}, {0x002C, 9, 33},
	{0x5AE1, 37, 37}, {0x484C, 38, 64}, {0x3A0D, 39, 65}, {0x2EF1, 40, 67}, {0x261F, 41, 68}, {0x1F33, 42, 69},
	{0x19A8, 43, 70}, {0x1518, 44, 72}, {0x1177, 45, 73}, {0x0E74, 46, 74}, {0x0BFB, 47, 75}, {0x09F8, 48, 77},
	{0x0861, 49, 78}, {0x0706, 50, 79}, {0x05CD, 51, 48}, {0x04DE, 52, 50}, {0x040F, 53, 50}, {0x0363, 54, 51},
	{0x02D4, 55, 52}, {0x025C, 56, 53}, {0x01F8, 57, 54}, {0x01A4, 58, 55}, {0x0160, 59, 56}, {0x0125, 60, 57},
	{0x00F6, 61, 58}, {0x00CB, 62, 59}, {0x00AB, 63, 61}, {0x008F, 32, 61}, {0x5B12, 65, 65}, {0x4D04, 66, 80},
	{0x412C, 67, 81}, {0x37D8, 68, 82}, {0x2FE8, 69, 83}, {0x293C, 70, 84}, {0x2379, 71, 86}, {0x1EDF, 72, 87},
	{0x1AA9, 73, 87}, {0x174E, 74, 72}, {0x1424, 75, 72}, {0x119C, 76, 74}, {0x0F6B, 77, 74}, {0x0D51, 78, 75},
	{0x0BB6, 79, 77}, {0x0A40, 48, 77}, {0x5832, 81, 80}, {0x4D1C, 82, 88}, {0x438E, 83, 89}, {0x3BDD, 84, 90},
	{0x34EE, 85, 91}, {0x2EAE, 86, 92}, {0x299A, 87, 93}, {0x2516, 71, 86}, {0x5570, 89, 88}, {0x4CA9, 90, 95},
	{0x44D9, 91, 96}, {0x3E22, 92, 97}, {0x3824, 93, 99}, {0x32B4, 94, 99}, {0x2E17, 86, 93}, {0x56A8, 96, 95},
	{0x4F46, 97, 101}, {0x47E5, 98, 102}, {0x41CF, 99, 103}, {0x3C3D, 100, 104}, {0x375E, 93, 99}, {0x5231, 102, 105},
	{0x4C0F, 103, 106}, {0x4639, 104, 107}, {0x415E, 99, 103}, {0x5627, 106, 105}, {0x50E7, 107, 108}, {0x4B85, 103, 109},
	{0x5597, 109, 110}, {0x504F, 107, 111}, {0x5A10, 111, 110}, {0x5522, 109, 112}, {0x59EB, 111, 112},
}
