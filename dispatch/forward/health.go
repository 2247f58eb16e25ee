package forward

import "time"

// health is what the pool knows about whether an endpoint works. It is a value: each event makes the next value
// of it, and nothing here reads a clock or sends anything.
//
//	              two probes without an answer, a probe that fails,
//	              an attempt without an answer, three attempts answered with an error
//	┌─────────┐ ──────────────────────────────────────────────────────────────────> ┌───────────┐
//	│ healthy │                                                                     │ unhealthy │
//	└─────────┘ <────────────────────────────────────────────────────────────────── └───────────┘
//	                                a probe that succeeds
type health struct {
	healthy  bool
	problem  string        // why it is not healthy; empty until the first probe has ended
	misses   int           // probes in a row without an answer in time, and no image answered in between
	failures int           // attempts that failed since the last one that was answered
	backoff  time.Duration // time to the next probe when the next failure comes
	next     time.Time     // when to probe next
}

// event is something that happened at an endpoint.
type event struct {
	kind    eventKind
	problem string // for the kinds that may make an endpoint unhealthy
	at      time.Time
}

type eventKind int

const (
	nothing          eventKind = iota // tells nothing about the endpoint
	probeSucceeded                    // the replica is ready
	probeUnanswered                   // no answer in time: the replica is busy, hangs, or is cut off
	probeUnreachable                  // the network knows no way to the replica's host
	probeFailed                       // refused, dropped, or answered with something other than "ready"
	attemptAnswered                   // the replica did its work: it classified the image or refused it
	attemptRejected                   // the replica has no room, and says so
	attemptFailed                     // the replica answered with an error or something invalid
	attemptBroken                     // no answer: not reachable, connection closed, or timeout
	attemptStopped                    // the pool cancelled it because the endpoint hangs
)

// pace is how often an endpoint is probed.
type pace struct {
	interval   time.Duration // between probes of a healthy endpoint
	maxBackoff time.Duration // longest time between probes of an unhealthy one
	busy       bool          // the endpoint has images in flight
}

const (
	firstBackoff = 100 * time.Millisecond
	// maxMisses is how many probes in a row an endpoint may leave unanswered until it counts as hung. A busy
	// replica may miss one; while it answers images it may miss any number.
	maxMisses = 2
	// maxFailures is how many attempts in a row a replica may answer with an error until it is unhealthy.
	maxFailures = 3
)

// after returns the health that follows from the event.
func (h health) after(e event, p pace) health {
	switch e.kind {
	case probeSucceeded:
		h.healthy, h.problem, h.misses = true, "", 0
		if h.failures == 0 {
			h.backoff = firstBackoff
		} // else an image must be answered first; until then each failure doubles the backoff
		h.next = e.at.Add(p.interval)
	case probeUnanswered:
		h.misses++
		if h.healthy && !h.hung() {
			h.next = e.at // probe again now: the timeout was wait enough
			break
		}
		h = h.setAside(e, p)
	case probeUnreachable:
		h.misses++
		h = h.setAside(e, p)
	case probeFailed:
		h.misses = 0
		h = h.setAside(e, p)
	case attemptAnswered:
		h.misses, h.failures, h.backoff = 0, 0, firstBackoff
	case attemptRejected:
		h.misses = 0
	case attemptFailed:
		h.misses = 0
		h.failures++
		if h.healthy && h.failures >= maxFailures {
			h = h.setAside(e, p)
		}
	case attemptBroken:
		h.failures++
		if h.healthy {
			h = h.setAside(e, p)
		}
	case attemptStopped:
		h.failures++
	}
	return h
}

// setAside makes the endpoint unhealthy, or keeps it so, and doubles the time to the next probe: after 0.1 s, 0.2 s,
// 0.4 s and so on. While images are in flight there it is probed as often as a healthy one, so that it is known soon
// whether they still have a chance.
func (h health) setAside(e event, p pace) health {
	h.healthy, h.problem = false, e.problem
	wait := min(max(h.backoff, firstBackoff), p.maxBackoff)
	h.backoff = 2 * wait
	if p.busy {
		wait = min(wait, p.interval)
	}
	h.next = e.at.Add(wait)
	return h
}

// hung reports whether the images in flight at the endpoint are to be cancelled. An endpoint that is unhealthy for
// another reason keeps them: a replica that stops finishes what it has but accepts no connection, one that says "not
// ready" is alive, and one that died has closed the connections.
func (h health) hung() bool { return h.misses >= maxMisses }
