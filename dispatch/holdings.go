package dispatch

import (
	"cmp"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// holdings are the unfinished requests of each client that this dispatcher has accepted, and those that it found when it
// started. They decide in which lane of the queue a job waits, and whether the client may have another one. All methods
// are safe for concurrent use; memory is bounded by the queue's capacity.
type holdings struct {
	mu       sync.Mutex
	clients  map[string]*holding     // guarded by mu: by name; only clients that hold something
	requests map[string]*heldRequest // guarded by mu: by ID
	total    int64                   // guarded by mu: bytes of all requests
	waiting  [queue.Classes]int      // guarded by mu: jobs of all clients not yet taken, by number of the class
	returned [queue.Classes]int      // guarded by mu: those of them that were taken and returned, and wait for a time
	paces    [queue.Classes]pace     // guarded by mu: of the jobs of each class and all before it
	turns    [2]turns                // guarded by mu: interactive, bulk
	began    time.Time               // guarded by mu: when requests were first accepted; earlier ones are found by sweep
	swept    time.Time               // guarded by mu: when sweep was last called
	lately   takenJobs               // guarded by mu
}

// holding is what one client has.
type holding struct {
	waiting    [2][queue.Lanes]int // jobs not yet taken from the queue: interactive, bulk
	paces      [2]pace             // of these
	unfinished int                 // requests accepted and not ended
	bytes      int64               // of their images
}

type heldRequest struct {
	client     string
	generation int
	class      queue.Class
	bytes      int64
	waiting    bool
	served     bool // a replica has got it
	returned   bool // waits for a time
	since      time.Time
	recorded   time.Time // when its record was written; zero if it is not
	claims     int       // submissions that count on it: several if they have the same idempotency key
}

func newHoldings() *holdings {
	return &holdings{clients: map[string]*holding{}, requests: map[string]*heldRequest{}}
}

// room is what the queue has, in jobs and bytes.
type room struct {
	waiting, capacity int
	maxBytes          int64
	workers           int           // images that replicas process at a time
	patience          time.Duration // how long a job may be expected to wait; 0 means any time
	interval          time.Duration // shortest possible time from one job to the next; 0 means unknown
}

// share is how many times the free room a client may hold. A client that is alone gets 7/8 of the queue; if it has them,
// the next client gets 7/8 of the rest, and so on. For example, of 200 places one client can fill 175, and a second one
// 21 of the other 25; as the first one's requests end, the second one may have more, up to half of the 7/8 that both
// fill together. With fewer than 8 places, none is kept back. (Choudhury and Hahne, "Dynamic queue length thresholds for
// shared-memory packet switches", 1998.)
const share = 7

// refuses returns the limit that keeps a client from having another request of the given size, or "". A client that
// holds nothing is never refused here.
func (r room) refuses(c client, h holding, total, size int64) limit {
	waiting := 0
	for _, lanes := range h.waiting {
		for _, n := range lanes {
			waiting += n
		}
	}
	switch {
	case h.unfinished == 0:
		return ""
	case c.inFlight > 0 && h.unfinished >= c.inFlight:
		return limitInFlight
	case waiting > 0 && waiting >= share*(r.capacity-r.waiting) && r.waiting < r.capacity:
		return limitPlaces
	case h.bytes+size > share*(r.maxBytes-total-size):
		return limitBytes
	}
	return ""
}

// add counts a request that is about to be queued, and returns its lane. If the client has its share already, it
// returns the limit instead. A request that is counted already keeps its lane.
func (h *holdings) add(c client, job resnet18cloud.Job, r room) (lane int, refused limit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known, ok := h.requests[job.ID]; ok && known.generation >= job.Generation {
		known.claims++
		return known.class.Lane, ""
	}
	h.drop(job.ID) // an earlier generation
	have := h.clients[c.name]
	if have == nil {
		have = &holding{}
	}
	size := int64(len(job.Image.Bytes))
	if l := r.refuses(c, *have, h.total, size); l != "" {
		return 0, l
	}
	now, class := time.Now(), queue.ClassOf(job)
	class.Lane = h.lane(c.name, class, r.workers)
	if l, _ := h.backlog(have, class, r.interval, now).refuses(r.patience); l != "" {
		return 0, l
	}
	h.put(job.ID, heldRequest{client: c.name, generation: job.Generation, class: class, bytes: size, waiting: true, since: now, claims: 1})
	return class.Lane, ""
}

// has reports whether a client has requests that were accepted and have not ended.
func (h *holdings) has(c client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clients[c.name] != nil
}

// refuses returns the limit that keeps the client from having another request of a priority, whatever its size, and the
// time until it may have one if that is known.
func (h *holdings) refuses(c client, p resnet18cloud.Priority, r room) (refused limit, retryAfter time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	have := h.clients[c.name]
	if have == nil {
		have = &holding{}
	}
	if l := r.refuses(c, *have, h.total, 0); l != "" {
		return l, 0
	}
	class := queue.ClassOf(resnet18cloud.Job{Priority: p})
	class.Lane = h.lane(c.name, class, r.workers)
	return h.backlog(have, class, r.interval, time.Now()).refuses(r.patience)
}

// put counts a request. The caller holds mu.
func (h *holdings) put(id string, r heldRequest) {
	have := h.clients[r.client]
	if have == nil {
		have = &holding{}
		h.clients[r.client] = have
	}
	if r.waiting {
		h.enter(r.client, have, r.class, r.since)
	}
	have.unfinished++
	have.bytes += r.bytes
	h.total += r.bytes
	h.requests[id] = &r
}

// begin makes sweep find the requests that were queued before now.
func (h *holdings) begin(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began = now
}

// find counts a request that was unfinished when the dispatcher started. One that has ended meanwhile leaves at the next
// sweep. It counts as waiting since now: the time before the start says nothing about the pace. The caller holds mu.
func (h *holdings) find(r store.Record, now time.Time) {
	name := cmp.Or(r.Client, r.Owner)
	if name == "" || !r.QueuedAt.Before(h.began) {
		return
	}
	job := resnet18cloud.Job{Priority: r.Priority, Lane: r.Lane}
	h.put(r.ID, heldRequest{client: name, generation: r.Generation, class: queue.ClassOf(job), bytes: r.Bytes,
		waiting: r.Status == resnet18cloud.StatusQueued, recorded: r.QueuedAt, since: now, claims: 1})
}

// ahead returns how much of what waits comes before the client's next job of a priority, from 0 to 1: what is in its
// lane, and in those before it. If nothing of this dispatcher waits, it is 1.
func (h *holdings) ahead(c client, p resnet18cloud.Priority, workers int) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	class := queue.ClassOf(resnet18cloud.Job{Priority: p})
	class.Lane = h.lane(c.name, class, workers)
	before, all := 0, 0
	for i, n := range h.waiting {
		all += n
		if i <= class.Index() {
			before += n
		}
	}
	if all == 0 {
		return 1
	}
	return float64(before) / float64(all)
}

