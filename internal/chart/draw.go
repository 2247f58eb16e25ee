package chart

import (
	"cmp"
	"math"
	"slices"
)

// draw draws the chart on a canvas.
func (l *layout) draw(c canvas) {
	for i, line := range l.title {
		c.text(point{margin, margin + titleSize + float64(i)*(titleSize+titleGap)}, left, titleSize, ink, line)
	}
	l.legend(func(at point, e entry) { key(c, at, e) })
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
	for _, level := range l.Levels {
		y := l.place(Point{X: l.x.min, Y: level.Y}).y
		c.dashes(point{l.left, y}, point{l.right, y}, level.Color, lineWidth)
	}
	for _, s := range l.Series {
		l.series(c, s)
	}
}

// key draws an entry of the legend, with the baseline of its text at a place.
func key(c canvas, at point, e entry) {
	middle := point{at.x + keyWidth/2, at.y - 4}
	switch {
	case e.level:
		c.dashes(point{at.x, middle.y}, point{at.x + keyWidth, middle.y}, e.color, e.width)
	case e.style == Bars:
		c.rectangle(point{at.x + 3, middle.y - 5}, point{at.x + 13, middle.y + 5}, e.color)
	case e.style != Dots:
		c.polyline([]point{{at.x, middle.y}, {at.x + keyWidth, middle.y}}, e.color, e.width)
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
		c.polyline(places, s.Color, s.lineWidth())
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

func (s Series) lineWidth() float64 { return cmp.Or(s.Width, lineWidth) }
