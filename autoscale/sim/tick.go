package sim

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// decide lets the policy decide once.
func (s *simulation) decide(now nanos) {
	s.tick += second
	if now%scrape == 0 {
		s.scrapeCPU(now)
	}
	s.observe(now)
	d := s.cfg.Policy.Decide(at(now), s.snapshot)
	n := min(s.cfg.Limits.Max, max(s.cfg.Limits.Min, d.Replicas))
	s.tally.tick(now, s, n)
	s.scale(now, n)
}

func at(t nanos) time.Time { return epoch.Add(time.Duration(t)) }

// observe updates the snapshot, but not its metrics while the policy is blind.
func (s *simulation) observe(now nanos) {
	snap := &s.snapshot
	snap.Desired = s.desired
	snap.Replicas = snap.Replicas[:0]
	for _, i := range s.alive {
		r := &s.replicas[i]
		seen := autoscale.Replica{Created: at(r.created), Stopping: r.state == leaving}
		if r.state != starting {
			seen.Ready, seen.ReadyAt = true, at(r.ready)
		}
		if r.scraped {
			seen.CPU = &r.cpu
			seen.CPUWindow = autoscale.Window{End: at(s.lastScrape(now)), Length: time.Duration(scrape)}
		}
		snap.Replicas = append(snap.Replicas, seen)
	}
	if from := now - s.warmup - nanos(s.cfg.BlindFrom); from >= 0 && from < nanos(s.cfg.BlindFor) {
		return
	}
	snap.At, snap.Counters = at(now), s.total
	snap.Uptime = time.Duration(now)
	snap.Queue, snap.QueueCapacity, snap.InFlight = s.queue.n, s.cfg.Queue, s.working.n
}

// lastScrape is when CPU usage was last measured.
func (s *simulation) lastScrape(now nanos) nanos { return now - now%scrape }

// scrapeCPU measures the CPU usage since the last time, as a share of one CPU, which is the request and limit of a
// replica. A replica that has existed for less than a window has none yet.
func (s *simulation) scrapeCPU(now nanos) {
	for _, i := range s.alive {
		r := &s.replicas[i]
		if r.state == busy || r.state == leaving {
			r.worked += now - max(r.began, now-scrape)
		}
		r.cpu, r.scraped = float64(r.worked)/float64(scrape), r.created <= now-scrape
		r.worked = 0
	}
}
