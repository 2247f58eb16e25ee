package chart

import (
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
)

// typefaces parses the Go fonts, regular and bold.
var typefaces = sync.OnceValue(func() [2]*opentype.Font {
	var parsed [2]*opentype.Font
	for i, data := range [][]byte{goregular.TTF, gobold.TTF} {
		f, err := opentype.Parse(data)
		if err != nil {
			panic(err) // they are compiled in
		}
		parsed[i] = f
	}
	return parsed
})

// fonts are the faces of one drawing. A face is not safe for concurrent use.
type fonts struct {
	scale float64
	faces map[faceKey]font.Face
}

type faceKey struct {
	size float64
	bold bool
}

func newFonts(scale float64) fonts { return fonts{scale, map[faceKey]font.Face{}} }

// face returns the face of a size in the chart's pixels.
func (f fonts) face(size float64, bold bool) font.Face {
	key := faceKey{size, bold}
	if f.faces[key] == nil {
		parsed := typefaces()[0]
		if bold {
			parsed = typefaces()[1]
		}
		face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size * f.scale, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			panic(err) // NewFace fails for invalid options only
		}
		f.faces[key] = face
	}
	return f.faces[key]
}

// width measures a text, in pixels of the drawing.
func (f fonts) width(text string, size float64, bold bool) float64 {
	return float64(font.MeasureString(f.face(size, bold), text)) / 64
}
