package report

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// chart is one picture of a result.
type chart struct {
	name  string // of its file
	title string
	draw  func(*picture, Report) error
	empty func(Report) bool // nothing to draw; nil for never
}

var charts = []chart{
	{"search", "The search: p99 by requests per second, ms", drawSearch, func(r Report) bool { return r.Search == nil }},
	{"rate", "Requests per second", drawRate, nil},
	{"latency", "Latency of the requests due in each %s, ms", drawLatency, nil},
	{"percentiles", "Latency up to each percentile, ms", drawPercentiles, nil},
	{"server", "The server: images waiting and in work, replicas", drawServer, func(r Report) bool {
		return !slices.ContainsFunc(r.Summary.Server, func(s result.Sample) bool { return s.HasStatus })
	}},
}

const width, height = 18 * vg.Centimeter, 7 * vg.Centimeter

// colours that people with any sight of colours can tell apart (Okabe and Ito, 2008), on white and on black.
var (
	blue   = color.RGBA{0, 114, 178, 255}
	orange = color.RGBA{230, 159, 0, 255}
	green  = color.RGBA{0, 158, 115, 255}
	red    = color.RGBA{213, 94, 0, 255}
	purple = color.RGBA{204, 121, 167, 255}
	grey   = color.RGBA{128, 134, 142, 255}
	light  = color.RGBA{225, 225, 225, 255}
)

// picture is a plot with its title and legend beside it, where they hide nothing: a browser's letters are not
// as wide as those that the plot would leave room for.
type picture struct {
	*plot.Plot
	name, title string
	legend      []entry
}

type entry struct {
	name  string
	color color.RGBA
}

// picture draws the chart; nil when the result has nothing for it.
func (c chart) picture(r Report) (*picture, error) {
	if c.empty != nil && c.empty(r) {
		return nil, nil
	}
	p := &picture{Plot: plot.New(), name: c.name, title: c.title}
	if strings.Contains(c.title, "%s") {
		p.title = fmt.Sprintf(c.title, stretch(bucket(r.Summary)))
	}
	p.BackgroundColor = color.Transparent
	for _, style := range []*text.Style{&p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = "Sans"
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plain{}, plain{}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = light
	p.Add(grid)
	if err := c.draw(p, r); err != nil {
		return nil, fmt.Errorf("draw %s: %w", c.name, err)
	}
	return p, nil
}

// pictures are all there is to see of a result.
func (r Report) pictures() ([]*picture, error) {
	var all []*picture
	for _, c := range charts {
		p, err := c.picture(r)
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, p)
		}
	}
	return all, nil
}

// Pictures writes one PNG for each view of the report into a folder, which it makes if need be, and returns
// their paths.
func (r Report) Pictures(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write pictures: %w", err)
	}
	all, err := r.pictures()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, p := range all {
		path := filepath.Join(dir, p.name+".png")
		if err := p.png(path); err != nil {
			return paths, fmt.Errorf("write pictures: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// plotArea leaves the right margin that labels at an axis' end need.
func plotArea(c draw.Canvas) draw.Canvas { return draw.Crop(c, 2, -16, 2, -4) }

// png writes the picture to a file: title, legend, plot.
func (p *picture) png(path string) error {
	const head = 1.2 * vg.Centimeter
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height+head), vgimg.UseDPI(144), vgimg.UseBackgroundColor(color.White))}
	c := draw.New(canvas)
	style := p.X.Label.TextStyle
	style.XAlign, style.YAlign = text.XLeft, text.YCenter
	style.Font.Size = 11
	x, y := c.Min.X+10, c.Max.Y-12
	c.FillText(style, vg.Point{X: x, Y: y}, p.title)
	style.Font.Size, y = 10, y-15
	for _, e := range p.legend {
		c.FillPolygon(e.color, []vg.Point{{X: x, Y: y - 3}, {X: x + 12, Y: y - 3}, {X: x + 12, Y: y + 3}, {X: x, Y: y + 3}})
		c.FillText(style, vg.Point{X: x + 16, Y: y}, e.name)
		x += 16 + style.Width(e.name) + 14
	}
	p.Draw(plotArea(draw.Crop(c, 0, 0, 0, -head)))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

// svg is the plot alone, in the page's own colours where it is black or light: they are others in the dark.
func (p *picture) svg() (string, error) {
	canvas := vgsvg.New(width, height)
	p.Draw(plotArea(draw.New(canvas)))
	var b strings.Builder
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	_, inner, _ := strings.Cut(b.String(), "<svg") // without the XML declaration
	return "<svg" + strings.NewReplacer("#000000", "currentColor", "#E1E1E1", "var(--line)", "Liberation Sans", "Liberation Sans, Arial, sans-serif").Replace(inner), nil
}

// bucket is how many seconds of a run make one point: one, unless that were more points than can be told apart.
func bucket(s *result.Summary) int {
	const most = 600
	need := (len(s.Timeline) + most - 1) / most
	for _, n := range timeSteps {
		if n >= need {
			return n
		}
	}
	return need
}

// timeSteps are lengths of time, in seconds, that people count in.
var timeSteps = []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 2 * 3600, 6 * 3600, 24 * 3600}

