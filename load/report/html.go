package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/search"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
)

//go:embed page.html comparison.html style.html
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*.html"))

// Report is the content of a page and of charts.
type Report struct {
	Summary  *result.Summary
	Verdicts []slo.Verdict  // conditions that the result was checked against
	Search   *search.Result // the search whose best trial the result is; nil for none
}

// HTML writes the report as one page without external resources.
func (r Report) HTML(w io.Writer) error {
	if err := pages.ExecuteTemplate(w, "page.html", r.fields()); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// HTMLFile writes the page to a file.
func (r Report) HTMLFile(path string) error {
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// pageFields is the content of the page, as text.
type pageFields struct {
	*result.Summary
	When, Took, Loop, Lateness string
	VeryLate                   bool   // so many requests were sent late that it matters
	Cached                     string // that a cache answered; empty if it did not
	Tiles                      []tile
	Failures                   []failure
	Verdicts                   []slo.Verdict
	Heads                      []string
	Rows                       []row
	Doubt                      string
	Settings                   []result.Setting
	Charts                     []figures
	Search                     *search.Result
	TrialHeads                 []string
	Trials                     []trial
	Interval                   string
	SecondHeads                []string
	Seconds                    []second
}

// figures are a chart in two widths, of which the page shows one, so that its text can be read.
type figures struct{ Wide, Narrow template.HTML }

// draw draws a chart for half of a wide page, and for a phone.
func draw(c chart.Chart) figures {
	wide, narrow := c, c
	wide.Width, wide.Height = 560, 330
	narrow.Width, narrow.Height = 350, 300
	return figures{template.HTML(wide.SVG()), template.HTML(narrow.SVG())}
}

type tile struct{ Value, Name string }

type failure struct {
	Count        int
	Kind, Sample string
}

type row struct {
	Span, Meaning string
	Cells         []cell
}

type cell struct {
	Text   string
	Unsure bool
}

type trial struct {
	Rate, Answers string
	Failed        int
	Percentiles   []string
	Late          int
	Holds         bool
}

// second is a row of the table, of as many seconds as Interval says.
type second struct {
	At, Offered, Sent, Answered, Cached, Failed int
	Latencies                                   []string
}

var meanings = map[string]string{
	result.SpanTotal:     "from the intended time to the result",
	result.SpanComputed:  "the total of answers that were computed",
	result.SpanCached:    "the total of answers from the server's cache",
	result.SpanSend:      "from the intended time to sending: the delay of this machine",
	result.SpanAnswer:    "from sending to the result: the latency in testers without a schedule",
	result.SpanSubmit:    "from sending to the server's acceptance",
	result.SpanQueue:     "waiting in the dispatcher, as reported by the dispatcher",
	result.SpanInference: "in the network, as reported by the replica",
	result.SpanPollLag:   "from result ready to result received",
}

func (r Report) fields() pageFields {
	s := r.Summary
	f := pageFields{Summary: s, Search: r.Search, When: s.Started.UTC().Format("2006-01-02 15:04:05 UTC"), Verdicts: r.Verdicts, Doubt: doubt, Settings: settings(s)}
	f.Lateness, f.VeryLate = lateness(s)
	f.Took = s.Elapsed.Round(100 * time.Millisecond).String()
	f.Loop = loop(s)
	f.Tiles, f.Cached = r.tiles(), Cached(s)
	for _, kind := range s.Kinds() {
		f.Failures = append(f.Failures, failure{s.Errors[kind], kind, cut(clean(s.Examples[kind]), maxSample)})
	}
	f.Heads = append(f.Heads, "mean")
	for _, p := range result.Percentiles {
		f.Heads = append(f.Heads, fmt.Sprintf("p%g", p))
	}
	f.Heads = append(f.Heads, "max")
	for _, span := range shown(s) {
		f.Rows = append(f.Rows, spanRow(s, span))
	}
	n, percentiles := bucket(s), r.percentiles(50, 99)
	f.Interval = interval(n)
	for _, p := range percentiles {
		f.SecondHeads = append(f.SecondHeads, fmt.Sprintf("p%g", p))
	}
	f.SecondHeads = append(f.SecondHeads, "max")
	for i := 0; i < len(s.Timeline); i += n {
		t := s.Between(i, i+n)
		row := second{At: i, Offered: t.Offered, Sent: t.Sent, Answered: t.Answered, Cached: t.Cached, Failed: t.Failed}
		for _, p := range percentiles {
			row.Latencies = append(row.Latencies, short(t.Percentile(p)))
		}
		row.Latencies = append(row.Latencies, short(t.Max()))
		f.Seconds = append(f.Seconds, row)
	}
	f.TrialHeads, f.Trials = r.trials()
	for _, c := range r.charts() {
		f.Charts = append(f.Charts, draw(c.Chart))
	}
	return f
}

// trials are the rows of the search's table, and the names of their percentiles.
func (r Report) trials() (heads []string, rows []trial) {
	if r.Search == nil {
		return nil, nil
	}
	percentiles := trialPercentiles(r.Search)
	for _, p := range percentiles {
		heads = append(heads, fmt.Sprintf("p%g", p))
	}
	for _, t := range r.Search.Trials {
		s := t.Summary
		row := trial{Rate: fmt.Sprintf("%.1f", t.Rate), Answers: fmt.Sprintf("%.1f", s.Rate()), Failed: s.Sent - s.OK, Late: s.Late, Holds: t.Holds}
		for _, p := range percentiles {
			row.Percentiles = append(row.Percentiles, shortOrNever(s.PercentileAll(p)))
		}
		rows = append(rows, row)
	}
	return heads, rows
}

// tiles are the most important figures.
func (r Report) tiles() []tile {
	s := r.Summary
	all := []tile{
		{fmt.Sprint(s.Sent), "requests"},
		{fmt.Sprintf("%.1f/s", s.Rate()), "answers"},
		{fmt.Sprint(s.Sent - s.OK), "failed"},
	}
	if s.Cached > 0 {
		all = append(all, tile{percentOf(s.Cached, s.OK), "from the cache"})
	}
	for _, p := range r.percentiles(50, 99, 99.9) {
		all = append(all, tile{percentileAll(s, p), fmt.Sprintf("p%g", p)})
	}
	if mixed(s) {
		for _, p := range []float64{50, 99} {
			all = append(all, tile{approximate(s, result.SpanComputed, p), fmt.Sprintf("p%g computed", p)})
		}
	}
	return all
}

// approximate writes a percentile of a span, with a mark if it is unreliable.
func approximate(s *result.Summary, span string, percent float64) string {
	text := short(s.Percentile(span, percent)) + " ms"
	if !result.EnoughSamples(s.Count(span), percent) {
		return "~" + text
	}
	return text
}

func spanRow(s *result.Summary, span string) row {
	r := row{Span: span, Meaning: meanings[span], Cells: []cell{{Text: short(s.Mean(span))}}}
	for _, p := range result.Percentiles {
		r.Cells = append(r.Cells, cell{short(s.Percentile(span, p)), !result.EnoughSamples(s.Count(span), p)})
	}
	r.Cells = append(r.Cells, cell{Text: short(s.Max(span))})
	return r
}

// percentileAll writes a percentile over all requests, including failures.
func percentileAll(s *result.Summary, percent float64) string {
	d := s.PercentileAll(percent)
	if d == result.Never {
		return "never"
	}
	if !result.EnoughSamples(s.Sent, percent) {
		return "~" + short(d) + " ms"
	}
	return short(d) + " ms"
}

// shortOrNever writes milliseconds, or that a request never ends.
func shortOrNever(d time.Duration) string {
	if d == result.Never {
		return "never"
	}
	return short(d)
}

// short writes milliseconds with three significant digits.
func short(d time.Duration) string {
	switch ms := milliseconds(d); {
	case ms == 0:
		return "-"
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	default:
		return fmt.Sprintf("%.0f", ms)
	}
}
