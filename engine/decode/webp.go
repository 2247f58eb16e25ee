package decode

import (
	"errors"
	"image"
)

// convertWebP converts a lossy WebP picture as libwebp does by default ("fancy upsampling", src/dsp/upsampling.c and
// yuv.h), which is not what image.YCbCr's own conversion gives: chroma, of half the resolution, is interpolated.
func convertWebP(dst RGB, m *image.YCbCr, window image.Rectangle) error {
	if m.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return errors.New("of a chroma subsampling that WebP does not have")
	}
	last := (dst.Height+1)/2 - 1 // last row of chroma
	for y := window.Min.Y; y < window.Max.Y; y++ {
		// Row y lies a quarter of a chroma row's height from the centre of the near one, three quarters from the far.
		near, far := y/2, y/2-1
		if y%2 == 1 {
			far = y/2 + 1
		}
		far = min(max(far, 0), last)
		luma := m.Y[y*m.YStride:][:dst.Width]
		chroma := func(c []byte, row int) []byte { return c[row*m.CStride:][:(dst.Width+1)/2] }
		webpRow(dst.Pix[y*dst.Stride:], luma,
			chroma(m.Cb, near), chroma(m.Cb, far), chroma(m.Cr, near), chroma(m.Cr, far), window.Min.X, window.Max.X)
	}
	return nil
}

// webpRow converts pixels from..end-1 of a row from its luma and the two rows of chroma around it.
func webpRow(dst, luma, uNear, uFar, vNear, vFar []byte, from, end int) {
	last := len(uNear) - 1
	for x := from; x < end; x++ {
		near, far := x/2, x/2-1
		if x%2 == 1 {
			far = x/2 + 1
		}
		if far < 0 || far > last { // at the edges chroma is interpolated along the column only
			far = near
		}
		u := interpolate(uNear[near], uNear[far], uFar[near], uFar[far], far == near)
		v := interpolate(vNear[near], vNear[far], vFar[near], vFar[far], far == near)
		yuvToRGB(dst[3*x:3*x+3], int(luma[x]), u, v)
	}
}

// interpolate weighs the four chroma samples around a pixel 9:3:3:1, a being the nearest, b beside it, c above or
// below it and d across; at the edges, where b is a, 3:1. Rounding is libwebp's, in two steps.
func interpolate(a, b, c, d byte, edge bool) int {
	if edge {
		return (3*int(a) + int(c) + 2) >> 2
	}
	// (a + (a+b+c+d + 2(b+c) + 8)/8) / 2
	diagonal := (int(a) + 3*int(b) + 3*int(c) + int(d) + 8) >> 3
	return (diagonal + int(a)) >> 1
}

// yuvToRGB is the conversion of BT.601 with 14 fraction bits, as libwebp rounds it.
func yuvToRGB(dst []byte, y, u, v int) {
	luma := 19077 * y >> 8
	dst[0] = clip14(luma + 26149*v>>8 - 14234)
	dst[1] = clip14(luma - 6419*u>>8 - 13320*v>>8 + 8708)
	dst[2] = clip14(luma + 33050*u>>8 - 17685)
}

// clip14 drops the 6 fraction bits that are left and clips to a byte.
func clip14(v int) byte { return byte(min(max(v>>6, 0), 255)) }