// stretch names a bucket.
func stretch(seconds int) string {
	if seconds == 1 {
		return "second"
	}
	return fmt.Sprintf("%d seconds", seconds)
}

// timeAxis labels the axis of a run's time, which is in seconds, in the unit that suits its length.
func (p *picture) timeAxis(s *result.Summary) {
	length := max(len(s.Timeline), 1)
	p.X.Min, p.X.Max = 0, float64(length)
	step := timeSteps[len(timeSteps)-1]
	for _, n := range timeSteps {
		if length/n <= 10 {
			step = n
			break
		}
	}
	unit := 1
	p.X.Label.Text = "seconds since the start"
	switch {
	case step >= 3600:
		unit, p.X.Label.Text = 3600, "hours since the start"
	case step >= 60:
		unit, p.X.Label.Text = 60, "minutes since the start"
	}
	var ticks plot.ConstantTicks
	for t := 0; t <= length; t += step {
		ticks = append(ticks, plot.Tick{Value: float64(t), Label: strconv.FormatFloat(float64(t)/float64(unit), 'g', 4, 64)})
	}
	p.X.Tick.Marker = ticks
}

// line adds a named line of so many points' width; steps holds each value until the next.
func (p *picture) line(name string, c color.RGBA, width vg.Length, points plotter.XYs, steps bool) error {
	if len(points) == 0 {
		return nil
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width = c, width
	if steps {
		l.StepStyle = plotter.PostStep
	}
	p.Add(l)
	p.legend = append(p.legend, entry{name, c})
	return nil
}

const thin, thick = 1.3, 3.2 // points; thick lines show where thin ones lie upon them

// overTime draws one value of each stretch of the run that is not NaN.
func (p *picture) overTime(s *result.Summary, name string, c color.RGBA, width vg.Length, value func(b result.Second, seconds int) float64, steps bool) error {
	var points plotter.XYs
	for i, n := 0, bucket(s); i < len(s.Timeline); i += n {
		seconds := min(n, len(s.Timeline)-i)
		if v := value(s.Between(i, i+n), seconds); !math.IsNaN(v) {
			points = append(points, plotter.XY{X: float64(i), Y: v})
		}
	}
	if n := len(points); steps && n > 0 {
		points = append(points, plotter.XY{X: float64(len(s.Timeline)), Y: points[n-1].Y})
	}
	return p.line(name, c, width, points, steps)
}

func drawRate(p *picture, r Report) error {
	s := r.Summary
	p.timeAxis(s)
	for _, l := range []struct {
		name  string
		color color.RGBA
		width vg.Length
		value func(result.Second) int
	}{
		{"due", grey, thick, func(s result.Second) int { return s.Offered }},
		{"answered", green, thin, func(s result.Second) int { return s.Answered }},
		{"failed", red, thin, func(s result.Second) int { return s.Failed }},
	} {
		if l.name == "failed" && s.OK == s.Sent {
			continue
		}
		perSecond := func(b result.Second, seconds int) float64 { return float64(l.value(b)) / float64(seconds) }
		if err := p.overTime(s, l.name, l.color, l.width, perSecond, true); err != nil {
			return err
		}
	}
	p.fromZero()
	return nil
}

// fromZero makes the y axis begin where rates and numbers do.
func (p *picture) fromZero() {
	p.Y.Min = 0
	if !(p.Y.Max > 1) || math.IsInf(p.Y.Max, 1) {
		p.Y.Max = 1
	}
	p.Y.Max *= 1.05
}

func drawLatency(p *picture, r Report) error {
	s := r.Summary
	p.timeAxis(s)
	for _, l := range []struct {
		name  string
		color color.RGBA
		width vg.Length
		value func(result.Second) time.Duration
	}{
		{"longest", orange, thick, func(s result.Second) time.Duration { return s.Max() }},
		{"p99", blue, thin, func(s result.Second) time.Duration { return s.Percentile(99) }},
		{"p50", green, thin, func(s result.Second) time.Duration { return s.Percentile(50) }},
	} {
		if err := p.overTime(s, l.name, l.color, l.width, func(b result.Second, _ int) float64 { return orNaN(l.value(b)) }, false); err != nil {
			return err
		}
	}
	p.logarithmic()
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
func (p *picture) logarithmic() {
	if !(p.Y.Min > 0) || math.IsInf(p.Y.Min, 1) {
		p.Y.Min, p.Y.Max = 1, 10 // nothing was answered
	}
	p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
	p.Y.Max = math.Pow(10, math.Ceil(math.Log10(p.Y.Max*1.02)))
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = decades{}
}

// space behind labels keeps a browser's wider letters from the axis.
const space = "  "

// plain are gonum's ticks without the zeros behind the point.
type plain struct{}

// Ticks implements plot.Ticker.
func (plain) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = strconv.FormatFloat(math.Round(t.Value*1e6)/1e6, 'f', -1, 64) + space
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
		ticks = append(ticks, plot.Tick{Value: decade, Label: strconv.FormatFloat(decade, 'f', -1, 64) + space})
		for i := 2.0; i < 10 && decade*i < high; i++ {
			ticks = append(ticks, plot.Tick{Value: decade * i})
		}
	}
	return ticks
}

