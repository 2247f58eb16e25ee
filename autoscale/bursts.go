package autoscale

import (
	"math"
	"slices"
	"time"
)

// burst is a rise of the load that was soon over.
type burst struct {
	Start time.Time `json:"start"` // of its first second
	End   time.Time `json:"end"`   // of its last second so far
	Rate  float64   `json:"rate"`  // images/s in its busiest second
}

// bursts recognizes bursts that come at regular intervals, such as jobs that many clients start at the full minute.
type bursts struct {
	Past []burst `json:"past"` // that are over, oldest first
	Now  burst   `json:"now"`  // zero Start if there is none
}

// The constants of bursts.
const (
	burstLimit    = 6               // standard deviations above the usual rate that begin a burst
	burstShare    = 1.5             // and this multiple of the usual rate
	burstGap      = 2 * time.Second // without load that a burst survives
	burstLongest  = 2 * time.Minute // what lasts longer is another level of the load
	burstsKept    = 4
	regularWithin = 0.03 // of an interval that the next may differ, or 2 s if that is more
)

// observe takes a second with a rate, where usual is the rate without bursts, and reports whether it belongs to a
// burst.
//
// Worked example: usual are 100 images/s, and arrivals have a dispersion of 1. A second with more than
// max(1.5 * 100, 100 + 6 * sqrt(100)) = 160 images begins a burst.
func (b *bursts) observe(at time.Time, rate, usual, dispersion float64) bool {
	high := rate > max(burstShare*usual, usual+burstLimit*math.Sqrt(max(1, usual*dispersion)))
	begun := !b.Now.Start.IsZero()
	switch {
	case high && !begun:
		b.Now = burst{at.Add(-time.Second), at, rate}
	case high:
		b.Now.End, b.Now.Rate = at, max(b.Now.Rate, rate)
	case begun && at.Sub(b.Now.End) > burstGap:
		if b.Past = append(b.Past, b.Now); len(b.Past) > burstsKept {
			b.Past = b.Past[1:]
		}
		b.Now = burst{}
	}
	if !b.Now.Start.IsZero() && at.Sub(b.Now.Start) > burstLongest { // the rate has changed
		*b = bursts{}
		return false
	}
	return high
}

// foreseen is the next burst, or the one that is due now, if the last three came at equal intervals.
//
// Worked example: bursts of 2 s began at 12:00:00, 12:01:00 and 12:02:01, and had up to 590, 610 and 600 images/s. The
// intervals, 60 s and 61 s, differ by less than 2 s. The next one is expected at 12:03:01 or up to 2 s sooner or later,
// to last 2 s, with 610 images/s.
type foreseen struct {
	start, end time.Time // of the time in which it may be
	rate       float64   // images/s
}

// next returns the burst to expect at or after now, and whether there is one.
func (b *bursts) next(now time.Time) (foreseen, bool) {
	all := b.Past
	if !b.Now.Start.IsZero() {
		all = append(slices.Clip(all), b.Now)
	}
	n := len(all)
	if n < 3 {
		return foreseen{}, false
	}
	last := all[n-3:]
	first, second := last[1].Start.Sub(last[0].Start), last[2].Start.Sub(last[1].Start)
	tolerance := max(2*time.Second, time.Duration(regularWithin*float64(second)))
	if first-second > tolerance || second-first > tolerance {
		return foreseen{}, false
	}
	var f foreseen
	length := time.Duration(0)
	for i, x := range last {
		f.rate = max(f.rate, x.Rate)
		if i < 2 || b.Now.Start.IsZero() { // this one may not be over
			length = max(length, x.End.Sub(x.Start))
		}
	}
	slack := min(tolerance, 2*time.Second)
	if due := last[2].Start.Add(length + slack); !now.After(due) { // it is now
		f.start, f.end = last[2].Start, due
		return f, true
	}
	f.start = last[2].Start.Add((first + second) / 2)
	f.start, f.end = f.start.Add(-slack), f.start.Add(length+slack)
	return f, !now.After(f.end)
}
