package compare

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

const (
	parts = 20 // that a run is cut into
	few   = 10 // parts from which on bounds mean something
	// standing is the number of latencies that stand for those of a part, at most. The one in a thousand is among them.
	standing = 1000
)

// pair is two runs, cut into parts.
type pair struct {
	a, b []result.Second // the parts; fewer than few if a run is too short
	// alike means that part i of both runs had the same load.
	alike bool
}

// cut cuts both runs into the same number of parts, of whole seconds.
func cut(a, b *result.Summary) pair {
	n := min(parts, len(a.Timeline), len(b.Timeline))
	return pair{cutOne(a, n), cutOne(b, n), a.Schedule == b.Schedule}
}

func cutOne(s *result.Summary, n int) []result.Second {
	all := make([]result.Second, n)
	for i := range all {
		all[i] = s.Between(i*len(s.Timeline)/n, (i+1)*len(s.Timeline)/n)
	}
	return all
}

// short reports whether the runs have too few parts to tell noise from a difference.
func (p pair) short() bool { return len(p.a) < few }

// bounds draws parts of both runs and returns the bounds of the ratio of a figure. figure gets how often each part was
// drawn.
func (p pair) bounds(figureA, figureB func(drawn []int) float64) (low, high float64) {
	var ratios []float64
	r := random()
	drawnA, drawnB := make([]int, len(p.a)), make([]int, len(p.b))
	for range resamples {
		draw(r, drawnA)
		if p.alike {
			copy(drawnB, drawnA)
		} else {
			draw(r, drawnB)
		}
		if q := ratio(figureA(drawnA), figureB(drawnB)); !math.IsNaN(q) {
			ratios = append(ratios, q)
		}
	}
	if len(ratios) < resamples/2 {
		return math.NaN(), math.NaN()
	}
	slices.Sort(ratios)
	outside := int((1 - confidence) / 2 * float64(len(ratios)))
	return ratios[outside], ratios[len(ratios)-1-outside]
}

// draw counts how often each of the parts is drawn, as many in all as there are.
func draw(r *rand.Rand, drawn []int) {
	clear(drawn)
	for range drawn {
		drawn[r.IntN(len(drawn))]++
	}
}

// rate compares the answers per second.
func (p pair) rate(a, b *result.Summary) Row {
	row := Row{Name: "answers", Unit: "/s", A: a.Rate(), B: b.Rate(), Ratio: ratio(a.Rate(), b.Rate()), Low: math.NaN(), High: math.NaN(), Word: Short}
	if p.short() {
		return row
	}
	answers := func(parts []result.Second) func(drawn []int) float64 {
		return func(drawn []int) (sum float64) {
			for i, n := range drawn {
				sum += float64(n * parts[i].Answered)
			}
			return sum
		}
	}
	// The parts of a run are of the same length within a second, which the ratio of both runs' lengths corrects on average.
	low, high := p.bounds(answers(p.a), answers(p.b))
	scale := row.Ratio / ratio(float64(a.OK), float64(b.OK))
	row.Low, row.High = scale*low, scale*high
	row.Word = judge(row, Fewer, More)
	return row
}

// latencies compares percentiles of the total, or of that of computed answers.
func (p pair) latencies(a, b *result.Summary, span string, percentiles []float64) []Row {
	ofA, ofB := observe(p.a, span), observe(p.b, span)
	var rows []Row
	for _, percent := range percentiles {
		row := latency(a, b, span, percent)
		n := min(a.Count(span), b.Count(span))
		switch {
		case n == 0:
			continue
		case !result.EnoughSamples(n, percent):
			row.Word = Unreliable
		case p.short():
			row.Word = Short
		default:
			row.Low, row.High = p.bounds(ofA.percentile(percent), ofB.percentile(percent))
			row.Word = judge(row, Faster, Slower)
		}
		rows = append(rows, row)
	}
	return rows
}

// observations are the latencies of a run, sorted.
type observations struct {
	all   []observation
	count []float64 // requests of each part
}

// observation is a latency that stands for so many requests of a part.
type observation struct {
	seconds, weight float64
	part            int
}

func observe(parts []result.Second, span string) observations {
	o := observations{count: make([]float64, len(parts))}
	for i := range parts {
		all, computed := parts[i].Count()
		latencies, n := parts[i].Latencies(standing), all
		if span == result.SpanComputed {
			latencies, n = parts[i].LatenciesComputed(standing), computed
		}
		o.count[i] = float64(n)
		for _, d := range latencies {
			o.all = append(o.all, observation{d.Seconds(), float64(n) / float64(len(latencies)), i})
		}
	}
	slices.SortFunc(o.all, func(a, b observation) int { return cmp.Compare(a.seconds, b.seconds) })
	return o
}

// percentile returns the function that computes a percentile of the parts that were drawn; NaN if they have no requests.
func (o observations) percentile(percent float64) func(drawn []int) float64 {
	return func(drawn []int) float64 {
		total := 0.0
		for i, n := range drawn {
			total += float64(n) * o.count[i]
		}
		left := total * percent / 100 * (1 - 1e-9) // sums of weights are not exact
		if total == 0 {
			return math.NaN()
		}
		for _, one := range o.all {
			if left -= float64(drawn[one.part]) * one.weight; left <= 0 {
				return one.seconds
			}
		}
		return o.all[len(o.all)-1].seconds
	}
}
