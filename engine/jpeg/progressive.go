package jpeg

import (
	"math/bits"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"
)

// progressiveScan decodes a scan of a progressive frame into the coefficients (T.81, G.2). Scans must refine each
// coefficient bit by bit as the standard says, which also bounds the work that a file can ask for: no bit of a
// coefficient is coded twice.
func (d *Decoder) progressiveScan() error {
	if err := d.checkProgression(); err != nil {
		return err
	}
	s := &d.scan
	if s.ss == 0 {
		if s.ah == 0 {
			for i := range s.n {
				if !d.prepareDC(i) {
					return d.invalid("Huffman table invalid or not defined")
				}
			}
		}
		return d.progressiveDC()
	}
	if !d.prepareAC(0, classACProgressive) {
		return d.invalid("Huffman table invalid or not defined")
	}
	return d.progressiveAC()
}

// checkProgression checks the scan's parameters against the standard (T.81, G.1.1.1) and the scans before, and
// records what the scan brings.
func (d *Decoder) checkProgression() error {
	s := &d.scan
	bad := s.al > 13 || s.ah != 0 && s.al != s.ah-1
	if s.ss == 0 {
		bad = bad || s.se != 0
	} else {
		bad = bad || s.se < s.ss || s.se > 63 || s.n != 1
	}
	if bad {
		return d.invalid("invalid parameters of a progressive scan")
	}
	for i := range s.n {
		c := d.coded[i].component
		c.seen = true
		if s.ss > 0 && c.progress[0] < 0 {
			return d.invalid("AC scan before the first DC scan")
		}
		for k := s.ss; k <= s.se; k++ {
			if first := c.progress[k] < 0; first != (s.ah == 0) || !first && int(c.progress[k]) != s.ah {
				return d.invalid("progressive scan out of order")
			}
			c.progress[k] = int8(s.al)
		}
	}
	return nil
}

// progressiveDC decodes a scan of DC coefficients, first or refining.
func (d *Decoder) progressiveDC() error {
	s := &d.scan
	mcusX, mcusY := d.frame.mcusX, d.frame.mcusY
	if s.n == 1 {
		mcusX, mcusY = d.coded[0].blocksX, d.coded[0].blocksY
	}
	mcu := 0
	for my := range mcusY {
		if err := d.proceed(); err != nil {
			return err
		}
		for mx := range mcusX {
			if err := d.startMCU(mcu); err != nil {
				return err
			}
			for i := range s.n {
				c := &d.coded[i]
				h, v := c.h, c.v
				if s.n == 1 {
					h, v = 1, 1
				}
				for y := range v {
					for x := range h {
						if !d.blockDC(c.block(mx*h+x, my*v+y), c) {
							return d.codeError()
						}
					}
				}
			}
			if d.overrun() {
				return d.overrunError()
			}
			mcu++
		}
	}
	return nil
}

// block returns the coefficients of a block.
func (c *component) block(bx, by int) *[64]int16 {
	return (*[64]int16)(c.coefs[(by*(c.stride/8)+bx)*64:])
}

// blockDC decodes the DC coefficient of one block.
func (d *Decoder) blockDC(b *[64]int16, c *coded) bool {
	r, s := &d.bits, &d.scan
	switch {
	case s.ah != 0 && d.frame.arithmetic:
		if d.arithmetic.even() {
			b[0] |= 1 << s.al
		}
		return true
	case s.ah != 0:
		b[0] |= int16(r.take(1) << s.al)
		return true
	case d.frame.arithmetic:
		if !d.arithmetic.nextDC(c) {
			return false
		}
	default:
		e := r.code(c.dc)
		if e == 0 {
			return false
		}
		c.pred += r.value(e)
	}
	b[0] = int16(c.pred << s.al)
	return true
}

// progressiveAC decodes a scan of AC coefficients, first or refining.
func (d *Decoder) progressiveAC() error {
	s := &d.scan
	c := &d.coded[0]
	band := acBand{coded: c, ss: s.ss, se: s.se, al: s.al}
	mcu := 0
	for by := range c.blocksY {
		if err := d.proceed(); err != nil {
			return err
		}
		for bx := range c.blocksX {
			if err := d.startMCU(mcu); err != nil {
				return err
			}
			ok := false
			block, nonzero := c.block(bx, by), &c.nonzero[by*(c.stride/8)+bx]
			switch {
			case s.ah == 0 && d.frame.arithmetic:
				ok = band.firstArithmetic(&d.arithmetic, block, nonzero)
			case s.ah == 0:
				ok = band.first(&d.bits, block, nonzero)
			case d.frame.arithmetic:
				ok = band.refineArithmetic(&d.arithmetic, block, nonzero)
			default:
				ok = band.refine(&d.bits, block, nonzero)
			}
			if !ok {
				return d.codeError()
			}
			if d.overrun() {
				return d.overrunError()
			}
			mcu++
		}
	}
	return nil
}

