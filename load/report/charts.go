package report

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/resnet18cloud/resnet18cloud/load"
)

// chart is one picture of a result.
type chart struct {
	name  string // of its file
	title string
	draw  func(*plot.Plot, *load.Summary) error
}

var charts = []chart{
	{"search", "The search: p99 by requests per second, ms", nil},
	{"rate", "Requests per second", drawRate},
	{"latency", "Latency of the requests due in each second, ms", drawLatency},
	{"percentiles", "Latency up to each percentile, ms", drawPercentiles},
	{"server", "The server: images waiting and in work, replicas", drawServer},
}

const width, height = 18 * vg.Centimeter, 8 * vg.Centimeter

// colours that people with any sight of colours can tell apart (Okabe and Ito, 2008).
var (
	blue   = color.RGBA{0, 114, 178, 255}
	orange = color.RGBA{230, 159, 0, 255}
	green  = color.RGBA{0, 158, 115, 255}
	red    = color.RGBA{213, 94, 0, 255}
	purple = color.RGBA{204, 121, 167, 255}
	grey   = color.RGBA{110, 110, 110, 255}
)

// plot makes the picture; nil when the result has nothing for it.
func (c chart) plot(r Report) (*plot.Plot, error) {
	s := r.Summary
	if c.name == "server" && len(s.Server) == 0 || c.name == "search" && r.Search == nil {
		return nil, nil
	}
	p := plot.New()
	p.Title.Text = c.title
	p.Title.TextStyle.Font.Size = 11
	p.X.Tick.Marker = plain{}
	p.Title.Padding = 6
	p.Legend.Top = true
	p.Legend.Padding = 2
	p.Legend.ThumbnailWidth = 16
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.Legend.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = "Sans"
	}
	p.Y.Tick.Marker = plain{}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = color.Gray{225}
	p.Add(grid)
	fill := c.draw
	if c.name == "search" {
		fill = func(p *plot.Plot, _ *load.Summary) error { return drawSearch(p, r.Search) }
	}
	if err := fill(p, s); err != nil {
		return nil, fmt.Errorf("draw %s: %w", c.name, err)
	}
	return p, nil
}

// Pictures writes one PNG for each view of the report into a folder, which it makes if need be, and returns
// their paths.
func (r Report) Pictures(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write pictures: %w", err)
	}
	var paths []string
	for _, c := range charts {
		p, err := c.plot(r)
		if err != nil {
			return paths, err
		}
		if p == nil {
			continue
		}
		path := filepath.Join(dir, c.name+".png")
		if err := p.Save(width, height, path); err != nil {
			return paths, fmt.Errorf("write pictures: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// svg writes a picture as SVG.
func svg(w io.Writer, p *plot.Plot) error {
	picture, err := p.WriterTo(width, height, "svg")
	if err == nil {
		_, err = picture.WriteTo(w)
	}
	return err
}

// line adds a named line; steps holds each value until the next.
func line(p *plot.Plot, name string, c color.Color, points plotter.XYs, steps bool) error {
	if len(points) == 0 {
		return nil
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width = c, vg.Points(1.3)
	if steps {
		l.StepStyle = plotter.PostStep
	}
	p.Add(l)
	p.Legend.Add(name, l)
	return nil
}

// perSecond draws one value of each second that is not NaN.
func perSecond(p *plot.Plot, s *load.Summary, name string, c color.Color, value func(*load.Second) float64, steps bool) error {
	var points plotter.XYs
	for i := range s.Timeline {
		if v := value(&s.Timeline[i]); !math.IsNaN(v) {
			points = append(points, plotter.XY{X: float64(i), Y: v})
		}
	}
	if n := len(points); steps && n > 0 {
		points = append(points, plotter.XY{X: points[n-1].X + 1, Y: points[n-1].Y})
	}
	return line(p, name, c, points, steps)
}

func drawRate(p *plot.Plot, s *load.Summary) error {
	p.X.Label.Text, p.Y.Min = "seconds", 0
	for _, l := range []struct {
		name  string
		color color.Color
		value func(*load.Second) float64
	}{
		{"due", grey, func(s *load.Second) float64 { return float64(s.Offered) }},
		{"answered", green, func(s *load.Second) float64 { return float64(s.Answered) }},
		{"failed", red, func(s *load.Second) float64 { return float64(s.Failed) }},
	} {
		if l.name == "failed" && s.OK == s.Sent {
			continue
		}
		if err := perSecond(p, s, l.name, l.color, l.value, true); err != nil {
			return err
		}
	}
	headroom(p)
	return nil
}

// headroom leaves space for the legend.
func headroom(p *plot.Plot) { p.Y.Max = p.Y.Min + (p.Y.Max-p.Y.Min)*1.25 + 1e-9 }

func drawLatency(p *plot.Plot, s *load.Summary) error {
	p.X.Label.Text = "seconds"
	at := func(percent float64) func(*load.Second) float64 {
		return func(s *load.Second) float64 { return orNaN(s.Percentile(percent)) }
	}
	if err := perSecond(p, s, "longest", orange, func(s *load.Second) float64 { return orNaN(s.Max()) }, false); err != nil {
		return err
	}
	if err := perSecond(p, s, "p99", blue, at(99), false); err != nil {
		return err
	}
	if err := perSecond(p, s, "p50", green, at(50), false); err != nil {
		return err
	}
	logarithmic(p)
	return nil
}

// orNaN gives milliseconds; NaN for zero, which is no answer at all.
func orNaN(d time.Duration) float64 {
	if d == 0 {
		return math.NaN()
	}
	return milliseconds(d)
}

// logarithmic makes the y axis so: between a good answer and a bad one lie orders of magnitude.
func logarithmic(p *plot.Plot) {
	if !(p.Y.Min > 0) || math.IsInf(p.Y.Min, 1) {
		p.Y.Min, p.Y.Max = 1, 10 // nothing was answered
	}
	p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
	p.Y.Max = math.Pow(10, math.Ceil(math.Log10(p.Y.Max)+0.2))
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = decades{}
}

// plain are gonum's ticks without the zeros behind the point.
type plain struct{}

// Ticks implements plot.Ticker.
func (plain) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = strconv.FormatFloat(math.Round(t.Value*1e6)/1e6, 'f', -1, 64)
		}
	}
	return ticks
}

// decades are ticks at powers of ten, written as plain numbers, with small ones between.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for decade := low; decade <= high*1.001; decade *= 10 {
		ticks = append(ticks, plot.Tick{Value: decade, Label: strconv.FormatFloat(decade, 'g', 6, 64)})
		for i := 2.0; i < 10 && decade*i < high; i++ {
			ticks = append(ticks, plot.Tick{Value: decade * i})
		}
	}
	return ticks
}

