package report

import (
	"fmt"
	"math"

	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/internal/chart"
)

// Palette has the color of each policy in charts.
var Palette = map[string]chart.Color{
	"deadline":       chart.Green,
	"kpa":            chart.Purple,
	"threshold":      chart.Orange,
	"hpa-cpu":        chart.Red,
	sim.HPAImages:    chart.Blue,
	sim.HPARateTuned: chart.Brown,
	"oracle":         chart.Grey,
}

// paretoChart shows the effect of each policy's setting: violations by cost.
func (s *Study) paretoChart() chart.Chart {
	c := chart.Chart{
		Title:  "Late or refused images by cost, for a range of settings of each policy",
		X:      chart.Axis{Label: "replica-seconds, as a multiple of the ideal's (further left is cheaper)"},
		Y:      chart.Axis{Label: "late or refused, % of images (lower is better)", Log: true},
		Height: 440,
	}
	for _, sw := range s.Sweeps {
		series := chart.Series{Name: sw.Policy, Color: Palette[sw.Policy], Style: chart.LineDots}
		for i := range sw.Values {
			series.Points = append(series.Points, chart.Point{
				X: sw.Over(i, sim.Result.Cost).Mean, Y: max(0.05, 100*sw.Over(i, sim.Result.Violations).Mean),
			})
		}
		c.Series = append(c.Series, series)
	}
	return c
}

// timelineChart shows the ready replicas under some policies, and how many the load needs.
func timelineChart(o sim.Outcome, trace string) chart.Chart {
	t := 0
	for o.Traces[t].Name != trace {
		t++
	}
	c := chart.Chart{
		Title: fmt.Sprintf("Ready replicas: %s (%s)", trace, o.Traces[t].About),
		X:     chart.Axis{Label: "time, min"}, Y: chart.Axis{Label: "replicas", Include: []float64{0, float64(sim.TraceLimits.Max)}},
	}
	add := func(name string, contestant int, color chart.Color, width float64, value func(sim.Moment) float64) {
		series := chart.Series{Name: name, Color: color, Style: chart.Steps, Width: width}
		for i, m := range o.Results[t][contestant][0].Timeline {
			series.Points = append(series.Points, chart.Point{X: float64(i) / 60, Y: value(m)})
		}
		c.Series = append(c.Series, series)
	}
	add("needed", 0, chart.Pale, 4, func(m sim.Moment) float64 { return math.Max(float64(sim.TraceLimits.Min), m.Rate/20) })
	for _, name := range []string{"hpa-cpu", "threshold", "kpa", "deadline"} {
		add(name, index(o, name), Palette[name], 0, func(m sim.Moment) float64 { return float64(m.Ready) })
	}
	return c
}