// acBand decodes the coefficients ss to se of block after block.
type acBand struct {
	*coded
	ss, se, al int
}

// first decodes a block's first bits (T.81, G.1.2.2). It marks the nonzero ones, bit k being coefficient k in zig-zag
// order.
func (a *acBand) first(r *bitReader, b *[64]int16, nonzero *uint64) bool {
	if a.endRun > 0 {
		a.endRun--
		return true
	}
	for k := a.ss; k <= a.se; k++ {
		e := r.code(a.ac)
		if e == 0 {
			return false
		}
		run := int(e >> 8 & 0xFF)
		if e>>16 == 0 && run < 15 {
			a.endRun = 1<<run + int(r.take(run)) - 1
			return true
		}
		k += run
		if k > a.se {
			return false
		}
		a.put(b, nonzero, k, r.value(e))
	}
	return true
}

// put writes coefficient k.
func (a *acBand) put(b *[64]int16, nonzero *uint64, k int, value int32) {
	v := int16(value << a.al)
	b[zigzag[k]] = v
	if v != 0 {
		*nonzero |= 1 << k
	}
}

// known returns the marks in nonzero up to the end of the band.
func (a *acBand) known(nonzero uint64) uint64 { return nonzero & (1<<(a.se+1) - 1) }

// refine adds one bit to a block's coefficients (T.81, G.1.2.3): to those known as nonzero a correction bit, and
// between them new ones of magnitude one.
func (a *acBand) refine(r *bitReader, b *[64]int16, nonzero *uint64) bool {
	known := a.known(*nonzero)
	k := a.ss
	if a.endRun == 0 {
		for ; k <= a.se; k++ {
			e := r.code(a.ac)
			if e == 0 {
				return false
			}
			run := int(e >> 8 & 0xFF)
			if e&entryOpen != 0 && e>>16 == 0 {
				a.endRun = 1<<run + int(r.take(run))
				break
			}
			fresh := r.value(e)
			k = a.correct(r, b, known, k, run)
			if fresh != 0 {
				if k > a.se || fresh > 1 || fresh < -1 {
					return false
				}
				a.put(b, nonzero, k, fresh)
			}
		}
	}
	if a.endRun > 0 {
		a.correct(r, b, known, k, 64)
		a.endRun--
	}
	return true
}

// correct reads the correction bits of the known coefficients from k on, stepping over run zero ones, and returns the
// position of the next zero coefficient, or se+1.
func (a *acBand) correct(r *bitReader, b *[64]int16, known uint64, k, run int) int {
	var ready uint64 // the next bits, count of them
	count := 0
	for {
		rest := known >> k
		zeros := bits.TrailingZeros64(rest)
		if rest == 0 || run < zeros {
			return min(k+run, a.se+1)
		}
		run -= zeros
		k += zeros
		if count == 0 {
			ready, count = r.Peek(), 57
		}
		// All bits from al down are zero yet: away from zero means adding with the sign.
		v := &b[zigzag[k&63]]
		bit := int16(ready >> 63)
		*v += (*v>>15 | 1) * (bit << a.al)
		ready <<= 1
		count--
		r.Pos++
		k++
	}
}

// reconstruct turns the coefficients of a progressive file into samples, and those into rows of the picture.
func (d *Decoder) reconstruct() error {
	f := &d.frame
	smoothing := f.needsSmoothing()
	for my := range f.mcusY {
		if err := d.proceed(); err != nil {
			return err
		}
		for i := range f.comps() {
			c := &f.component[i]
			for by := max(my*c.v, c.needBlocks.Min.Y); by < min((my+1)*c.v, c.needBlocks.Max.Y); by++ {
				if err := d.proceed(); err != nil {
					return err
				}
				f.reconstructRow(c, by, smoothing)
			}
		}
		d.emitBelow(my + 1)
	}
	return nil
}

// reconstructRow turns the coefficients of a row of blocks into samples.
func (f *frame) reconstructRow(c *component, by int, smoothing bool) {
	row := c.blockRow(by)
	for bx := c.needBlocks.Min.X; bx < c.needBlocks.Max.X; bx++ {
		block := c.block(bx, by)
		if smoothing {
			guessed := f.smooth(c, bx, by)
			block = &guessed
		}
		kernel.InverseDCT(row[bx*8:], c.stride, block, &c.quant)
	}
}
