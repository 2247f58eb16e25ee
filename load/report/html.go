package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/search"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// Report is what a page and pictures are made of.
type Report struct {
	Summary  *result.Summary
	Verdicts []slo.Verdict  // conditions that the result was held against
	Search   *search.Result // the search whose best trial the result is; nil for none
}

// HTML writes the report as one page that needs nothing else.
func (r Report) HTML(w io.Writer) error {
	data, err := r.fields()
	if err == nil {
		err = page.Execute(w, data)
	}
	if err != nil {
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

// pageFields is what the page shows, as text.
type pageFields struct {
	*result.Summary
	When, Took, Loop, Lateness string
	Tiles                      []tile
	Failures                   []failure
	Verdicts                   []slo.Verdict
	Heads                      []string
	Rows                       []row
	Doubt                      string
	Charts                     []drawing
	Search                     *search.Result
	Trials                     []trial
	Stretch                    string
	Seconds                    []second
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
	P50, P99      string
	Late          int
	Holds         bool
}

type drawing struct {
	Title  string
	Legend []legend
	SVG    template.HTML
}

type legend struct {
	Name  string
	Color template.CSS
}

// second is a line of the table, of as many seconds as Stretch says.
type second struct {
	At, Offered, Sent, Answered, Failed int
	P50, P99, Max                       string
}

var meanings = map[string]string{
	result.SpanTotal:     "from the time the schedule wanted it sent to the answer",
	result.SpanSend:      "from that time to the sending: this machine's lateness",
	result.SpanAnswer:    "from the sending to the answer: what testers report that do not know a schedule",
	result.SpanSubmit:    "from the sending to the server's having it",
	result.SpanQueue:     "waiting in the dispatcher, as it says",
	result.SpanInference: "in the network, as the replica says",
	result.SpanPollLag:   "from the answer's being there to its being known",
}

func (r Report) fields() (pageFields, error) {
	s := r.Summary
	f := pageFields{Summary: s, Search: r.Search, When: s.Started.UTC().Format("2006-01-02 15:04:05 UTC"), Lateness: lateness(s), Verdicts: r.Verdicts, Doubt: doubt}
	f.Took = s.Elapsed.Round(100 * time.Millisecond).String()
	f.Loop = loop(s)
	f.Tiles = []tile{
		{fmt.Sprint(s.Sent), "requests"},
		{fmt.Sprintf("%.1f/s", s.Rate()), "answers"},
		{fmt.Sprint(s.Sent - s.OK), "failed"},
		{felt(s, 50), "p50"},
		{felt(s, 99), "p99"},
		{felt(s, 99.9), "p99.9"},
	}
	for _, kind := range s.Kinds() {
		f.Failures = append(f.Failures, failure{s.Errors[kind], kind, cut(clean(s.Examples[kind]), maxSample)})
	}
	f.Heads = append(f.Heads, "mean")
	for _, p := range result.Percentiles {
		f.Heads = append(f.Heads, fmt.Sprintf("p%g", p))
	}
	f.Heads = append(f.Heads, "max")
	for _, span := range result.Spans {
		if s.Count(span) > 0 {
			f.Rows = append(f.Rows, spanRow(s, span))
		}
	}
	n := bucket(s)
	f.Stretch = stretch(n)
	for i := 0; i < len(s.Timeline); i += n {
		t := s.Between(i, i+n)
		f.Seconds = append(f.Seconds, second{i, t.Offered, t.Sent, t.Answered, t.Failed, short(t.Percentile(50)), short(t.Percentile(99)), short(t.Max())})
	}
	if r.Search != nil {
		for _, t := range r.Search.Trials {
			f.Trials = append(f.Trials, trial{fmt.Sprintf("%.1f", t.Rate), fmt.Sprintf("%.1f", t.Summary.Rate()), t.Summary.Sent - t.Summary.OK,
				bare(t.Summary.PercentileAll(50)), bare(t.Summary.PercentileAll(99)), t.Summary.Late, t.Holds})
		}
	}
	pictures, err := r.pictures()
	if err != nil {
		return f, err
	}
	for _, p := range pictures {
		svg, err := p.svg()
		if err != nil {
			return f, fmt.Errorf("draw %s: %w", p.name, err)
		}
		d := drawing{Title: p.title, SVG: template.HTML(svg)}
		for _, e := range p.legend {
			d.Legend = append(d.Legend, legend{e.name, template.CSS(fmt.Sprintf("#%02x%02x%02x", e.color.R, e.color.G, e.color.B))})
		}
		f.Charts = append(f.Charts, d)
	}
	return f, nil
}

func spanRow(s *result.Summary, span string) row {
	r := row{Span: span, Meaning: meanings[span], Cells: []cell{{Text: short(s.Mean(span))}}}
	for _, p := range result.Percentiles {
		r.Cells = append(r.Cells, cell{short(s.Percentile(span, p)), !result.EnoughSamples(s.Count(span), p)})
	}
	r.Cells = append(r.Cells, cell{Text: short(s.Max(span))})
	return r
}

// felt is a percentile over all requests, failures included.
func felt(s *result.Summary, percent float64) string {
	d := s.PercentileAll(percent)
	if d == result.Never {
		return "never"
	}
	if !result.EnoughSamples(s.Sent, percent) {
		return "~" + short(d) + " ms"
	}
	return short(d) + " ms"
}

// bare is a duration in milliseconds that may be without end.
func bare(d time.Duration) string {
	if d == result.Never {
		return "never"
	}
	return short(d)
}

// short writes milliseconds in three digits.
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
