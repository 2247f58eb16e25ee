package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/resnet18cloud/resnet18cloud/internal/chart"
)

// fewLabels is the share of labels below which the picture shows a contestant as a wrong one.
const fewLabels = 0.95

// summary is one contestant's line in the table.
type summary struct {
	milliseconds     float64 // median over rounds of the round's median
	ratio, low, high float64 // its time over ours in the same round: median and quartiles
}

// summarize pairs each of m's rounds with ours: noise that lasts longer than a round cancels out.
func summarize(ours, m *measured) summary {
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

// share is the part of its labels that m has in common with torchvision, in the setting where they were compared. ok is false if there
// is none.
func share(all []*measured, m *measured) (part float64, ok bool) {
	for _, o := range all {
		if o.Precision == m.Precision && o.Name == m.Name && o.Labels > 0 {
			return float64(o.Equal) / float64(o.Labels), true
		}
	}
	return 0, false
}

func printTable(w io.Writer, all []*measured) {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(tw, "| precision\t| threads\t| runtime\t| ms/image\t| times ours\t| quartiles\t| labels as torchvision's\t|")
	fmt.Fprintln(tw, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	for _, m := range all {
		s := summarize(oursOf(all, m), m)
		labels := ""
		if part, ok := share(all, m); ok {
			labels = fmt.Sprintf("%.1f %%", 100*part)
		}
		fmt.Fprintf(tw, "| %s\t| %d\t| %s\t| %.2f\t| %.2f\t| %.2f to %.2f\t| %s\t|\n",
			m.Precision, m.Threads, m.Name, s.milliseconds, s.ratio, s.low, s.high, labels)
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

// draw writes a bar chart of the time per image, with a group of bars for each setting. Runtimes keep their colors, except those
// whose labels are wrong too often: they are grey, and the legend says how many are right.
func draw(path string, all []*measured) error {
	c := chart.Chart{
		Title: "ResNet-18: time per image (less is better), and labels that equal torchvision's", X: chart.Axis{Ticks: []chart.Tick{}},
		Y: chart.Axis{Label: "ms", Include: []float64{0}}, Width: 960, Height: 380,
	}
	var groups [][]*measured
	most := 0
	for _, m := range all {
		if len(groups) == 0 || groups[len(groups)-1][0].setting != m.setting {
			c.X.Ticks = append(c.X.Ticks, chart.Tick{Value: float64(len(groups)), Label: m.label()})
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], m)
		most = max(most, len(groups[len(groups)-1]))
	}
	c.X.Include = []float64{-0.5, float64(len(groups)) - 0.5}
	width := 0.84 / float64(most)
	for g, group := range groups {
		for i, m := range group {
			x := float64(g) + (float64(i)-float64(len(group)-1)/2)*width
			s := seriesOf(&c, all, m)
			s.Width = 0.94 * width
			s.Points = append(s.Points, chart.Point{X: x, Y: summarize(group[0], m).milliseconds})
		}
	}
	return c.WritePNG(path)
}

// seriesOf finds or adds the bars of a contestant.
func seriesOf(c *chart.Chart, all []*measured, m *measured) *chart.Series {
	name := m.Name
	part, ok := share(all, m)
	wrong := ok && part < fewLabels
	if wrong {
		name = fmt.Sprintf("%s, %s: %.1f %% of labels wrong", m.Name, m.Precision, 100*(1-part))
	} else if part, ok := share(all, &measured{setting: setting{Precision: "int8"}, Name: m.Name}); ok && part >= fewLabels {
		name = fmt.Sprintf("%s (int8: %.1f %%)", m.Name, 100*part)
	}
	for i := range c.Series {
		if c.Series[i].Name == name {
			return &c.Series[i]
		}
	}
	right, grey := []chart.Color{chart.Green, chart.Blue, chart.Orange, chart.Purple, chart.Brown, chart.Red}, []chart.Color{chart.Grey, chart.Pale, chart.Slate}
	colors := right
	if wrong {
		colors = grey
	}
	used := 0
	for _, s := range c.Series {
		if slices.Contains(colors, s.Color) {
			used++
		}
	}
	c.Series = append(c.Series, chart.Series{Name: name, Color: colors[used%len(colors)], Style: chart.Bars})
	return &c.Series[len(c.Series)-1]
}

// quantile of a sorted list, by linear interpolation.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// median of one round, the unit that ratios are made of.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return quantile(sorted, 0.5)
}
