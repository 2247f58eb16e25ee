package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/search"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
)

// results are runs of every kind that a report has to cope with.
func results() map[string]*result.Summary {
	whole, failed := result.NewSummary(), result.NewSummary()
	for i := range 2000 {
		due := time.Duration(i) * 5 * time.Millisecond
		r := result.Record{File: "a.jpg", Intended: due, Sent: due, Accepted: due + time.Millisecond,
			Done: due + 20*time.Millisecond, Queue: time.Millisecond, Inference: 15 * time.Millisecond, PollLag: time.Millisecond}
		whole.Add(r)
		r.Error, r.Detail = "full", "<script>alert(1)</script>"
		failed.Add(r)
	}
	for _, s := range []*result.Summary{whole, failed} {
		s.Started, s.Elapsed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 10*time.Second
		s.Schedule, s.Target = "constant:200:10s", "http://server (async)"
	}
	whole.Server = []result.Sample{{HasStatus: true, Queue: 2, Replicas: 1}, {HasStatus: true, At: time.Second, Queue: 3, Replicas: 2}}
	half := result.NewSummary() // from the cache
	for i := range 2000 {
		due := time.Duration(i) * 5 * time.Millisecond
		r := result.Record{File: "a.jpg", Intended: due, Sent: due, Accepted: due + time.Millisecond, Done: due + 20*time.Millisecond, Inference: 15 * time.Millisecond}
		if i%2 == 1 {
			r.FromCache, r.Done = true, due+2*time.Millisecond
		}
		half.Add(r)
	}
	half.Elapsed = 10 * time.Second
	one := result.NewSummary()
	one.Add(result.Record{File: "a.jpg", Done: time.Second})
	return map[string]*result.Summary{"whole": whole, "all failed": failed, "half cached": half, "one request": one, "nothing": result.NewSummary()}
}

// external matches what a browser would fetch.
var external = regexp.MustCompile(`(?i)(src|href)\s*=|url\(|@import`)

func TestHTMLStandsAlone(t *testing.T) {
	t.Parallel()
	found := &search.Result{Rate: 200}
	for _, name := range []string{"all failed", "whole"} {
		found.Trials = append(found.Trials, search.Trial{Rate: 200, Holds: name == "whole", Summary: results()[name]})
	}
	condition, err := slo.Parse("p99<1ms")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range results() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := (Report{Summary: s, Verdicts: []slo.Verdict{condition.Check(s)}, Search: found}).HTML(&b); err != nil {
				t.Fatal(err)
			}
			if found := external.FindString(b.String()); found != "" {
				t.Errorf("page refers to something outside: %q", found)
			}
			if strings.Contains(b.String(), "<script>") {
				t.Error("a server's message became markup")
			}
			if want := "BROKEN  p99&lt;1ms"; !strings.Contains(b.String(), want) {
				t.Errorf("page lacks %q", want)
			}
			for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(b.String(), -1) {
				for d := xml.NewDecoder(strings.NewReader(svg)); ; {
					if _, err := d.Token(); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						t.Fatalf("picture: %v", err)
					}
				}
			}
		})
	}
}

func TestWritePNGs(t *testing.T) {
	t.Parallel()
	for name, s := range results() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			paths, err := Report{Summary: s}.WritePNGs(filepath.Join(t.TempDir(), "new"))
			if err != nil {
				t.Fatal(err)
			}
			if want := map[string]int{"whole": 4, "half cached": 3, "all failed": 2, "one request": 3}[name]; len(paths) != want {
				t.Errorf("charts %v, want %d", paths, want)
			}
			for _, path := range paths {
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := png.Decode(f); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				f.Close()
			}
		})
	}
}

// TestTextSaysWhatIsUnsure: of 2000 observations 20 lie beyond p99, and 2 beyond p99.9.
func TestTextSaysWhatIsUnsure(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Text(&b, results()["whole"]); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`http://server \(async\), schedule constant:200:10s, open loop`,
		`2000 images in 10\.0 s: 2000 answered \(0 from the cache\), 0 failed, 200\.0 answers/s`,
		`total +20\.0 +20\.0 +20\.0 +20\.0 +20\.0 +~20\.0 +~20\.0 +20\.0`,
		`~: fewer than ten`,
	} {
		if !regexp.MustCompile(line).MatchString(b.String()) {
			t.Errorf("text lacks %q:\n%s", line, b.String())
		}
	}
}

