package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/search"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
)

// What users ask for in conditions is in tables and charts, beside what is always there.

// latencies are the limits on latencies that the result was checked against.
func (r Report) latencies() []slo.Latency {
	var all []slo.Latency
	for _, v := range r.Verdicts {
		if l, ok := v.Condition.Latency(); ok {
			all = append(all, l)
		}
	}
	return all
}

// percentiles are the usual ones and those of conditions on the total, sorted.
func (r Report) percentiles(usual ...float64) []float64 {
	for _, l := range r.latencies() {
		if l.Span == result.SpanTotal && l.Percent > 0 {
			usual = append(usual, l.Percent)
		}
	}
	slices.Sort(usual)
	return slices.Compact(usual)
}

// limitName is a limit as the user wrote it, in short.
func limitName(l slo.Latency) string {
	name := l.Figure
	if l.Span != result.SpanTotal {
		name = l.Span + " " + name
	}
	return fmt.Sprintf("limit of %s: %s", name, l.Limit)
}

// level is the line of a limit in a chart of milliseconds. ok is false for a limit of 0, which has no place on a
// logarithmic axis.
func level(l slo.Latency, color chart.Color) (line chart.Level, ok bool) {
	return chart.Level{Name: limitName(l), Y: milliseconds(l.Limit), Color: color}, l.Limit > 0
}

// latencyLine is a figure of each second in the chart of latency over time.
type latencyLine struct {
	name  string
	color chart.Color
	width float64
	of    func(result.Second) time.Duration
}

// latencyLines are the lines of that chart, and the levels of conditions on the total or on computed answers. A level has
// the color of the line that it is a limit of.
func (r Report) latencyLines() (lines []latencyLine, levels []chart.Level) {
	all := func(p float64) func(result.Second) time.Duration {
		return func(s result.Second) time.Duration { return s.Percentile(p) }
	}
	computed := func(p float64) func(result.Second) time.Duration {
		return func(s result.Second) time.Duration { return s.PercentileComputed(p) }
	}
	lines = []latencyLine{
		{"max", chart.Pale, wide, func(s result.Second) time.Duration { return s.Max() }},
		{"p99", chart.Blue, 0, all(99)}, {"p50", chart.Green, 0, all(50)},
	}
	if mixed(r.Summary) {
		lines = append(lines[:1], latencyLine{"computed p99", chart.Blue, 0, computed(99)}, latencyLine{"computed p50", chart.Green, 0, computed(50)},
			latencyLine{"cached p50", chart.Purple, 0, func(s result.Second) time.Duration { return s.PercentileCached(50) }})
	}
	more := []chart.Color{chart.Orange, chart.Brown, chart.Red}
	for _, l := range r.latencies() {
		name, of := l.Figure, all(l.Percent)
		switch {
		case l.Span == result.SpanComputed && mixed(r.Summary):
			name, of = "computed "+name, computed(l.Percent)
		case l.Span != result.SpanTotal && l.Span != result.SpanComputed, l.Span == result.SpanComputed && r.Summary.Split():
			continue // not in this chart, or nothing was computed
		}
		i := slices.IndexFunc(lines, func(line latencyLine) bool { return line.name == name })
		color := chart.Grey
		switch {
		case i > 0: // the maximum is drawn too pale for a dashed line
			color = lines[i].color
		case i < 0 && l.Percent > 0 && len(more) > 0:
			color, more = more[0], more[1:]
			lines = append(lines, latencyLine{name, color, 0, of})
		}
		if line, ok := level(l, color); ok {
			levels = append(levels, line)
		}
	}
	return lines, levels
}

// asked is the percentile of the total that a search was for, 99 if it was for something else, and its limit, 0 if it has
// none.
func asked(s *search.Result) (percent float64, limit slo.Latency) {
	for _, t := range s.Trials {
		for _, v := range t.Verdicts {
			if l, ok := v.Condition.Latency(); ok && l.Span == result.SpanTotal && l.Percent > 0 {
				return l.Percent, l
			}
		}
	}
	return 99, slo.Latency{}
}

// trialPercentiles are the percentiles in the table of a search's trials.
func trialPercentiles(s *search.Result) []float64 {
	percent, _ := asked(s)
	all := []float64{50, 99, percent}
	slices.Sort(all)
	return slices.Compact(all)
}
