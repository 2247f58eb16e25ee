package httpx

import (
	"math"
	"time"
)

// Limits on how long a client may send nothing.
const (
	initialGrace = 5 * time.Second  // at the start
	maxGrace     = 10 * time.Second // at any time
)

// pace measures the speed of an upload. Its clock runs only while the server waits for the client.
type pace struct {
	clock time.Duration // time spent waiting for the client
	grace time.Duration // how long the client may still send nothing; negative if it is too slow

	second      time.Duration // start of the current second on the clock
	now, before int64         // bytes received in the current and in the previous second
}

func newPace() pace { return pace{grace: initialGrace} }

// add records that n bytes arrived in d, starting with a wait. The grace shrinks with time, and each byte extends it
// by its time at the minimum rate: at 16 KiB/s, a client that sends 4 KiB/s loses 3/4 s of its 5 s each second and is
// cut off after 6.5 s. With a minimum rate of 0 the grace never ends.
func (p *pace) add(n int64, d time.Duration, minRate int64) {
	if d < time.Second {
		p.now += n
		p.advance(d)
	} else { // they arrived over more than a second
		p.clock += d
		p.second, p.now, p.before = p.clock, 0, int64(float64(n)/d.Seconds())
	}
	if minRate > 0 {
		earned := time.Duration(float64(n) / float64(minRate) * float64(time.Second))
		p.grace = min(p.grace-d+earned, maxGrace)
	}
}

// rate returns the bytes per second over the last one to two seconds of the clock, if the client has been silent for
// d since the last add. In the first second of an upload the rate is infinite.
func (p pace) rate(d time.Duration) float64 {
	p.advance(d)
	if p.clock < time.Second {
		return math.Inf(1)
	}
	return float64(p.before+p.now) / (time.Second + p.clock - p.second).Seconds()
}

// advance advances the clock and the seconds in which bytes are counted.
func (p *pace) advance(d time.Duration) {
	p.clock += d
	switch age := p.clock - p.second; {
	case age >= 2*time.Second:
		p.second, p.now, p.before = p.clock, 0, 0
	case age >= time.Second:
		p.second, p.now, p.before = p.second+time.Second, 0, p.now
	}
}
