package schedule

import (
	"math"
	"math/rand/v2"
	"time"
)

// Twitter resembles the load of a public service. It follows statistics of 22 days of Twitter's stream, which papers on
// serving use (mean 63.6/s; the deviation of means of a minute is 0.63 of the mean; one in a hundred of the ratios of
// adjacent 10 s means exceeds 1.22 and one in a thousand 2.07). The rate is
//
//	mean * (1 + 0.35 sin(2 pi t/day)) * exp(noise) * burst
//
// and at most 6 times the mean, as in the statistics. Noise is an Ornstein-Uhlenbeck process with a time constant of 16
// minutes and a standard deviation of 0.3. Bursts occur every 2.8 hours on average, rise within 10 s to 4 times the rate
// (lognormal, at most 6), last 1 to 10 minutes and fall within half a minute. A schedule shorter than a day contains a
// whole day's oscillation and ten times as many bursts. Use it with Poisson arrivals.
func Twitter(mean float64, duration time.Duration, seed uint64) Schedule {
	const (
		memory = 16 * 60.0 // seconds
		spread = 0.3
		every  = 2.8 * 3600 // seconds
	)
	r := rand.New(rand.NewPCG(seed, 0x77))
	day, often := 86400.0, 1.0
	if duration < 24*time.Hour {
		day, often = duration.Seconds(), 10
	}
	noise := spread * r.NormFloat64()
	next := r.ExpFloat64() * every / often
	var b burst
	s := fill("twitter", duration, func(t float64) float64 {
		noise += -noise/memory + spread*math.Sqrt(2/memory)*r.NormFloat64()
		if t > next {
			b = newBurst(t, r)
			next = b.end + r.ExpFloat64()*every/often
		}
		return min(6, (1+0.35*math.Sin(2*math.Pi*(t/day-0.25)))*math.Exp(noise)*b.at(t))
	})
	by := mean * float64(len(s.Rates)) / s.Expected()
	for i := range s.Rates {
		s.Rates[i] *= by
	}
	return s
}

// burst is a factor of the rate: it rises from start to top, is constant until down, and is 1 again at end. Times are in
// seconds. The zero value is 1 at all times.
type burst struct{ start, top, down, end, height float64 }

func newBurst(t float64, r *rand.Rand) burst {
	b := burst{start: t, height: min(6, 4*math.Exp(0.3*r.NormFloat64()))}
	b.top = t + 2 + 8*r.Float64()
	b.down = b.top + 60 + 540*r.Float64()
	b.end = b.down + 30
	return b
}

func (b burst) at(t float64) float64 {
	switch {
	case t >= b.end || t < b.start:
		return 1
	case t < b.top:
		return 1 + (b.height-1)*(t-b.start)/(b.top-b.start)
	case t < b.down:
		return b.height
	}
	return 1 + (b.height-1)*(b.end-t)/(b.end-b.down)
}
