// Package compare judges two results of load tests: how much their figures differ, and whether by more than the noise
// that each run shows within itself. Runs is a pure function of the two results; package report shows what it returns.
package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// Word is what can be said about a difference.
type Word string

// The words.
const (
	Faster     Word = "faster"
	Slower     Word = "slower"
	More       Word = "more"
	Fewer      Word = "fewer"
	Noise      Word = "within the noise"
	Unreliable Word = "too few requests to judge"
	Short      Word = "too short a run to judge"
	Unjudged   Word = "" // its noise is not known
)

// Row is one figure of both runs.
type Row struct {
	Name string // such as "p99" or "computed p99"
	Unit string // ms, /s or %
	A, B float64
	// Ratio is B/A; NaN if A is 0, and for percentages.
	Ratio float64
	// Low and High bound the ratio with a confidence of 99 %. They are NaN if that is not known.
	Low, High float64
	Word      Word
}

// Comparison is the outcome.
type Comparison struct {
	Rows []Row
	// Different lists what was not the same in both runs.
	Different []Difference
}

// Difference is a setting that was not the same in both runs. A value is empty if a run does not have it.
type Difference struct{ Name, A, B string }

const (
	// smallest is the relative difference below which nobody cares; histograms are exact to 0.1 %.
	smallest = 0.01
	// Of a hundred figures that do not differ, one is outside of its bounds. With 95 %, one of the ten figures of a
	// comparison would often be.
	confidence = 0.99
	resamples  = 1000
	// seed makes comparisons repeatable.
	seed = 1
)

// percentiles are those that are judged.
var percentiles = []float64{50, 90, 95, 99, 99.9}

// Runs compares b with a.
//
// The bounds are from a block bootstrap (B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8
// and 13): each run is cut into parts of equal length, short enough to be many, and long enough that a queue which one
// second builds up is in the same part. Parts are drawn with replacement, and the ratio of the figures is taken again; the
// bounds are quantiles of a thousand such ratios. If both runs have the same schedule, the same parts are drawn of both,
// so that a ramp is not noise.
func Runs(a, b *result.Summary) Comparison {
	c := Comparison{Different: differences(a, b)}
	pair := cut(a, b)
	c.add(pair.rate(a, b))
	c.add(failures(a, b))
	if a.Late+b.Late > 0 { // a sign of what the bounds do not know: that other programs were busy
		late := func(s *result.Summary) float64 { return 100 * float64(s.Late) / float64(max(s.Sent, 1)) }
		c.add(Row{"sent late", "%", late(a), late(b), math.NaN(), math.NaN(), math.NaN(), Unjudged})
	}
	if a.Cached+b.Cached > 0 {
		c.add(Row{"from the cache", "%", 100 * a.CachedShare(), 100 * b.CachedShare(), math.NaN(), math.NaN(), math.NaN(), Unjudged})
	}
	c.add(pair.latencies(a, b, result.SpanTotal, percentiles)...)
	if a.Split() || b.Split() {
		c.add(pair.latencies(a, b, result.SpanComputed, percentiles)...)
	}
	for _, span := range []string{result.SpanQueue, result.SpanInference} {
		for _, p := range []float64{50, 99} {
			if row := latency(a, b, span, p); row.A > 0 && row.B > 0 {
				c.add(row)
			}
		}
	}
	return c
}

func (c *Comparison) add(rows ...Row) { c.Rows = append(c.Rows, rows...) }

// latency is a percentile in both runs, not judged.
func latency(a, b *result.Summary, span string, percent float64) Row {
	name := fmt.Sprintf("p%g", percent)
	if span != result.SpanTotal {
		name = span + " " + name
	}
	row := Row{Name: name, Unit: "ms", A: milliseconds(a, span, percent), B: milliseconds(b, span, percent), Low: math.NaN(), High: math.NaN()}
	row.Ratio = ratio(row.A, row.B)
	return row
}

func milliseconds(s *result.Summary, span string, percent float64) float64 {
	return 1000 * s.Percentile(span, percent).Seconds()
}

func ratio(a, b float64) float64 {
	if a <= 0 {
		return math.NaN()
	}
	return b / a
}

// failures compares the shares of failed requests by their normal approximation; requests that fail together make it
// optimistic, so that a difference counts from three standard errors on.
func failures(a, b *result.Summary) Row {
	failed := func(s *result.Summary) float64 { return float64(s.Sent - s.OK) }
	na, nb := float64(max(a.Sent, 1)), float64(max(b.Sent, 1))
	row := Row{Name: "failed", Unit: "%", A: 100 * failed(a) / na, B: 100 * failed(b) / nb, Ratio: math.NaN(), Low: math.NaN(), High: math.NaN()}
	p := (failed(a) + failed(b)) / (na + nb)
	deviation := 100 * math.Sqrt(p*(1-p)*(1/na+1/nb))
	switch difference := row.B - row.A; {
	case difference == 0:
	case math.Abs(difference) <= 3*deviation:
		row.Word = Noise
	case difference > 0:
		row.Word = More
	default:
		row.Word = Fewer
	}
	return row
}

// judge says what bounds mean. words are for a ratio below and above 1.
func judge(row Row, below, above Word) Word {
	switch {
	case math.IsNaN(row.Low) || math.IsNaN(row.High):
		return Unjudged
	case row.Ratio < 1-smallest && row.High < 1:
		return below
	case row.Ratio > 1+smallest && row.Low > 1:
		return above
	}
	return Noise
}

// conditions name what a run was checked against, which does not change its figures.
const conditions = "conditions"

// differences lists the settings in which the runs differ, besides when they were and what they were checked against.
func differences(a, b *result.Summary) []Difference {
	type setting struct{ name, a, b string }
	all := []setting{
		{"schedule", a.Schedule, b.Schedule}, {"target", a.Target, b.Target},
		{"workers", fmt.Sprint(a.Workers), fmt.Sprint(b.Workers)}, {"testers", fmt.Sprint(a.Machines), fmt.Sprint(b.Machines)},
		{"model", models(a), models(b)},
	}
	value := func(settings []result.Setting, name string) string {
		for _, s := range settings {
			if s.Name == name {
				return s.Value
			}
		}
		return ""
	}
	for _, s := range slices.Concat(a.Settings, b.Settings) {
		if s.Name != conditions && !slices.ContainsFunc(all, func(other setting) bool { return other.name == s.Name }) {
			all = append(all, setting{s.Name, value(a.Settings, s.Name), value(b.Settings, s.Name)})
		}
	}
	var found []Difference
	for _, s := range all {
		if s.a != s.b {
			found = append(found, Difference{s.name, s.a, s.b})
		}
	}
	return found
}

// models lists the models that answered.
func models(s *result.Summary) string {
	text := ""
	for i, name := range s.ModelNames() {
		if i > 0 {
			text += ", "
		}
		text += name
	}
	return text
}

// random draws parts. It begins anew for each figure.
func random() *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
