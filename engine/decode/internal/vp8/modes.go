package vp8

// How samples are predicted (section 8 and 12): whole macroblocks by one of the first four, subblocks of 4x4 by any.
const (
	predictDC = iota
	predictTM // left + above - corner ("true motion")
	predictV
	predictH
	predictRD // along a diagonal: down and to the right, and so on
	predictVR
	predictLD
	predictVL
	predictHD
	predictHU
	subblockModes
)

// macroblock is the header of a macroblock.
type macroblock struct {
	segment   uint8
	skip      bool // has no coefficients
	subblocks bool // each subblock of luma has a mode
	luma      uint8
	chroma    uint8
	modes     [16]uint8 // of subblocks
}

// neighbors is what macroblocks to the right and below need to know of one.
type neighbors struct {
	modes [4]uint8 // of subblocks at the right or lower edge
	// 1 if a block at that edge has coefficients: four of luma, two of each chroma, and that of second order.
	coded [9]uint8
}

// The trees of modes, see bools.tree, and the probabilities of those for macroblocks.
var (
	lumaTree     = [...]int8{2, 4, -predictDC, -predictV, -predictH, -predictTM}
	chromaTree   = [...]int8{-predictDC, 2, -predictV, 4, -predictH, -predictTM}
	subblockTree = [...]int8{-predictDC, 2, -predictTM, 4, -predictV, 6, 8, 12, -predictH, 10, -predictRD, -predictVR,
		-predictLD, 14, -predictVL, 16, -predictHD, -predictHU}
	lumaProbs   = [...]uint8{156, 163, 128}
	chromaProbs = [...]uint8{142, 114, 183}
)

// readModes reads the header of a macroblock (section 11).
func (d *Decoder) readModes(m *macroblock, left, above *neighbors) {
	b := &d.modes
	m.segment = 0
	if d.segmentation.mapped {
		p := &d.segmentation.probs
		m.segment = uint8(b.Bit(p[0])) * 2
		m.segment += uint8(b.Bit(p[1+m.segment/2]))
	}
	m.skip = d.skips && b.Bit(d.skipProb) == 1
	if m.subblocks = b.Bit(145) == 0; m.subblocks {
		for y := range left.modes {
			mode := left.modes[y]
			for x := range above.modes {
				mode = b.tree(subblockTree[:], subblockProbs[above.modes[x]][mode][:])
				above.modes[x], m.modes[4*y+x] = mode, mode
			}
			left.modes[y] = mode
		}
	} else {
		m.luma = b.tree(lumaTree[:], lumaProbs[:])
		for i := range left.modes {
			left.modes[i], above.modes[i] = m.luma, m.luma
		}
	}
	m.chroma = b.tree(chromaTree[:], chromaProbs[:])
}