// TestTextNamesTheTokenFile checks that the line after a missing key says how to give one.
func TestTextNamesTheTokenFile(t *testing.T) {
	t.Parallel()
	s := results()["whole"]
	s.Errors, s.Examples = map[string]int{"unauthorized": 2}, map[string]string{"unauthorized": "A key is required"}
	var b strings.Builder
	if err := Text(&b, s); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "A key is required\n    --token-file names") {
		t.Errorf("text:\n%s", &b)
	}
}

// TestTextLeavesOutEmptySpans checks that only spans with observations have a line, even if it is just one observation.
func TestTextLeavesOutEmptySpans(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"whole":       append([]string{result.SpanTotal}, result.Spans[3:]...),
		"half cached": {result.SpanTotal, result.SpanComputed, result.SpanCached, result.SpanSend, result.SpanAnswer, result.SpanSubmit, result.SpanInference},
		"one request": {result.SpanTotal, result.SpanSend, result.SpanAnswer, result.SpanSubmit},
		"all failed":  {result.SpanSend},
		"nothing":     nil,
	} {
		var b strings.Builder
		if err := Text(&b, results()[name]); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, span := range result.Spans {
			if regexp.MustCompile(`(?m)^ *` + span + ` +[0-9]`).MatchString(b.String()) {
				got = append(got, span)
			}
		}
		if !cmp.Equal(got, want) {
			t.Errorf("%s: lines of %q, want %q:\n%s", name, got, want, b.String())
		}
	}
}

// TestRatesLastToTheEnd checks that the steps of the rate chart show the whole of the last second.
func TestRatesLastToTheEnd(t *testing.T) {
	t.Parallel()
	s := results()["whole"]
	chart := rateChart(Report{Summary: s})
	if len(chart.Series) == 0 {
		t.Fatal("no rates")
	}
	for _, series := range chart.Series {
		n := len(series.Points)
		if end := series.Points[n-1]; end.X != float64(len(s.Timeline)) || end.Y != series.Points[n-2].Y {
			t.Errorf("%s ends at %+v, want the rate of the last second at its end, %d s", series.Name, end, len(s.Timeline))
		}
	}
	for _, series := range rateChart(Report{Summary: results()["nothing"]}).Series {
		if len(series.Points) > 0 {
			t.Errorf("%s of nothing: %v", series.Name, series.Points)
		}
	}
}

func columns(n int) func() (int, int) { return func() (int, int) { return n, 24 } }

// TestLiveFrame looks at the view in the third second of four.
func TestLiveFrame(t *testing.T) {
	t.Parallel()
	live := NewLive("4,8,4,4", []int{4, 8, 4, 4}, columns(60))
	for i := range 12 {
		due := time.Duration(i) * 160 * time.Millisecond
		live.Record(result.Record{File: "a.jpg", Intended: due, Sent: due, Done: due + 50*time.Millisecond})
	}
	live.Record(result.Record{File: "a.jpg", Intended: 2 * time.Second, Sent: 2 * time.Second, Done: 2 * time.Second, Error: "full", Detail: "Queue is full"})
	live.Sample(result.Sample{HasStatus: true, Queue: 3, Processing: 2, Replicas: 1})
	got := strings.Join(live.Frame(2500*time.Millisecond, 60), "\n")
	for _, want := range []string{
		"second    2 of 4, schedule 4,8,4,4",
		"         [===================                    ]",
		"scheduled ▄█                                           8/s",
		"answered  ██                                           6/s",
		"so far    12 answered (0 from the cache), 1 failed, 0 sent late",
		"p50 50.0  p99 50.0  max 50.0 ms, in the last 5 seconds",
		"server    3 waiting, 2 in progress; replicas: 1",
		"failed    1 x full: Queue is full",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("view lacks %q:\n%s", want, got)
		}
	}
}

// TestLivePercentiles looks at latencies of 1 to 200 ms, of which the view shows the 100th, the 198th and the last.
func TestLivePercentiles(t *testing.T) {
	t.Parallel()
	live := NewLive("constant:1:1m", make([]int, 60), columns(80))
	for i := range 200 {
		live.Record(result.Record{Done: time.Duration(200-i) * time.Millisecond})
	}
	if got, want := strings.Join(live.Frame(time.Second, 80), "\n"), "p50 100  p99 198  max 200 ms"; !strings.Contains(got, want) {
		t.Errorf("view lacks %q:\n%s", want, got)
	}
}

