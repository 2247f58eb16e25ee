package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
)

// policiesTable lists the policies, those that users can choose and those that only the simulator has.
func policiesTable() string {
	var b strings.Builder
	b.WriteString("| `--policy` | what it is | `--target`, for each replica |\n| --- | --- | --- |\n")
	for _, c := range sim.Contestants() {
		kind, choosable := autoscale.KindOf(c.Name)
		target := kind.Target
		if !choosable {
			target = "`simulate` only"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, c.Help, target)
	}
	return b.String()
}

// Table is the outcome as a Markdown table: a line for each contestant, means over traces and seeds, with
// 95 % confidence intervals.
func Table(o sim.Outcome) string {
	var b strings.Builder
	b.WriteString("| policy | late or refused, % | refused, % | p99, ms | cost | changes/h | reversals/h | starts in vain, % |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for c, who := range o.Contestants {
		fmt.Fprintf(&b, "| %s | %s | %.2f | %.0f | %s | %.0f | %.0f | %.0f |\n", who.Name,
			percent(o.Over(c, sim.Result.Violations)),
			100*o.Over(c, func(r sim.Result) float64 { return float64(r.Refused) / max(1, float64(r.Offered)) }).Mean,
			o.Over(c, func(r sim.Result) float64 { return 1000 * r.Latency.Quantile(0.99).Seconds() }).Mean,
			plain(o.Over(c, sim.Result.Cost)),
			o.Over(c, perHour(func(r sim.Result) int { return r.Changes })).Mean,
			o.Over(c, perHour(func(r sim.Result) int { return r.Reversals })).Mean,
			100*o.Over(c, func(r sim.Result) float64 { return float64(r.Wasted) / max(1, float64(r.Created)) }).Mean)
	}
	return b.String()
}

func perHour(count func(sim.Result) int) func(sim.Result) float64 {
	return func(r sim.Result) float64 { return float64(count(r)) / r.Duration.Hours() }
}

func percent(e sim.Estimate) string {
	return plain(sim.Estimate{Mean: 100 * e.Mean, Plus: 100 * e.Plus})
}

// plain formats the mean and, if it is known, the half-width of its confidence interval.
func plain(e sim.Estimate) string {
	if math.IsInf(e.Plus, 0) || math.IsNaN(e.Plus) {
		return fmt.Sprintf("%.2f", e.Mean)
	}
	return fmt.Sprintf("%.2f ± %.2f", e.Mean, e.Plus)
}

