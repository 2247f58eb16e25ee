package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
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

// label describes the setting.
func (s setting) label() string {
	if s.Threads == 1 {
		return s.Precision + ", 1 thread"
	}
	return fmt.Sprintf("%s, %d threads", s.Precision, s.Threads)
}

// draw writes a bar chart of the time per image, with a group of bars for each setting.
func draw(path string, all []*measured) error {
	c := chart.Chart{
		Title: "ResNet-18: time per image (less is better)", X: chart.Axis{Ticks: []chart.Tick{}},
		Y: chart.Axis{Label: "ms", Include: []float64{0}},
	}
	var settings []setting
	for _, m := range all {
		if !slices.Contains(settings, m.setting) {
			settings = append(settings, m.setting)
			c.X.Ticks = append(c.X.Ticks, chart.Tick{Value: float64(len(settings) - 1), Label: m.label()})
		}
		if !slices.ContainsFunc(c.Series, func(s chart.Series) bool { return s.Name == m.Name }) {
			color := []chart.Color{chart.Green, chart.Blue, chart.Orange}[len(c.Series)%3]
			c.Series = append(c.Series, chart.Series{Name: m.Name, Color: color, Style: chart.Bars})
		}
	}
	width := 0.8 / float64(len(c.Series))
	c.X.Include = []float64{-0.5, float64(len(settings)) - 0.5}
	for _, m := range all {
		i := slices.IndexFunc(c.Series, func(s chart.Series) bool { return s.Name == m.Name })
		x := float64(slices.Index(settings, m.setting)) + (float64(i)-float64(len(c.Series)-1)/2)*width
		c.Series[i].Width = 0.92 * width
		c.Series[i].Points = append(c.Series[i].Points, chart.Point{X: x, Y: summarise(oursOf(all, m), m).milliseconds})
	}
	return c.WritePNG(path)
}
