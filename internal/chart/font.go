package chart

import (
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
)

// typeface parses the Go font.
var typeface = sync.OnceValue(func() *opentype.Font {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err) // it is compiled in
	}
	return parsed
})

// fonts are the faces of one drawing, by size. A face is not safe for concurrent use.
type fonts struct {
	scale float64
	faces map[float64]font.Face
}

func newFonts(scale float64) fonts { return fonts{scale, map[float64]font.Face{}} }

// face returns the face of a size in the chart's pixels.
func (f fonts) face(size float64) font.Face {
	if f.faces[size] == nil {
		face, err := opentype.NewFace(typeface(), &opentype.FaceOptions{Size: size * f.scale, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			panic(err) // NewFace fails for invalid options only
		}
		f.faces[size] = face
	}
	return f.faces[size]
}

// width measures a text, in pixels of the drawing.
func (f fonts) width(text string, size float64) float64 {
	return float64(font.MeasureString(f.face(size), text)) / 64
}
