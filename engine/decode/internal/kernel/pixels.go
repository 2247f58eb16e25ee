package kernel

// Layout says which bytes of a pixel are its red, green and blue.
type Layout struct {
	size int    // bytes of a pixel
	at   [3]int // red, green and blue in them
	// A vector holds so many whole pixels that their results fit into another one. Shuffle names the byte of the first that each byte
	// of the second is, or zero.
	shuffle [16]byte
	in, out int // bytes of both that are used
}

// zero is what a shuffle has for a byte that is zero.
const zero = 0x80

// NewLayout returns the layout of pixels of 1 to 8 bytes. Two colors may have the same byte, as in gray.
func NewLayout(size, red, green, blue int) Layout {
	l := Layout{size: size, at: [3]int{red, green, blue}}
	pixels := len(l.shuffle) / max(size, 3)
	l.in, l.out = size*pixels, 3*pixels
	for i := range l.shuffle {
		l.shuffle[i] = zero
		if i < l.out {
			l.shuffle[i] = byte(i/3*size + l.at[i%3])
		}
	}
	return l
}

// RGB writes red, green and blue of pixels to dst, which has three bytes for each.
func (l *Layout) RGB(dst, pixels []byte) {
	n := len(pixels) / l.size
	l.rgb(dst[:3*n], pixels[:n*l.size])
}
