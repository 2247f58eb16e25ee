package chart

import (
	"fmt"
	"html"
	"strings"
)

// SVG returns the chart as an SVG element that scales to the width of its place. It uses the reader's sans-serif font,
// and light or dark colors as the reader prefers.
func (c Chart) SVG() string {
	l := c.layout()
	var s svg
	fmt.Fprintf(&s.Builder, `<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="%s" viewBox="0 0 %d %d">`,
		html.EscapeString(c.Title), l.Width, l.Height)
	s.WriteString(style)
	l.draw(&s)
	s.WriteString("</svg>")
	return s.String()
}

// style declares the colors as variables.
var style = func() string {
	var light, dark strings.Builder
	for _, c := range colors {
		fmt.Fprintf(&light, "--c-%s:%s;", c.name, css(c.light))
		fmt.Fprintf(&dark, "--c-%s:%s;", c.name, css(c.dark))
	}
	return fmt.Sprintf(`<style>.chart{%sfont-family:system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;font-variant-numeric:tabular-nums}`+
		`@media(prefers-color-scheme:dark){.chart{%s}}</style>`, &light, &dark)
}()

// svg is a canvas that writes SVG.
type svg struct{ strings.Builder }

func variable(c Color) string { return "var(--c-" + colors[c].name + ")" }

func (s *svg) polyline(points []point, c Color, width float64) {
	fmt.Fprintf(&s.Builder, `<polyline style="stroke:%s" fill="none" stroke-width="%.3g" stroke-linejoin="round" points="`, variable(c), width)
	for _, p := range points {
		fmt.Fprintf(&s.Builder, "%.1f,%.1f ", p.x, p.y)
	}
	s.WriteString(`"/>`)
}

func (s *svg) dashes(from, to point, c Color, width float64) {
	fmt.Fprintf(&s.Builder, `<line style="stroke:%s" stroke-width="%.3g" stroke-dasharray="%g %g" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`,
		variable(c), width, dashLength, dashGap, from.x, from.y, to.x, to.y)
}

func (s *svg) rectangle(from, to point, c Color) {
	fmt.Fprintf(&s.Builder, `<rect style="fill:%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, variable(c), from.x, from.y, to.x-from.x, to.y-from.y)
}

func (s *svg) circle(at point, radius float64, c Color) {
	fmt.Fprintf(&s.Builder, `<circle style="fill:%s" cx="%.1f" cy="%.1f" r="%.3g"/>`, variable(c), at.x, at.y, radius)
}

func (s *svg) text(at point, a anchor, size float64, c Color, text string) {
	fmt.Fprintf(&s.Builder, `<text style="fill:%s" x="%.1f" y="%.1f" font-size="%.3g" text-anchor="%s">%s</text>`,
		variable(c), at.x, at.y, size, [...]string{"start", "middle", "end"}[a], html.EscapeString(text))
}
