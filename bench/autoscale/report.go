package main

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
)

// spread is the mean and the 5th and 95th percentile of a figure over the simulations.
func (p pair) spread(figure func(sim.Result) float64) (mean, low, high float64) {
	values := make([]float64, len(p.simulated))
	for i, r := range p.simulated {
		values[i] = figure(r)
		mean += values[i] / float64(len(values))
	}
	slices.Sort(values)
	return mean, values[len(values)/20], values[len(values)*19/20]
}

// table sets life beside simulation, and reports whether they are near enough: violations within 20 % or 0.3
// points, replica-seconds within 10 %.
func (r record) table(pairs []pair) (string, bool) {
	var b strings.Builder
	all := true
	verdict := func(ok bool) string {
		if all = all && ok; ok {
			return "holds"
		}
		return "**does not hold**"
	}
	fmt.Fprintf(&b, "`%s`, %d images; %d to %d replicas of %s an image, SLO %s. On %s; the network, which takes %s an image there, run on one of %d.\n\n",
		r.Schedule, pairs[0].live.Offered, r.Limits.Min, r.Limits.Max, r.Service, r.SLO, r.Machine, r.Network.Round(time.Millisecond), r.Every)
	b.WriteString("| policy | replicas start in | late or refused, live | simulated (5th to 95th percentile) | within 20 % or 0.3 points | replica-seconds, live | simulated | within 10 % |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, p := range pairs {
		v, vLow, vHigh := p.spread(sim.Result.Violations)
		rs, rsLow, rsHigh := p.spread(func(r sim.Result) float64 { return r.ReplicaSeconds })
		live := p.live.violations()
		off := math.Abs(live - v)
		fmt.Fprintf(&b, "| %s | %s | %.2f %% | %.2f %% (%.2f to %.2f) | %s | %.0f | %.0f (%.0f to %.0f) | %s |\n", p.name, inWords(p.live.Starts),
			100*live, 100*v, 100*vLow, 100*vHigh, verdict(off <= 0.003 || off <= 0.2*v),
			p.live.ReplicaSeconds, rs, rsLow, rsHigh, verdict(math.Abs(p.live.ReplicaSeconds/rs-1) <= 0.1))
	}
	return b.String(), all
}

// machine names the CPUs: how many there are and, where Linux says it, of what kind.
func machine() string {
	kind := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			kind = strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("%d CPUs (%s)", runtime.NumCPU(), kind)
}

// inWords says how long replicas took to start.
func inWords(starts []sim.Start) string {
	if len(starts) == 0 {
		return "none did"
	}
	took := make([]float64, len(starts))
	for i, s := range starts {
		took[i] = s.Took.Seconds()
	}
	slices.Sort(took)
	return fmt.Sprintf("%.1f to %.1f s, median %.1f", took[0], took[len(took)-1], took[len(took)/2])
}

// draw shows the replicas that served, live and in the first simulation, a colour for each policy.
func (o options) draw(pairs []pair) error {
	p := plot.New()
	p.Title.Text = "Replicas that serve: live (thick) and simulated (thin)"
	p.X.Label.Text, p.Y.Label.Text = "seconds", "replicas"
	p.Y.Min, p.Y.Max = 0, 1.35*float64(o.Limits.Max)
	p.Legend.Top, p.Legend.XOffs, p.Legend.Padding = true, -vg.Points(6), vg.Points(2)
	p.Add(plotter.NewGrid())
	colors := []color.Color{color.RGBA{5, 150, 105, 255}, color.RGBA{79, 70, 229, 255}, color.RGBA{234, 88, 12, 255}}
	curve := func(values []int, shade color.Color, width vg.Length) (*plotter.Line, error) {
		points := make(plotter.XYs, len(values))
		for i, v := range values {
			points[i].X, points[i].Y = float64(i), float64(v)
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width, line.StepStyle = shade, width, plotter.PostStep
		p.Add(line)
		return line, nil
	}
	for i, one := range pairs {
		shade := colors[i%len(colors)]
		line, err := curve(one.live.Ready, shade, vg.Points(2.5))
		if err != nil {
			return err
		}
		p.Legend.Add(one.name, line)
		var ready []int
		for _, m := range one.simulated[0].Timeline {
			ready = append(ready, m.Ready)
		}
		if _, err := curve(ready, shade, vg.Points(0.8)); err != nil {
			return err
		}
	}
	return p.Save(9*vg.Inch, 3.8*vg.Inch, filepath.Join(filepath.Dir(o.docs), "img", "autoscaling-live.png"))
}
