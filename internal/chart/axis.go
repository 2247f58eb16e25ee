package chart

import (
	"math"
	"strconv"
)

// Axis is the axis of a chart.
type Axis struct {
	Label string // quantity and unit: "latency, ms"
	// Include lists values that the axis covers, beside the data.
	Include []float64
	// Log makes the axis logarithmic. Values must be above 0.
	Log bool
	// Ticks are the labelled values. Nil means round numbers.
	Ticks []Tick
}

// Tick is a labelled value of an axis.
type Tick struct {
	Value float64
	Label string
}

// scale maps the values of an axis to positions from 0 to 1.
type scale struct {
	min, max float64
	log      bool
	ticks    []Tick
}

func (s scale) position(v float64) float64 {
	if s.log {
		return math.Log(v/s.min) / math.Log(s.max/s.min)
	}
	return (v - s.min) / (s.max - s.min)
}

// scale covers the data, with about as many ticks as wanted. If round is true, the axis ends at ticks.
func (a Axis) scale(data []float64, want int, round bool) scale {
	s := scale{min: math.Inf(1), max: math.Inf(-1), log: a.Log, ticks: a.Ticks}
	for _, values := range [][]float64{data, a.Include} {
		for _, v := range values {
			s.min, s.max = min(s.min, v), max(s.max, v)
		}
	}
	if math.IsInf(s.min, 1) { // no data
		s.min, s.max = 1, 10
	}
	if a.Log {
		s.roundLog()
	} else {
		s.roundLinear(max(want, 2), round)
	}
	return s
}

// roundLinear chooses ticks at a round distance.
func (s *scale) roundLinear(want int, round bool) {
	if s.max == s.min {
		s.max = s.min + 1
	}
	step := roundStep((s.max - s.min) / float64(want))
	first, last := math.Ceil(s.min/step-1e-9), math.Floor(s.max/step+1e-9)
	if round {
		first, last = math.Floor(s.min/step+1e-9), math.Ceil(s.max/step-1e-9)
		s.min, s.max = first*step, last*step
	}
	if s.ticks != nil {
		return
	}
	for i := first + 0; i <= last; i++ { // + 0 turns -0 into 0
		s.ticks = append(s.ticks, Tick{i * step, number(i * step)})
	}
}

// roundStep returns 1, 2 or 5 times a power of ten, at least step.
func roundStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= step*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

// roundLog extends the axis to 1, 2 or 5 times a power of ten, and places ticks there; over more than three decades at
// powers of ten only.
func (s *scale) roundLog() {
	low, high := math.Floor(math.Log10(s.min)+1e-9), math.Ceil(math.Log10(s.max)-1e-9)
	if low == high {
		high++
	}
	factors := []float64{1, 2, 5}
	if high-low > 3 {
		factors = factors[:1]
	}
	var values []float64
	for exponent := low; exponent <= high; exponent++ {
		for _, factor := range factors {
			values = append(values, factor*math.Pow(10, exponent))
		}
	}
	first, last := 0, len(factors)*int(high-low)
	for first+1 < last && values[first+1] <= s.min*(1+1e-9) {
		first++
	}
	for last-1 > first && values[last-1] >= s.max*(1-1e-9) {
		last--
	}
	s.min, s.max = values[first], values[last]
	if s.ticks != nil {
		return
	}
	for _, v := range values[first : last+1] {
		s.ticks = append(s.ticks, Tick{v, number(v)})
	}
}

// number writes a number without the noise of floating point.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e9)/1e9, 'f', -1, 64)
}

// threeDigits writes a number with three significant digits.
func threeDigits(v float64) string {
	if v >= 100 {
		return number(math.Round(v))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
