// Package vp8 decodes pictures in the lossy format of WebP, key frames of VP8 (RFC 6386, whose sections the comments cite), for package
// decode. The data of a VP8 chunk goes in, rows of luma and chroma come out, with the samples of libwebp.
//
// A picture is divided in macroblocks of 16x16. Each is predicted from the samples above and to the left, to which the inverse transform
// of its coefficients is added. Then the edges of blocks are smoothed. The first partition of the data has the modes of prediction, others
// have the coefficients; all are coded arithmetically.
package vp8

import (
	"errors"
	"io"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
)

// Errors of files that break the format. Files that end before the picture does give io.ErrUnexpectedEOF.
var (
	ErrData  = errors.New("vp8: invalid data")
	ErrInter = errors.New("vp8: the picture is the difference to another one")
)

// Decoder decodes pictures and reuses its memory, which is that for two rows of macroblocks. The zero value is ready to use. It is not
// safe for concurrent use.
type Decoder struct {
	width, height int // in samples
	columns, rows int // in macroblocks

	// What the header says.
	modes        bools // of macroblocks
	partitions   []bools
	segmentation segmentation
	filter       int
	strengths    [segments][2]strength // without and with a mode for each subblock
	quantizers   [segments]quantizer
	probs        [4]kernel.PositionProbs
	skips        bool // some macroblocks have no coefficients
	skipProb     uint8

	// The current macroblock.
	coefs  [blocks]kernel.Block
	counts [second + 1]uint8 // the position after the last coefficient
	work   workspace

	// For each column of macroblocks: what the row above leaves, its last samples before they are filtered, and the filters of the
	// current row.
	above            []neighbors
	topY, topU, topV []byte
	filters          []strength

	next       int // row of macroblocks to read
	luma, u, v plane
	check      func(bytes int) error
}

// plane is two rows of macroblocks, the last one and the one above it. It has a margin at both sides, so that kernels can take
// vectors that are longer than what they need.
type plane struct {
	pix    []byte
	stride int
}

const (
	margin     = 16
	lumaRows   = 16
	chromaRows = 8
)

func (p *plane) resize(columns, rows int) {
	p.stride = rows*columns + 2*margin
	p.pix = resize(p.pix, 2*rows*p.stride)
}

// resize returns n elements that are unspecified.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Memory is how many bytes decoding takes at most for a picture of this width.
func Memory(width int) int64 {
	columns := int64(width+15) / 16
	const each = 2*(16*lumaRows+2*8*chromaRows) + 32 + 16 + 8 // samples, those above, what is known of neighbors and filters
	return columns*each + 6*margin*2*lumaRows + 16<<10
}

// Begin reads the header of a picture. Check is called at least for each row of macroblocks, with about how many bytes of
// pixels could have been read instead, and ends decoding by an error.
func (d *Decoder) Begin(data []byte, check func(bytes int) error) (width, height int, err error) {
	d.check = check
	if err := d.readHeader(data); err != nil {
		return 0, 0, err
	}
	d.columns, d.rows = (d.width+15)/16, (d.height+15)/16
	d.luma.resize(d.columns, lumaRows)
	d.u.resize(d.columns, chromaRows)
	d.v.resize(d.columns, chromaRows)
	d.above = resize(d.above, d.columns)
	clear(d.above)
	d.filters = resize(d.filters, d.columns)
	d.topY, d.topU, d.topV = resize(d.topY, 16*d.columns+4), resize(d.topU, 8*d.columns), resize(d.topV, 8*d.columns)
	for _, top := range [][]byte{d.topY, d.topU, d.topV} {
		for i := range top {
			top[i] = outside
		}
	}
	d.next = 0
	return d.width, d.height, nil
}

// End reads what is left of the picture.
func (d *Decoder) End() error {
	for d.next < d.rows {
		if err := d.readRow(false); err != nil {
			return err
		}
	}
	return nil
}

// Close makes the decoder retain no data. It must be called even if Begin, Row or End fails.
func (d *Decoder) Close() {
	d.modes, d.check = bools{}, nil
	clear(d.partitions)
}

// Row is a row of luma and the two rows of each chroma plane between which it lies. Far is outside of the picture for the first
// and last rows of luma: there it is the same as near.
type Row struct {
	Luma                     []byte
	NearU, FarU, NearV, FarV []byte
}

// Row returns row y, which is valid until the next call. Rows must be asked for in ascending order.
func (d *Decoder) Row(y int) (r Row, err error) {
	for d.next < d.rows && y >= lumaRows*d.next-lumaRows/2 { // filters and interpolation need what is below
		if err := d.readRow(true); err != nil {
			return r, err
		}
	}
	near, far := y/2, y/2-1
	if y%2 == 1 {
		far = y/2 + 1
	}
	far = min(max(far, 0), (d.height-1)/2)
	half := (d.width + 1) / 2
	row := func(p *plane, rows, y, width int) []byte {
		return p.pix[(y-rows*(d.next-2))*p.stride+margin:][:width]
	}
	return Row{
		Luma:  row(&d.luma, lumaRows, y, d.width),
		NearU: row(&d.u, chromaRows, near, half),
		FarU:  row(&d.u, chromaRows, far, half),
		NearV: row(&d.v, chromaRows, near, half),
		FarV:  row(&d.v, chromaRows, far, half),
	}, nil
}