// TestLiveOverload: the answers that come are to requests of long ago, and are what the latency is of.
func TestLiveOverload(t *testing.T) {
	t.Parallel()
	live := NewLive("constant:1:1m", make([]int, 60), columns(80))
	for _, r := range []result.Record{{Intended: time.Second, Done: 2 * time.Second}, {Intended: 2 * time.Second, Done: 29 * time.Second}} {
		live.Record(r)
	}
	if got, want := strings.Join(live.Frame(30*time.Second, 80), "\n"), "p50 27000  p99 27000  max 27000 ms"; !strings.Contains(got, want) {
		t.Errorf("view lacks %q:\n%s", want, got)
	}
	if got := strings.Join(live.Frame(40*time.Second, 80), "\n"); !strings.Contains(got, "no answer in the last 5 seconds") {
		t.Errorf("view:\n%s", got)
	}
}

// TestHTMLShowsAllFigures: tiles, a row for each span that has observations, and one for each trial of a search.
func TestHTMLShowsAllFigures(t *testing.T) {
	t.Parallel()
	s := results()["whole"]
	f := Report{Summary: s, Search: &search.Result{Rate: 200, Trials: []search.Trial{{Rate: 200, Holds: true, Summary: s}, {Rate: 400, Summary: results()["all failed"]}}}}.fields()
	wantTiles := []tile{{"2000", "requests"}, {"200.0/s", "answers"}, {"0", "failed"}, {"20.0 ms", "p50"}, {"20.0 ms", "p99"}, {"~20.0 ms", "p99.9"}}
	if diff := cmp.Diff(wantTiles, f.Tiles); diff != "" {
		t.Errorf("tiles, -want +got:\n%s", diff)
	}
	wantTrials := []trial{{"200.0", "200.0", 0, []string{"20.0", "20.0"}, 0, true}, {"400.0", "0.0", 2000, []string{"never", "never"}, 0, false}}
	if diff := cmp.Diff(wantTrials, f.Trials); diff != "" {
		t.Errorf("trials, -want +got:\n%s", diff)
	}
	if len(f.Rows) != len(result.Spans)-2 || f.Cached != "" || len(f.Charts) != 5 || len(f.Seconds) != 11 {
		t.Errorf("%d spans, %d charts, %d seconds", len(f.Rows), len(f.Charts), len(f.Seconds))
	}
	one := Report{Summary: results()["one request"]}.fields()
	if len(one.Rows) != 4 { // total, send lag, answer, submit
		t.Errorf("one request: %d spans, want 4", len(one.Rows))
	}
}

// TestCachedApart checks that answers from the cache are shown apart from computed ones in text, tiles and charts: the total's
// median is neither's, and below the inference.
func TestCachedApart(t *testing.T) {
	t.Parallel()
	s := results()["half cached"]
	note := "1000 of 2000 answers (50 %) came from the server's cache, which takes less time than computing; 'computed' shows the others; use --unique"
	var b strings.Builder
	if err := Text(&b, s); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{regexp.QuoteMeta(note), `total +11\.0 +2\.00 `, `computed +20\.0 +20\.0 `, `cached +2\.00 +2\.00 `, `inference +15\.0 `} {
		if !regexp.MustCompile(line).MatchString(b.String()) {
			t.Errorf("text lacks %q:\n%s", line, b.String())
		}
	}
	r := Report{Summary: s}
	wantTiles := []tile{{"2000", "requests"}, {"200.0/s", "answers"}, {"0", "failed"}, {"50 %", "from the cache"}, {"2.00 ms", "p50"}, {"20.0 ms", "p99"},
		{"~20.0 ms", "p99.9"}, {"20.0 ms", "p50 computed"}, {"20.0 ms", "p99 computed"}}
	if diff := cmp.Diff(wantTiles, r.fields().Tiles); diff != "" {
		t.Errorf("tiles, -want +got:\n%s", diff)
	}
	if got := r.fields(); !strings.HasPrefix(got.Cached, note) || got.Seconds[0].Cached != 100 {
		t.Errorf("note %q, %d cached in the first second", got.Cached, got.Seconds[0].Cached)
	}
	if diff := cmp.Diff([]string{"scheduled", "answered", "from the cache"}, names(rateChart(r))); diff != "" {
		t.Errorf("rates, -want +got:\n%s", diff)
	}
	latency := latencyChart(r)
	if diff := cmp.Diff([]string{"max", "computed p99", "computed p50", "cached p50"}, names(latency)); diff != "" {
		t.Errorf("latency, -want +got:\n%s", diff)
	}
	for i, want := range []float64{20, 20, 20, 2} {
		if got := latency.Series[i].Points[0].Y; got < want*0.999 || got > want*1.001 {
			t.Errorf("%s begins at %v ms, want %v", latency.Series[i].Name, got, want)
		}
	}
	if diff := cmp.Diff([]string{"total", "computed", "cached", "inference", "send lag"}, names(percentilesChart(r))); diff != "" {
		t.Errorf("percentiles, -want +got:\n%s", diff)
	}
}

