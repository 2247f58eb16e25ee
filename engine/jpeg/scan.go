package jpeg

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"
)

// maxScans is the largest number of scans accepted. An encoder writes ten or so, the standard allows thousands: a
// small file could ask for minutes of work.
const maxScans = 256

// readScans decodes the scan whose header was just read, and all that follow, up to the end of the picture.
func (d *Decoder) readScans() error {
	for range maxScans {
		d.enter()
		decode := d.sequentialScan
		if d.frame.progressive {
			decode = d.progressiveScan
		}
		if err := decode(); err != nil {
			return err
		}
		more, err := d.nextScan()
		if err != nil {
			return err
		}
		if !more {
			return d.checkComplete()
		}
	}
	return UnsupportedError{Feature: "more than 256 scans"}
}

// checkComplete makes sure that no component lacks its data.
func (d *Decoder) checkComplete() error {
	for i := range d.frame.comps() {
		if !d.frame.component[i].seen {
			return d.invalid("end of the picture before all components were coded")
		}
	}
	return nil
}

// coded is a component during a scan. Of the tables, only those of the file's entropy coding are used.
type coded struct {
	*component
	pred   int32 // DC value of the block before
	endRun int   // blocks to come that have nothing more in this band (EOBRUN), in progressive files

	dc, ac *huffman

	dcBins  *dcBins
	acBins  *acBins
	dcRange dcRange
	acLow   uint8 // the last coefficient of low frequency
	context uint8 // the first of dcBins for the next block
}

// enter makes the components of the scan ready.
func (d *Decoder) enter() {
	for i, comp := range d.scan.comp[:d.scan.n] {
		d.coded[i] = coded{component: &d.frame.component[comp]}
	}
}

// nextInterval makes the bytes of the next restart interval ready. Only the first interval of a scan may come without a
// restart marker before it; number counts the intervals.
func (d *Decoder) nextInterval(number int) error {
	if number > 0 {
		marker, err := d.nextMarker()
		if err != nil {
			return err
		}
		if marker != markerRST0+byte(number-1)&7 {
			return d.invalid("restart marker missing or out of order")
		}
	}
	var used int
	d.scratch, used = unstuff(slices.Grow(d.scratch[:0], len(d.data)-d.pos+kernel.Padding), d.data[d.pos:])
	var padding [kernel.Padding]byte
	d.scratch = append(d.scratch, padding[:]...)
	d.pos += used
	for i := range d.scan.n {
		c := &d.coded[i]
		c.pred, c.endRun, c.context = 0, 0, 0
	}
	if d.frame.arithmetic {
		if d.pos == len(d.data) { // no marker: that of the end is missing at least
			return d.truncated()
		}
		d.arithmetic.start(d.scratch)
	} else {
		d.bits.Data, d.bits.Pos = d.scratch, 0
	}
	return nil
}

// overrun reports whether more data was read than the restart interval has.
func (d *Decoder) overrun() bool {
	if d.frame.arithmetic {
		return d.arithmetic.overrun()
	}
	return d.bits.overrun()
}

// overrunError distinguishes truncated from damaged data after a block that needed more bits than there were.
func (d *Decoder) overrunError() error {
	if d.pos >= len(d.data) {
		return d.truncated()
	}
	return d.invalid("entropy-coded data ends before the scan does")
}

// codeError is the error of data that stands for no coefficients.
func (d *Decoder) codeError() error {
	if d.frame.arithmetic {
		return d.invalid("coefficient or its index too large")
	}
	return d.invalid("invalid Huffman code or coefficient index")
}

// sequentialScan decodes a scan of a baseline or extended sequential frame (T.81, F.2). Blocks become samples
// immediately, and rows of the picture as soon as all components have them.
func (d *Decoder) sequentialScan() error {
	d.useStandardHuffman()
	for i := range d.scan.n {
		c := &d.coded[i]
		if c.seen {
			return d.invalid("component coded twice")
		}
		c.seen = true
		if !d.prepareDC(i) || !d.prepareAC(i, classAC) {
			return d.invalid("Huffman table invalid or not defined")
		}
	}
	return d.sequentialMCUs()
}

// useStandardHuffman defines the tables missing from the file.
func (d *Decoder) useStandardHuffman() {
	for id, standard := range standardHuffman {
		if d.dc[id] == nil {
			d.dc[id] = standard[0]
		}
		if d.ac[id] == nil {
			d.ac[id] = standard[1]
		}
	}
}

// prepareDC makes the tables for DC coefficients of component number i of the scan ready. It returns false if the Huffman
// table is invalid or not defined.
func (d *Decoder) prepareDC(i int) bool {
	id := d.scan.td[i]
	c := &d.coded[i]
	c.dc, c.dcBins, c.dcRange = &d.dcTable[id], &d.arithmetic.dc[id], d.dcRange[id]
	return d.frame.arithmetic || d.dc[id] != nil && c.dc.prepare(d.dc[id], classDC)
}

// prepareAC is prepareDC for AC coefficients.
func (d *Decoder) prepareAC(i int, class symbolClass) bool {
	id := d.scan.ta[i]
	c := &d.coded[i]
	c.ac, c.acBins, c.acLow = &d.acTable[id], &d.arithmetic.ac[id], d.acLow[id]
	return d.frame.arithmetic || d.ac[id] != nil && c.ac.prepare(d.ac[id], class)
}

// maxUnits is the largest number of blocks in an MCU (T.81, B.2.3).
const maxUnits = 10

