// Command genglyphs writes the outlines of the characters that charts use, from the Go font, to a file that package chart
// embeds: a fraction of the font, and no font parser in the program.
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// characters that charts use beside ASCII.
const more = "µ±×·–…"

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "genglyphs:", err)
		os.Exit(1)
	}
}

// run writes each glyph as a sequence of 16-bit numbers, in units of the font: character, advance, number of segments,
// and for each segment its kind (0 move, 1 line, 2 quadratic curve) and its points.
func run(path string) error {
	f, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		return err
	}
	characters := []rune(more)
	for r := ' '; r <= '~'; r++ {
		characters = append(characters, r)
	}
	scale := fixed.I(int(f.UnitsPerEm()))
	var buffer sfnt.Buffer
	var out []byte
	put := func(v int) { out = binary.LittleEndian.AppendUint16(out, uint16(int16(v))) }
	for _, r := range characters {
		index, err := f.GlyphIndex(&buffer, r)
		if err != nil || index == 0 {
			return fmt.Errorf("no glyph for %q: %w", r, err)
		}
		advance, err := f.GlyphAdvance(&buffer, index, scale, font.HintingNone)
		if err != nil {
			return err
		}
		segments, err := f.LoadGlyph(&buffer, index, scale, nil)
		if err != nil {
			return err
		}
		put(int(r))
		put(advance.Round())
		put(len(segments))
		for _, s := range segments {
			if s.Op > sfnt.SegmentOpQuadTo {
				return fmt.Errorf("%q has a cubic curve", r)
			}
			put(int(s.Op))
			for _, p := range s.Args[:max(1, int(s.Op))] {
				put(p.X.Round())
				put(p.Y.Round())
			}
		}
	}
	return os.WriteFile(path, out, 0o644)
}
