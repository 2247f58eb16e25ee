package forward

import "time"

// health is the health of an endpoint. It is a value: each event produces a new value, and the code in this file
// neither reads a clock nor sends anything.
//
//	              two probes without an answer, a probe that fails, an attempt without
//	              an answer (see attemptSlow), three attempts answered with an error
//	┌─────────┐ ──────────────────────────────────────────────────────────────────> ┌───────────┐
//	│ healthy │                                                                     │ unhealthy │
//	└─────────┘ <────────────────────────────────────────────────────────────────── └───────────┘
//	                                a probe that succeeds
type health struct {
	healthy  bool
	problem  string        // why it is unhealthy; empty until the first probe has ended
	misses   int           // consecutive probes without a response in time and without an image answered in between
	failures int           // failed attempts since the last one that was answered
	backoff  time.Duration // time to the next probe after the next failure
	next     time.Time     // time of the next probe
}

// event is something that happened at an endpoint.
type event struct {
	kind    eventKind
	problem string // for events that may make an endpoint unhealthy
	at      time.Time
}

type eventKind int

const (
	nothing          eventKind = iota // says nothing about the endpoint
	probeSucceeded                    // the replica is ready
	probeUnanswered                   // no response in time: the replica is busy, hangs, or is cut off
	probeUnreachable                  // no route to the replica's host
	probeFailed                       // refused, reset, or a response other than "ready"
	attemptAnswered                   // the replica classified the image or rejected it
	attemptLacking                    // the replica does not have the model
	attemptRejected                   // the replica reports that it is full
	attemptFailed                     // the replica returned an error or an invalid response
	attemptBroken                     // no response: unreachable, connection closed, or timeout
	attemptStopped                    // cancelled by the pool because the endpoint hangs
	attemptSlow                       // no response in time, but to probes: the image takes long, or the replica's workers hang
)

// pace determines how often an endpoint is probed.
type pace struct {
	interval   time.Duration // between probes of a healthy endpoint
	maxBackoff time.Duration // maximum time between probes of an unhealthy endpoint that has failed images
	busy       bool          // the endpoint has images in flight
}

const (
	firstBackoff = 100 * time.Millisecond
	// maxMisses is the number of consecutive unanswered probes after which an endpoint counts as hung. A busy replica
	// may miss one; while it answers images it may miss any number.
	maxMisses = 2
	// maxFailures is the number of consecutive error responses after which a replica is unhealthy.
	maxFailures = 3
)

// after returns the health after the event.
func (h health) after(e event, p pace) health {
	switch e.kind {
	case probeSucceeded:
		h.healthy, h.problem, h.misses = true, "", 0
		if h.failures == 0 {
			h.backoff = firstBackoff
		} // otherwise an image must be answered first; until then each failure doubles the backoff
		h.next = e.at.Add(p.interval)
	case probeUnanswered:
		h.misses++
		if h.healthy && !h.hung() {
			h.next = e.at // probe again immediately: the timeout was long enough
			break
		}
		h = h.markUnhealthy(e, p)
	case probeUnreachable:
		h.misses++
		h = h.markUnhealthy(e, p)
	case probeFailed:
		h.misses = 0
		h = h.markUnhealthy(e, p)
	case attemptAnswered, attemptLacking:
		h.misses, h.failures, h.backoff = 0, 0, firstBackoff
	case attemptRejected:
		h.misses = 0
	case attemptFailed:
		h.misses = 0
		h.failures++
		if h.healthy && h.failures >= maxFailures {
			h = h.markUnhealthy(e, p)
		}
	case attemptBroken:
		h.failures++
		if h.healthy {
			h = h.markUnhealthy(e, p)
		}
	case attemptStopped:
		h.failures++
	case attemptSlow:
		// Says nothing yet. If another replica classifies the image, Classify reports attemptBroken.
	}
	return h
}

// markUnhealthy makes the endpoint unhealthy, or keeps it so, and doubles the time to the next probe: after 0.1 s,
// 0.2 s, 0.4 s and so on. Only one that has failed images is probed more rarely than a healthy one: another one is probably
// starting. While it has images in flight, it matters how soon it is known whether they can still be answered.
func (h health) markUnhealthy(e event, p pace) health {
	h.healthy, h.problem = false, e.problem
	wait := min(max(h.backoff, firstBackoff), p.maxBackoff)
	h.backoff = 2 * wait
	if p.busy || h.failures == 0 {
		wait = min(wait, p.interval)
	}
	h.next = e.at.Add(wait)
	return h
}

// hung reports whether to cancel the images in flight at the endpoint. An endpoint that is unhealthy for another
// reason keeps them: a replica that is stopping finishes its images but accepts no connections, one that is "not
// ready" is alive, and one that died has closed its connections.
func (h health) hung() bool { return h.misses >= maxMisses }
