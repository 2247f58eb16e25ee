package autoscale

import (
	"math"
	"slices"
	"time"
)

// load is the number of images that arrived in each second, and estimates from these.
type load struct {
	Samples []sample  `json:"samples"` // oldest first
	Change  time.Time `json:"change"`  // samples before it do not count for the rate
}

// sample counts the images of a span of time, usually a second.
type sample struct {
	At      time.Time `json:"at"` // its end
	Images  float64   `json:"images"`
	Seconds float64   `json:"seconds"`
}

// remembered is the number of samples kept: four time constants of the longest fit.
const remembered = 240

func (l *load) observe(at time.Time, images, seconds float64) {
	l.Samples = append(l.Samples, sample{at, images, seconds})
	if len(l.Samples) > remembered {
		l.Samples = l.Samples[len(l.Samples)-remembered:]
	}
}

// last is at most the n latest samples.
func (l *load) last(n int) []sample { return l.Samples[max(0, len(l.Samples)-n):] }

// sinceChange is the samples that count for the rate.
func (l *load) sinceChange() []sample {
	i := len(l.Samples)
	for i > 0 && l.Samples[i-1].At.After(l.Change) {
		i--
	}
	return l.Samples[i:]
}

func total(samples []sample) (images, seconds float64) {
	for i := range samples {
		images += samples[i].Images
		seconds += samples[i].Seconds
	}
	return images, seconds
}

// recent is the mean rate of the last n samples; 0 if there are none.
func (l *load) recent(n int) float64 {
	images, seconds := total(l.last(n))
	if seconds == 0 {
		return 0
	}
	return images / seconds
}

// dispersion estimates variance over mean of the counts, 1 for Poisson arrivals: the largest of those of counts in 1, 2
// and 5 s, because real load wobbles over several seconds.
func (l *load) dispersion() float64 {
	most := dispersionOf(blocks(l.last(61), 1))
	for _, n := range [...]int{2, 5} {
		most = max(most, dispersionOf(blocks(l.last(dispersionSeconds+n), n)))
	}
	return most
}

// dispersionSeconds is the time over which the dispersion of blocks is estimated: enough for a median of 5 s blocks.
const dispersionSeconds = 120

// blocks adds up n samples at a time. The latest are in the last block.
func blocks(samples []sample, n int) []float64 {
	counts := make([]float64, 0, len(samples)/n)
	for i := len(samples) % n; i+n <= len(samples); i += n {
		images, _ := total(samples[i : i+n])
		counts = append(counts, images)
	}
	return counts
}

// dispersionOf estimates variance over mean of counts:
//
//	median of (n_i - n_{i-1})^2 / (n_i + n_{i-1}), divided by 0.455
//
// For Poisson counts of equal mean each term is about chi-squared with one degree of freedom, whose median
// is 0.455. A jump of the rate affects one term, and the median hardly.
//
// Worked example: 90, 110, 100, 130, 95, 105 images give the terms 2, 0.48, 3.91, 5.44 and 0.5, with the median 2, and a
// dispersion of 2/0.455 = 4.4.
func dispersionOf(counts []float64) float64 {
	terms := make([]float64, 0, 60)
	for i := 1; i < len(counts); i++ {
		if sum := counts[i] + counts[i-1]; sum > 0 {
			difference := counts[i] - counts[i-1]
			terms = append(terms, difference*difference/sum)
		}
	}
	if len(terms) < 5 {
		return 1
	}
	return min(20, max(1, quantile(terms, 0.5)/0.455))
}

// usual is the median rate of the last four minutes: the rate without bursts.
func (l *load) usual() float64 {
	rates := make([]float64, 0, remembered)
	for i := range l.Samples {
		rates = append(rates, l.Samples[i].Images/l.Samples[i].Seconds)
	}
	if len(rates) == 0 {
		return 0
	}
	return quantile(rates, 0.5)
}

// steady replaces a rate by the mean since the last change if the two agree: that mean has a smaller error. A rate has
// the error of a mean over 2 tau seconds. It returns the rate and its standard error.
//
// Worked example: tau is 8 s, and the rate is 10.9 images/s, with a standard error of sqrt(10.9/16) = 0.8. The mean of
// the last 200 s is 10.0: less than two standard errors away, so it is the rate, with an error of sqrt(10/200) = 0.2.
func (l *load) steady(rate, horizon, dispersion float64) (level, deviation float64) {
	deviation = math.Sqrt(dispersion * rate / (2 * timeConstant(horizon)))
	images, seconds := total(l.sinceChange())
	if seconds < 2*timeConstant(horizon) {
		return rate, deviation
	}
	if long := images / seconds; math.Abs(rate-long) < steadyWithin*deviation {
		return long, math.Sqrt(dispersion * long / seconds)
	}
	return rate, deviation
}

