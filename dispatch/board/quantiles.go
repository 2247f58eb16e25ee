package board

import (
	"math"
	"time"
)

// The buckets of a histogram: bucket i holds durations below least*growth^i. 192 buckets of 10 % reach from 10 µs to
// about 13 minutes, so a quantile is at most 5 % away from the true one.
const (
	least   = 10 * time.Microsecond
	growth  = 1.1
	buckets = 192
)

// histogram counts durations. The zero value is empty.
type histogram struct {
	counts [buckets]uint32
	n      uint32
}

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > least {
		i = min(buckets-1, int(math.Ceil(math.Log(float64(d)/float64(least))/math.Log(growth))))
	}
	h.counts[i]++
	h.n++
}

// quantile returns the q-quantile in milliseconds, in the middle of its bucket; NaN if the histogram is empty.
func (h *histogram) quantile(q float64) float64 {
	if h.n == 0 {
		return math.NaN()
	}
	rank := max(1, uint32(math.Ceil(q*float64(h.n))))
	for i, seen := 0, uint32(0); i < buckets; i++ {
		if seen += h.counts[i]; seen >= rank {
			return float64(least) / float64(time.Millisecond) * math.Pow(growth, float64(i)-0.5)
		}
	}
	return math.NaN() // not reached: counts add up to n
}
