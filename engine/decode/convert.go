package decode

import (
	"fmt"
	"image"
	"image/color"
)

// convert writes the pixels of m that lie in window to dst, of equal size, as Pillow's convert("RGB") makes them:
// alpha is dropped, and 16-bit samples lose their lower byte.
func convert(dst RGB, m image.Image, window image.Rectangle) error {
	switch m := m.(type) {
	case *image.YCbCr:
		return convertWebP(dst, m, window)
	case *image.NYCbCrA:
		return convertWebP(dst, &m.YCbCr, window)
	case *image.Paletted:
		palette := rawPalette(m.Palette)
		convertPaletted(dst, m, &palette, window)
		return nil
	}
	pix, stride, layout := samples(m)
	if layout.pixel == 0 {
		return fmt.Errorf("of color model %T, which is not expected", m)
	}
	for y := window.Min.Y; y < window.Max.Y; y++ {
		in, out := pix[y*stride:], dst.Pix[y*dst.Stride:]
		for x := window.Min.X; x < window.Max.X; x++ {
			p, q := in[layout.pixel*x:], out[3*x:3*x+3]
			q[0], q[1], q[2] = p[0], p[layout.green], p[layout.blue]
		}
	}
	return nil
}

// layout says where a pixel's samples lie: pixel bytes from one to the next, green and blue so far behind red.
type layout struct{ pixel, green, blue int }

// samples gives access to the raw samples of the image types that codecs return, the upper bytes of 16-bit ones. The
// RGBA types come from files without alpha, so that nothing was multiplied into them.
func samples(m image.Image) (pix []byte, stride int, l layout) {
	switch m := m.(type) {
	case *image.Gray:
		return m.Pix, m.Stride, layout{1, 0, 0}
	case *image.Gray16:
		return m.Pix, m.Stride, layout{2, 0, 0}
	case *image.RGBA:
		return m.Pix, m.Stride, layout{4, 1, 2}
	case *image.NRGBA:
		return m.Pix, m.Stride, layout{4, 1, 2}
	case *image.RGBA64:
		return m.Pix, m.Stride, layout{8, 2, 4}
	case *image.NRGBA64:
		return m.Pix, m.Stride, layout{8, 2, 4}
	}
	return nil, 0, layout{}
}

// palette is the colors of a palette, black where it is shorter.
type palette [256][3]byte

// rawPalette takes the colors without their alpha.
func rawPalette(p color.Palette) (raw palette) {
	for i, c := range p[:min(len(p), 256)] {
		switch c := c.(type) {
		case color.RGBA:
			raw[i] = [3]byte{c.R, c.G, c.B}
		case color.NRGBA:
			raw[i] = [3]byte{c.R, c.G, c.B}
		}
	}
	return raw
}

// convertPaletted writes the part of m that lies in window to dst. m may begin elsewhere than in dst's corner.
func convertPaletted(dst RGB, m *image.Paletted, p *palette, window image.Rectangle) {
	window = window.Intersect(m.Rect)
	for y := window.Min.Y; y < window.Max.Y; y++ {
		in := m.Pix[m.PixOffset(window.Min.X, y):][:window.Dx()]
		out := dst.Pix[y*dst.Stride+3*window.Min.X:][:3*window.Dx()]
		for i, index := range in {
			copy(out[3*i:3*i+3], p[index][:])
		}
	}
}