// TestAllCached checks that nothing is shown twice if all answers came from the cache, and that this is said.
func TestAllCached(t *testing.T) {
	t.Parallel()
	s := result.NewSummary()
	for i := range 30 {
		due := time.Duration(i) * 100 * time.Millisecond
		s.Add(result.Record{Intended: due, Sent: due, Done: due + time.Millisecond, FromCache: true})
	}
	r := Report{Summary: s, Verdicts: verdicts(t, s, "computed.p99<1s")}
	if got, want := Cached(s), "30 of 30 answers (100 %) came from the server's cache, none was computed; use --unique to have all computed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"total", "send lag", "answer", "submit"}, shown(s)); diff != "" {
		t.Errorf("spans, -want +got:\n%s", diff)
	}
	if c := latencyChart(r); !cmp.Equal([]string{"max", "p99", "p50"}, names(c)) || len(c.Levels) > 0 {
		t.Errorf("lines %v, limits %v", names(c), c.Levels)
	}
	if c := percentilesChart(r); !cmp.Equal([]string{"total", "send lag"}, names(c)) {
		t.Errorf("percentiles %v", names(c))
	}
	if n := len(r.fields().Tiles); n != 7 {
		t.Errorf("%d tiles, want none of computed answers", n)
	}
}

// verdicts checks a result against conditions.
func verdicts(t *testing.T, s *result.Summary, conditions ...string) (all []slo.Verdict) {
	t.Helper()
	for _, text := range conditions {
		c, err := slo.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.Check(s))
	}
	return all
}

