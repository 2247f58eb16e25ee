package schedule

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// pattern makes a schedule from numbers. Durations among them are in seconds.
type pattern struct {
	arguments string // names, with colons between
	durations []int  // which arguments are durations
	make      func(a []float64) []float64
}

var patterns = map[string]pattern{
	"constant": {"RATE:DURATION", []int{1}, func(a []float64) []float64 {
		return Constant(a[0], seconds(a[1])).Rates
	}},
	"ramp": {"FROM:TO:DURATION", []int{2}, func(a []float64) []float64 {
		return Ramp(a[0], a[1], seconds(a[2])).Rates
	}},
	"step": {"LOW:HIGH:DURATION", []int{2}, func(a []float64) []float64 {
		return Step(a[0], a[1], seconds(a[2])).Rates
	}},
	"spikes": {"BASE:PEAK:EVERY:WIDTH:DURATION", []int{2, 3, 4}, func(a []float64) []float64 {
		return Spikes(a[0], a[1], seconds(a[2]), seconds(a[3]), seconds(a[4])).Rates
	}},
	"sine": {"MEAN:AMPLITUDE:PERIOD:DURATION", []int{2, 3}, func(a []float64) []float64 {
		return Sine(a[0], a[1], seconds(a[2]), seconds(a[3])).Rates
	}},
	"mmpp": {"LOW:HIGH:MEANDWELL:DURATION:SEED", []int{2, 3}, func(a []float64) []float64 {
		return MMPP(a[0], a[1], seconds(a[2]), seconds(a[3]), uint64(a[4])).Rates
	}},
	"twitter": {"MEAN:DURATION:SEED", []int{1}, func(a []float64) []float64 {
		return Twitter(a[0], seconds(a[1]), uint64(a[2])).Rates
	}},
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (p pattern) parse(text string) (Schedule, error) {
	names, fields := strings.Split(p.arguments, ":"), strings.Split(text, ":")
	if len(fields) != len(names) {
		return Schedule{}, fmt.Errorf("%d arguments, want %s", len(fields), p.arguments)
	}
	values := make([]float64, len(fields))
	for i, field := range fields {
		v, err := strconv.ParseFloat(field, 64)
		for _, d := range p.durations {
			if d == i && err != nil {
				var duration time.Duration
				duration, err = time.ParseDuration(field)
				v = duration.Seconds()
			}
		}
		if err != nil || !(v >= 0 && v <= 1e9) {
			return Schedule{}, fmt.Errorf("%s is %.40q, want a number from 0 to 1e9 (durations like 90s or 5m)", names[i], field)
		}
		values[i] = v
	}
	for _, d := range p.durations {
		if values[d] < 1 || values[d] > maxSteps {
			return Schedule{}, fmt.Errorf("%s is %v seconds, want 1 second to a week", names[d], values[d])
		}
	}
	return Schedule{Rates: p.make(values)}, nil
}

// fill computes the rate at the middle of each second.
func fill(name string, duration time.Duration, rate func(t float64) float64) Schedule {
	s := Schedule{Name: name, Rates: make([]float64, int(duration/time.Second))}
	for i := range s.Rates {
		s.Rates[i] = max(0, rate(float64(i)+0.5))
	}
	return s
}

// Constant has a constant rate.
func Constant(rate float64, duration time.Duration) Schedule {
	return fill("constant", duration, func(float64) float64 { return rate })
}

// Ramp changes from one rate to another linearly.
func Ramp(from, to float64, duration time.Duration) Schedule {
	return fill("ramp", duration, func(t float64) float64 { return from + (to-from)*t/duration.Seconds() })
}

// Step is high in the middle third of the time and low before and after it.
func Step(low, high float64, duration time.Duration) Schedule {
	third := duration.Seconds() / 3
	return fill("step", duration, func(t float64) float64 {
		if t >= third && t < 2*third {
			return high
		}
		return low
	})
}

// Spikes rises from base to peak at regular intervals, first after half an interval.
func Spikes(base, peak float64, every, width, duration time.Duration) Schedule {
	return fill("spikes", duration, func(t float64) float64 {
		if math.Mod(t+every.Seconds()/2, every.Seconds()) < width.Seconds() {
			return peak
		}
		return base
	})
}

// Sine oscillates around a mean.
func Sine(mean, amplitude float64, period, duration time.Duration) Schedule {
	return fill("sine", duration, func(t float64) float64 {
		return mean + amplitude*math.Sin(2*math.Pi*t/period.Seconds())
	})
}

// MMPP is the rate of a Markov-modulated Poisson process with two states, whose durations have an exponential
// distribution (Fischer and Meier-Hellstern, "The Markov-modulated Poisson process cookbook",
// 1993). Use it with Poisson arrivals.
func MMPP(low, high float64, dwell, duration time.Duration, seed uint64) Schedule {
	r := rand.New(rand.NewPCG(seed, 0x33))
	rate, until := low, r.ExpFloat64()*dwell.Seconds()
	return fill("mmpp", duration, func(t float64) float64 {
		for t > until {
			rate, until = low+high-rate, until+r.ExpFloat64()*dwell.Seconds()
		}
		return rate
	})
}