// drawPercentiles stretches the axis by how few requests lie beyond a percentile: nines are evenly spaced.
func drawPercentiles(p *plot.Plot, s *load.Summary) error {
	most := 1.0
	for _, l := range []struct {
		span  string
		color color.Color
	}{
		{load.SpanTotal, blue}, {load.SpanQueue, orange}, {load.SpanInference, green}, {load.SpanPollLag, purple}, {load.SpanSend, grey},
	} {
		n := float64(s.Count(l.span))
		if n == 0 {
			continue
		}
		var points plotter.XYs
		for nines := 0.0; nines <= math.Log10(n)+1e-9; nines += 0.02 {
			percent := 100 * (1 - math.Pow(10, -nines))
			points = append(points, plotter.XY{X: nines, Y: milliseconds(max(s.Percentile(l.span, percent), time.Microsecond))})
		}
		most = max(most, math.Log10(n))
		if err := line(p, l.span, l.color, points, false); err != nil {
			return err
		}
	}
	p.X.Min, p.X.Max = 0, most
	p.X.Tick.Marker = plot.ConstantTicks(nines)
	p.Legend.Top = false // curves rise: there is room below their ends
	logarithmic(p)
	if s.OK > 0 && math.Log10(float64(s.OK)) > 1 {
		return doubtful(p, math.Log10(float64(s.OK))-1, most)
	}
	return nil
}

var nines = []plot.Tick{
	{Value: 0, Label: "0"}, {Value: -math.Log10(0.5), Label: "p50"}, {Value: 1, Label: "p90"}, {Value: 2, Label: "p99"},
	{Value: 3, Label: "p99.9"}, {Value: 4, Label: "p99.99"}, {Value: 5, Label: "p99.999"}, {Value: 6, Label: "p99.9999"},
}

// doubtful shades the percentiles beyond which fewer than ten observations lie.
func doubtful(p *plot.Plot, from, to float64) error {
	area, err := plotter.NewPolygon(plotter.XYs{{X: from, Y: p.Y.Min}, {X: to, Y: p.Y.Min}, {X: to, Y: p.Y.Max}, {X: from, Y: p.Y.Max}})
	if err != nil {
		return err
	}
	area.Color, area.LineStyle.Width = color.NRGBA{0, 0, 0, 18}, 0
	p.Add(area)
	p.Legend.Add("fewer than 10 beyond", area)
	return nil
}

var _ plot.Thumbnailer = (*plotter.Polygon)(nil)

// drawSearch has a point for each trial; of those in which more than one of a hundred failed p99 is endless, and
// they stand at the upper edge.
func drawSearch(p *plot.Plot, f *load.Found) error {
	p.X.Label.Text, p.X.Min = "requests per second", 0
	longest := 10 * time.Millisecond
	for _, t := range f.Trials {
		if d := t.Summary.Felt(99); d != load.Never {
			longest = max(longest, d)
		}
	}
	for _, l := range []struct {
		name  string
		color color.Color
		holds bool
	}{{"holds", green, true}, {"broken", red, false}} {
		var points plotter.XYs
		for _, t := range f.Trials {
			if t.Holds == l.holds {
				points = append(points, plotter.XY{X: t.Rate, Y: milliseconds(min(max(t.Summary.Felt(99), time.Microsecond), 3*longest))})
			}
		}
		if len(points) == 0 {
			continue
		}
		scatter, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		scatter.Color, scatter.Radius, scatter.Shape = l.color, 3, draw.CircleGlyph{}
		p.Add(scatter)
		p.Legend.Add(l.name, scatter)
	}
	if f.Rate > 0 {
		low, high := p.Y.Min, p.Y.Max
		if err := line(p, fmt.Sprintf("%.1f/s", f.Rate), grey, plotter.XYs{{X: f.Rate, Y: low}, {X: f.Rate, Y: high}}, false); err != nil {
			return err
		}
	}
	p.Legend.Left = true
	logarithmic(p)
	return nil
}

func drawServer(p *plot.Plot, s *load.Summary) error {
	p.X.Label.Text, p.Y.Min = "seconds", 0
	p.X.Min, p.X.Max = 0, float64(len(s.Timeline))
	for _, l := range []struct {
		name  string
		color color.Color
		value func(load.Sample) int
	}{
		{"waiting", orange, func(s load.Sample) int { return s.Queue }},
		{"in work", blue, func(s load.Sample) int { return s.Processing }},
		{"replicas", green, func(s load.Sample) int { return s.Replicas }},
	} {
		var points plotter.XYs
		for _, sample := range s.Server {
			points = append(points, plotter.XY{X: sample.At.Seconds(), Y: float64(l.value(sample))})
		}
		if err := line(p, l.name, l.color, points, true); err != nil {
			return err
		}
	}
	headroom(p)
	return nil
}
