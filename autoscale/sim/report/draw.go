package report

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
)

// palette has a colour for each policy in pictures, the same everywhere.
var palette = map[string]color.Color{
	"deadline":       color.RGBA{5, 150, 105, 255},
	"kpa":            color.RGBA{79, 70, 229, 255},
	"threshold":      color.RGBA{234, 88, 12, 255},
	"hpa-cpu":        color.RGBA{220, 38, 38, 255},
	sim.HPAImages:    color.RGBA{8, 145, 178, 255},
	sim.HPARateTuned: color.RGBA{161, 98, 7, 255},
	"oracle":         color.RGBA{100, 116, 139, 255},
}

// placeLegend puts it in the upper right corner, off the edge.
func placeLegend(p *plot.Plot) {
	p.Legend.Top, p.Legend.XOffs, p.Legend.Padding = true, -vg.Points(6), vg.Points(2)
}

// drawPareto shows what each policy makes of its knob: violations over cost, nearer to the lower left is
// better.
func (s *Study) drawPareto(path string) error {
	p := plot.New()
	p.Title.Text = "Late or refused images over cost, each policy's knob turned (lower left is better)"
	p.X.Label.Text = "replica-seconds over the ideal's"
	p.Y.Label.Text = "late or refused, %"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	placeLegend(p)
	p.Add(plotter.NewGrid())
	for _, sw := range s.Sweeps {
		points := make(plotter.XYs, len(sw.Values))
		for c := range sw.Values {
			points[c].X = sw.Over(c, sim.Result.Cost).Mean
			points[c].Y = max(0.05, 100*sw.Over(c, sim.Result.Violations).Mean)
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
		line.Color, dots.Color, dots.Shape = palette[sw.Policy], palette[sw.Policy], draw.CircleGlyph{}
		line.Width = vg.Points(1.5)
		p.Add(line, dots)
		p.Legend.Add(sw.Policy, line, dots)
	}
	if err := p.Save(9*vg.Inch, 5.5*vg.Inch, path); err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return nil
}

// drawTimeline shows the replicas that serve under some policies, and how many the load needs.
func drawTimeline(o sim.Outcome, trace, path string) error {
	t := 0
	for o.Traces[t].Name != trace {
		t++
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Replicas that serve: %s (%s)", trace, o.Traces[t].About)
	p.X.Label.Text, p.Y.Label.Text = "minutes", "replicas"
	p.Y.Min, p.Y.Max = 0, 1.35*float64(sim.TraceLimits.Max) // room for the legend
	placeLegend(p)
	p.Add(plotter.NewGrid())
	curve := func(name string, c int, value func(sim.Moment) float64, shade color.Color, width vg.Length) error {
		moments := o.Results[t][c][0].Timeline
		points := make(plotter.XYs, len(moments))
		for i, m := range moments {
			points[i].X, points[i].Y = float64(i)/60, value(m)
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
		line.Color, line.Width, line.StepStyle = shade, width, plotter.PostStep
		p.Add(line)
		p.Legend.Add(name, line)
		return nil
	}
	needed := func(m sim.Moment) float64 { return math.Max(float64(sim.TraceLimits.Min), m.Rate/20) }
	if err := curve("needed", 0, needed, color.Gray{190}, vg.Points(3)); err != nil {
		return err
	}
	for _, name := range []string{"hpa-cpu", "threshold", "kpa", "deadline"} {
		if err := curve(name, index(o, name), func(m sim.Moment) float64 { return float64(m.Ready) }, palette[name], vg.Points(1.3)); err != nil {
			return err
		}
	}
	if err := p.Save(9*vg.Inch, 3.8*vg.Inch, path); err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return nil
}
