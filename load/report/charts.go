package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
)

// namedChart is a chart and the name of its file.
type namedChart struct {
	name string
	chart.Chart
}

// charts returns the charts of a report. Charts without data are omitted.
func (r Report) charts() []namedChart {
	var all []namedChart
	for _, c := range []struct {
		name string
		make func(Report) chart.Chart
	}{
		{"search", searchChart}, {"rate", rateChart}, {"latency", latencyChart}, {"percentiles", percentilesChart}, {"server", serverChart},
	} {
		if made := c.make(r); !made.Empty() {
			all = append(all, namedChart{c.name, made})
		}
	}
	return all
}

// WritePNGs writes each chart of the report to a PNG in a folder, which it creates if necessary, and returns their
// paths.
func (r Report) WritePNGs(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write charts: %w", err)
	}
	var paths []string
	for _, c := range r.charts() {
		path := filepath.Join(dir, c.name+".png")
		if err := c.WritePNG(path); err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// wide is the width of a line that shows below others.
const wide = 3.5

func rateChart(r Report) chart.Chart {
	s := r.Summary
	c := chart.Chart{Title: "Rate of requests", X: timeAxis(s), Y: chart.Axis{Label: "requests per second", Include: []float64{0, 1}}}
	add := func(name string, color chart.Color, width float64, count func(result.Second) int) {
		points := overTime(s, func(b result.Second, seconds int) float64 { return float64(count(b)) / float64(seconds) })
		if n := len(points); n > 0 {
			points = append(points, chart.Point{X: float64(len(s.Timeline)), Y: points[n-1].Y})
		}
		c.Series = append(c.Series, chart.Series{Name: name, Color: color, Style: chart.Steps, Width: width, Points: points})
	}
	add("scheduled", chart.Pale, wide, func(s result.Second) int { return s.Offered })
	add("answered", chart.Green, 0, func(s result.Second) int { return s.Answered })
	if s.Split() {
		add("from the cache", chart.Purple, 0, func(s result.Second) int { return s.Cached })
	}
	for _, v := range r.Verdicts {
		if limit, ok := v.Condition.RateLimit(); ok {
			c.Levels = append(c.Levels, chart.Level{Name: fmt.Sprintf("limit of answers: %g/s", limit), Y: limit, Color: chart.Green})
		}
	}
	if s.OK < s.Sent {
		add("failed", chart.Red, 0, func(s result.Second) int { return s.Failed })
	}
	return c
}

func latencyChart(r Report) chart.Chart {
	s := r.Summary
	c := chart.Chart{
		Title: fmt.Sprintf("Latency of the requests due in each %s", interval(bucket(s))),
		X:     timeAxis(s), Y: chart.Axis{Label: "latency, ms", Log: true},
	}
	var lines []latencyLine
	lines, c.Levels = r.latencyLines()
	for _, l := range lines {
		points := overTime(s, func(b result.Second, _ int) float64 {
			if d := l.of(b); d > 0 {
				return milliseconds(d)
			}
			return math.NaN() // no answer
		})
		c.Series = append(c.Series, chart.Series{Name: l.name, Color: l.color, Width: l.width, Points: points})
	}
	return c
}

func percentilesChart(r Report) chart.Chart {
	s, highest := r.Summary, 1.0
	c := percentilesOf{Chart: chart.Chart{Title: "Latency by percentile", Y: chart.Axis{Label: "latency, ms", Log: true}}}
	for _, l := range percentileLines(s) {
		points, end := curveOf(s, l.span)
		if len(points) == 0 {
			continue
		}
		highest = max(highest, end)
		c.Series = append(c.Series, chart.Series{Name: l.span, Color: l.color, Width: l.width, Points: points})
		c.limits(r.latencies(), l)
	}
	if unsure := math.Log10(float64(s.OK)) - 1; unsure > 0 {
		c.Bands = []chart.Band{{Name: "fewer than ten requests beyond", From: unsure, To: highest}}
	}
	for _, dot := range c.dots {
		if len(c.Series) > 0 && dot.Points[0].X <= highest {
			c.Series = append(c.Series, dot)
		}
	}
	c.X = percentileAxis(highest)
	return c.Chart
}

// curveOf is the curve of a span over the axis of percentiles, up to the one that only the longest latency exceeds.
func curveOf(s *result.Summary, span string) (points []chart.Point, end float64) {
	n := float64(s.Count(span))
	if n == 0 {
		return nil, 0
	}
	for x := 0.0; x <= math.Log10(n)+1e-9; x += 0.02 {
		percent := 100 * (1 - math.Pow(10, -x))
		points = append(points, chart.Point{X: x, Y: milliseconds(max(s.Percentile(span, percent), time.Microsecond))})
	}
	return points, math.Log10(n)
}

// percentilesOf is a chart of percentiles, with the dots that come last.
type percentilesOf struct {
	chart.Chart
	dots []chart.Series
}

// limits adds the limits on a span: a level, and a dot where the curve of the span must not be above it.
func (c *percentilesOf) limits(all []slo.Latency, line spanLine) {
	color := line.color
	if color == chart.Pale { // too pale for a dashed line
		color = chart.Grey
	}
	for _, l := range all {
		level, ok := level(l, color)
		if l.Span != line.span || !ok {
			continue
		}
		c.Levels = append(c.Levels, level)
		if l.Percent > 0 && l.Percent < 100 {
			c.dots = append(c.dots, chart.Series{Color: color, Style: chart.Dots, Points: []chart.Point{{X: nines(l.Percent), Y: level.Y}}})
		}
	}
}

// spanLine is how a span is drawn.
type spanLine struct {
	span  string
	color chart.Color
	width float64
}

// percentileLines are the spans of the chart of percentiles. Where a cache answered, the total is less than the stages of
// the answers that were computed, so that the latter are shown apart.
func percentileLines(s *result.Summary) []spanLine {
	lines := []spanLine{{result.SpanTotal, chart.Blue, 0}}
	if mixed(s) {
		lines = []spanLine{{result.SpanTotal, chart.Pale, wide}, {result.SpanComputed, chart.Blue, 0}, {result.SpanCached, chart.Brown, 0}}
	}
	return append(lines, spanLine{result.SpanQueue, chart.Orange, 0}, spanLine{result.SpanInference, chart.Green, 0},
		spanLine{result.SpanPollLag, chart.Purple, 0}, spanLine{result.SpanSend, chart.Grey, 0})
}

// searchChart has a point for each trial, of the percentile that the search is for. Where so many requests failed that it
// has no value, the point is at the upper edge.
func searchChart(r Report) chart.Chart {
	if r.Search == nil {
		return chart.Chart{}
	}
	percent, limit := asked(r.Search)
	name := fmt.Sprintf("p%g", percent)
	c := chart.Chart{
		Title: fmt.Sprintf("Search: %s by rate", name), X: chart.Axis{Label: "requests per second", Include: []float64{0}},
		Y: chart.Axis{Label: name + " latency, ms", Log: true},
	}
	if r.Search.Rate > 0 {
		c.Title += fmt.Sprintf("; the conditions hold at %.1f requests per second", r.Search.Rate)
	}
	if line, ok := level(limit, chart.Grey); ok {
		c.Levels = []chart.Level{line}
	}
	longest, endless := 10*time.Millisecond, false
	for _, t := range r.Search.Trials {
		if d := t.Summary.PercentileAll(percent); d != result.Never {
			longest = max(longest, d)
		} else {
			endless = true
		}
	}
	holds := chart.Series{Name: "conditions hold", Color: chart.Green, Style: chart.Dots}
	broken := chart.Series{Name: "conditions broken", Color: chart.Red, Style: chart.Dots}
	if endless {
		broken.Name += " (at the top: " + name + " never ends)"
	}
	for _, t := range r.Search.Trials {
		s := &broken
		if t.Holds {
			s = &holds
		}
		d := min(max(t.Summary.PercentileAll(percent), time.Microsecond), 3*longest)
		s.Points = append(s.Points, chart.Point{X: t.Rate, Y: milliseconds(d)})
	}
	c.Series = []chart.Series{holds, broken}
	return c
}

func serverChart(r Report) chart.Chart {
	c := chart.Chart{Title: "State of the server", X: timeAxis(r.Summary), Y: chart.Axis{Label: "images or replicas", Include: []float64{0, 1}}}
	for _, l := range []struct {
		name  string
		color chart.Color
		width float64
		value func(result.Sample) int
	}{
		{"healthy replicas", chart.Green, wide, func(s result.Sample) int { return s.Replicas }},
		{"images waiting", chart.Orange, 0, func(s result.Sample) int { return s.Queue }},
		{"images in progress", chart.Blue, 0, func(s result.Sample) int { return s.Processing }},
	} {
		var points []chart.Point
		for _, sample := range r.Summary.Server {
			if sample.HasStatus {
				points = append(points, chart.Point{X: sample.At.Seconds(), Y: float64(l.value(sample))})
			}
		}
		if len(points) > 0 {
			c.Series = append(c.Series, chart.Series{Name: l.name, Color: l.color, Style: chart.Steps, Width: l.width, Points: points})
		}
	}
	return c
}
