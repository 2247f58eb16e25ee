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
	if d.scan.n == 1 {
		return d.sequentialPlane()
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

// sequentialPlane decodes a scan of one component: an MCU is one block (T.81, A.2.2).
func (d *Decoder) sequentialPlane() error {
	c := &d.coded[0]
	mcu := 0
	for by := range c.blocksY {
		if err := d.proceed(); err != nil {
			return err
		}
		row := c.blockRow(by)
		for bx := range c.blocksX {
			if err := d.startMCU(mcu); err != nil {
				return err
			}
			if err := d.sequentialBlock(c, row, bx, by); err != nil {
				return err
			}
			mcu++
		}
		if d.frame.n == 1 {
			d.emit(8 * (by + 1)) // a picture of one component is not filtered
		}
	}
	return nil
}

// sequentialMCUs decodes a scan of several components.
func (d *Decoder) sequentialMCUs() error {
	f, s := &d.frame, &d.scan
	mcu := 0
	for my := range f.mcusY {
		if err := d.proceed(); err != nil {
			return err
		}
		var rows [4][]byte // from the first row of blocks of the MCUs
		for i := range s.n {
			c := &d.coded[i]
			rows[i] = c.blockRow(my * c.v)
		}
		for mx := range f.mcusX {
			if err := d.startMCU(mcu); err != nil {
				return err
			}
			for i := range s.n {
				c := &d.coded[i]
				for v := range c.v {
					row := rows[i][v*8*c.stride:]
					for h := range c.h {
						if err := d.sequentialBlock(c, row, mx*c.h+h, my*c.v+v); err != nil {
							return err
						}
					}
				}
			}
			mcu++
		}
		if s.n == f.n {
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

// sequentialBlock decodes one block and puts its samples into row, where the plane of c has row by of blocks.
func (d *Decoder) sequentialBlock(c *coded, row []byte, bx, by int) error {
	last := 0
	if d.frame.arithmetic {
		last = d.arithmetic.block((*kernel.Block)(d.bits.Block[:]), c)
	} else {
		last = d.bits.block(c.dc, c.ac, &c.pred)
	}
	if last < 0 {
		return d.codeError()
	}
	if d.overrun() {
		return d.overrunError()
	}
	if !c.needs(bx, by) {
		return nil
	}
	if last == 0 {
		kernel.Flat(row[bx*8:], c.stride, d.bits.Block[0], c.quant[0])
	} else {
		kernel.InverseDCT(row[bx*8:], c.stride, (*kernel.Block)(d.bits.Block[:]), &c.quant)
	}
	return nil
}

// block decodes the coefficients of one block into r.Block (T.81, F.2.2). It returns the last index in zig-zag order
// that was coded, or -1 for invalid data.
func (r *bitReader) block(dc, ac *huffman, pred *int32) int {
	r.DC, r.AC = &dc.lut, &ac.pairs
	k := r.Next(-1)
	for k < 63 {
		// A code too long for the table, or whose neighbor in the table belongs to the next block.
		h := ac
		if k < 0 {
			h = dc
		}
		e := r.code(h)
		if e == 0 {
			return -1
		}
		k += int(e>>8&0xFF) + 1
		if v := r.value(e); k < 64 {
			r.Block[zigzag[k]] = int16(v)
		}
		if k < 63 {
			k = r.Next(k)
		}
	}
	*pred += int32(r.Block[0])
	r.Block[0] = int16(*pred)
	switch {
	case k == 63:
		return k
	case k >= kernel.EndOfBlock:
		return k - kernel.EndOfBlock
	}
	return -1
}
