package dispatch

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

// This file keeps the dispatcher from accepting an image that it cannot answer in time. A request that waits longer than
// half of the result's time to live ends as failed (see [limits]), so that accepting it costs an upload, a place in the
// queue, and gives the client nothing but a late refusal. How long a client's next image waits is measured: it is the
// client's backlog times the time from one of its images to the next.

// pace measures how fast waiting jobs go to replicas. The zero value has measured nothing. It is not safe for concurrent
// use.
type pace struct {
	interval time.Duration // smoothed time from one job to the next while others wait
	jobs     int           // measured, up to paceJobs
	since    time.Time     // when the last job went, the first one of those that wait came, or replicas came back
}

const (
	// paceJobs is about the number of last jobs that count.
	paceJobs = 16
	// minPaceJobs is how many are needed before the pace counts as known.
	minPaceJobs = 4
)

// begin records that a job begins to wait, and that no other one waits, or that replicas are back.
func (p *pace) begin(now time.Time) { p.since = now }

// took records that a waiting job goes to a replica.
func (p *pace) took(now time.Time) {
	p.jobs = min(p.jobs+1, paceJobs)
	p.interval += (max(0, now.Sub(p.since)) - p.interval) / time.Duration(p.jobs)
	p.since = now
}

// wait returns how long a job waits that comes behind others; 0 if it is not known. A pause since the last job counts as
// soon as it is longer than the interval: it would be the next one measured. least is the shortest possible interval.
func (p pace) wait(behind int, least time.Duration, now time.Time) time.Duration {
	if p.jobs < minPaceJobs || behind == 0 {
		return 0
	}
	interval := p.interval
	if pause := now.Sub(p.since); pause > interval {
		interval += (pause - interval) / paceJobs
	}
	return time.Duration(behind) * max(interval, least)
}

// backlog is what comes before a client's next job.
type backlog struct {
	own   time.Duration // expected wait for the client's jobs in its lane and those before it; 0 if not known
	queue time.Duration // expected wait for the jobs of all clients in its lane and those before it; 0 if not known
}

// refuses returns the limit that keeps a job from being accepted, and the time until it would be accepted: [limitQueue]
// if the queue as a whole is too long, [limitWait] if only the client's own jobs are too many. patience is how long a job
// may be expected to wait; 0 means any time.
func (b backlog) refuses(patience time.Duration) (l limit, retryAfter time.Duration) {
	switch {
	case patience <= 0:
		return "", 0
	case b.queue > patience:
		return limitQueue, max(b.queue, b.own) - patience
	case b.own > patience:
		return limitWait, b.own - patience
	}
	return "", 0
}

// patience returns how long an image that is accepted now may be expected to wait: half of what ends it, because the
// replicas may become slower until its turn.
func (l limits) patience() time.Duration { return l.wait / 2 }

// backlog returns what comes before a job of the class. The caller holds mu.
func (h *holdings) backlog(have *holding, class queue.Class, least time.Duration, now time.Time) backlog {
	before := 0
	for _, n := range h.waiting[:class.Index()+1] {
		before += n
	}
	b := backlog{queue: h.paces[class.Index()].wait(before, least, now)}
	own := 0
	for _, n := range have.waiting[priorityIndex(class)][:class.Lane+1] {
		own += n
	}
	b.own = have.paces[priorityIndex(class)].wait(own, least, now)
	return b
}

// enter adds a request to those that wait. The caller holds mu.
func (h *holdings) enter(client string, have *holding, class queue.Class, now time.Time) {
	p := priorityIndex(class)
	own := &have.waiting[p]
	h.turns[p].add(client)
	if *own == [queue.Lanes]int{} {
		have.paces[p].begin(now)
	}
	own[class.Lane]++
	before := 0
	for i := range h.waiting {
		before += h.waiting[i]
		if i >= class.Index() && before == 0 {
			h.paces[i].begin(now)
		}
	}
	h.waiting[class.Index()]++
}

// served measures the pace at which a waiting request goes to a replica. The caller holds mu.
func (h *holdings) served(r *heldRequest, now time.Time) {
	if !r.waiting {
		return
	}
	p := priorityIndex(r.class)
	r.served = true
	h.turns[p].served()
	h.clients[r.client].paces[p].took(now)
	for i := r.class.Index(); i < len(h.paces); i++ {
		h.paces[i].took(now)
	}
}

// resume records that there are replicas again. The time without them is no pace: measured as one, it would keep clients
// away for longer than the queue takes to clear.
func (h *holdings) resume(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.paces {
		h.paces[i].begin(now)
	}
	for _, have := range h.clients {
		for i := range have.paces {
			have.paces[i].begin(now)
		}
	}
}
