package dispatch

import (
	"errors"
	"fmt"
	"time"
)

// storageHealth is the state of the storage of queue and results between probes. The zero value is healthy.
type storageHealth struct {
	failing   time.Time // start of the current failure; zero while probes succeed
	restarted time.Time // last restart of the embedded server
	alone     bool      // no external server greeted during the last probe
	problem   error     // why the dispatcher is not ready; nil if it is
}

// probeResult is the result of one probe of the storage.
type probeResult struct {
	err     error // why a write failed; nil if it succeeded
	silent  bool  // no response: the error does not show that the storage is broken
	servers int   // external servers that greeted during the probe, up to a majority of those that store the queue; -1 if not counted
	free    int64 // free bytes on the disk of the embedded server; -1 if unknown
}

// storageKind describes the storage; it does not change between probes.
type storageKind struct {
	embedded bool   // the NATS server runs in this process
	replicas int    // external servers that store the queue
	dir      string // data folder of the embedded server
	needed   int64  // bytes of free space that the embedded server needs
}

// majority returns how many external servers must be there for the queue to be written.
func (k storageKind) majority() int { return k.replicas/2 + 1 }

// remedy is the action to take when storage fails.
type remedy int

const (
	remedyNone    remedy = iota
	remedyRestart        // restart the embedded NATS server
	remedyGiveUp         // exit the process, so that a supervisor restarts it
)

const (
	// silenceTimeout is how long the storage may be silent before it counts as broken. Within this time a cluster
	// elects another leader and a busy disk recovers.
	silenceTimeout = 10 * time.Second
	// restartInterval is the minimum time between two restarts of the embedded server.
	restartInterval = 2 * time.Second
	// restartTimeout is how long restarts may fail before the process exits.
	restartTimeout = 30 * time.Second
)

// fullBytes is the free space below which a disk counts as full even if a probe, which is small, succeeds: an image may
// not fit.
const fullBytes = 1 << 20

// after returns the state after a probe, and the action to take.
func (h storageHealth) after(now time.Time, p probeResult, k storageKind) (storageHealth, remedy) {
	if p.err == nil && p.free >= 0 && p.free < fullBytes {
		return storageHealth{problem: fmt.Errorf("%w: %s has %s free, %s required", errDiskFull, k.dir, megabytes(p.free), megabytes(k.needed))}, remedyNone
	}
	if p.err == nil {
		return storageHealth{}, remedyNone
	}
	if h.failing.IsZero() {
		h.failing = now
	}
	lasting := now.Sub(h.failing)
	if !k.embedded {
		// That all servers are silent at once is rare. More often this process had no time to hear them, so it asks again.
		again := h.alone
		h.alone = p.servers == 0
		switch {
		case h.alone && !again && h.problem == nil:
		case h.alone:
			h.problem = fmt.Errorf("no NATS server responds: %w", p.err)
		case p.servers > 0 && p.servers < k.majority():
			h.problem = fmt.Errorf("NATS has no quorum (servers responding: %d, required: %d): %w", p.servers, k.majority(), p.err)
		case !p.silent || lasting >= silenceTimeout || h.problem != nil:
			h.problem = fmt.Errorf("NATS rejects writes: %w", p.err)
		}
		return h, remedyNone
	}
	switch {
	case p.free >= 0 && p.free < k.needed:
		// A restart does not free space. The process waits until there is some, however long that takes.
		h.problem = fmt.Errorf("%w: %s has %s free, %s required: %w", errDiskFull, k.dir, megabytes(p.free), megabytes(k.needed), p.err)
		h.failing = now
		return h, remedyNone
	case p.silent && lasting < silenceTimeout && h.problem == nil:
		return h, remedyNone
	}
	h.problem = fmt.Errorf("the storage in %s rejects writes: %w", k.dir, p.err)
	switch {
	case lasting >= restartTimeout:
		return h, remedyGiveUp
	case now.Sub(h.restarted) >= restartInterval:
		h.restarted = now
		return h, remedyRestart
	}
	return h, remedyNone
}

// errDiskFull is a problem that an operator must fix; a restart does not help.
var errDiskFull = errors.New("disk full")
