package kernel

// Spare is how many pixels a row of a lossless picture has behind it in memory. They are read, but without effect, and what is written
// to those of the result is unspecified.
const Spare = 8

// Left is the mode of Predict that takes the pixel to the left.
const Left = 1

// Add adds each channel of a pixel to that of another one, modulo 256.
func Add(p, q uint32) uint32 { return (p&low7 + q&low7) ^ (p^q)&^low7 }

// AddGreen adds the green of each pixel in a row to its red and blue (RFC 9649, section 4.3).
func AddGreen(dst, src []uint32) {
	n := length(dst)
	addGreen(dst, src[:len(dst)], n)
}

// AddColors adds to red and blue of each pixel in a row parts of its other channels (RFC 9649, section 4.2). There is a pixel with
// factors for each 1<<bits pixels, bits at least 2.
func AddColors(dst, src, factors []uint32, bits uint) {
	n := length(dst)
	if bits < 2 || len(factors) < (n+1<<bits-1)>>bits {
		panic("kernel: too few factors")
	}
	addColors(dst, src[:len(dst)], factors, bits, n)
}

// Predict adds to pixels from..end-1 of a row what a mode predicts from those before, in dst, and those in the row above (RFC 9649,
// section 4.1). From is at least 1. It may change pixels from end on.
func Predict(mode int, dst, src, above []uint32, from, end int) {
	if from < 1 || end > length(dst) {
		panic("kernel: pixels outside of their row")
	}
	if from < end {
		predict(mode, dst, src[:len(dst)], above[:len(dst)], from, end)
	}
}

// RGB writes the red, green and blue bytes of pixels.
func RGB(dst []byte, pix []uint32) { rgb(dst[:3*len(pix)], pix) }

// length is that of a row in memory.
func length(row []uint32) int {
	if len(row) < Spare {
		panic("kernel: row without spare pixels")
	}
	return len(row) - Spare
}