// steadyWithin is the number of standard errors within which a rate agrees with the mean.
const steadyWithin = 2

// timeConstant is that of the weights of a forecast, in seconds: a longer forecast needs a longer history.
func timeConstant(horizon float64) float64 { return min(60, max(8, horizon/2)) }

// detectChange tests whether the latest samples contradict those before them, and if so forgets the latter.
// For windows of 1 to 8 samples with x images in w seconds it compares with the rate b of at most m = 30
// seconds before:
//
//	z = (x - w b) / sqrt(b w (1 + w/m) I)
//
// which is about normal if nothing has changed and counts have dispersion I; the factor 1 + w/m accounts for the
// error of b. Chance exceeds 4.5 once in 150,000 tests.
func (l *load) detectChange(dispersion float64) {
	const limit, baseline = 4.5, 30
	samples := l.sinceChange()
	worst, at := limit, 0
	for _, n := range [...]int{1, 2, 3, 5, 8} {
		if n >= len(samples) {
			break
		}
		cut := len(samples) - n
		x, w := total(samples[cut:])
		before, m := total(samples[max(0, cut-baseline):cut])
		b := before / m
		spread := math.Sqrt(max(b, 1/m) * w * (1 + w/m) * dispersion)
		if z := math.Abs(x-w*b) / spread; z > worst {
			worst, at = z, cut
		}
	}
	if at > 0 {
		l.Change = samples[at-1].At
	}
}

// trend fits a line to the rates since the change point, later ones weighing more, and returns its value now
// and its slope per second. The slope is 0 unless it is upward and significant: then the value is the
// weighted mean. Shortly after a change, a standard error is added to the value.
//
// Weights are exp(-age/tau), where tau is the time constant of the horizon.
func (l *load) trend(horizon, dispersion float64) (level, slope float64) {
	samples := l.sinceChange()
	tau := timeConstant(horizon)
	samples = samples[max(0, len(samples)-max(60, int(4*tau))):]
	if len(samples) == 0 {
		return 0, 0
	}
	now := samples[len(samples)-1].At
	var sw, st, sy, stt, sty float64
	var weights, times [remembered]float64
	for i := range samples {
		s := &samples[i]
		t := -now.Sub(s.At).Seconds() - s.Seconds/2
		w := math.Exp(t/tau) * s.Seconds
		y := s.Images / s.Seconds
		weights[i], times[i] = w, t
		sw, st, sy = sw+w, st+w*t, sy+w*y
		stt, sty = stt+w*t*t, sty+w*t*y
	}
	level = sy / sw
	if n := len(samples); n <= 3 {
		_, seconds := total(samples)
		return level + math.Sqrt(dispersion*level/seconds), 0
	} else if n < 8 {
		return level, 0
	}
	middle := st / sw
	sxx := stt - st*middle
	b := (sty - middle*sy) / sxx
	variance := 0.0 // of b: each rate has variance I*level/seconds
	for i := range samples {
		d := weights[i] * (times[i] - middle)
		variance += d * d * dispersion * max(level, 0.1) / samples[i].Seconds
	}
	if b <= 0 || b*sxx <= 2*math.Sqrt(variance) {
		return level, 0
	}
	return level - b*middle, b
}

// The constants of ramps.
const (
	rampShortest = 2 // seconds whose mean is compared with that of as many before
	rampLongest  = 5
	rampErrors   = 3  // standard errors by which the slope must exceed 0
	rampMost     = 2  // times the present rate: nothing steeper is expected
	rampAhead    = 10 // seconds for which it is expected to go on
)