// perTrace has a line for each trace, with violations and cost of some contestants.
func perTrace(o sim.Outcome, names ...string) string {
	var b strings.Builder
	who := make([]int, len(names))
	b.WriteString("| trace | |")
	for i, name := range names {
		who[i] = index(o, name)
		fmt.Fprintf(&b, " %s |", name)
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" --- |", len(names)) + "\n")
	for t, trace := range o.Traces {
		least := math.Inf(1)
		for i, name := range names {
			if name != "oracle" {
				least = min(least, o.On(t, who[i], sim.Result.Violations).Mean)
			}
		}
		fmt.Fprintf(&b, "| %s | %s |", trace.Name, trace.About)
		for i, name := range names {
			v := o.On(t, who[i], sim.Result.Violations).Mean
			text := fmt.Sprintf("%.2f", 100*v)
			if v == least && name != "oracle" {
				text = "**" + text + "**"
			}
			fmt.Fprintf(&b, " %s / %.2f |", text, o.On(t, who[i], sim.Result.Cost).Mean)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func index(o sim.Outcome, name string) int {
	for i, c := range o.Contestants {
		if c.Name == name {
			return i
		}
	}
	panic("no contestant " + name) // a bug in this package
}

// goal is a claim: against whom, and how much at most of its violations and its cost.
type goal struct {
	against          string
	violations, cost float64
}

var goals = []goal{{"hpa-cpu", 0.25, 0.75}, {"threshold", 0.7, 0.65}, {"kpa", 1, 0.85}}

// goalsTable compares the outcome with the goals.
func goalsTable(o sim.Outcome) string {
	var b strings.Builder
	b.WriteString("| deadline against | violations, ratio | goal | cost, ratio | replica-seconds, ratio | goal |\n| --- | --- | --- | --- | --- | --- |\n")
	us := index(o, "deadline")
	for _, g := range goals {
		other := index(o, g.against)
		v := o.Ratio(us, other, sim.Result.Violations)
		c := o.Ratio(us, other, sim.Result.Cost)
		rs := o.Ratio(us, other, func(r sim.Result) float64 { return r.ReplicaSeconds })
		fmt.Fprintf(&b, "| %s | %s | ≤ %g: %s | %s | %s | ≤ %g: %s |\n", g.against, plain(v), g.violations, held(v.Mean <= g.violations),
			plain(c), plain(rs), g.cost, held(c.Mean <= g.cost))
	}
	return b.String()
}

func held(ok bool) string {
	if ok {
		return "holds"
	}
	return "**does not hold**"
}

// losses lists where some other policy had clearly fewer violations than ours: where the intervals do not
// overlap.
func losses(o sim.Outcome) string {
	var b strings.Builder
	us := index(o, "deadline")
	for t, trace := range o.Traces {
		ours := o.On(t, us, sim.Result.Violations)
		for c, who := range o.Contestants {
			if who.Name == "oracle" || who.Name == "static" || c == us {
				continue
			}
			if theirs := o.On(t, c, sim.Result.Violations); theirs.Mean+theirs.Plus < ours.Mean-ours.Plus {
				fmt.Fprintf(&b, "- %s: %s is late in %s %% at cost %.2f, deadline in %s %% at %.2f.\n", trace.Name, who.Name,
					percent(theirs), o.On(t, c, sim.Result.Cost).Mean, percent(ours), o.On(t, us, sim.Result.Cost).Mean)
			}
		}
	}
	if b.Len() == 0 {
		return "Nowhere clearly.\n"
	}
	return b.String()
}

// delaysTable has violations and cost for other start delays.
func (s *Study) delaysTable() string {
	var b strings.Builder
	b.WriteString("| a replica starts in |")
	for _, c := range s.Shed.Contestants {
		fmt.Fprintf(&b, " %s |", c.Name)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(s.Shed.Contestants)) + "\n")
	line := func(name string, o sim.Outcome) {
		fmt.Fprintf(&b, "| %s |", name)
		for c := range s.Shed.Contestants {
			fmt.Fprintf(&b, " %.2f / %.2f |", 100*o.Over(c, sim.Result.Violations).Mean, o.Over(c, sim.Result.Cost).Mean)
		}
		b.WriteByte('\n')
	}
	line("1 to 5 s", s.Main)
	for _, v := range s.Delays {
		line(v.Name, v.Outcome)
	}
	line("1 to 5 s, and images that would be late are refused", s.Shed)
	return b.String()
}

// zeroTable has the lateness and the mean number of replicas on sparse loads.
func (s *Study) zeroTable() string {
	var b strings.Builder
	b.WriteString("| load | a replica starts in | limits | late or refused, % | replicas, mean |\n| --- | --- | --- | --- | --- |\n")
	for _, v := range s.Zero {
		for t, trace := range v.Traces {
			for c, who := range v.Contestants {
				fmt.Fprintf(&b, "| %s: %s | %s | %s | %s | %.2f |\n", trace.Name, trace.About, v.Name, who.Name, percent(v.On(t, c, sim.Result.Violations)),
					v.On(t, c, func(r sim.Result) float64 { return r.ReplicaSeconds / r.Duration.Seconds() }).Mean)
			}
		}
	}
	return b.String()
}

// sweepTable has the points of the chart.
func (s *Study) sweepTable() string {
	var b strings.Builder
	b.WriteString("| policy | knob | value: late or refused, % / cost |\n| --- | --- | --- |\n")
	for _, sw := range s.Sweeps {
		fmt.Fprintf(&b, "| %s | %s |", sw.Policy, sw.Knob)
		for c, value := range sw.Values {
			if c > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, " %s: %.2f / %.2f", value, 100*sw.Over(c, sim.Result.Violations).Mean, sw.Over(c, sim.Result.Cost).Mean)
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// stepTable has the recovery time after a jump of the load, and the overshoot.
func stepTable(o sim.Outcome) string {
	var b strings.Builder
	b.WriteString("| policy | last late image after the step, s | most replicas over needed |\n| --- | --- | --- |\n")
	step := 0
	for o.Traces[step].Name != "step" {
		step++
	}
	for c, who := range o.Contestants {
		fmt.Fprintf(&b, "| %s | %s | %.2f |\n", who.Name,
			plain(o.On(step, c, func(r sim.Result) float64 { return r.Recovery.Seconds() })),
			o.On(step, c, func(r sim.Result) float64 { return r.Overshoot }).Mean)
	}
	return b.String()
}

func (s *Study) about() string {
	return fmt.Sprintf("%d traces, %d seeds; %.0f million images in all experiments, simulated in %s, %.1f million per second.\n",
		len(s.Main.Traces)+len(s.HoldOut.Traces), s.Main.Seeds, float64(s.Images)/1e6, s.Took.Round(time.Second), float64(s.Images)/1e6/s.Took.Seconds())
}
