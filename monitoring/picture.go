package monitoring

import (
	"fmt"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
)

// Line is a series that Prometheus returned for a query of a panel, named by the query's legend.
type Line struct {
	Name   string
	Points []chart.Point // seconds since the first, and the value
}

// Sizes of the picture's charts in pixels.
const (
	chartWidth, chartHeight = 560, 300
	columns                 = 2
	gap                     = 16
)

// maxLines is how many series a chart of the picture has; more cannot be told apart.
const maxLines = 6

// Picture draws panels with their lines as one SVG, in rows of two.
func Picture(panels []Panel, lines map[string][]Line) string {
	rows := (len(panels) + columns - 1) / columns
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d">`, columns*(chartWidth+gap)-gap, rows*(chartHeight+gap)-gap)
	for i, p := range panels {
		c := chart.Chart{Title: p.Title + unitNames[p.Unit], X: chart.Axis{Label: "time, s"}, Y: chart.Axis{Include: []float64{0}}, Width: chartWidth, Height: chartHeight}
		for j, l := range lines[p.Title][:min(maxLines, len(lines[p.Title]))] {
			points := l.Points
			if p.Unit == Bytes {
				points = make([]chart.Point, len(l.Points))
				for k, at := range l.Points {
					points[k] = chart.Point{X: at.X, Y: at.Y / 1e6}
				}
			}
			c.Series = append(c.Series, chart.Series{Name: l.Name, Color: chart.Blue + chart.Color(j), Points: points})
		}
		fmt.Fprintf(&s, `<svg x="%d" y="%d" width="%d" height="%d">%s</svg>`,
			i%columns*(chartWidth+gap), i/columns*(chartHeight+gap), chartWidth, chartHeight, c.SVG())
	}
	s.WriteString("</svg>\n")
	return s.String()
}

var unitNames = map[Unit]string{PerSecond: ", per second", Ratio: ", share", Seconds: ", seconds", Bytes: ", MB"}

// LegendOf fills in the labels of a series into a legend.
func LegendOf(legend string, labels map[string]string) string {
	for name, value := range labels {
		legend = strings.ReplaceAll(legend, "{{"+name+"}}", value)
	}
	return legend
}
