package chart

import (
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScale(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		axis   Axis
		data   []float64
		round  bool
		ticks  string // labels
		lowest float64
		top    float64
	}{
		"to round numbers":         {Axis{Include: []float64{0}}, []float64{3, 31}, true, "0 10 20 30 40", 0, 40},
		"ends at a tick":           {Axis{Include: []float64{0}}, []float64{40}, true, "0 10 20 30 40", 0, 40},
		"keeps the range":          {Axis{}, []float64{1.2, 3.2}, false, "1.5 2 2.5 3", 1.2, 3.2},
		"from 0":                   {Axis{Include: []float64{0}}, []float64{160}, false, "0 50 100 150", 0, 160},
		"below 0":                  {Axis{}, []float64{-3, 3}, true, "-4 -2 0 2 4", -4, 4},
		"one value":                {Axis{}, []float64{5}, true, "5 5.5 6", 5, 6},
		"small values":             {Axis{}, []float64{0, 0.003}, true, "0 0.001 0.002 0.003", 0, 0.003},
		"no data":                  {Axis{}, nil, true, "0 5 10", 0, 10},
		"ticks of the caller":      {Axis{Ticks: []Tick{{1, "one"}}}, []float64{0, 2}, false, "one", 0, 2},
		"logarithmic":              {Axis{Log: true}, []float64{3, 60}, true, "2 5 10 20 50 100", 2, 100},
		"logarithmic, at ticks":    {Axis{Log: true}, []float64{2, 50}, true, "2 5 10 20 50", 2, 50},
		"logarithmic, one value":   {Axis{Log: true}, []float64{10}, true, "10 20", 10, 20},
		"logarithmic, below one":   {Axis{Log: true}, []float64{0.05, 0.4}, true, "0.05 0.1 0.2 0.5", 0.05, 0.5},
		"logarithmic, many powers": {Axis{Log: true}, []float64{0.3, 5000}, true, "0.1 1 10 100 1000 10000", 0.1, 10000},
		"logarithmic, no data":     {Axis{Log: true}, nil, true, "1 2 5 10", 1, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.axis.scale(c.data, 4, c.round)
			var labels []string
			for _, tick := range s.ticks {
				labels = append(labels, tick.Label)
			}
			if got := strings.Join(labels, " "); got != c.ticks {
				t.Errorf("ticks %s, want %s", got, c.ticks)
			}
			if math.Abs(s.min-c.lowest) > 1e-9 || math.Abs(s.max-c.top) > 1e-9*c.top {
				t.Errorf("from %v to %v, want %v to %v", s.min, s.max, c.lowest, c.top)
			}
			for _, v := range c.data {
				if p := s.position(v); p < -1e-9 || p > 1+1e-9 {
					t.Errorf("%v is at %v of the axis", v, p)
				}
			}
		})
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scale scale
		value float64
		want  float64
	}{
		{scale{min: 10, max: 30}, 10, 0}, {scale{min: 10, max: 30}, 25, 0.75},
		{scale{min: 1, max: 100, log: true}, 10, 0.5}, {scale{min: 1, max: 100, log: true}, 100, 1},
	} {
		if got := c.scale.position(c.value); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("position of %v from %v to %v = %v, want %v", c.value, c.scale.min, c.scale.max, got, c.want)
		}
	}
}

// everything has each style, and more names than fit in a row of the legend.
func everything() Chart {
	c := Chart{
		Title: `Latency <b>"&`, X: Axis{Label: "time, s"}, Y: Axis{Label: "ms", Include: []float64{0}},
		Bands: []Band{{"doubtful", 2, 3}},
	}
	for style := Line; style <= Bars; style++ {
		points := []Point{{0, float64(style)}, {1, 5}, {1, 5}, {3, 2}}
		c.Series = append(c.Series, Series{Name: strings.Repeat("name ", 10), Color: Color(style), Style: style, Points: points, Width: 0.5})
	}
	return c
}

