package jpeg

// colorSpace says what the components of a frame mean.
type colorSpace byte

const (
	spaceGray  colorSpace = iota
	spaceYCbCr            // BT.601 at full range, as JFIF says
	spaceRGB
	spaceCMYK // inverted, as Adobe writes it: 255 is no ink
	spaceYCCK // inverted CMYK with CMY as YCbCr
)

// colorSpace guesses the space as libjpeg does: the JFIF marker wins, then Adobe's, then the component identifiers.
func (p *parser) colorSpace() colorSpace {
	f := &p.frame
	switch f.n {
	case 1:
		return spaceGray
	case 4:
		if p.adobe && p.adobeTransform != 0 {
			return spaceYCCK
		}
		return spaceCMYK
	}
	ids := [3]byte{f.component[0].id, f.component[1].id, f.component[2].id}
	if !p.jfif && (p.adobe && p.adobeTransform == 0 || !p.adobe && ids == [3]byte{'R', 'G', 'B'}) {
		return spaceRGB
	}
	return spaceYCbCr
}

// convert writes one row of pixels, as many as dst has room for, from the rows of the components.
func (s colorSpace) convert(dst []byte, rows *[4][]byte) {
	n := len(dst) / 3
	switch s {
	case spaceGray:
		grayToRGB(dst, rows[0][:n])
	case spaceYCbCr:
		ycbcrToRGB(dst, rows[0][:n], rows[1][:n], rows[2][:n])
	case spaceRGB:
		interleave(dst, rows[0][:n], rows[1][:n], rows[2][:n])
	case spaceCMYK:
		interleave(dst, rows[0][:n], rows[1][:n], rows[2][:n])
		addBlack(dst, rows[3][:n])
	case spaceYCCK:
		// libjpeg makes CMY as 255 minus the RGB of Y, Cb and Cr.
		ycbcrToRGB(dst, rows[0][:n], rows[1][:n], rows[2][:n])
		for i := range dst {
			dst[i] = 255 - dst[i]
		}
		addBlack(dst, rows[3][:n])
	}
}

// grayToRGB repeats each sample three times.
func grayToRGB(dst, gray []byte) {
	for i, v := range gray {
		p := dst[3*i : 3*i+3 : 3*i+3]
		p[0], p[1], p[2] = v, v, v
	}
}

// interleave joins three rows of samples to one of pixels.
func interleave(dst, r, g, b []byte) {
	for i := range r {
		p := dst[3*i : 3*i+3 : 3*i+3]
		p[0], p[1], p[2] = r[i], g[i], b[i]
	}
}

// ycbcrToRGB converts pixels with 16 fraction bits, each coefficient rounded and each sum rounded once:
//
//	R = Y + 1.40200 (Cr-128)
//	G = Y - 0.34414 (Cb-128) - 0.71414 (Cr-128)
//	B = Y + 1.77200 (Cb-128)
func ycbcrToRGB(dst, y, cb, cr []byte) {
	for i := range y {
		u, v := int32(cb[i])-128, int32(cr[i])-128
		luma := int32(y[i])
		p := dst[3*i : 3*i+3 : 3*i+3]
		p[0] = clamp8(luma + (91881*v+1<<15)>>16)
		p[1] = clamp8(luma + (-22554*u-46802*v+1<<15)>>16)
		p[2] = clamp8(luma + (116130*u+1<<15)>>16)
	}
}

// addBlack turns rows of inverted CMY in dst and inverted black into RGB as Pillow's convert("RGB") does:
// K - (255-C)*K/255, with the quotient rounded and the difference clamped.
func addBlack(dst, black []byte) {
	for i, k := range black {
		for j := 3 * i; j < 3*i+3; j++ {
			t := int32(255-dst[j])*int32(k) + 128
			dst[j] = clamp8(int32(k) - (t+t>>8)>>8)
		}
	}
}

func clamp8(v int32) byte { return byte(min(max(v, 0), 255)) }
