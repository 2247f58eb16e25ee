package dispatch

import (
	"errors"
	"fmt"
	"time"
)

// storageHealth is what is known of the storage of queue and results, from one probe to the next. The zero
// value is healthy.
type storageHealth struct {
	failing   time.Time // since when probes fail; zero while they succeed
	restarted time.Time // when the server in this process was last restarted
	problem   error     // why the dispatcher is not ready; nil while it is
}

// probeResult is what one look at the storage has shown.
type probeResult struct {
	err     error // why a write failed; nil if it succeeded
	silent  bool  // nobody answered: the error does not say that the storage is broken
	servers int   // outside servers that answer, of those that keep the queue; -1 when not asked
	free    int64 // bytes free on the disk of the server in this process; -1 when not known
}

// storageKind is what does not change between probes.
type storageKind struct {
	embedded bool   // the NATS server is in this process
	replicas int    // outside servers that keep the queue
	dir      string // folder of the server in this process
	needed   int64  // bytes that must be free for it to work
}

// remedy is what is to be done about a failing storage.
type remedy int

const (
	remedyNone    remedy = iota
	remedyRestart        // restart the NATS server in this process
	remedyGiveUp         // end the process, so that a supervisor starts another
)

const (
	// silencePatience is how long nobody may answer before the storage counts as broken: a cluster elects
	// another leader in that time, and a busy disk comes back.
	silencePatience = 10 * time.Second
	// restartPause is the time between two restarts of the server in this process.
	restartPause = 2 * time.Second
	// restartPatience is how long restarts may fail before the process gives up.
	restartPatience = 30 * time.Second
)

// fullBytes is the free space below which a disk counts as full although it still takes a probe, which is small: an image
// may not fit.
const fullBytes = 1 << 20

// after is the state that follows a probe, and what is to be done.
func (h storageHealth) after(now time.Time, p probeResult, k storageKind) (storageHealth, remedy) {
	if p.err == nil && p.free >= 0 && p.free < fullBytes {
		return storageHealth{problem: fmt.Errorf("%w: %s has %s free, %s are needed", errDiskFull, k.dir, megabytes(p.free), megabytes(k.needed))}, remedyNone
	}
	if p.err == nil {
		return storageHealth{}, remedyNone
	}
	if h.failing.IsZero() {
		h.failing = now
	}
	lasting := now.Sub(h.failing)
	if !k.embedded {
		majority := k.replicas/2 + 1
		switch {
		case p.servers == 0:
			h.problem = fmt.Errorf("no NATS server answers: %w", p.err)
		case p.servers > 0 && p.servers < majority:
			h.problem = fmt.Errorf("NATS has no quorum: %d of the servers answers, %d are needed: %w", p.servers, majority, p.err)
		case !p.silent || lasting >= silencePatience || h.problem != nil:
			h.problem = fmt.Errorf("NATS does not take what is to be stored: %w", p.err)
		}
		return h, remedyNone
	}
	switch {
	case p.free >= 0 && p.free < k.needed:
		// A restart does not make room. The process waits for it, however long that takes.
		h.problem = fmt.Errorf("%w: %s has %s free, %s are needed: %w", errDiskFull, k.dir, megabytes(p.free), megabytes(k.needed), p.err)
		h.failing = now
		return h, remedyNone
	case p.silent && lasting < silencePatience && h.problem == nil:
		return h, remedyNone
	}
	h.problem = fmt.Errorf("the storage in %s does not take a write: %w", k.dir, p.err)
	switch {
	case lasting >= restartPatience:
		return h, remedyGiveUp
	case now.Sub(h.restarted) >= restartPause:
		h.restarted = now
		return h, remedyRestart
	}
	return h, remedyNone
}

// errDiskFull is the problem that time or an operator mends, and a restart does not.
var errDiskFull = errors.New("disk full")
