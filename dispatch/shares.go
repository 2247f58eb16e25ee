package dispatch

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
)

// This file keeps one client's flood from delaying others at the replicas. A replica does not interrupt an image, and
// an image that waits in its queue cannot be overtaken. So while small clients send images too, jobs of later lanes leave
// a worker free for them. A client is small if all of its jobs come from the first lane.

// usage is what decides from how many lanes the next job may come.
type usage struct {
	slots    int // images that replicas accept at a time
	workers  int // images that they process at a time; the rest of the slots wait there
	inFlight int // jobs taken and not ended
	first    int // jobs that wait in the first lane
	passed   int // jobs of the first lane that were taken since the last one of a later lane
	recent   int // jobs taken lately, up to recentJobs
	small    int // those of small clients
}

// lanes returns the number of lanes, counted from the first, from which the next job may come: all, the first, or none.
// Jobs of later lanes may have
//
//   - all slots, if no small client was served lately;
//   - as many as there are workers, if one was: a job then waits here, where others can pass it;
//   - some less, if small clients had at least a quarter of the jobs, but at least one. See [reserved].
//
// Later lanes have one of eight deliveries while the first lane has jobs too. If it is their turn, they may have as many
// as there are workers, and if jobs of the first lane wait nevertheless, all slots.
//
// For example, with 8 workers and 16 slots, a flood alone has 16 images in flight; beside a client that sends an image
// from time to time, the two have 8, and beside clients that need half of the replicas, the flood has the next image in
// flight while there are fewer than 6.
func (u usage) lanes() int {
	limit, turn := u.slots, u.passed >= queue.Share-1
	switch {
	case u.small == 0, turn && u.first > 0:
	case 4*u.small < u.recent, turn:
		limit = min(limit, u.workers)
	default:
		limit = min(limit, u.workers-reserved(u.workers))
	}
	switch {
	case u.inFlight >= u.slots:
		return 0
	case u.inFlight >= max(limit, 1):
		return 1
	}
	return queue.Lanes
}

// reserved returns the number of workers that jobs of later lanes leave free: half the square root of all, rounded up.
// The number of busy workers varies by the square root of its mean (square-root staffing; see package
// autoscale/queueing), so one of two suffices, one of 4, 2 of 8, and 4 of 64.
func reserved(workers int) int { return int(math.Ceil(math.Sqrt(float64(workers)) / 2)) }

const (
	// recentJobs is the number of taken jobs that decide which clients are served lately.
	recentJobs = 32
	// recentTime is the age at which they do not count any more.
	recentTime = 2 * time.Second
)

// takenJobs are the last jobs that were taken from the queue, without those returned unprocessed. The zero value is ready to use. It is not safe for
// concurrent use.
type takenJobs struct {
	jobs   [recentJobs]taken // a ring
	next   int
	passed int // see usage
}

type taken struct {
	client string
	lane   int
	at     time.Time
}

func (t *takenJobs) add(client string, lane int, now time.Time) {
	t.jobs[t.next] = taken{client, lane, now}
	t.next = (t.next + 1) % recentJobs
	if t.passed++; lane > 0 {
		t.passed = 0
	}
}

// count returns how many of the jobs are recent, and how many of these are of small clients. behind reports whether a
// client has jobs waiting in a later lane.
func (t *takenJobs) count(now time.Time, behind func(client string) bool) (recent, small int) {
	var later [recentJobs]string // clients with recent jobs of later lanes
	n := 0
	for i := range t.jobs {
		if job := &t.jobs[i]; job.lane > 0 && job.recent(now) {
			later[n] = job.client
			n++
		}
	}
	for i := range t.jobs {
		job := &t.jobs[i]
		if !job.recent(now) {
			continue
		}
		if recent++; !slices.Contains(later[:n], job.client) && !behind(job.client) {
			small++
		}
	}
	return recent, small
}

func (t *taken) recent(now time.Time) bool { return !t.at.IsZero() && now.Sub(t.at) < recentTime }

// usage adds what the holdings know to the state of the replicas.
func (h *holdings) usage(u usage, now time.Time) usage {
	h.mu.Lock()
	defer h.mu.Unlock()
	u.passed = h.lately.passed
	for i, n := range h.waiting {
		if queue.ClassAt(i).Lane == 0 {
			u.first += n - h.returned[i]
		}
	}
	u.recent, u.small = h.lately.count(now, func(client string) bool {
		have := h.clients[client]
		return have != nil && have.behind()
	})
	return u
}

// behind reports whether jobs wait in a later lane.
func (h *holding) behind() bool {
	for _, lanes := range h.waiting {
		for _, n := range lanes[1:] {
			if n > 0 {
				return true
			}
		}
	}
	return false
}

// firstLaneWait is how long the dispatcher waits for a job of the first lane before it decides again.
const firstLaneWait = 20 * time.Millisecond

// errDecideAgain says that the number of lanes may have changed.
var errDecideAgain = errors.New("no job in these lanes for now")

// next takes the next job from the given number of lanes. If these are not all, it returns errDecideAgain when that may
// have changed.
func (d *Dispatcher) next(taking context.Context, lanes int) (queue.Delivery, error) {
	if lanes == queue.Lanes {
		return d.queue.Next(taking, lanes)
	}
	ctx, cancel := context.WithTimeout(taking, firstLaneWait)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_, changed := d.backend.Slots()
		select {
		case <-d.inFlight.freed:
			cancel()
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watched }()
	delivery, err := d.queue.Next(ctx, lanes)
	if err != nil && ctx.Err() != nil && taking.Err() == nil {
		return nil, errDecideAgain
	}
	return delivery, err
}
