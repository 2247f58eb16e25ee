// Package chart draws charts of lines, points and bars as SVG and PNG. A Chart holds data, names and units; the package
// lays it out once and renders it with one of two canvases. SVG follows the reader's choice of light or dark colors, PNG
// is light. Both look the same otherwise: title, legend, plot, each below the other.
package chart

import "slices"

// Chart is a chart with numeric axes.
type Chart struct {
	Title  string
	X, Y   Axis
	Series []Series // drawn in this order
	Bands  []Band   // drawn below the series
	Levels []Level  // drawn below the series, above the bands
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

// Level is a named value of the y axis, such as a limit: a dashed line across the plot.
type Level struct {
	Name  string
	Y     float64
	Color Color
}

// Band is a shaded range of the x axis.
type Band struct {
	Name     string
	From, To float64
}
