package chart

import (
	"fmt"
	"image/color"
)

// Color is a color of series. People with any color vision can tell them apart (after Okabe and Ito, 2008).
type Color int

// The colors of series.
const (
	Blue Color = iota
	Orange
	Green
	Red
	Purple
	Brown
	Grey
	Slate // a darker grey
	Pale  // for a wide line below others

	ink  // of titles and names
	soft // of axes
	grid
	band
)

// colors has the name of each color in style sheets, and its value on white and on black.
var colors = [...]struct {
	name        string
	light, dark color.NRGBA
}{
	Blue:   {"blue", rgb(0x0072b2), rgb(0x5ab4ec)},
	Orange: {"orange", rgb(0xcc7f00), rgb(0xf0b040)},
	Green:  {"green", rgb(0x009e73), rgb(0x3ecb9c)},
	Red:    {"red", rgb(0xd04a02), rgb(0xff8552)},
	Purple: {"purple", rgb(0xb4568f), rgb(0xe29cc8)},
	Brown:  {"brown", rgb(0x7d5a2b), rgb(0xc9a26b)},
	Grey:   {"grey", rgb(0x7c848d), rgb(0x98a1ab)},
	Slate:  {"slate", rgb(0x4b535c), rgb(0xc3cad2)},
	Pale:   {"pale", rgb(0xc9ced4), rgb(0x545c66)},
	ink:    {"ink", rgb(0x1c2127), rgb(0xe8ebee)},
	soft:   {"soft", rgb(0x5b6570), rgb(0xa4adb7)},
	grid:   {"grid", rgb(0xe3e6ea), rgb(0x363d45)},
	band:   {"band", color.NRGBA{0x7c, 0x84, 0x8d, 0x2a}, color.NRGBA{0x98, 0xa1, 0xab, 0x36}},
}

func rgb(v uint32) color.NRGBA { return color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 0xff} }

// css writes a color as in style sheets.
func css(c color.NRGBA) string { return fmt.Sprintf("#%02x%02x%02x%02x", c.R, c.G, c.B, c.A) }
