package autoscale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// near compares a value with the wanted one, up to rounding errors.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// counts is a load with these numbers of images per second, the last of which ends at start.
func counts(images ...float64) *load {
	l := &load{}
	for i, n := range images {
		l.observe(start.Add(time.Duration(i+1-len(images))*time.Second), n, 1)
	}
	return l
}

// repeat is n times the same count.
func repeat(n int, images float64) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = images
	}
	return list
}

// join concatenates lists of counts.
func join(lists ...[]float64) []float64 {
	var all []float64
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// TestLoadRemembers checks that the last 240 samples are kept, latest last.
func TestLoadRemembers(t *testing.T) {
	t.Parallel()
	l := &load{}
	for i := range 300 {
		l.observe(start.Add(time.Duration(i)*time.Second), float64(i), 1)
		if want := min(i+1, 240); len(l.Samples) != want || l.Samples[want-1].Images != float64(i) {
			t.Fatalf("after %d samples %d are kept, the last of %v images", i+1, len(l.Samples), l.Samples[len(l.Samples)-1].Images)
		}
	}
	if first := l.Samples[0].Images; first != 60 {
		t.Errorf("the oldest sample is number %v, want 60", first)
	}
}

// TestLoadRecent checks images per second over the latest samples; 0 without samples.
func TestLoadRecent(t *testing.T) {
	t.Parallel()
	near(t, "recent of none", new(load).recent(3), 0)
	near(t, "recent of 3 of 5", counts(1000, 1000, 10, 20, 30).recent(3), 20)
	near(t, "recent of 3 of 2", counts(10, 20).recent(3), 15)
	l := counts(10, 20)
	l.observe(start.Add(3*time.Second), 60, 3)
	near(t, "recent with a long sample", l.recent(2), 20)
}

// TestSinceChange checks the samples that ended after the change point; all if there was none.
func TestSinceChange(t *testing.T) {
	t.Parallel()
	l := counts(1, 2, 3, 4)
	if got := l.sinceChange(); len(got) != 4 {
		t.Errorf("without a change %d samples count, want all", len(got))
	}
	for i, want := range []int{3, 2, 1, 0} {
		l.Change = l.Samples[i].At
		if got := l.sinceChange(); len(got) != want || want > 0 && got[0].Images != float64(i+2) {
			t.Errorf("change at the end of sample %d: %d samples count, want the %d after it", i+1, len(got), want)
		}
	}
}

// TestDispersion checks the median, over a minute, of (difference)^2/sum of neighboring counts, divided by 0.455; from 1 to 20.
func TestDispersion(t *testing.T) {
	t.Parallel()
	alternate := func(n int, a, b float64) []float64 {
		list := make([]float64, n)
		for i := range list {
			list[i] = []float64{a, b}[i%2]
		}
		return list
	}
	const wild = 20 * 20 / 220. / 0.455 // of 100 and 120 alternating
	tests := []struct {
		name   string
		images []float64
		want   float64
	}{
		{"nothing seen counts as Poisson", nil, 1},
		{"four terms say nothing yet", alternate(5, 100, 120), 1},
		{"five terms do", alternate(6, 100, 120), wild},
		{"never less than Poisson", repeat(61, 100), 1},
		{"never more than 20", alternate(61, 10, 90), 20},
		{"up to 20 as it is", alternate(61, 100, 146), 46 * 46 / 246. / 0.455},
		{"seconds without images have no term", repeat(61, 0), 1},
		{"one image a pair is a term", alternate(61, 0, 1), 1 / 0.455},
		// Half of the minute's 60 terms are large: the median is the first large one. One older term would make it a small one.
		{"a minute counts, not more", join(repeat(130, 100), repeat(31, 100), alternate(30, 120, 100)), wild},
		{"the half of the terms is calm", join(repeat(32, 100), alternate(29, 120, 100)), 1},
		{"a jump spoils one term of many", join(repeat(30, 100), repeat(30, 1000)), 1},
	}
	for _, test := range tests {
		near(t, test.name+": dispersion", counts(test.images...).dispersion(), test.want)
	}

	// Real load wobbles over several seconds: of such counts the larger blocks differ.
	wobble := make([]float64, 125)
	for i := range wobble {
		wobble[i] = []float64{100, 120}[i/5%2]
	}
	near(t, "two levels, five seconds each: dispersion", counts(wobble...).dispersion(), 100*100/1100./0.455)
	near(t, "the example", dispersionOf([]float64{90, 110, 100, 130, 95, 105}), 2/0.455)

	// Of random arrivals, alone or in groups of five, which vary five times as much. The largest of three estimates is too
	// large on average.
	rng := rand.New(rand.NewPCG(1, 2))
	for _, group := range []float64{1, 5} {
		sum := 0.0
		for range 50 {
			images := make([]float64, 130)
			for i := range images {
				images[i] = group * float64(poisson(rng, 100))
			}
			sum += counts(images...).dispersion()
		}
		if mean := sum / 50; mean < group || mean > 1.7*group {
			t.Errorf("arrivals in groups of %v: dispersion %v on average, want about as much", group, mean)
		}
	}
}

func poisson(rng *rand.Rand, mean float64) int {
	n := 0
	for left := mean; ; n++ {
		if left -= rng.ExpFloat64(); left < 0 {
			return n
		}
	}
}

// TestDetectChange checks that a window of the latest 1, 2, 3, 5 or 8 samples differs from the half minute before by 4.5 standard
// deviations. After 30 s at 100/s a window of n seconds has a mean of 100n and a variance of 100n(1 + n/30).
func TestDetectChange(t *testing.T) {
	t.Parallel()
	limit := func(n, seconds, dispersion float64) float64 {
		return 4.5 * math.Sqrt(100*n*(1+n/seconds)*dispersion)
	}
	detected := func(dispersion float64, images ...float64) int {
		l := counts(images...)
		l.detectChange(dispersion)
		return len(l.sinceChange())
	}
	before := repeat(30, 100)
	for _, dispersion := range []float64{1, 4} {
		for n := 1; n <= 8; n++ {
			// Each of the n seconds exceeds the mean by just enough for a window of n to detect.
			over := limit(float64(n), 30, dispersion) / float64(n)
			window := n == 1 || n == 2 || n == 3 || n == 5 || n == 8
			for _, sign := range []float64{1, -1} {
				for seen := 1; seen < n; seen++ {
					if got := detected(dispersion, join(before, repeat(seen, 100+sign*1.02*over))...); got != 30+seen {
						t.Errorf("dispersion %v: %d of %d samples off by %v are a change", dispersion, seen, n, sign*over)
					}
				}
				want := 30 + n
				if window {
					want = n
				}
				if got := detected(dispersion, join(before, repeat(n, 100+sign*1.02*over))...); got != want {
					t.Errorf("dispersion %v: of %d samples off by %v after 30 %d count, want %d", dispersion, n, sign*over, got, want)
				}
				if got := detected(dispersion, join(before, repeat(n, 100+sign*0.98*over))...); got != 30+n {
					t.Errorf("dispersion %v: %d samples off by a little less are a change", dispersion, n)
				}
			}
		}
	}

	one := limit(1, 30, 1)
	for name, test := range map[string]struct {
		images []float64
		want   int
	}{
		"half a minute is compared with, not what came before": {join([]float64{250}, before, []float64{100 + 1.02*one}), 1},
		"less when there is no more":                           {[]float64{100, 100 + 1.02*limit(1, 1, 1)}, 1},
		"and then with less certainty":                         {[]float64{100, 100 + 0.98*limit(1, 1, 1)}, 2},
		"one sample has nothing to be compared with":           {[]float64{100}, 1},
		"the window that differs most is the change":           {join(before, []float64{100 + 1.02*one, 1000, 1000}), 2},
		"an image after half a minute of none is a change":     {join(repeat(30, 0), []float64{1}), 1},
		"after ten seconds of none it takes two: chance":       {join(repeat(10, 0), []float64{1}), 11},
		"after ten seconds of none it takes two":               {join(repeat(10, 0), []float64{2}), 1},
	} {
		if got := detected(1, test.images...); got != test.want {
			t.Errorf("%s: %d samples count, want %d", name, got, test.want)
		}
	}

	// Samples of two seconds: they are compared with the 30 before, a minute.
	for off, want := range map[float64]int{1.02: 1, 0.98: 31} {
		l := &load{}
		for i := range 30 {
			l.observe(start.Add(time.Duration(2*i)*time.Second), 200, 2)
		}
		l.observe(start.Add(time.Minute), 200+off*limit(2, 60, 1), 2)
		l.detectChange(1)
		if got := len(l.sinceChange()); got != want {
			t.Errorf("sample of two seconds, off by %v of the limit: %d samples count, want %d", off, got, want)
		}
	}
}

// TestDetectChangeIsSeldomWrong checks that with Poisson arrivals it reports a change about once in 150,000 samples.
func TestDetectChangeIsSeldomWrong(t *testing.T) {
	t.Parallel()
	rng, wrong := rand.New(rand.NewPCG(3, 4)), 0
	l := &load{}
	for i := range 5_000 {
		l.observe(start.Add(time.Duration(i)*time.Second), float64(poisson(rng, 30)), 1)
		before := l.Change
		l.detectChange(1)
		if !l.Change.Equal(before) {
			wrong++
		}
	}
	if wrong > 3 {
		t.Errorf("%d changes in 5,000 s of a steady load, want hardly any", wrong)
	}
}

// line is a load whose rate is rate(t), t in seconds from now, in samples of a length.
func line(n int, seconds float64, rate func(t float64) float64) *load {
	l := &load{}
	for i := range n {
		end := -float64(n-1-i) * seconds
		l.observe(start.Add(time.Duration(end*float64(time.Second))), seconds*rate(end-seconds/2), seconds)
	}
	return l
}

// TestTrendOfALine checks that linear growth is extrapolated exactly, with any weights: the level is its value now.
func TestTrendOfALine(t *testing.T) {
	t.Parallel()
	for _, horizon := range []float64{1, 6, 30, 100, 1000} {
		for _, seconds := range []float64{1, 2, 0.5} {
			level, slope := line(50, seconds, func(t float64) float64 { return 500 + 5*t/seconds }).trend(horizon, 1)
			near(t, fmt.Sprintf("level at horizon %v of samples of %v s", horizon, seconds), level, 500)
			near(t, "slope", slope, 5/seconds)
		}
	}
	if level, slope := new(load).trend(6, 1); level != 0 || slope != 0 {
		t.Errorf("trend of nothing = %v, %v", level, slope)
	}
}

// TestTrendAfterAChange: with up to three samples it is the mean plus a standard error, with up to seven the mean, and with
// eight or more a line.
func TestTrendAfterAChange(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 9; n++ {
		l := counts(join(repeat(20, 5), repeat(n, 100))...)
		l.Change = start.Add(-time.Duration(n) * time.Second)
		level, slope := l.trend(6, 4)
		want := 100.0
		if n <= 3 { // n seconds of 100 images with dispersion 4: the mean's variance is 400/n
			want += math.Sqrt(400 / float64(n))
		}
		near(t, fmt.Sprintf("level of %d samples", n), level, want)
		near(t, fmt.Sprintf("slope of %d samples", n), slope, 0)

		l = line(n, 1, func(t float64) float64 { return 10_000 + 1000*t })
		if _, slope := l.trend(6, 1); (slope > 0) != (n >= 8) {
			t.Errorf("slope of %d samples of a steep line = %v", n, slope)
		}
	}
}

// weighted is the mean of the latest samples with weights exp(-age/tau), the line through them, and the standard error of
// its slope when a rate has the variance dispersion*mean/seconds: as in textbooks, with centered sums.
func weighted(l *load, samples int, tau, dispersion float64) (mean, now, slope, stderr float64) {
	list := l.last(samples)
	var w, t, y []float64
	for _, s := range list {
		age := list[len(list)-1].At.Sub(s.At).Seconds() + s.Seconds/2
		w, t, y = append(w, math.Exp(-age/tau)*s.Seconds), append(t, -age), append(y, s.Images/s.Seconds)
	}
	average := func(x []float64) float64 {
		sum, weights := 0.0, 0.0
		for i := range x {
			sum, weights = sum+w[i]*x[i], weights+w[i]
		}
		return sum / weights
	}
	mean = average(y)
	middle, txy, txx, variance := average(t), 0.0, 0.0, 0.0
	for i := range y {
		txy += w[i] * (t[i] - middle) * (y[i] - mean)
		txx += w[i] * (t[i] - middle) * (t[i] - middle)
	}
	for i := range y {
		d := w[i] * (t[i] - middle) / txx
		variance += d * d * dispersion * max(mean, 0.1) / list[i].Seconds
	}
	slope = txy / txx
	return mean, mean - slope*middle, slope, math.Sqrt(variance)
}

// TestTrendIsAWeightedFit: tau is half the horizon, from 8 to 60 s, and four taus are used, at least 60 samples. The
// line is used if it rises by more than two standard errors, else the mean.
func TestTrendIsAWeightedFit(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	lines, means := 0, 0
	for _, test := range []struct {
		horizon, tau float64
		samples      int
	}{{1, 8, 60}, {16, 8, 60}, {18, 9, 60}, {34, 17, 68}, {119, 59.5, 238}, {120, 60, 240}, {1000, 60, 240}} {
		for _, growth := range []float64{-3, -0.5, 0, 0.05, 0.2, 0.5, 3} {
			for _, dispersion := range []float64{1, 3} {
				for _, seconds := range []float64{1, 2} {
					l := line(260, seconds, func(t float64) float64 {
						mean := max(1, 800+growth*t)
						return mean + math.Sqrt(mean)*rng.NormFloat64()
					})
					mean, now, slope, stderr := weighted(l, test.samples, test.tau, dispersion)
					wantLevel, wantSlope := mean, 0.0
					if slope > 2*stderr {
						wantLevel, wantSlope = now, slope
						lines++
					} else {
						means++
					}
					level, got := l.trend(test.horizon, dispersion)
					what := fmt.Sprintf("horizon %v, growth %v, dispersion %v, samples of %v s", test.horizon, growth, dispersion, seconds)
					near(t, "level: "+what, level, wantLevel)
					near(t, "slope: "+what, got, wantSlope)
				}
			}
		}
	}
	if lines < 20 || means < 20 {
		t.Errorf("%d lines and %d means: the data do not show both", lines, means)
	}

	// With almost no images the variance is that of a tenth of an image per second.
	for _, last := range []float64{1, 2, 3, 4, 6, 10} {
		l := counts(join(repeat(239, 0), []float64{last})...)
		mean, now, slope, stderr := weighted(l, 240, 60, 1)
		want := mean
		if slope > 2*stderr {
			want = now
		}
		level, _ := l.trend(120, 1)
		near(t, fmt.Sprintf("level after four minutes of nothing and %v images", last), level, want)
	}

	// A sample that is twice as long counts twice.
	l := &load{}
	at := start.Add(-time.Hour)
	for i := range 200 {
		seconds := float64(1 + i%2)
		at = at.Add(time.Duration(seconds) * time.Second)
		l.observe(at, seconds*(500+100*rng.NormFloat64()), seconds)
	}
	mean, _, _, _ := weighted(l, 60, 8, 50)
	level, _ := l.trend(1, 50)
	near(t, "level of samples of different lengths", level, mean)
}

// TestRamp checks what a rising load is expected to be: the worked example, and that nothing is extrapolated that is over, too
// little to be seen, or too steep.
func TestRamp(t *testing.T) {
	t.Parallel()
	calm := repeat(30, 100)
	rising := []float64{110, 120, 130, 140, 150, 160}
	for name, test := range map[string]struct {
		load              *load
		ahead, dispersion float64
		want              float64
	}{
		"nothing seen":                  {counts(), 6, 1, 0},
		"three seconds":                 {counts(100, 200, 300), 6, 1, 0},
		"steady":                        {counts(calm...), 6, 1, 0},
		"falling":                       {counts(join(calm, []float64{90, 80, 70, 60})...), 6, 1, 0},
		"worked example":                {counts(join(calm, rising)...), 6, 1, 155 + 10*7},
		"it goes on for ten seconds":    {counts(join(calm, rising)...), 60, 1, 155 + 10*11},
		"its slope may be chance":       {counts(join(calm, rising)...), 6, 9, 0},
		"of five seconds, it is not":    {counts(join(calm, rising)...), 6, 3, 140 + 7.6*8.5},
		"just over: no more than it is": {counts(join(calm, rising, repeat(4, 160))...), 6, 1, 160},
		"over for long":                 {counts(join(calm, rising, repeat(10, 160))...), 6, 1, 0},
		"steep: twice the present rate": {counts(join(calm, []float64{300})...), 6, 1, 2 * 200},
	} {
		near(t, name, test.load.ramp(test.ahead, test.dispersion), test.want)
	}
	// Of 2 s each, at a mean of 125: the slope of 25 has an error of sqrt(125*(1/2+1/2))/2.
	rate, slope, deviation := counts(100, 100, 100, 200).rise(2, 1)
	near(t, "rate", rate, 150)
	near(t, "slope", slope, 25)
	near(t, "deviation", deviation, math.Sqrt(125)/2)
}

// TestRampIsSeldomSeen checks that chance makes a ramp of a steady load in less than one second of 100.
func TestRampIsSeldomSeen(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	l, seen := &load{}, 0
	const seconds = 20_000
	for i := range seconds {
		l.observe(start.Add(time.Duration(i)*time.Second), float64(poisson(random, 200)), 1)
		if l.ramp(6, 1) > 0 {
			seen++
		}
	}
	if seen == 0 || seen > seconds/100 {
		t.Errorf("a ramp in %d of %d seconds", seen, seconds)
	}
}

// TestMargin compares the rates with the forecasts that replicas were there for.
func TestMargin(t *testing.T) {
	t.Parallel()
	const horizon, hold = 5, 10 * time.Second
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	exact := func(rate float64) float64 { return rate - math.Sqrt(rate/3) } // less its standard error
	story := func(q float64, rates ...float64) float64 {                    // a forecast of 100 each second; the rates come
		m, got := margin{}, 0.0
		for second, rate := range rates {
			got = m.raise(at(second), 100, rate, horizon, hold, q)
		}
		return got
	}
	near(t, "before a forecast can have failed", story(0.95, repeat(5, 150)...), 100)
	near(t, "when the first one has", story(0.95, repeat(6, 150)...), 0.9*150)
	near(t, "by chance", story(0.95, repeat(600, 105)...), 100)
	near(t, "forecasts that were too high", story(0.95, repeat(6, 50)...), 100)
	near(t, "no margin", story(-1, repeat(6, 150)...), 100)
	// Ten comparisons: eight right, one 1.3, one 1.6 times as much.
	ten := join(repeat(13, 100), []float64{130, 160})
	near(t, "median", story(0.5, ten...), 100)
	near(t, "80 %", story(0.8, ten...), exact(130))
	near(t, "90 %", story(0.9, ten...), 0.9*160)

	// The example: a tenth of the seconds had 1.3 times the forecast, and one had 400 images/s.
	for forecast, want := range map[float64]float64{200: 260, 300: 360, 380: 380} {
		m := margin{}
		for second := range 600 {
			rate := 100.0
			if second%10 == 0 {
				rate = 400
			}
			m.Past = append(m.Past, prepared{at(second), rate, exact(400) / 1.3})
		}
		near(t, fmt.Sprintf("forecast of %v", forecast), m.raise(at(600), forecast, 0, horizon, hold, 0.95), want)
	}

	// Replicas are there for the largest forecast that is at least as old as the horizon, and that they are held for.
	for _, test := range []struct {
		name     string
		forecast []float64 // each second, from 0 on; then the rate of 300
		want     float64
	}{
		{"as old as the horizon", []float64{100, 1e3, 1e3, 1e3, 1e3, 50}, 50 * exact(300) / 100},
		{"the largest", []float64{100, 150, 120, 1e3, 1e3, 1e3, 1e3, 50}, 50 * exact(300) / 150},
		{"held no longer", append([]float64{150, 120, 60}, repeat(14, 50)...), 50 * exact(300) / 120},
		{"of nothing counts as one image", []float64{0.5, 0, 0, 0, 0, 50}, 0.9 * 300},
	} {
		m, got := margin{}, 0.0
		for second, forecast := range test.forecast {
			rate := 0.0
			if second == len(test.forecast)-1 {
				rate = 300
			}
			got = m.raise(at(second), forecast, rate, horizon, hold, 1)
		}
		near(t, test.name, got, test.want)
	}

	// Comparisons count for ten minutes.
	m := margin{Past: []prepared{{at(0), 150, 110}}}
	near(t, "after ten minutes", m.raise(at(600), 100, 0, horizon, hold, 0.95), 100*exact(150)/110)
	near(t, "after that", m.raise(at(601), 100, 0, horizon, hold, 0.95), 100)
}

// TestQuantile is the value below which the share of the values lies, at most the largest.
func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ q, want float64 }{{0, 1}, {0.05, 1}, {0.1, 2}, {0.5, 6}, {0.79, 8}, {0.8, 9}, {0.9, 10}, {1, 10}} {
		near(t, fmt.Sprintf("quantile %v of 1 to 10", test.q), quantile([]float64{7, 3, 10, 1, 2, 9, 8, 4, 6, 5}, test.q), test.want)
	}
	near(t, "quantile of one", quantile([]float64{5}, 0.9), 5)
}
