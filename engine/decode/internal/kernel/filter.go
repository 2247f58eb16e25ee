package kernel

// Strength is how the edges of a macroblock are filtered (RFC 6386, section 15).
type Strength struct {
	Limit     uint8 // of the difference across an edge, of which that to the next one is half; 4 more at edges of macroblocks
	Interior  uint8 // limit of the differences between other neighbors
	Threshold uint8 // above this difference of the neighbors beside an edge only those change
	Inner     bool  // edges within the macroblock are filtered too
}

// FilterLuma filters the edges of a macroblock of 16x16 samples that begins at pix[at]: those inside, and the left and top one if there
// are macroblocks beyond them. Pix has 4 rows above and below for those, and 16 columns.
func FilterLuma(pix []byte, at, stride int, s *Strength, left, top bool) {
	checkBlock(len(pix), at, stride, 16, left, top)
	filterLuma(pix, at, stride, s, left, top)
}

// FilterChroma does the same with the two planes of chroma of 8x8 samples.
func FilterChroma(u, v []byte, at, stride int, s *Strength, left, top bool) {
	checkBlock(min(len(u), len(v)), at, stride, 8, left, top)
	filterChroma(u, v, at, stride, s, left, top)
}

// FilterSimple filters a macroblock of luma by the simple filter, which regards two samples at each side of an edge.
func FilterSimple(pix []byte, at, stride int, s *Strength, left, top bool) {
	checkBlock(len(pix), at, stride, 16, left, top)
	filterSimple(pix, at, stride, s, left, top)
}

// checkBlock panics if a macroblock and what its filters need around it is not within a plane.
func checkBlock(n, at, stride, size int, left, top bool) {
	first, width := at, size
	if left {
		first, width = first-4, width+4
	}
	if top {
		first -= 4 * stride
	}
	if first < 0 || stride < width || at+(size-1)*stride+size > n {
		panic("kernel: macroblock outside of its plane")
	}
}
