package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/load/compare"
	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// Comparison is the content of a comparison of two runs.
type Comparison struct {
	// NameA and NameB are the runs' names, such as those of their files.
	NameA, NameB string
	A, B         *result.Summary
	compare.Comparison
}

// Compare compares b with a.
func Compare(nameA string, a *result.Summary, nameB string, b *result.Summary) Comparison {
	return Comparison{nameA, nameB, a, b, compare.Runs(a, b)}
}

// aboutNoise says what the bounds of a comparison are, and what they are not.
const aboutNoise = "B/A is between the bounds with a confidence of 99 %, judged by how the twenty parts of each run differ. What differs from run to run, such as other programs on the machines, is not in the bounds: before you rely on a small difference, repeat both runs in turn."

// Text writes the comparison as text.
func (c Comparison) Text(w io.Writer) error {
	for _, run := range c.runs() {
		fmt.Fprintf(w, "%s  %s: %s\n", run.Letter, run.Name, run.Text)
	}
	for _, d := range c.Different {
		fmt.Fprintf(w, "   %s\n", clean(differenceText(d)))
	}
	// The words come after the table, because all of its columns are aligned to the right.
	var table bytes.Buffer
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\tA\tB\tB/A\tbounds\t")
	words := []string{"B is"}
	for _, r := range c.cells() {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t\n", r.Name, r.A, r.B, r.Ratio, r.Bounds)
		words = append(words, r.Word)
	}
	_ = tw.Flush() // a buffer takes everything
	fmt.Fprintln(w)
	for line := range strings.Lines(table.String()) {
		fmt.Fprintln(w, strings.TrimRight(strings.TrimSuffix(line, "\n")+"  "+words[0], " "))
		words = words[1:]
	}
	if note := c.failedNote(); note != "" {
		fmt.Fprintln(w, note)
	}
	if _, err := fmt.Fprintln(w, aboutNoise); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

// comparedRun describes one of the runs.
type comparedRun struct{ Letter, Name, Text string }

func (c Comparison) runs() []comparedRun {
	text := func(s *result.Summary) string {
		return fmt.Sprintf("%s, %s, schedule %s, %s, %d images", s.Started.UTC().Format("2006-01-02 15:04:05 UTC"), s.Target, s.Schedule, loop(s), s.Sent)
	}
	return []comparedRun{{"A", c.NameA, text(c.A)}, {"B", c.NameB, text(c.B)}}
}

// differenceText is a setting that differs.
func differenceText(d compare.Difference) string {
	value := func(v string) string {
		if v == "" {
			return "none"
		}
		return v
	}
	return fmt.Sprintf("%s: A %s, B %s", d.Name, value(d.A), value(d.B))
}

// failedNote warns that failures make the latencies of the others look better.
func (c Comparison) failedNote() string {
	for _, s := range []*result.Summary{c.A, c.B} {
		if float64(s.Sent-s.OK) > 0.01*float64(s.Sent) {
			return "Latencies are of successful requests: failed ones, which users would have waited for, are missing in them."
		}
	}
	return ""
}

// comparedCells is a row of a comparison as text.
type comparedCells struct{ Name, A, B, Ratio, Bounds, Word, Class string }

func (c Comparison) cells() []comparedCells {
	var all []comparedCells
	for _, r := range c.Rows {
		cells := comparedCells{Name: r.Name + " " + r.Unit, A: figure(r.A), B: figure(r.B), Word: string(r.Word), Class: class(r.Name, r.Word)}
		if r.Name == "answers" {
			cells.Name = "answers/s"
		}
		if !math.IsNaN(r.Ratio) {
			cells.Ratio = fmt.Sprintf("%.3f", r.Ratio)
		}
		if !math.IsNaN(r.Low) && !math.IsNaN(r.High) {
			cells.Bounds = fmt.Sprintf("%.3f..%.3f", r.Low, r.High)
		}
		all = append(all, cells)
	}
	return all
}

// class is the style of a word: what is good for users, what is bad, and what says nothing.
func class(name string, w compare.Word) string {
	more, fewer := "good", "bad"
	if name == "failed" {
		more, fewer = fewer, more
	}
	switch w {
	case compare.Faster:
		return "good"
	case compare.Slower:
		return "bad"
	case compare.More:
		return more
	case compare.Fewer:
		return fewer
	default:
		return "soft"
	}
}

// figure writes a number with three significant digits.
func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// charts draw both runs over each other: percentiles, and the median and p99 of each second.
func (c Comparison) charts() []figures {
	highest := 1.0
	percentiles := chart.Chart{Title: "Latency by percentile", Y: chart.Axis{Label: "latency, ms", Log: true}}
	for _, l := range []struct {
		name  string
		s     *result.Summary
		span  string
		color chart.Color
		width float64
	}{
		{"A", c.A, result.SpanTotal, chart.Blue, 0}, {"B", c.B, result.SpanTotal, chart.Orange, 0},
		{"A computed", c.A, result.SpanComputed, chart.Green, 0}, {"B computed", c.B, result.SpanComputed, chart.Purple, 0},
	} {
		if l.span == result.SpanComputed && !mixed(c.A) && !mixed(c.B) {
			continue
		}
		points, end := curveOf(l.s, l.span)
		highest = max(highest, end)
		percentiles.Series = append(percentiles.Series, chart.Series{Name: l.name, Color: l.color, Points: points})
	}
	percentiles.X = percentileAxis(highest)
	longer := c.A
	if len(c.B.Timeline) > len(longer.Timeline) {
		longer = c.B
	}
	over := chart.Chart{Title: "Latency over time", X: timeAxis(longer), Y: chart.Axis{Label: "latency, ms", Log: true}}
	for _, l := range []struct {
		name    string
		s       *result.Summary
		percent float64
		color   chart.Color
	}{
		{"A p99", c.A, 99, chart.Blue}, {"B p99", c.B, 99, chart.Orange}, {"A p50", c.A, 50, chart.Green}, {"B p50", c.B, 50, chart.Purple},
	} {
		points := overTime(l.s, func(b result.Second, _ int) float64 {
			if d := b.Percentile(l.percent); d > 0 {
				return milliseconds(d)
			}
			return math.NaN()
		})
		over.Series = append(over.Series, chart.Series{Name: l.name, Color: l.color, Points: points})
	}
	var all []figures
	for _, c := range []chart.Chart{percentiles, over} {
		if !c.Empty() {
			all = append(all, draw(c))
		}
	}
	return all
}

// HTML writes the comparison as one page without external resources.
func (c Comparison) HTML(w io.Writer) error {
	different := make([]string, len(c.Different))
	for i, d := range c.Different {
		different[i] = differenceText(d)
	}
	err := pages.ExecuteTemplate(w, "comparison.html", struct {
		Runs                   []comparedRun
		Different              []string
		Cells                  []comparedCells
		Charts                 []figures
		AboutNoise, FailedNote string
	}{c.runs(), different, c.cells(), c.charts(), aboutNoise, c.failedNote()})
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// HTMLFile writes the page to a file.
func (c Comparison) HTMLFile(path string) error {
	var b bytes.Buffer
	if err := c.HTML(&b); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}