// mcu is how the blocks of an MCU lie in their components. The coefficients are in Decoder.bits.Units.
type mcu struct {
	n     int
	block [maxUnits]struct {
		*coded
		across, down int    // blocks of the component in an MCU
		x, y         int    // place among them
		row          []byte // the component's plane from the row of blocks on
	}
}

// layOutMCU sets mcu and the units of the scan. An MCU of one component is one block (T.81, A.2.2).
func (d *Decoder) layOutMCU() {
	if d.units == nil {
		d.units = make([]kernel.Unit, maxUnits)
	}
	m := &d.mcu
	m.n = 0
	for i := range d.scan.n {
		c := &d.coded[i]
		h, v := c.h, c.v
		if d.scan.n == 1 {
			h, v = 1, 1
		}
		for y := range v {
			for x := range h {
				b, u := &m.block[m.n], &d.units[m.n]
				b.coded, b.across, b.down, b.x, b.y = c, h, v, x, y
				u.DC, u.AC = &c.dc.lut, &c.ac.pairs
				m.n++
			}
		}
	}
	d.bits.Units = d.units[:m.n]
}

// sequentialMCUs decodes the MCUs of a scan.
func (d *Decoder) sequentialMCUs() error {
	f, s := &d.frame, &d.scan
	d.layOutMCU()
	across, down := f.mcusX, f.mcusY
	if s.n == 1 {
		across, down = d.coded[0].blocksX, d.coded[0].blocksY
	}
	mcu := 0
	for my := range down {
		if err := d.proceed(); err != nil {
			return err
		}
		for i := range d.mcu.n {
			b := &d.mcu.block[i]
			b.row = b.blockRow(my * b.down)[8*b.y*b.stride:]
		}
		for mx := range across {
			if err := d.startMCU(mcu); err != nil {
				return err
			}
			if err := d.readMCU(); err != nil {
				return err
			}
			d.transformMCU(mx, my)
			mcu++
		}
		switch {
		case f.n == 1:
			d.emit(8 * (my + 1)) // a picture of one component is not filtered
		case s.n == f.n:
			d.emitBelow(my + 1)
		}
	}
	return nil
}

// checkedMCUs is how many MCUs are decoded between calls of Options.Check at most. A row may have 8188 of them, and a block takes
// up to some microseconds in arithmetic coding.
const checkedMCUs = 64

// startMCU begins the scan or a restart interval if MCU number mcu is its first.
func (d *Decoder) startMCU(mcu int) error {
	if mcu%checkedMCUs == checkedMCUs-1 {
		if err := d.proceed(); err != nil {
			return err
		}
	}
	switch {
	case mcu == 0:
		return d.nextInterval(0)
	case d.restart > 0 && mcu%d.restart == 0:
		return d.nextInterval(mcu / d.restart)
	}
	return nil
}

// blockRow returns the plane from row by of blocks on. The rows of an MCU are in one piece.
func (c *component) blockRow(by int) []byte { return c.plane[by*8%c.kept*c.stride:] }

// readMCU reads the coefficients of an MCU, with their sums for DC.
func (d *Decoder) readMCU() error {
	if d.frame.arithmetic {
		return d.readArithmetic()
	}
	r, m := &d.bits, &d.mcu
	r.Read = 0
	for k := -1; r.Read < m.n; {
		if k = r.Next(k); k < 63 {
			c := m.block[r.Read].coded
			if k = r.symbol(c.dc, c.ac, k); k < 63 {
				continue
			}
			r.Next(k)
		}
		if k != 63 && k < kernel.EndOfBlock {
			return d.codeError()
		}
		if r.overrun() {
			return d.overrunError()
		}
		k = -1
	}
	for i := range r.Units {
		u, c := &r.Units[i], m.block[i].coded
		c.pred += int32(u.Coefs[0])
		u.Coefs[0] = int16(c.pred)
	}
	return nil
}

// readArithmetic is readMCU for arithmetic coding.
func (d *Decoder) readArithmetic() error {
	for i := range d.bits.Units {
		u := &d.bits.Units[i]
		if u.Last = d.arithmetic.block(&u.Coefs, d.mcu.block[i].coded); u.Last < 0 {
			return d.codeError()
		}
		if d.arithmetic.overrun() {
			return d.overrunError()
		}
	}
	return nil
}

// transformMCU makes samples of the coefficients of the MCU in column mx and row my. That follows the reading of all of
// its blocks: a transform immediately after the reading waits for the coefficients to be stored.
func (d *Decoder) transformMCU(mx, my int) {
	m := &d.mcu
	for i := range m.block[:m.n] {
		b, u := &m.block[i], &d.units[i]
		c := b.component
		bx, by := mx*b.across+b.x, my*b.down+b.y
		if !c.needs(bx, by) {
			continue
		}
		dst := b.row[8*bx:]
		if u.Last == 0 || u.Last == kernel.EndOfBlock {
			kernel.Flat(dst, c.stride, u.Coefs[0], c.quant[0])
		} else {
			kernel.InverseDCT(dst, c.stride, &u.Coefs, &c.quant)
		}
	}
}

// symbol reads the symbol after coefficient k that the tables do not resolve, or whose neighbor in the table belongs to the
// next block. It returns the index of its coefficient, as Next does.
func (r *bitReader) symbol(dc, ac *huffman, k int) int {
	h := ac
	if k < 0 {
		h = dc
	}
	e := r.code(h)
	if e == 0 {
		return 64 // damaged
	}
	k += int(e>>8&0xFF) + 1
	if v := r.value(e); k < 64 {
		r.Units[r.Read].Coefs[zigzag[k]] = int16(v)
	}
	return k
}
