package kernel

import "encoding/binary"

// Stride is the distance of rows in the memory where macroblocks are put together.
const Stride = 32

// Transform adds the inverse DCT of coefficients to 4x4 samples (RFC 6386, section 14.4). Sums wrap at 16 bits, as in libwebp's vector
// form; those of usual files are far smaller.
func Transform(samples []byte, coefs *Block) {
	transform((*[3*Stride + 4]byte)(samples), coefs)
}

// AddDC adds a number to 4x4 samples: the inverse DCT of one coefficient.
func AddDC(samples []byte, v int) {
	// Eight samples at a time are increased or decreased.
	amount := uint64(min(max(v, -v), 255)) * 0x0101010101010101
	p := (*[3*Stride + 4]byte)(samples)
	for y := 0; y < 4; y += 2 {
		a, b := p[y*Stride:y*Stride+4], p[(y+1)*Stride:(y+1)*Stride+4]
		both := uint64(binary.LittleEndian.Uint32(a)) | uint64(binary.LittleEndian.Uint32(b))<<32
		if v < 0 {
			both = ^addSaturated(^both, amount)
		} else {
			both = addSaturated(both, amount)
		}
		binary.LittleEndian.PutUint32(a, uint32(both))
		binary.LittleEndian.PutUint32(b, uint32(both>>32))
	}
}

// addSaturated adds eight bytes to eight others, each at most to 255.
func addSaturated(a, b uint64) uint64 {
	const high = 0x8080808080808080
	sum := (a&^high + b&^high) ^ (a^b)&high
	carry := (a&b | (a|b)&^sum) & high >> 7
	return sum | carry*255
}

// TrueMotion predicts size x size samples, 4, 8 or 16: each is the one to the left of its row, plus the one above its column, less the
// corner, which is samples[0].
func TrueMotion(samples []byte, size int) {
	_ = samples[size*Stride+size]
	trueMotion(samples, size)
}