// lane returns the lane of the client's next job of a class's priority. Images that replicas have count as waiting ones
// from a quarter of the workers on: a client that uses more comes after others, although none of its images may wait. The
// caller holds mu.
func (h *holdings) lane(name string, c queue.Class, workers int) int {
	i := priorityIndex(c)
	ahead := h.turns[i].ahead(name)
	have := h.clients[name]
	if have == nil {
		return queue.Lane(0, ahead)
	}
	waiting, taken := 0, have.unfinished
	for j, lanes := range have.waiting {
		for _, n := range lanes {
			taken -= n
			if j == i {
				waiting += n
			}
		}
	}
	others := max(0, taken-max(2, workers/4))
	return queue.Lane(waiting+others, ahead+others)
}

func priorityIndex(c queue.Class) int { return c.Index() / queue.Lanes }

// recorded records that the request's record was written.
func (h *holdings) recorded(id string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.requests[id]; r != nil {
		r.recorded = now
	}
}

// withdraw takes back an add whose job was not stored. A concurrent one with the same idempotency key may have stored it:
// the request counts until all have withdrawn.
func (h *holdings) withdraw(id string, generation int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.requests[id]; r != nil && r.generation == generation {
		if r.claims--; r.claims <= 0 {
			h.drop(id)
		}
	}
}

