package httpx

import (
	"math"
	"time"
)

// Bounds on how long a client may send nothing.
const (
	firstPatience = 5 * time.Second  // at the start
	mostPatience  = 10 * time.Second // at any time
)

// pace is how fast an upload comes in. Its clock runs only while the server waits for the client.
type pace struct {
	clock    time.Duration // time spent waiting for the client
	patience time.Duration // how long the client may still send nothing; below zero it is too slow

	second      time.Duration // where on the clock the present second begins
	now, before int64         // bytes received in the present second, and in the one before it
}

func newPace() pace { return pace{patience: firstPatience} }

// add records that n bytes came in d, which began with a wait. Time takes from the patience, and each byte
// gives back what it takes at the least rate: at 16 KiB/s a client that sends 4 KiB/s loses 3/4 s of its 5 s
// each second and is cut after 6.5 s. A least rate of 0 never runs out.
func (p *pace) add(n int64, d time.Duration, least int64) {
	if d < time.Second {
		p.now += n
		p.advance(d)
	} else { // they came over more than a second
		p.clock += d
		p.second, p.now, p.before = p.clock, 0, int64(float64(n)/d.Seconds())
	}
	if least > 0 {
		earned := time.Duration(float64(n) / float64(least) * float64(time.Second))
		p.patience = min(p.patience-d+earned, mostPatience)
	}
}

// rate is the number of bytes per second over the last one to two seconds of the clock, when the client has been
// silent for d since the last add. An upload is not judged in its first second: its rate is infinite.
func (p pace) rate(d time.Duration) float64 {
	p.advance(d)
	if p.clock < time.Second {
		return math.Inf(1)
	}
	return float64(p.before+p.now) / (time.Second + p.clock - p.second).Seconds()
}

// advance moves the clock, and with it the seconds in which bytes are counted.
func (p *pace) advance(d time.Duration) {
	p.clock += d
	switch age := p.clock - p.second; {
	case age >= 2*time.Second:
		p.second, p.now, p.before = p.clock, 0, 0
	case age >= time.Second:
		p.second, p.now, p.before = p.second+time.Second, 0, p.now
	}
}
