package jpeg

// A progressive file may contain low frequencies inexactly or not at all. libjpeg then guesses them from the DC
// values around a block so that flat areas show no edges between blocks: the idea of T.81, K.8, on 5x5 instead of
// 3x3 blocks.

// smoothed is how many coefficients, in zig-zag order, can be guessed.
const smoothed = 10

// estimator guesses one coefficient: weights, in 1/256, of the DC values of the 5x5 blocks around.
type estimator [5][5]int

// estimateFlat is used where a component has DC values only. The DC value itself is then smoothed too.
var estimateFlat = [smoothed]estimator{
	{ // DC
		{-2, -6, -8, -6, -2},
		{-6, 6, 42, 6, -6},
		{-8, 42, 152, 42, -8},
		{-6, 6, 42, 6, -6},
		{-2, -6, -8, -6, -2},
	},
	{ // one cycle across
		{-1, -1, 0, 1, 1},
		{-3, 13, 0, -13, 3},
		{-3, 38, 0, -38, 3},
		{-3, 13, 0, -13, 3},
		{-1, -1, 0, 1, 1},
	},
	{ // one cycle down
		{-1, -3, -3, -3, -1},
		{-1, 13, 38, 13, -1},
		{},
		{1, -13, -38, -13, 1},
		{1, 3, 3, 3, 1},
	},
	{ // two down
		{0, 0, 1, 0, 0},
		{0, 2, 7, 2, 0},
		{0, -5, -14, -5, 0},
		{0, 2, 7, 2, 0},
		{0, 0, 1, 0, 0},
	},
	{ // one across, one down
		{-1, 0, 0, 0, 1},
		{0, 9, 0, -9, 0},
		{},
		{0, -9, 0, 9, 0},
		{1, 0, 0, 0, -1},
	},
	{ // two across
		{},
		{0, 2, -5, 2, 0},
		{1, 7, -14, 7, 1},
		{0, 2, -5, 2, 0},
		{},
	},
	{{}, {0, 1, 0, -1, 0}, {0, 2, 0, -2, 0}, {0, 1, 0, -1, 0}, {}}, // three across
	{{}, {0, 1, -3, 1, 0}, {}, {0, -1, 3, -1, 0}, {}},              // two across, one down
	{{}, {0, 1, 0, -1, 0}, {0, -3, 0, 3, 0}, {0, 1, 0, -1, 0}, {}}, // one across, two down
	{{}, {0, 1, 2, 1, 0}, {}, {0, -1, -2, -1, 0}, {}},              // three down
}

// estimateDetailed is used where some AC coefficients are known. Others than these stay as they are.
var estimateDetailed = [6]estimator{
	1: {{}, {}, {-7, 50, 0, -50, 7}, {}, {}},
	2: {{0, 0, -7, 0, 0}, {0, 0, 50, 0, 0}, {}, {0, 0, -50, 0, 0}, {0, 0, 7, 0, 0}},
	3: {{0, 0, -1, 0, 0}, {0, 0, 13, 0, 0}, {0, 0, -24, 0, 0}, {0, 0, 13, 0, 0}, {0, 0, -1, 0, 0}},
	4: {{0, -1, 0, 1, 0}, {-1, 10, 0, -10, 1}, {}, {1, -10, 0, 10, -1}, {0, 1, 0, -1, 0}},
	5: {{}, {}, {-1, 13, -24, 13, -1}, {}, {}},
}

// needsSmoothing reports whether libjpeg would guess coefficients of this frame.
func (f *frame) needsSmoothing() bool {
	inexact := false
	for _, c := range f.comps() {
		for k := range smoothed {
			if c.quant[zigzag[k]] == 0 {
				return false
			}
			inexact = inexact || k > 0 && c.progress[k] != 0
		}
	}
	return inexact
}

// smooth returns the block at (bx, by) with its unknown low frequencies guessed.
func (f *frame) smooth(c *component, bx, by int) [64]int16 {
	dc := f.dcAround(c, bx, by)
	estimators := estimateFlat[1:]
	for _, missing := range c.progress[1:smoothed] {
		if missing >= 0 {
			estimators = estimateDetailed[1:]
		}
	}
	block := *c.block(bx, by)
	for i := range estimators {
		k := i + 1
		missing := c.progress[k]
		if v := &block[zigzag[k]]; missing != 0 && *v == 0 {
			*v = int16(estimators[i].apply(&dc, c, k, missing))
		}
	}
	if len(estimators) == smoothed-1 {
		block[0] = int16(estimateFlat[0].apply(&dc, c, 0, -1))
	}
	return block
}

// dcAround fetches the DC values of the 5x5 blocks around (bx, by), clamped to the component. Above the last row of
// MCUs libjpeg clamps to whole MCUs instead, whose blocks below the picture are coded too.
func (f *frame) dcAround(c *component, bx, by int) (dc [5][5]int) {
	rows := f.mcusY * c.v
	if by/c.v == f.mcusY-1 {
		rows = c.blocksY
	}
	for j := range dc {
		y := min(max(by+j-2, 0), rows-1)
		for i := range dc[j] {
			x := min(max(bx+i-2, 0), c.blocksX-1)
			dc[j][i] = int(c.block(x, y)[0])
		}
	}
	return dc
}

// apply returns the guess for coefficient k in units of its quantization step. Of a coefficient whose high bits
// are known to be zero and whose lowest missing bits are not, it stays within the latter.
func (e *estimator) apply(dc *[5][5]int, c *component, k int, missing int8) int {
	sum := 0
	for j := range e {
		for i, w := range e[j] {
			sum += w * dc[j][i]
		}
	}
	sum *= int(c.quant[0])
	step := int(c.quant[zigzag[k]])
	guess := (step<<7 + max(sum, -sum)) / (step << 8)
	if missing > 0 {
		guess = min(guess, 1<<missing-1)
	}
	if sum < 0 {
		return -guess
	}
	return guess
}
