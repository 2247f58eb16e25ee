package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/load/result"
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
	add := func(name string, color chart.Color, width float64, latency func(result.Second) time.Duration) {
		points := overTime(s, func(b result.Second, _ int) float64 {
			if d := latency(b); d > 0 {
				return milliseconds(d)
			}
			return math.NaN() // no answer
		})
		c.Series = append(c.Series, chart.Series{Name: name, Color: color, Width: width, Points: points})
	}
	add("maximum", chart.Pale, wide, func(s result.Second) time.Duration { return s.Max() })
	if s.Split() {
		add("p99 computed", chart.Blue, 0, func(s result.Second) time.Duration { return s.PercentileComputed(99) })
		add("p50 computed", chart.Green, 0, func(s result.Second) time.Duration { return s.PercentileComputed(50) })
		add("p50 cached", chart.Purple, 0, func(s result.Second) time.Duration { return s.PercentileCached(50) })
		return c
	}
	add("p99", chart.Blue, 0, func(s result.Second) time.Duration { return s.Percentile(99) })
	add("p50", chart.Green, 0, func(s result.Second) time.Duration { return s.Percentile(50) })
	return c
}

func percentilesChart(r Report) chart.Chart {
	s, highest := r.Summary, 1.0
	c := chart.Chart{Title: "Latency by percentile", Y: chart.Axis{Label: "latency, ms", Log: true}}
	for _, l := range percentileLines(s) {
		n := float64(s.Count(l.span))
		if n == 0 {
			continue
		}
		var points []chart.Point
		for x := 0.0; x <= math.Log10(n)+1e-9; x += 0.02 {
			percent := 100 * (1 - math.Pow(10, -x))
			points = append(points, chart.Point{X: x, Y: milliseconds(max(s.Percentile(l.span, percent), time.Microsecond))})
		}
		highest = max(highest, math.Log10(n))
		c.Series = append(c.Series, chart.Series{Name: l.span, Color: l.color, Width: l.width, Points: points})
	}
	if unsure := math.Log10(float64(s.OK)) - 1; unsure > 0 {
		c.Bands = []chart.Band{{Name: "fewer than ten requests beyond", From: unsure, To: highest}}
	}
	c.X = percentileAxis(highest)
	return c
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
	if s.Split() {
		lines = []spanLine{{result.SpanTotal, chart.Pale, wide}, {result.SpanComputed, chart.Blue, 0}, {result.SpanCached, chart.Brown, 0}}
	}
	return append(lines, spanLine{result.SpanQueue, chart.Orange, 0}, spanLine{result.SpanInference, chart.Green, 0},
		spanLine{result.SpanPollLag, chart.Purple, 0}, spanLine{result.SpanSend, chart.Grey, 0})
}

// searchChart has a point for each trial. Where more than one request in a hundred failed, p99 has no value: the point
// is at the upper edge.
func searchChart(r Report) chart.Chart {
	if r.Search == nil {
		return chart.Chart{}
	}
	c := chart.Chart{
		Title: "Search: p99 by rate", X: chart.Axis{Label: "requests per second", Include: []float64{0}},
		Y: chart.Axis{Label: "p99 latency, ms", Log: true},
	}
	if r.Search.Rate > 0 {
		c.Title = fmt.Sprintf("Search: p99 by rate; the conditions hold at %.1f requests per second", r.Search.Rate)
	}
	longest, endless := 10*time.Millisecond, false
	for _, t := range r.Search.Trials {
		if d := t.Summary.PercentileAll(99); d != result.Never {
			longest = max(longest, d)
		} else {
			endless = true
		}
	}
	holds := chart.Series{Name: "conditions hold", Color: chart.Green, Style: chart.Dots}
	broken := chart.Series{Name: "conditions broken", Color: chart.Red, Style: chart.Dots}
	if endless {
		broken.Name += " (at the top: p99 never ends)"
	}
	for _, t := range r.Search.Trials {
		s := &broken
		if t.Holds {
			s = &holds
		}
		d := min(max(t.Summary.PercentileAll(99), time.Microsecond), 3*longest)
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