func TestSVGIsXML(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Chart{"everything": everything(), "nothing": {}, "one point": {Series: []Series{{Points: []Point{{1, 1}}}}}} {
		svg := c.SVG()
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: a coordinate is no number", name)
		}
	}
}

// TestLegend: names of series with points only; one that does not fit begins a row, and moves the plot down.
func TestLegend(t *testing.T) {
	t.Parallel()
	points := []Point{{0, 1}}
	c := Chart{Series: []Series{{Name: "first", Points: points}, {Name: "no points"}, {Points: points}, {Name: "second", Points: points}}}
	rows := func() map[float64][]string {
		rows := map[float64][]string{}
		c.layout().legend(func(at point, e entry) { rows[at.y] = append(rows[at.y], e.name) })
		return rows
	}
	first := margin + titleSize + rowHeight
	if diff := cmp.Diff(map[float64][]string{first: {"first", "second"}}, rows()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	before := c.layout().top
	long := strings.Repeat("long ", 30)
	c.Series[3].Name = long
	if diff := cmp.Diff(map[float64][]string{first: {"first"}, first + rowHeight: {long}}, rows()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := c.layout().top; got != before+rowHeight {
		t.Errorf("plot begins at %v, want a row below %v", got, before)
	}
}

// TestPNGShowsTheData looks at pixels: a thick line on its way, the band, and white elsewhere.
func TestPNGShowsTheData(t *testing.T) {
	t.Parallel()
	c := Chart{
		Bands:  []Band{{"doubtful", 0, 2}},
		Series: []Series{{Color: Red, Style: Steps, Width: 6, Points: []Point{{0, 0}, {5, 8}, {10, 10}}}},
	}
	path := filepath.Join(t.TempDir(), "a.png")
	if err := c.WritePNG(path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := image.Pt(1440, 680); img.Bounds().Size() != want {
		t.Errorf("size %v, want %v", img.Bounds().Size(), want)
	}
	l := c.layout()
	onWhite := colors[band].light
	onWhite.R, onWhite.G, onWhite.B, onWhite.A = 233, 234, 236, 255 // 0x2a/255 of it on white
	for _, p := range []struct {
		at   Point
		want color.NRGBA
	}{
		{Point{3, 0}, colors[Red].light},   // the first step
		{Point{5, 4}, colors[Red].light},   // the rise to the second
		{Point{7.5, 8}, colors[Red].light}, // the second
		{Point{7.5, 5}, color.NRGBA{255, 255, 255, 255}},
		{Point{1, 5}, onWhite},
	} {
		at := l.place(p.at)
		got := color.NRGBAModel.Convert(img.At(int(pngScale*at.x), int(pngScale*at.y))).(color.NRGBA)
		near := func(a, b uint8) bool { return max(a, b)-min(a, b) <= 2 }
		if !near(got.R, p.want.R) || !near(got.G, p.want.G) || !near(got.B, p.want.B) {
			t.Errorf("pixel at %v is %v, want %v", p.at, got, p.want)
		}
	}
}

// TestGlyphs: all of ASCII has a shape, spaces apart; wide characters are wider than narrow ones, and the hole of an o has
// the direction opposite to its outline.
func TestGlyphs(t *testing.T) {
	t.Parallel()
	for r := ' '; r <= '~'; r++ {
		g, ok := glyphs()[r]
		if !ok || g.advance <= 0 || len(g.contours) == 0 != (r == ' ') {
			t.Errorf("%q: %v, advance %v, %d contours", r, ok, g.advance, len(g.contours))
		}
	}
	if m, i := textWidth("mm", 10), textWidth("ii", 10); m <= i || math.Abs(m-2*10*glyphOf('m').advance) > 1e-9 {
		t.Errorf("mm is %v wide, ii %v", m, i)
	}
	if textWidth("\u4e16", 10) != textWidth("?", 10) {
		t.Error("an unknown character is not as wide as a question mark")
	}
	area := func(contour []point) (sum float64) {
		for i, p := range contour {
			q := contour[(i+1)%len(contour)]
			sum += p.x*q.y - q.x*p.y
		}
		return sum / 2
	}
	o := glyphOf('o').contours
	if len(o) != 2 || area(o[0])*area(o[1]) >= 0 {
		t.Errorf("o has %d contours, want an outline and a hole", len(o))
	}
}

// TestColors: each has a name of its own, and enough contrast for lines (3:1, WCAG 2.1, 1.4.11) on white and on black;
// text has more (4.5:1).
func TestColors(t *testing.T) {
	t.Parallel()
	luminance := func(c color.NRGBA) float64 {
		linear := func(v uint8) float64 {
			if s := float64(v) / 255; s > 0.04045 {
				return math.Pow((s+0.055)/1.055, 2.4)
			}
			return float64(v) / 255 / 12.92
		}
		return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
	}
	names := map[string]bool{}
	for i, c := range colors {
		if names[c.name] {
			t.Errorf("two colors are named %s", c.name)
		}
		names[c.name] = true
		want := 3.0
		switch Color(i) {
		case Pale, grid, band:
			continue
		case ink, soft:
			want = 4.5
		}
		if got := 1.05 / (luminance(c.light) + 0.05); got < want {
			t.Errorf("%s on white has contrast %.2f, want %v", c.name, got, want)
		}
		if got := (luminance(c.dark) + 0.05) / (luminance(rgb(0x1d2126)) + 0.05); got < want {
			t.Errorf("%s on the dark panel has contrast %.2f, want %v", c.name, got, want)
		}
	}
}

func TestWritePNGNowhere(t *testing.T) {
	t.Parallel()
	if err := everything().WritePNG(filepath.Join(t.TempDir(), "none", "a.png")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("WritePNG: %v", err)
	}
}

// TestLevels checks that a level beyond the data is in the picture, dashed, and named in the legend.
func TestLevels(t *testing.T) {
	t.Parallel()
	c := Chart{Series: []Series{{Name: "a", Points: []Point{{0, 1}, {1, 2}}}}, Levels: []Level{{Name: "the limit", Y: 40, Color: Orange}}}
	l := c.layout()
	if l.y.max != 40 {
		t.Errorf("the axis ends at %v, want the level, 40", l.y.max)
	}
	text := c.SVG()
	if n := strings.Count(text, "<line "); n != 2 || !strings.Contains(text, ">the limit</text>") || !strings.Contains(text, "stroke-dasharray") {
		t.Errorf("%d dashed lines, want one across and one in the legend:\n%s", n, text)
	}
	// In the bitmap the dashes and the gaps between them lie on one row.
	bitmap, y := c.image(), int(pngScale*l.place(Point{0, 40}).y)
	colors := map[color.Color]int{}
	for x := int(pngScale * l.left); x < int(pngScale*l.right); x++ {
		colors[bitmap.At(x, y)]++
	}
	if len(colors) < 2 || colors[color.RGBA{0xcc, 0x7f, 0x00, 0xff}] < 100 {
		t.Errorf("colors in the row of the level: %v", colors)
	}
}

// TestTitleLines checks that a title that is wider than the chart goes on in the next line, and moves what is below.
func TestTitleLines(t *testing.T) {
	t.Parallel()
	c := Chart{Title: "Search: p95 by rate; the conditions hold at 200.0 requests per second", Series: []Series{{Name: "a", Points: []Point{{0, 1}, {1, 2}}}}}
	wide := c.layout()
	c.Width = 350
	narrow := c.layout()
	if len(wide.title) != 1 || len(narrow.title) != 2 || strings.Join(narrow.title, " ") != c.Title {
		t.Fatalf("lines %q and %q", wide.title, narrow.title)
	}
	for _, line := range narrow.title {
		if width := textWidth(line, titleSize); width > 350-2*margin {
			t.Errorf("%q is %.0f wide", line, width)
		}
	}
	if narrow.top-wide.top != titleSize+titleGap {
		t.Errorf("plot begins at %v and %v, want a line lower", wide.top, narrow.top)
	}
	if got := titleLines("", 100); len(got) != 1 || got[0] != "" {
		t.Errorf("no title: %q", got)
	}
}
