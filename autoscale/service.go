package autoscale

import (
	"math"
	"slices"
	"time"
)

// speed estimates how many images a worker processes per second of work: images over seconds, both decaying with
// a half-life of 5 s. If one second clearly contradicts it (another process takes the CPU, another model is
// loaded), the estimate restarts from that second.
type speed struct {
	Images  float64 `json:"images"`
	Seconds float64 `json:"seconds"`
}

func (s *speed) observe(images, busy, elapsed float64) {
	if images <= 0 || busy <= 0 {
		return
	}
	if now := images / busy; s.Seconds > 0 && images >= 20 &&
		math.Abs(now/s.rate()-1) > max(0.08, 2.5/math.Sqrt(images)) {
		s.Images, s.Seconds = 0, 0
	}
	fade := math.Exp2(-elapsed / 5)
	s.Images = s.Images*fade + images
	s.Seconds = s.Seconds*fade + busy
}

// rate is images per second; 0 while it is unknown.
func (s *speed) rate() float64 {
	if s.Seconds == 0 {
		return 0
	}
	return s.Images / s.Seconds
}

// delays are the times that replicas took from request to readiness.
type delays struct {
	Seconds []float64 `json:"seconds"` // the last 50
	Latest  time.Time `json:"latest"`  // when the last of these was ready
}

// priorDelay is the assumed delay in seconds until enough have been observed.
const priorDelay = 5

func (d *delays) observe(replicas []Replica) {
	latest := d.Latest
	for i := range replicas {
		if r := &replicas[i]; r.ReadyAt.After(d.Latest) && !r.Created.IsZero() {
			// The two times may come from clocks that differ.
			d.Seconds = append(d.Seconds, max(0, r.ReadyAt.Sub(r.Created).Seconds()))
			if r.ReadyAt.After(latest) {
				latest = r.ReadyAt
			}
		}
	}
	d.Latest = latest
	if n := len(d.Seconds); n > 50 {
		d.Seconds = d.Seconds[n-50:]
	}
}

// parts divides the delays into those of most replicas and those of stragglers, which took more than twice the median
// and at least 5 s more. quick is the 90th percentile of the former, and stragglers the share of the latter. If more
// than two in five straggle, all count as usual. Until six have been observed, quick is priorDelay.
//
// Worked example: of ten replicas, seven took 2 to 4 s, and three 63 s, on nodes that had to start. The median is 3 s;
// 63 s are more than twice that. Most replicas take up to 4 s, and 0.3 straggle. Of replicas that are needed within 4 s,
// 1/(1-0.3) = 1.43 times as many are started.
func (d *delays) parts() (quick, stragglers float64) {
	if len(d.Seconds) < 6 {
		return priorDelay, 0
	}
	sorted := slices.Sorted(slices.Values(d.Seconds))
	median := sorted[len(sorted)/2]
	n := len(sorted)
	for n > 0 && sorted[n-1] > max(2*median, median+5) {
		n--
	}
	share := 1 - float64(n)/float64(len(sorted))
	if share > 0.4 {
		n, share = len(sorted), 0
	}
	return quantile(sorted[:n], 0.9), share
}