// The check is asked for so many macroblocks. A macroblock may cost 20 microseconds, as much as 2 KiB of other formats.
const (
	checked = 16
	work    = 2 << 10
)

// readRow reads a row of macroblocks, and decodes it if its samples are needed.
func (d *Decoder) readRow(needed bool) error {
	if needed {
		for _, p := range []*plane{&d.luma, &d.u, &d.v} { // the last row becomes the one above
			half := len(p.pix) / 2
			copy(p.pix[:half], p.pix[half:])
		}
	}
	y := d.next
	coefs := &d.partitions[y&(len(d.partitions)-1)]
	var left neighbors
	for x := range d.columns {
		if x%checked == checked-1 {
			if err := d.check(checked * work); err != nil {
				return err
			}
		}
		var m macroblock
		d.readModes(&m, &left, &d.above[x])
		changes := false
		if m.skip {
			noResiduals(&m, &left, &d.above[x])
		} else {
			changes = d.readResiduals(coefs, &m, &left, &d.above[x])
		}
		if !needed {
			continue
		}
		d.reconstruct(&m, changes, x, y)
		kind := 0
		if m.subblocks {
			kind = 1
		}
		s := d.strengths[m.segment][kind]
		s.Inner = m.subblocks || changes
		d.filters[x] = s
	}
	if needed && d.filter != noFilter {
		d.filterRow(y)
	}
	d.next++
	if d.modes.Short() || coefs.Short() {
		return io.ErrUnexpectedEOF
	}
	return d.check(d.columns % checked * work)
}

// reconstruct makes the samples of a macroblock.
func (d *Decoder) reconstruct(m *macroblock, changes bool, x, y int) {
	w := &d.work
	d.surround(m, x, y)
	if m.subblocks {
		for i := range uBlocks {
			at := lumaAt + i>>2*4*stride + i&3*4
			w.predictSubblock(m.modes[i], at)
			if changes {
				d.add(i, at)
			}
		}
	} else {
		w.predict(m.luma, lumaAt, 16, x > 0, y > 0)
		for i := range uBlocks {
			if changes {
				d.add(i, lumaAt+i>>2*4*stride+i&3*4)
			}
		}
	}
	w.predict(m.chroma, uAt, 8, x > 0, y > 0)
	w.predict(m.chroma, vAt, 8, x > 0, y > 0)
	if changes {
		for i := range 4 {
			d.add(uBlocks+i, uAt+i>>1*4*stride+i&1*4)
			d.add(vBlocks+i, vAt+i>>1*4*stride+i&1*4)
		}
	}
	d.store(x)
}

// add adds the inverse transform of a block to what was predicted.
func (d *Decoder) add(i, at int) {
	c := &d.coefs[i]
	switch {
	case d.counts[i] > 1:
		kernel.Transform(d.work[at:], c)
	case c[0] != 0:
		kernel.AddDC(d.work[at:], (int(c[0])+4)>>3)
	}
}

// surround copies the samples around a macroblock to the workspace. Where there are none they are constants (section 12.2 and 12.3).
func (d *Decoder) surround(m *macroblock, x, y int) {
	w := &d.work
	if x > 0 { // the macroblock to the left is still there
		for at := aboveY - 1; at < aboveU-1; at += stride {
			w[at] = w[at+16]
		}
		for at := aboveU - 1; at < len(w); at += stride {
			w[at], w[at+16] = w[at+8], w[at+24]
		}
	} else {
		for at := aboveY - 1; at < len(w); at += stride {
			w[at] = outside + 2
		}
		for at := aboveV - 1; at < len(w); at += stride {
			w[at] = outside + 2
		}
		if y == 0 {
			w[aboveY-1], w[aboveU-1], w[aboveV-1] = outside, outside, outside
		}
	}
	copy(w[aboveY:aboveY+20], d.topY[16*x:16*x+20])
	copy(w[aboveU:aboveU+8], d.topU[8*x:8*x+8])
	copy(w[aboveV:aboveV+8], d.topV[8*x:8*x+8])
	if m.subblocks {
		right := [4]byte(w[aboveY+16:])
		for y := 4; y < 16; y += 4 {
			*(*[4]byte)(w[aboveY+16+y*stride:]) = right
		}
	}
}

// store copies a macroblock from the workspace.
func (d *Decoder) store(x int) {
	w := &d.work
	at := lumaRows*d.luma.stride + margin + 16*x
	for y := range 16 {
		*(*[16]byte)(d.luma.pix[at+y*d.luma.stride:]) = [16]byte(w[lumaAt+y*stride:])
	}
	at = chromaRows*d.u.stride + margin + 8*x
	for y := range 8 {
		*(*[8]byte)(d.u.pix[at+y*d.u.stride:]) = [8]byte(w[uAt+y*stride:])
		*(*[8]byte)(d.v.pix[at+y*d.v.stride:]) = [8]byte(w[vAt+y*stride:])
	}
	copy(d.topY[16*x:], w[lumaAt+15*stride:][:16])
	copy(d.topU[8*x:], w[uAt+7*stride:][:8])
	copy(d.topV[8*x:], w[vAt+7*stride:][:8])
	if x == d.columns-1 { // what is above and to the right of the last macroblock
		last := d.topY[16*x+15]
		for i := range 4 {
			d.topY[16*x+16+i] = last
		}
	}
}