// TestAsked checks that a report shows the percentiles and limits that its conditions name.
func TestAsked(t *testing.T) {
	t.Parallel()
	s := results()["whole"]
	r := Report{Summary: s, Verdicts: verdicts(t, s, "p95<250ms", "p99<1s", "max<2s", "mean<90ms", "rate>30", "queue.p90<7ms", "p50<0s", "errors<1%", "computed.p90<3s")}
	latency := latencyChart(r)
	if diff := cmp.Diff([]string{"max", "p99", "p50", "p95", "p90"}, names(latency)); diff != "" {
		t.Errorf("latency, -want +got:\n%s", diff)
	}
	want := []chart.Level{
		{Name: "limit of p95: 250ms", Y: 250, Color: chart.Orange}, {Name: "limit of p99: 1s", Y: 1000, Color: chart.Blue},
		{Name: "limit of max: 2s", Y: 2000, Color: chart.Grey}, {Name: "limit of mean: 90ms", Y: 90, Color: chart.Grey},
		{Name: "limit of computed p90: 3s", Y: 3000, Color: chart.Brown},
	}
	if diff := cmp.Diff(want, latency.Levels); diff != "" {
		t.Errorf("limits, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]chart.Level{{Name: "limit of answers: 30/s", Y: 30, Color: chart.Green}}, rateChart(r).Levels); diff != "" {
		t.Errorf("limits of rates, -want +got:\n%s", diff)
	}
	percentiles := percentilesChart(r)
	var dots []chart.Point
	for _, s := range percentiles.Series {
		if s.Style == chart.Dots {
			dots = append(dots, s.Points...)
		}
	}
	wantDots := []chart.Point{{X: nines(95), Y: 250}, {X: nines(99), Y: 1000}, {X: nines(90), Y: 7}}
	if diff := cmp.Diff(wantDots, dots); diff != "" || len(percentiles.Levels) != 5 {
		t.Errorf("%d limits, dots -want +got:\n%s", len(percentiles.Levels), diff)
	}
	f := r.fields()
	if diff := cmp.Diff([]string{"p50", "p95", "p99", "max"}, f.SecondHeads); diff != "" || len(f.Seconds[0].Latencies) != 4 {
		t.Errorf("%v, heads -want +got:\n%s", f.Seconds[0], diff)
	}
	if got := f.Tiles[4]; got != (tile{"20.0 ms", "p95"}) {
		t.Errorf("tiles %v, want p95", f.Tiles)
	}

	found := &search.Result{Rate: 200, Trials: []search.Trial{{Rate: 200, Holds: true, Summary: s, Verdicts: r.Verdicts[:1]}}}
	c := searchChart(Report{Summary: s, Search: found})
	if c.Title != "Search: p95 by rate; the conditions hold at 200.0 requests per second" || len(c.Levels) != 1 || c.Levels[0].Y != 250 {
		t.Errorf("search: %q, limits %v", c.Title, c.Levels)
	}
	var b strings.Builder
	if err := Search(&b, found); err != nil || !strings.Contains(b.String(), "p50 ms  p95 ms  p99 ms") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// TestAskedOfComputed checks limits where some answers came from a cache: those of the total have a line of their own.
func TestAskedOfComputed(t *testing.T) {
	t.Parallel()
	s := results()["half cached"]
	c := latencyChart(Report{Summary: s, Verdicts: verdicts(t, s, "p99<1s", "computed.p99<2s", "computed.p95<2s")})
	if diff := cmp.Diff([]string{"max", "computed p99", "computed p50", "cached p50", "p99", "computed p95"}, names(c)); diff != "" {
		t.Errorf("lines, -want +got:\n%s", diff)
	}
	for i, want := range []chart.Color{chart.Orange, chart.Blue, chart.Brown} {
		if c.Levels[i].Color != want {
			t.Errorf("%s has color %d, want %d", c.Levels[i].Name, c.Levels[i].Color, want)
		}
	}
}

// TestSettings checks that text and page have the run's settings, and which model answered.
func TestSettings(t *testing.T) {
	t.Parallel()
	s := results()["whole"]
	s.Settings = []result.Setting{{Name: "seed", Value: "7"}, {Name: "images", Value: "3 of a\n<b>"}}
	s.Models = map[string]int{"resnet18-1 fp32": 2000}
	var text, page strings.Builder
	if err := errors.Join(Text(&text, s), Report{Summary: s}.HTML(&page)); err != nil {
		t.Fatal(err)
	}
	if want := "\nseed 7, images 3 of a <b>, model resnet18-1 fp32\n"; !strings.Contains(text.String(), want) {
		t.Errorf("text lacks %q:\n%s", want, text.String())
	}
	for _, want := range []string{"<dt class=\"soft\">seed</dt><dd>7</dd>", "a\n&lt;b&gt;</dd>", "resnet18-1 fp32</dd>"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("page lacks %q", want)
		}
	}
	s.Models["resnet18-1 int8"] = 5
	if got := settings(s)[3].Value; got != "resnet18-1 int8: 5 answers" {
		t.Errorf("two models: %q", got)
	}
}

func names(c chart.Chart) (all []string) {
	for _, s := range c.Series {
		if s.Style != chart.Dots {
			all = append(all, s.Name)
		}
	}
	return all
}

func TestPercentOf(t *testing.T) {
	t.Parallel()
	for want, c := range map[string][2]int{
		"0.0 %": {0, 5}, "under 0.1 %": {1, 2000}, "0.1 %": {1, 1000}, "1.2 %": {1, 84}, "50 %": {1, 2}, "99.5 %": {995, 1000}, "over 99.9 %": {9999, 10000}, "100 %": {7, 7},
	} {
		if got := percentOf(c[0], c[1]); got != want {
			t.Errorf("%d of %d: %q, want %q", c[0], c[1], got, want)
		}
	}
}

// TestLiveFits: no line wraps and no row scrolls away, however long names and messages are, and a server's
// message steers no terminal.
func TestLiveFits(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{80, 24}, {120, 40}, {20, 4}, {1, 1}} {
		live := NewLive(strings.Repeat("1,", 200), make([]int, 400), func() (int, int) { return size[0], size[1] })
		for i := range 30 {
			live.Record(result.Record{File: "a.jpg", Error: fmt.Sprint(i), Detail: strings.Repeat("Queue\nis\x1b[2J full ", 20)})
		}
		lines := live.fitted(100 * time.Second)
		if len(lines) > max(1, size[1]-1) {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n >= max(2, size[0]) || strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%v: line of %d characters: %q", size, n, line)
			}
		}
	}
}

// TestLiveWipesItself: what a run drew is gone when it ends, so that the report stands alone.
func TestLiveWipesItself(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	close(stop)
	var b strings.Builder
	live := NewLive("1", []int{1}, columns(80))
	live.Run(&b, stop)
	if !strings.HasSuffix(b.String(), "\x1b[6A\r\x1b[J") {
		t.Errorf("ends with %q", b.String())
	}
}