// ramp is the rate to expect after some seconds if the load goes on to rise as it has for some seconds, and 0 if it does
// not rise clearly. It sees a ramp sooner than detectChange and trend, which need more seconds, but may be mistaken: nothing
// is held for it.
//
// For n of 2 to 5 s, the slope is the mean rate of the last n seconds less that of the n before, over n. For one n it must
// exceed 3 standard errors. The last 2 s must still rise: after a step they do not.
//
// Worked example: 100 images/s arrived, and then 110, 120, ..., 160 in the last six seconds, with a dispersion of 1. With
// n = 3, the slope is (150-120)/3 = 10, and its standard error sqrt(135*2/3)/3 = 3.2: the load rises. In 6 s,
// 150 + 10*(3/2+6) = 225 images/s are expected. By the last 2 s alone it is 155 + 10*(2/2+6) = 225 too.
func (l *load) ramp(ahead, dispersion float64) float64 {
	if len(l.Samples) < 2*rampShortest {
		return 0
	}
	ahead = min(ahead, rampAhead)
	rate, slope, _ := l.rise(rampShortest, dispersion)
	most := min(rampMost*rate, rate+max(0, slope)*(rampShortest/2.+ahead))
	expected := 0.0
	for n := rampShortest; n <= rampLongest && 2*n <= len(l.Samples); n++ {
		if rate, slope, deviation := l.rise(n, dispersion); slope > rampErrors*deviation {
			expected = max(expected, min(most, rate+slope*(float64(n)/2+ahead)))
		}
	}
	return expected
}

// rise is the mean rate of the last n samples, and its slope from the n before, with the standard error.
func (l *load) rise(n int, dispersion float64) (rate, slope, deviation float64) {
	late, seconds := total(l.last(n))
	all, span := total(l.last(2 * n))
	before := span - seconds
	rate = late / seconds
	slope = (rate - (all-late)/before) / (span / 2)
	deviation = math.Sqrt(dispersion*max(1, all/span)*(1/seconds+1/before)) / (span / 2)
	return rate, slope, deviation
}

// margin learns how far the load rises above the rate that replicas are there for.
type margin struct {
	Forecasts []point    `json:"forecasts"` // recent forecasts, without margin
	Past      []prepared `json:"past"`      // seconds of the last ten minutes
}

// prepared is the rate of a second, and the largest forecast that replicas were started or held for.
type prepared struct {
	At       time.Time `json:"at"`
	Rate     float64   `json:"rate"`
	Forecast float64   `json:"forecast"`
}

// The constants of the margin.
const (
	marginWindow = 10 * time.Minute // of seconds that it learns from
	marginRate   = 3                // seconds over which a rate is averaged
	marginErrors = 1                // standard errors by which a rate may exceed a forecast by chance
	marginPeak   = 0.9              // of the highest recent rate: a margin prepares for no more
)

// raise records a forecast and the current rate, and returns the rate to staff for: the forecast with a margin. Replicas
// that are ready now were started for a forecast that is a horizon old, or have been held since an older one: the largest
// of these is what the rate is compared with. The margin is a quantile of these ratios, at least 1. What rates exceed
// forecasts by chance is no reason for a margin: the staffing covers it. Nor is a rate that there has not been.
//
// Worked example: in the last ten minutes, up to 400 images/s arrived. In a tenth of the seconds the rate, less its
// standard error, was 1.3 times the forecast that replicas were there for, and in the others less. With the quantile 0.95,
// a forecast of 200 becomes 260, one of 300 becomes 0.9 * 400 = 360, and one of 380 stays.
func (m *margin) raise(now time.Time, forecast, rate, horizon float64, hold time.Duration, q float64) float64 {
	issued := now.Add(-time.Duration(horizon * float64(time.Second)))
	m.Forecasts = since(m.Forecasts, issued.Add(-hold))
	most, known := 0.0, false
	for _, f := range m.Forecasts {
		if !f.At.After(issued) {
			most, known = max(most, f.Value), true
		}
	}
	m.Forecasts = append(m.Forecasts, point{now, forecast})
	m.Past = slices.DeleteFunc(m.Past, func(p prepared) bool { return now.Sub(p.At) > marginWindow })
	if known {
		m.Past = append(m.Past, prepared{now, rate, most})
	}
	if len(m.Past) == 0 || q < 0 {
		return forecast
	}
	var above []float64 // ratios above 1
	peak := 0.0
	for _, p := range m.Past {
		if r := (p.Rate - marginErrors*math.Sqrt(p.Rate/marginRate)) / max(1, p.Forecast); r > 1 {
			above = append(above, r)
		}
		peak = max(peak, p.Rate)
	}
	beyond := max(1, len(m.Past)-int(q*float64(len(m.Past)))) // ratios from the quantile on
	if len(above) < beyond {
		return forecast
	}
	slices.Sort(above)
	return max(forecast, min(forecast*above[len(above)-beyond], marginPeak*peak))
}

// quantile sorts values and returns their q-quantile.
func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