// taken records that a job does not wait in the queue any more, but is processed. served is false if it was too late
// for that.
func (h *holdings) taken(job resnet18cloud.Job, served bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lately.add(job.Client, queue.ClassOf(job).Lane, now)
	if r := h.requests[job.ID]; r != nil && r.generation <= job.Generation {
		if served {
			h.served(r, now)
		}
		h.leave(r)
	}
}

// giveBack records that a job came from the queue and goes back unprocessed, to be delivered again after a time. It still
// waits, and its client was not served.
func (h *holdings) giveBack(job resnet18cloud.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.requests[job.ID]; r != nil && r.generation <= job.Generation && r.waiting && !r.returned {
		r.returned = true
		h.returned[r.class.Index()]++
	}
}

// givenBack returns the number of waiting jobs that the queue does not count as waiting, because they were taken and
// returned.
func (h *holdings) givenBack() (n queue.Depth) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.returned {
		n.Add(queue.ClassAt(i), h.returned[i])
	}
	return n
}

// leave removes a request from those that wait. The caller holds mu.
func (h *holdings) leave(r *heldRequest) {
	if r.waiting {
		if r.returned {
			h.returned[r.class.Index()]--
		}
		r.waiting, r.returned = false, false
		i := priorityIndex(r.class)
		h.clients[r.client].waiting[i][r.class.Lane]--
		if !r.served { // it needs no turn
			h.turns[i].remove(r.client)
		}
		h.waiting[r.class.Index()]--
	}
}

// ended records that a generation of the request has ended.
func (h *holdings) ended(id string, generation int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.requests[id]; r != nil && r.generation <= generation {
		h.drop(id)
	}
}

// drop forgets a request. The caller holds mu.
func (h *holdings) drop(id string) {
	r := h.requests[id]
	if r == nil {
		return
	}
	h.leave(r)
	delete(h.requests, id)
	have := h.clients[r.client]
	have.unfinished--
	have.bytes -= r.bytes
	h.total -= r.bytes
	if have.unfinished == 0 {
		delete(h.clients, r.client)
	}
}

// findTime is how long after begin the store may still be reading the records of earlier processes.
const findTime = 5 * time.Second

// sweepDue reports whether there may be something to sweep, and the last sweep is older than interval: requests that other
// dispatchers have ended, if the queue is shared, or, after a start, those of an earlier process. Until these count, a
// client that has filled the queue could fill the places that are kept for others.
func (h *holdings) sweepDue(now time.Time, interval time.Duration, shared bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.swept) >= interval && (shared && len(h.requests) > 0 || now.Sub(h.began) < findTime)
}

// sweepGrace is the age at which a request counts as ended although its record was never seen.
const sweepGrace = 3 * time.Second

// sweep compares with the unfinished records of all dispatchers: others may have taken or ended requests of this one.
// Those that are from before the start, and not known yet, are counted. now is a time before the records were read: what
// was recorded since may be missing.
func (h *holdings) sweep(unfinished []store.Record, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.swept = now
	known := make(map[string]store.Record, len(h.requests))
	for _, r := range unfinished {
		if h.requests[r.ID] == nil {
			h.find(r, now)
		}
		if h.requests[r.ID] != nil {
			known[r.ID] = r
		}
	}
	for id, held := range h.requests {
		r, ok := known[id]
		switch {
		case ok && r.Status == resnet18cloud.StatusProcessing:
			h.served(held, now)
			h.leave(held)
		case !ok && (!held.recorded.IsZero() && held.recorded.Before(now) || now.Sub(held.since) >= sweepGrace):
			h.served(held, now)
			h.drop(id)
		}
	}
}
