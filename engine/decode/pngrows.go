package decode

import (
	"errors"
	"io"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// rows delivers a picture that is not interlaced.
func (p *pngReader) rows(o jpeg.Options) (RGB, error) {
	p.startPass(p.width, p.height)
	y := 0
	skipTo := func(end int) error {
		for ; y < end; y++ {
			if err := p.nextRow(); err != nil {
				return err
			}
		}
		return nil
	}
	rgb, err := p.decoder.deliver(p.width, p.height, o, downward, func(dst []byte, at int) error {
		if err := skipTo(at + 1); err != nil {
			return err
		}
		p.convert(dst[3*o.Window.Min.X:], o.Window.Min.X, o.Window.Max.X, 1)
		return nil
	})
	if err != nil {
		return RGB{}, err
	}
	return rgb, skipTo(p.height)
}

// interlacedRows delivers a picture of seven passes, which is in memory as a whole.
func (p *pngReader) interlacedRows(o jpeg.Options) (RGB, error) {
	rgb := RGB{Pix: p.decoder.memory(3 * p.width * p.height), Width: p.width, Height: p.height, Stride: 3 * p.width}
	for _, pass := range adam7 {
		width, height := pass.size(&p.pngHeader)
		if width == 0 {
			continue // it has no rows, and no bytes of filters
		}
		p.startPass(width, height)
		for j := range height {
			if err := p.nextRow(); err != nil {
				return RGB{}, err
			}
			p.convert(rgb.Pix[(pass.y+j*pass.dy)*rgb.Stride:][3*pass.x:3*p.width], 0, width, pass.dx)
		}
	}
	return p.decoder.give(rgb, o)
}

// startPass prepares for the rows of a pass. The row before the first is zero. Memory is for the longest row of all passes, so that it
// is taken once.
func (p *pngReader) startPass(width, height int) {
	longest := 1 + int(p.rowBytes(p.width))
	p.rowLength, p.left = 1+int(p.rowBytes(width)), height
	p.last = slices.Grow(p.last[:0], longest)[:p.rowLength]
	clear(p.last)
	p.block, p.at = slices.Grow(p.block[:0], longest), 0
}

// nextRow reads a row and undoes its filter.
func (p *pngReader) nextRow() error {
	above := p.last
	if p.at == len(p.block) {
		if err := p.fill(); err != nil {
			return err
		}
	} else {
		above = p.block[p.at-p.rowLength:]
	}
	row := p.block[p.at:][:p.rowLength]
	p.at += p.rowLength
	p.row = row[1:]
	return p.unfilter(row[0], p.row, above[1:p.rowLength])
}

// pngBlock is about how many bytes of rows are decompressed at a time, so that narrow pictures cost no more.
const pngBlock = 16 << 10

// fill reads the next rows to block, and keeps the last of those before.
func (p *pngReader) fill() error {
	if p.at > 0 {
		copy(p.last, p.block[p.at-p.rowLength:])
	}
	rows := min(p.left, max(pngBlock/p.rowLength, 1))
	p.left -= rows
	p.block, p.at = slices.Grow(p.block[:0], rows*p.rowLength)[:rows*p.rowLength], 0
	for rest := p.block; len(rest) > 0; {
		part := rest[:min(len(rest), workPart)]
		if _, err := io.ReadFull(p.inflate, part); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errPNGShort
			}
			return err
		}
		if err := p.decoder.did(len(part)); err != nil {
			return err
		}
		rest = rest[len(part):]
	}
	return nil
}

// convert writes columns from..end-1 of the current row to dst, pixel x to dst[3*step*(x-from):]: without alpha, and of
// samples of 16 bits the upper byte.
func (p *pngReader) convert(dst []byte, from, end, step int) {
	row := p.row
	switch {
	case p.depth < 8 && step == 1:
		p.palette.LookPacked(dst[:3*(end-from)], row, p.depth, from, end)
	case p.depth < 8:
		mask := byte(1<<p.depth - 1)
		for x, at := from, 0; x < end; x, at = x+1, at+3*step {
			bit := x * p.depth
			c := p.palette.Color(row[bit/8] >> (8 - p.depth - bit%8) & mask)
			copy(dst[at:at+3], c[:])
		}
	case p.color == pngPalette && step == 1:
		p.palette.Look(dst[:3*(end-from)], row[from:end])
	case p.color == pngPalette:
		for at, index := range row[from:end] {
			c := p.palette.Color(index)
			copy(dst[3*step*at:][:3], c[:])
		}
	case p.color == pngColor && p.depth == 8 && step == 1:
		copy(dst[:3*(end-from)], row[3*from:3*end])
	case step == 1:
		pixel := p.step()
		p.layout.RGB(dst[:3*(end-from)], row[pixel*from:pixel*end])
	default:
		pixel, green, blue := p.step(), p.green, p.blue
		at := 0
		for in := row[pixel*from : pixel*end]; len(in) >= pixel; in = in[pixel:] {
			out := dst[at : at+3 : at+3]
			out[0], out[1], out[2] = in[0], in[green], in[blue]
			at += 3 * step
		}
	}
}
