//go:build !purego && (amd64 || arm64)

package kernel

import "unsafe"

// rgb leaves pixels at the end, where a whole vector would reach beyond dst or pixels, to plain Go.
func (l *Layout) rgb(dst, pixels []byte) {
	if n := min((len(pixels)-16)/l.in, (len(dst)-16)/l.out) + 1; simd && min(len(pixels), len(dst)) >= 16 {
		shuffleVector(&dst[0], &pixels[0], &l.shuffle[0], l.in, l.out, n)
		dst, pixels = dst[n*l.out:], pixels[n*l.in:]
	}
	l.rgbGeneric(dst, pixels)
}

var inWords = NewLayout(4, 2, 1, 0)

// rgb takes pixels for the bytes that they are in memory, from the lowest on.
func rgb(dst []byte, pix []uint32) {
	inWords.rgb(dst, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(pix))), 4*len(pix)))
}
