package decode

import (
	"fmt"
	"image"
)

// converter writes columns from..end-1 of row y of a picture to dst, pixel x to dst[3*x:].
type converter func(dst []byte, y, from, end int)

// convert returns the converter of an image of a library, whose bounds begin at 0, 0. It gives the pixels of Pillow's
// convert("RGB"): alpha is dropped.
func convert(m image.Image) (converter, error) {
	switch m := m.(type) {
	case *image.YCbCr:
		return convertWebP(m)
	case *image.NYCbCrA:
		return convertWebP(&m.YCbCr)
	case *image.NRGBA:
		return convert4(m.Pix, m.Stride), nil
	}
	return nil, fmt.Errorf("of color model %T, which is not expected", m)
}

// convert4 converts pixels of four bytes.
func convert4(pix []byte, stride int) converter {
	return func(dst []byte, y, from, end int) {
		in, out := pix[y*stride+4*from:y*stride+4*end], dst[3*from:3*end]
		for ; len(in) >= 4 && len(out) >= 3; in, out = in[4:], out[3:] {
			out[0], out[1], out[2] = in[0], in[1], in[2]
		}
	}
}
