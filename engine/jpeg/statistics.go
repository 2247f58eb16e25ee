package jpeg

import (
	"math/bits"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"
)

// arithmetic decodes the coefficients of arithmetic-coded scans (T.81, F.2.4 and G.2). A coefficient takes these
// decisions: is it zero, is it negative, is its magnitude above 1, 2, 4 and so on, and then the bits below the highest.
type arithmetic struct {
	decisions
	dc      [4]dcBins // by table number
	ac      [4]acBins
	evenBin uint8
}

// A ladder is the bins for magnitudes above one or two: whether it is above the next power of two, and for each of these
// steps one for the bits below.
const (
	dcLadder = 5 * 4  // the first of its bins
	acLadder = 63 * 3 // the first of two ladders
	stepBins = 14     // from the bin of a step to that of the bits below
)

// dcBins are the bins of DC differences (table F.4). Those for zero, the sign and magnitude 1 depend on the difference
// before: zero, or small or large in either direction.
type dcBins [dcLadder + 29]uint8

// acBins are the bins of AC coefficients (table F.5). Coefficient k has bins for the end of the block, for zero, and for
// magnitudes 1 and 2; larger magnitudes have theirs for low and for high frequencies.
type acBins [acLadder + 2*28]uint8

// dcRange says which DC differences are small: those above 2^(lower-1), or 0, up to 2^upper (F.1.4.4.1.2).
type dcRange struct{ lower, upper uint8 }

// context returns the first bin for the block after a difference of a magnitude.
func (r dcRange) context(magnitude int32, negative bool) uint8 {
	switch {
	case magnitude <= 1<<r.lower>>1:
		return 0
	case magnitude <= 1<<r.upper:
		if negative {
			return 8
		}
		return 4
	case negative:
		return 16
	}
	return 12
}

// start begins a scan or a restart interval: all that was learned is forgotten.
func (a *arithmetic) start(data []byte) {
	*a = arithmetic{decisions: startDecisions(data), evenBin: evenState}
}

// even reads a decision whose answers are equally probable.
func (a *arithmetic) even() bool { return a.decide(&a.evenBin) }

// magnitude reads a magnitude above least, a power of two, by a ladder of bins. It returns 0 for one of more than 15 bits
// (figures F.23 and F.24).
func (a *arithmetic) magnitude(least int32, ladder []uint8) int32 {
	step := 0
	for ; a.decide(&ladder[step]); step++ {
		if least <<= 1; least == 1<<15 {
			return 0
		}
	}
	rest := int32(0)
	for bit := least >> 1; bit > 0; bit >>= 1 {
		if a.decide(&ladder[step+stepBins]) {
			rest |= bit
		}
	}
	return least + rest + 1
}

// nextDC adds the DC difference of a block to c.pred (F.2.4.1). It returns false if that is too large.
func (a *arithmetic) nextDC(c *coded) bool {
	bins := c.dcBins[c.context:]
	if !a.decide(&bins[0]) {
		c.context = 0
		return true
	}
	negative := a.decide(&bins[1])
	first := &bins[2]
	if negative {
		first = &bins[3]
	}
	size := int32(1)
	if a.decide(first) {
		if size = a.magnitude(1, c.dcBins[dcLadder:]); size == 0 {
			return false
		}
	}
	c.context = c.dcRange.context(size, negative)
	if negative {
		size = -size
	}
	c.pred += size
	return true
}

// nextAC reads AC coefficient k, which is not zero, by its bins. It returns 0 if it is too large.
func (a *arithmetic) nextAC(c *coded, k int, bins []uint8) int32 {
	negative := a.even()
	size := int32(1)
	if a.decide(&bins[2]) {
		size = 2
		if a.decide(&bins[2]) {
			ladder := c.acBins[acLadder:]
			if k > int(c.acLow) {
				ladder = ladder[2*stepBins:]
			}
			size = a.magnitude(2, ladder)
		}
	}
	if negative {
		return -size
	}
	return size
}

// block decodes the coefficients of a block of a sequential scan. It returns the last index in zig-zag order that is not
// zero, or -1 for invalid data.
func (a *arithmetic) block(b *kernel.Block, c *coded) int {
	*b = kernel.Block{}
	var nonzero uint64
	band := acBand{coded: c, ss: 1, se: 63}
	if !a.nextDC(c) || !band.firstArithmetic(a, b, &nonzero) {
		return -1
	}
	b[0] = int16(c.pred)
	return bits.Len64(nonzero|1) - 1
}

// firstArithmetic is first for arithmetic coding (G.1.3.2): a block's coefficients, with no runs across blocks.
func (a *acBand) firstArithmetic(r *arithmetic, b *[64]int16, nonzero *uint64) bool {
	for k := a.ss; k <= a.se; k++ {
		bins := a.acBins[3*(k-1):]
		if r.decide(&bins[0]) {
			return true // the end of the block
		}
		for !r.decide(&bins[1]) {
			if k++; k > a.se {
				return false
			}
			bins = bins[3:]
		}
		v := r.nextAC(a.coded, k, bins)
		if v == 0 {
			return false
		}
		a.put(b, nonzero, k, v)
	}
	return true
}

// refineArithmetic is refine for arithmetic coding (G.1.3.3). The block does not end before the last known coefficient.
func (a *acBand) refineArithmetic(r *arithmetic, b *[64]int16, nonzero *uint64) bool {
	known := a.known(*nonzero)
	last := bits.Len64(known) - 1
	ask := true // whether the block ends is asked only after a coefficient that is not zero
	for k := a.ss; k <= a.se; k++ {
		bins := a.acBins[3*(k-1):]
		if ask && k > last && r.decide(&bins[0]) {
			return true
		}
		ask = true
		switch {
		case known>>k&1 != 0:
			if r.decide(&bins[2]) {
				v := &b[zigzag[k]]
				*v += (*v>>15 | 1) << a.al
			}
		case r.decide(&bins[1]):
			fresh := int32(1)
			if r.even() {
				fresh = -1
			}
			a.put(b, nonzero, k, fresh)
		case k == a.se:
			return false
		default:
			ask = false
		}
	}
	return true
}
