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
	if (now-nanos(s.cfg.CPUAge))%scrape == 0 {
		s.publishCPU(now)
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
		seen := autoscale.Replica{Created: at(r.created), Stopping: r.state == leaving, Workers: s.cfg.Workers}
		if r.state != starting {
			seen.Ready, seen.ReadyAt = true, at(r.ready)
		}
		if r.known <= now {
			seen.CPU = &r.cpu
			seen.CPUWindow = autoscale.Window{End: at(r.known - nanos(s.cfg.CPUAge)), Length: time.Duration(scrape)}
		}
		snap.Replicas = append(snap.Replicas, seen)
	}
	if from := now - s.warmup - nanos(s.cfg.BlindFrom); from >= 0 && from < nanos(s.cfg.BlindFor) {
		return
	}
	snap.QueueCapacity = s.cfg.Queue
	f := s.recall(figures{now, s.total, s.queue.n, s.working.n})
	snap.At, snap.Counters, snap.Queue, snap.InFlight = at(f.at), f.total, f.queue, f.inFlight
	snap.Uptime = time.Duration(f.at)
}

// figures are what a policy sees of the load.
type figures struct {
	at              nanos
	total           autoscale.Counters
	queue, inFlight int
}

// recall remembers figures and returns those that are as old as the policy sees them.
func (s *simulation) recall(f figures) figures {
	if s.cfg.Age == 0 {
		return f
	}
	s.figures = append(s.figures, f)
	for len(s.figures) > 1 && s.figures[1].at <= f.at-nanos(s.cfg.Age) {
		s.figures = s.figures[1:]
	}
	return s.figures[0]
}

// lastScrape is when CPU usage was last measured.
func (s *simulation) lastScrape(now nanos) nanos { return now - now%scrape }

// scrapeCPU measures the CPU usage since the last time, as a share of one CPU for each worker, which are the request and
// limit of a replica. A replica that has existed for less than a window has none yet. Policies see it CPUAge later.
func (s *simulation) scrapeCPU(now nanos) {
	for n := range s.working.n {
		k := s.working.id[n]
		r := &s.replicas[k/int32(s.cfg.Workers)]
		r.worked += now - max(s.slots[k].began, now-scrape)
	}
	for _, i := range s.alive {
		r := &s.replicas[i]
		r.measured, r.worked = float64(r.worked)/float64(scrape)/float64(s.cfg.Workers), 0
	}
}

// publishCPU shows policies what was measured CPUAge ago.
func (s *simulation) publishCPU(now nanos) {
	for _, i := range s.alive {
		if r := &s.replicas[i]; r.created <= now-nanos(s.cfg.CPUAge)-scrape {
			r.cpu, r.known = r.measured, now
		}
	}
}
