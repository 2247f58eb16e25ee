package dispatch

import "math"

// turns count how far a queue would be that serves clients in turn: fair queueing (Demers, Keshav and Shenker, "Analysis
// and simulation of a fair queueing algorithm", 1989), of which only the count is used. It tells a client that sends too
// much from one whose jobs wait because others were served, which the number of waiting jobs cannot: after a stall of the
// replicas, a client with few images has as many waiting as a flood.
//
// A job gets the turn after the client's previous one, at the earliest the present turn. While n clients have jobs in that
// queue, each served job moves it on by 1/n of a turn, whoever's it is.
//
// A job that is taken back does not need the rest of its turn. What of it has passed already went to the jobs that were served
// instead, so the queue moves on by that: together, clients are always ahead by as many jobs as wait.
//
// The zero value is a queue without jobs. It is not safe for concurrent use.
type turns struct {
	jobs int // that wait
	now  float64
	last map[string]float64 // the turn of the last job of each client that has jobs in that queue
}

// ahead returns how many turns ahead a client's next job is: how many of its jobs would still wait if clients were served
// in turn.
func (t *turns) ahead(client string) int {
	return int(math.Ceil(max(0, t.last[client]-t.now) - least))
}

// least is what differs from zero by rounding only.
const least = 1e-6

// add adds a job of a client.
func (t *turns) add(client string) {
	if t.last == nil {
		t.last = map[string]float64{}
	}
	t.last[client] = max(t.last[client], t.now) + 1
	t.jobs++
}

// remove takes back a client's job that was not served.
func (t *turns) remove(client string) {
	left := min(1, max(0, t.last[client]-t.now))
	if t.last[client]-left <= t.now+least {
		delete(t.last, client)
	} else {
		t.last[client] -= left
	}
	t.pass(1 - left)
	t.leave()
}

// served moves on by one served job.
func (t *turns) served() {
	t.pass(1)
	t.leave()
}

// leave counts a job that does not wait any more. With the last one all is forgotten, so that rounding does not add up.
func (t *turns) leave() {
	if t.jobs--; t.jobs <= 0 {
		*t = turns{}
	}
}

// pass moves on by a service, in jobs.
func (t *turns) pass(service float64) {
	for service > least {
		next := math.Inf(1)
		for client, last := range t.last {
			if last <= t.now+least {
				delete(t.last, client)
				continue
			}
			next = min(next, last)
		}
		n := float64(len(t.last))
		if n == 0 {
			return
		}
		step := min(service/n, next-t.now)
		t.now += step
		service -= step * n
	}
}
