package main

import (
	"fmt"
	"image/color"
	"io"
	"slices"
	"text/tabwriter"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// summary is one contestant's line in the table.
type summary struct {
	milliseconds     float64 // median over rounds of the round's median
	ratio, low, high float64 // its time over ours in the same round: median and quartiles
}

// summarise pairs each of m's rounds with ours: noise that lasts longer than a round cancels out.
func summarise(ours, m *measured) summary {
	var times, ratios []float64
	for i := range m.Rounds {
		t := median(m.Rounds[i])
		times = append(times, t*1000)
		ratios = append(ratios, t/median(ours.Rounds[i]))
	}
	slices.Sort(ratios)
	return summary{median(times), quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75)}
}

// oursOf finds the contestant that m is compared with: the first of its setting.
func oursOf(all []*measured, m *measured) *measured {
	return all[slices.IndexFunc(all, func(o *measured) bool { return o.setting == m.setting })]
}

func printTable(w io.Writer, all []*measured) {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(tw, "| precision\t| threads\t| runtime\t| ms/image\t| times ours\t| quartiles\t|")
	fmt.Fprintln(tw, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	for _, m := range all {
		s := summarise(oursOf(all, m), m)
		fmt.Fprintf(tw, "| %s\t| %d\t| %s\t| %.2f\t| %.2f\t| %.2f..%.2f\t|\n",
			m.Precision, m.Threads, m.Name, s.milliseconds, s.ratio, s.low, s.high)
	}
	_ = tw.Flush()
}

// draw makes a bar chart of milliseconds per image, a group for each setting.
func draw(path string, all []*measured) error {
	p := plot.New()
	p.Title.Text = "ResNet-18, one image: milliseconds (less is better)"
	p.Y.Min = 0
	p.Y.Label.Text = "ms"
	p.Legend.Top = true
	p.Add(plotter.NewGrid())

	var settings []setting
	var names []string
	for _, m := range all {
		if !slices.Contains(settings, m.setting) {
			settings = append(settings, m.setting)
		}
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	colors := []color.Color{
		color.RGBA{5, 150, 105, 255}, color.RGBA{79, 70, 229, 255}, color.RGBA{234, 88, 12, 255},
	}
	width := vg.Points(24)
	for i, name := range names {
		values := make(plotter.Values, len(settings))
		for _, m := range all {
			if m.Name == name {
				values[slices.Index(settings, m.setting)] = summarise(oursOf(all, m), m).milliseconds
			}
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}
		bars.Color = colors[i%len(colors)]
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(i-len(names)/2)
		p.Add(bars)
		p.Legend.Add(name, bars)
	}
	var ticks []string
	for _, s := range settings {
		ticks = append(ticks, fmt.Sprintf("%s, %d threads", s.Precision, s.Threads))
	}
	p.NominalX(ticks...)
	// Room for the outer bars and the legend.
	p.X.Min -= 0.4
	p.X.Max += 0.6
	p.Y.Max *= 1.25
	return p.Save(18*vg.Centimeter, 9*vg.Centimeter, path)
}