// drawPercentiles stretches the axis by how few requests lie beyond a percentile: nines are evenly spaced.
func drawPercentiles(p *picture, r Report) error {
	s, most := r.Summary, 1.0
	for _, l := range []struct {
		span  string
		color color.RGBA
	}{
		{result.SpanTotal, blue}, {result.SpanQueue, orange}, {result.SpanInference, green}, {result.SpanPollLag, purple}, {result.SpanSend, grey},
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
		if err := p.line(l.span, l.color, thin, points, false); err != nil {
			return err
		}
	}
	p.X.Min, p.X.Max = 0, most
	p.X.Tick.Marker = plot.ConstantTicks(nines)
	p.X.Label.Text = "share of requests that took no longer"
	p.logarithmic()
	if s.OK > 0 && math.Log10(float64(s.OK)) > 1 {
		return p.doubtful(math.Log10(float64(s.OK))-1, most)
	}
	return nil
}

var nines = []plot.Tick{
	{Value: 0, Label: "p0"}, {Value: -math.Log10(0.5), Label: "p50"}, {Value: 1, Label: "p90"}, {Value: 2, Label: "p99"},
	{Value: 3, Label: "p99.9"}, {Value: 4, Label: "p99.99"}, {Value: 5, Label: "p99.999"}, {Value: 6, Label: "p99.9999"},
}

// doubtful shades the percentiles beyond which fewer than ten answers lie.
func (p *picture) doubtful(from, to float64) error {
	area, err := plotter.NewPolygon(plotter.XYs{{X: from, Y: p.Y.Min}, {X: to, Y: p.Y.Min}, {X: to, Y: p.Y.Max}, {X: from, Y: p.Y.Max}})
	if err != nil {
		return err
	}
	area.Color, area.LineStyle.Width = color.NRGBA{0, 0, 0, 22}, 0
	p.Add(area)
	p.legend = append(p.legend, entry{"too few to tell", light})
	return nil
}

// drawSearch has a point for each trial; of those in which more than one of a hundred failed p99 is endless, and
// they stand at the upper edge.
func drawSearch(p *picture, r Report) error {
	f := r.Search
	p.X.Label.Text, p.X.Min = "requests per second", 0
	longest, endless := 10*time.Millisecond, false
	for _, t := range f.Trials {
		if d := t.Summary.PercentileAll(99); d != result.Never {
			longest = max(longest, d)
		} else {
			endless = true
		}
		p.X.Max = max(p.X.Max, 1.05*t.Rate)
	}
	for _, l := range []struct {
		name  string
		color color.RGBA
		holds bool
	}{{"holds", green, true}, {"broken", red, false}} {
		var points plotter.XYs
		for _, t := range f.Trials {
			if t.Holds == l.holds {
				points = append(points, plotter.XY{X: t.Rate, Y: milliseconds(min(max(t.Summary.PercentileAll(99), time.Microsecond), 3*longest))})
			}
		}
		if len(points) == 0 {
			continue
		}
		scatter, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		scatter.Color, scatter.Radius, scatter.Shape = l.color, 3.5, draw.CircleGlyph{}
		p.Add(scatter)
		name := l.name
		if endless && !l.holds {
			name = "broken (uppermost: p99 never ends)"
		}
		p.legend = append(p.legend, entry{name, l.color})
	}
	p.logarithmic()
	if f.Rate == 0 {
		return nil
	}
	return p.line(fmt.Sprintf("%.1f/s", f.Rate), grey, thin, plotter.XYs{{X: f.Rate, Y: p.Y.Min}, {X: f.Rate, Y: p.Y.Max}}, false)
}

func drawServer(p *picture, r Report) error {
	p.timeAxis(r.Summary)
	for _, l := range []struct {
		name  string
		color color.RGBA
		width vg.Length
		value func(result.Sample) int
	}{
		{"replicas", green, thick, func(s result.Sample) int { return s.Replicas }},
		{"waiting", orange, thin, func(s result.Sample) int { return s.Queue }},
		{"in work", blue, thin, func(s result.Sample) int { return s.Processing }},
	} {
		var points plotter.XYs
		for _, sample := range r.Summary.Server {
			if sample.HasStatus {
				points = append(points, plotter.XY{X: sample.At.Seconds(), Y: float64(l.value(sample))})
			}
		}
		if err := p.line(l.name, l.color, l.width, points, true); err != nil {
			return err
		}
	}
	p.fromZero()
	return nil
}
