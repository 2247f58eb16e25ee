package jpeg

// emitBelow converts the rows of the picture that are final once the given number of MCU rows is decoded. Filters
// that look one row down leave the last ones for later.
func (d *Decoder) emitBelow(mcuRows int) {
	f := &d.frame
	if mcuRows == f.mcusY {
		return // Decode emits the rest
	}
	d.emit(max(0, mcuRows*8*f.vMax-f.vMax))
}

// emit upsamples and converts the remaining rows above end, and passes complete strips to Options.Rows.
func (d *Decoder) emit(end int) {
	f := &d.frame
	space := d.colorSpace()
	var rows [4][]byte
	for y := max(d.emitted, d.window.Min.Y); y < min(end, d.window.Max.Y); y++ {
		for i := range f.comps() {
			row := f.component[i].upsampleRow(d.rows[i*f.rowSize():][:f.rowSize()], y)
			rows[i] = row[d.window.Min.X:d.window.Max.X]
		}
		space.convert(d.pix[3*f.width*(y-d.top):][3*d.window.Min.X:3*d.window.Max.X], &rows)
		if next := y + 1; d.give != nil && (next == d.top+stripRows || next == d.window.Max.Y) {
			d.give(d.picture(), d.top, next)
			d.top = next
		}
	}
	d.emitted = max(d.emitted, end)
}
