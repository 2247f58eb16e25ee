package decode

import "encoding/binary"

// dropFourth writes the first three bytes of each pixel of four. It writes four bytes at a time, the last of which the next
// pixel overwrites.
func dropFourth(dst, pixels []byte) {
	for ; len(dst) >= 4 && len(pixels) >= 4; dst, pixels = dst[3:], pixels[4:] {
		binary.LittleEndian.PutUint32(dst, binary.LittleEndian.Uint32(pixels))
	}
	if len(dst) >= 3 && len(pixels) >= 3 {
		copy(dst[:3], pixels[:3])
	}
}

// repeatThrice writes each gray sample three times, in the same way.
func repeatThrice(dst, samples []byte) {
	for ; len(dst) >= 4 && len(samples) > 0; dst, samples = dst[3:], samples[1:] {
		binary.LittleEndian.PutUint32(dst, uint32(samples[0])*0x010101)
	}
	for ; len(samples) > 0; dst, samples = dst[3:], samples[1:] {
		dst[0], dst[1], dst[2] = samples[0], samples[0], samples[0]
	}
}
