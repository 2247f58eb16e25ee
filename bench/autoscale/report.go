package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim/report"
	"github.com/resnet18cloud/resnet18cloud/internal/chart"
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

// draw writes a chart of the ready replicas, live and in the first simulation, with a color for each policy.
func (o options) draw(pairs []pair) error {
	c := chart.Chart{
		Title: "Ready replicas, live and simulated",
		X:     chart.Axis{Label: "time, s"}, Y: chart.Axis{Label: "replicas", Include: []float64{0, float64(o.Limits.Max)}},
	}
	add := func(name string, color chart.Color, width float64, values []int) {
		series := chart.Series{Name: name, Color: color, Style: chart.Steps, Width: width}
		for i, v := range values {
			series.Points = append(series.Points, chart.Point{X: float64(i), Y: float64(v)})
		}
		c.Series = append(c.Series, series)
	}
	for _, p := range pairs {
		color := report.Palette[p.name]
		var simulated []int
		for _, m := range p.simulated[0].Timeline {
			simulated = append(simulated, m.Ready)
		}
		add(p.name+", live", color, 3, p.live.Ready)
		add(p.name+", simulated", color, 1, simulated)
	}
	return c.WritePNG(filepath.Join(filepath.Dir(o.docs), "img", "autoscaling-live.png"))
}
