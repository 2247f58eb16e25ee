// Package chart draws charts of lines, points and bars as SVG and PNG. A Chart holds data, names and units; the package
// lays it out once and renders it with one of two canvases. SVG follows the reader's choice of light or dark colors, PNG
// is light. Both look the same otherwise: title, legend, plot, each below the other.
package chart

import (
	"cmp"
	"math"
	"slices"
)

// Chart is a chart with numeric axes.
type Chart struct {
	Title  string
	X, Y   Axis
	Series []Series // drawn in this order
	Bands  []Band   // drawn below the series
	// Width and Height are in pixels; a PNG has twice as many in each direction. Zero means 720 by 340.
	Width, Height int
}

// Empty reports whether the chart has no points.
func (c Chart) Empty() bool {
	return !slices.ContainsFunc(c.Series, func(s Series) bool { return len(s.Points) > 0 })
}

// Point is a data point.
type Point struct{ X, Y float64 }

// Series is a named sequence of points.
type Series struct {
	Name   string
	Color  Color
	Style  Style
	Points []Point
	// Width is the width of lines in pixels, and of bars in units of the x axis. Zero means 1.6 for lines.
	Width float64
}

// Style is how a series is drawn.
type Style int

// The styles of series.
const (
	Line     Style = iota
	Steps          // a line that keeps each value until the next point
	Dots           // points only
	LineDots       // a line with points
	Bars           // bars from 0, with their values
)

// Band is a shaded range of the x axis.
type Band struct {
	Name     string
	From, To float64
}

const (
	margin     = 14.0
	titleSize  = 17.0
	textSize   = 12.0
	rowHeight  = 18.0 // of the legend
	keyWidth   = 16.0 // of the line in front of a name in the legend
	dotRadius  = 3.2
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
	rectangle(from, to point, c Color)
	circle(at point, radius float64, c Color)
	text(at point, a anchor, size float64, c Color, text string)
}

// layout is a chart with the ranges of its axes and the place of its plot.
type layout struct {
	Chart
	x, y                     scale
	left, top, right, bottom float64 // of the plot
	fonts                    fonts
}

func (c Chart) layout() *layout {
	if c.Width == 0 || c.Height == 0 {
		c.Width, c.Height = 720, 340
	}
	l := &layout{Chart: c, fonts: newFonts(1)}
	l.top = l.legend(nil) + 12
	l.bottom = float64(c.Height) - margin - textSize - tickGap
	if c.X.Label != "" {
		l.bottom -= textSize + 6
	}
	if c.Y.Label != "" {
		l.top += textSize + 8
	}
	l.y = c.Y.scale(c.values(func(p Point) float64 { return p.Y }), int((l.bottom-l.top)/36), true)
	for _, t := range l.y.ticks {
		l.left = max(l.left, l.fonts.width(t.Label, textSize))
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

// entry is a line of the legend.
type entry struct {
	name  string
	color Color
	style Style
}

// legend calls draw for each name with its place, and returns the lower edge of the legend.
func (l *layout) legend(draw func(at point, e entry)) float64 {
	var entries []entry
	for _, s := range l.Series {
		if s.Name != "" && len(s.Points) > 0 {
			entries = append(entries, entry{s.Name, s.Color, s.Style})
		}
	}
	for _, b := range l.Bands {
		entries = append(entries, entry{b.Name, band, Bars})
	}
	at := point{margin, margin + titleSize + rowHeight}
	for i, e := range entries {
		width := keyWidth + 6 + l.fonts.width(e.name, textSize)*svgMeasure
		if i > 0 && at.x+width > float64(l.Width)-margin {
			at = point{margin, at.y + rowHeight}
		}
		if draw != nil {
			draw(at, e)
		}
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

func (l *layout) draw(c canvas) {
	c.text(point{margin, margin + titleSize}, left, titleSize, ink, l.Title)
	l.legend(func(at point, e entry) { drawKey(c, at, e) })
	if l.Y.Label != "" {
		c.text(point{margin, l.top - 13}, left, textSize, soft, l.Y.Label)
	}
	if l.X.Label != "" {
		c.text(point{(l.left + l.right) / 2, float64(l.Height) - margin}, center, textSize, soft, l.X.Label)
	}
	for _, b := range l.Bands {
		from, to := l.place(Point{X: b.From, Y: l.y.min}), l.place(Point{X: b.To, Y: l.y.max})
		c.rectangle(point{from.x, to.y}, point{to.x, from.y}, band)
	}
	l.axes(c)
	for _, s := range l.Series {
		l.series(c, s)
	}
}

// drawKey draws a line of the legend, whose baseline is at a place.
func drawKey(c canvas, at point, e entry) {
	middle := point{at.x + keyWidth/2, at.y - 4}
	switch e.style {
	case Bars:
		c.rectangle(point{at.x + 3, middle.y - 5}, point{at.x + 13, middle.y + 5}, e.color)
	case Line, Steps, LineDots:
		c.polyline([]point{{at.x, middle.y}, {at.x + keyWidth, middle.y}}, e.color, 2.5)
	case Dots:
	}
	if e.style == Dots || e.style == LineDots {
		c.circle(middle, dotRadius, e.color)
	}
	c.text(point{at.x + keyWidth + 6, at.y}, left, textSize, ink, e.name)
}

// axes draws grid and labels. Lines lie on whole pixels, where they are sharp.
func (l *layout) axes(c canvas) {
	for _, t := range l.y.ticks {
		y := math.Round(l.place(Point{X: l.x.min, Y: t.Value}).y)
		c.polyline([]point{{l.left, y}, {l.right, y}}, grid, 1)
		c.text(point{l.left - tickGap, y + 4}, right, textSize, soft, t.Label)
	}
	bottom := math.Round(l.bottom)
	for _, t := range l.x.ticks {
		x := math.Round(l.place(Point{X: t.Value, Y: l.y.min}).x)
		if !l.hasBars() {
			c.polyline([]point{{x, bottom}, {x, bottom + 4}}, soft, 1)
		}
		c.text(point{x, l.bottom + tickGap + textSize}, center, textSize, soft, t.Label)
	}
	c.polyline([]point{{l.left, bottom}, {l.right, bottom}}, soft, 1)
}

func (l *layout) hasBars() bool {
	return slices.ContainsFunc(l.Series, func(s Series) bool { return s.Style == Bars })
}

func (l *layout) series(c canvas, s Series) {
	places := make([]point, 0, 2*len(s.Points))
	for i, p := range s.Points {
		if s.Style == Steps && i > 0 {
			places = append(places, l.place(Point{p.X, s.Points[i-1].Y}))
		}
		places = append(places, l.place(p))
	}
	switch s.Style {
	case Bars:
		l.bars(c, s)
	case Line, Steps, LineDots:
		c.polyline(places, s.Color, cmp.Or(s.Width, lineWidth))
	case Dots:
	}
	if s.Style == Dots || s.Style == LineDots {
		for _, p := range places {
			c.circle(p, dotRadius, s.Color)
		}
	}
}

func (l *layout) bars(c canvas, s Series) {
	for _, p := range s.Points {
		from, to := l.place(Point{p.X - s.Width/2, p.Y}), l.place(Point{p.X + s.Width/2, 0})
		c.rectangle(from, to, s.Color)
		c.text(point{(from.x + to.x) / 2, from.y - 5}, center, textSize, ink, threeDigits(p.Y))
	}
}
