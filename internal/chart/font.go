package chart

import (
	_ "embed"
	"encoding/binary"
	"sync"
)

//go:generate go run ./genglyphs glyphs.bin

//go:embed glyphs.bin
var glyphData []byte

// unitsPerEm is the size of the Go font in its own units.
const unitsPerEm = 2048

// glyph is the shape of a character, for a text size of 1.
type glyph struct {
	advance  float64
	contours [][]point // inner ones have the opposite direction
}

// glyphs decodes glyphData; genglyphs describes its format.
var glyphs = sync.OnceValue(func() map[rune]glyph {
	data := glyphData
	next := func() int {
		v := int16(binary.LittleEndian.Uint16(data))
		data = data[2:]
		return int(v)
	}
	nextPoint := func() point { return point{float64(next()) / unitsPerEm, float64(next()) / unitsPerEm} }
	all := map[rune]glyph{}
	for len(data) > 0 {
		r := rune(uint16(next()))
		g := glyph{advance: float64(next()) / unitsPerEm}
		for range next() {
			last := len(g.contours) - 1
			switch next() {
			case 0:
				g.contours = append(g.contours, []point{nextPoint()})
			case 1:
				g.contours[last] = append(g.contours[last], nextPoint())
			case 2:
				control, end := nextPoint(), nextPoint()
				g.contours[last] = appendCurve(g.contours[last], control, end)
			}
		}
		all[r] = g
	}
	return all
})

// appendCurve approximates a quadratic Bézier curve from the last point with lines.
func appendCurve(contour []point, control, end point) []point {
	const lines = 6
	start := contour[len(contour)-1]
	for i := 1; i <= lines; i++ {
		t := float64(i) / lines
		a, b, c := (1-t)*(1-t), 2*t*(1-t), t*t
		contour = append(contour, point{a*start.x + b*control.x + c*end.x, a*start.y + b*control.y + c*end.y})
	}
	return contour
}

// glyphOf returns the shape of a character; of unknown ones that of a question mark.
func glyphOf(r rune) glyph {
	if g, ok := glyphs()[r]; ok {
		return g
	}
	return glyphs()['?']
}

// textWidth measures a text of a size.
func textWidth(text string, size float64) float64 {
	width := 0.0
	for _, r := range text {
		width += size * glyphOf(r).advance
	}
	return width
}
