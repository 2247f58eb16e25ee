package jpeg

import "github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"

// colorSpace is the meaning of a frame's components.
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

// convert writes pixels from rows of samples.
func (s colorSpace) convert(dst []byte, rows *[4][]byte) {
	switch s {
	case spaceGray:
		kernel.Interleave(dst, rows[0], rows[0], rows[0])
	case spaceYCbCr:
		kernel.YCbCrToRGB(dst, rows[0], rows[1], rows[2])
	case spaceRGB:
		kernel.Interleave(dst, rows[0], rows[1], rows[2])
	case spaceCMYK:
		kernel.Interleave(dst, rows[0], rows[1], rows[2])
		addBlack(dst, rows[3])
	case spaceYCCK:
		// libjpeg makes CMY as 255 minus the RGB of Y, Cb and Cr.
		kernel.YCbCrToRGB(dst, rows[0], rows[1], rows[2])
		for i := range dst {
			dst[i] = 255 - dst[i]
		}
		addBlack(dst, rows[3])
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
