package vp8

import "github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"

// Loop filters (section 15).
const (
	noFilter = iota
	simpleFilter
	normalFilter
)

// strength is how a macroblock is filtered.
type strength = kernel.Strength

// strengthOf returns the parameters for a level, for key frames.
func strengthOf(level, sharpness int) (s strength) {
	level = min(max(level, 0), 63)
	interior := level
	if sharpness > 0 {
		interior >>= 1 + min(sharpness/5, 1)
		interior = min(interior, 9-sharpness)
	}
	interior = max(interior, 1)
	if level > 0 {
		s.Limit, s.Interior = uint8(2*level+interior), uint8(interior)
	}
	switch {
	case level >= 40:
		s.Threshold = 2
	case level >= 15:
		s.Threshold = 1
	}
	return s
}

// filterRow filters a row of macroblocks.
func (d *Decoder) filterRow(y int) {
	for x := range d.columns {
		s := &d.filters[x]
		if s.Limit == 0 {
			continue
		}
		at := lumaRows*d.luma.stride + margin + 16*x
		if d.filter == simpleFilter {
			kernel.FilterSimple(d.luma.pix, at, d.luma.stride, s, x > 0, y > 0)
			continue
		}
		kernel.FilterLuma(d.luma.pix, at, d.luma.stride, s, x > 0, y > 0)
		at = chromaRows*d.u.stride + margin + 8*x
		kernel.FilterChroma(d.u.pix, d.v.pix, at, d.u.stride, s, x > 0, y > 0)
	}
}
