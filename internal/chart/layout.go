package chart

import (
	"cmp"
	"math"
	"strings"
)

const (
	margin     = 14.0
	titleSize  = 17.0
	textSize   = 12.0
	rowHeight  = 18.0 // of the legend
	keyWidth   = 16.0 // of the line in front of a name in the legend
	dotRadius  = 3.2
	dashLength = 5.0
	dashGap    = 3.5
	tickGap    = 7.0 // between the plot and the labels of its axes
	lineWidth  = 1.6
	legendGap  = 18.0
	svgMeasure = 1.06 // a browser's font may be wider than the one that is measured
)

// point is a place on a canvas, in pixels from the upper left corner.
type point struct{ x, y float64 }

// anchor is the part of a text that lies at its place.
type anchor int

const (
	left anchor = iota
	center
	right
)

// canvas is what a chart is drawn on.
type canvas interface {
	polyline(points []point, c Color, width float64)
	dashes(from, to point, c Color, width float64)
	rectangle(from, to point, c Color)
	circle(at point, radius float64, c Color)
	text(at point, a anchor, size float64, c Color, text string)
}

// layout is a chart with the ranges of its axes and the place of its plot.
type layout struct {
	Chart
	x, y                     scale
	left, top, right, bottom float64  // of the plot
	title                    []string // lines
}

// titleGap is the distance between lines of a title.
const titleGap = 5.0

// titleLines breaks a title into lines of at most a width.
func titleLines(title string, width float64) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(title) {
		longer := strings.TrimSpace(line + " " + word)
		if line != "" && textWidth(longer, titleSize)*svgMeasure > width {
			lines = append(lines, line)
			longer = word
		}
		line = longer
	}
	return append(lines, line)
}

// titleBottom is the baseline of the last line of the title.
func (l *layout) titleBottom() float64 {
	return margin + titleSize + float64(len(l.title)-1)*(titleSize+titleGap)
}

func (c Chart) layout() *layout {
	c.Width, c.Height = cmp.Or(c.Width, 720), cmp.Or(c.Height, 340)
	l := &layout{Chart: c, title: titleLines(c.Title, float64(c.Width)-2*margin)}
	l.top = l.legend(func(point, entry) {}) + 12
	l.bottom = float64(c.Height) - margin - textSize - tickGap
	if c.X.Label != "" {
		l.bottom -= textSize + 6
	}
	if c.Y.Label != "" {
		l.top += textSize + 8
	}
	heights := c.values(func(p Point) float64 { return p.Y })
	for _, level := range c.Levels {
		heights = append(heights, level.Y)
	}
	l.y = c.Y.scale(heights, int((l.bottom-l.top)/36), true)
	for _, t := range l.y.ticks {
		l.left = max(l.left, textWidth(t.Label, textSize))
	}
	l.left = math.Ceil(l.left*svgMeasure + margin + tickGap)
	l.right = float64(c.Width) - margin - 10
	l.x = c.X.scale(c.values(func(p Point) float64 { return p.X }), int((l.right-l.left)/70), false)
	return l
}

// values collects a coordinate of all points.
func (c Chart) values(of func(Point) float64) []float64 {
	var all []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			all = append(all, of(p))
		}
	}
	return all
}

// entry is a name in the legend.
type entry struct {
	name  string
	color Color
	style Style
	width float64 // of the line
	level bool
}

// legend calls draw for each name with its place, and returns the lower edge of the legend.
func (l *layout) legend(draw func(at point, e entry)) float64 {
	var entries []entry
	for _, s := range l.Series {
		if s.Name != "" && len(s.Points) > 0 {
			entries = append(entries, entry{s.Name, s.Color, s.Style, max(s.lineWidth(), 1.5), false})
		}
	}
	for _, level := range l.Levels {
		entries = append(entries, entry{level.Name, level.Color, Line, lineWidth, true})
	}
	for _, b := range l.Bands {
		entries = append(entries, entry{b.Name, band, Bars, 0, false})
	}
	at := point{margin, l.titleBottom() + rowHeight}
	for i, e := range entries {
		width := keyWidth + 6 + textWidth(e.name, textSize)*svgMeasure
		if i > 0 && at.x+width > float64(l.Width)-margin {
			at = point{margin, at.y + rowHeight}
		}
		draw(at, e)
		at.x += width + legendGap
	}
	if len(entries) == 0 {
		at.y -= rowHeight
	}
	return at.y
}

// place returns the pixel of a data point.
func (l *layout) place(p Point) point {
	return point{l.left + l.x.position(p.X)*(l.right-l.left), l.bottom - l.y.position(p.Y)*(l.bottom-l.top)}
}
