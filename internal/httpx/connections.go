package httpx

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Bounds on the connections of a server.
const (
	mostConnections  = 8192 // at some 16 KiB each
	leastConnections = 16
	leastKeptFiles   = 64
)

// connectionLimit is how many connections a process with so many descriptors serves (0: unknown): a quarter of them, and
// no less than 64, are kept back for the store, connections to replicas, and logs. 1024 descriptors serve 768.
func connectionLimit(files uint64) int {
	if files == 0 {
		return mostConnections
	}
	kept := max(files/4, leastKeptFiles)
	return int(min(max(files, kept+leastConnections)-kept, mostConnections))
}

// phase is what a connection does.
type phase int

const (
	receiving  phase = iota // the headers of a request, or nothing on a new connection
	idle                    // between requests
	serving                 // a handler works, or reads the body
	waiting                 // a handler waits, and could answer at any time
	writing                 // the client has to read
	discarding              // the answer was sent; the rest of the body is read as a courtesy
)

// held is what the choice of a connection to close depends on.
type held struct {
	phase phase
	since time.Time // when the phase began
	yield func()    // ends the wait of a waiting one
}

// times are how long connections may stay in a phase.
type times struct{ header, idle, write time.Duration }

// used is how much of its time a connection has used up: the one with the largest share is closed first. Zero and less
// means that it does something useful.
//
//	receiving for 1 s of 10 s       0.1
//	idle for 30 s of 120 s          0.25
//	writing for 4 s of 30 s         0.1, because the first second is free
//	discarding                      more than 1
func (t times) used(h held, now time.Time) float64 {
	age := now.Sub(h.since)
	switch h.phase {
	case receiving:
		return age.Seconds() / t.header.Seconds()
	case idle:
		return age.Seconds() / t.idle.Seconds()
	case writing:
		return (age - time.Second).Seconds() / t.write.Seconds()
	case discarding:
		return 1 + age.Seconds()/lingerTimeout.Seconds()
	default:
		return 0
	}
}

// connections are those of one server. Their number is bounded: a connection that is idle, or whose client is slow to
// send headers or to read, is closed when a new one needs its place. When all do something useful the new one is
// refused.
type connections struct {
	limit int
	times times

	mu   sync.Mutex
	open map[*conn]struct{} // guarded by mu
}

// add takes a place for c, and closes another if it must. It reports false when there is no place.
func (s *connections) add(c *conn) bool {
	now := time.Now()
	s.mu.Lock()
	c.held = held{phase: receiving, since: now}
	var closing *conn
	full := len(s.open) >= s.limit
	if full {
		if closing = s.first(now); closing != nil {
			delete(s.open, closing)
		}
	}
	placed := !full || closing != nil
	if placed {
		s.open[c] = struct{}{}
	}
	if len(s.open) > s.limit-s.limit/8 {
		s.yield()
	}
	s.mu.Unlock()
	if closing != nil {
		_ = closing.Close() // its server has the error
	}
	return placed
}

// shed closes the connection that has used most of its time, if there is one.
func (s *connections) shed() {
	s.mu.Lock()
	closing := s.first(time.Now())
	s.mu.Unlock()
	if closing != nil {
		_ = closing.Close()
	}
}

// first is the connection to close first; nil when all do something useful. The caller holds mu.
func (s *connections) first(now time.Time) *conn {
	var first *conn
	most := 0.0
	for c := range s.open {
		if used := s.times.used(c.held, now); used > most {
			first, most = c, used
		}
	}
	return first
}

// yield has the handler that has waited longest answer. The caller holds mu.
func (s *connections) yield() {
	var longest *conn
	for c := range s.open {
		if c.phase == waiting && c.yield != nil && (longest == nil || c.since.Before(longest.since)) {
			longest = c
		}
	}
	if longest != nil {
		longest.yield()
		longest.held.yield = nil // once is enough
	}
}

// enter notes the phase of c from now on, and returns the one before.
func (s *connections) enter(c *conn, p phase) phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := c.phase
	c.held = held{phase: p, since: time.Now()}
	return before
}

// received notes that bytes came: an idle connection is then in the middle of its next request.
func (s *connections) received(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.phase == idle {
		c.held = held{phase: receiving, since: time.Now()}
	}
}

// state takes over what net/http says of a connection.
func (s *connections) state(c *conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		s.enter(c, serving)
	case http.StateIdle:
		s.enter(c, idle)
	}
}

// remove forgets c.
func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// Yielding returns a context for a handler that waits and could answer at any time. It ends with ctx, by its cancel
// function, or when the server needs the connection for another client; the handler should then answer with what it
// has. The caller calls the cancel function when the wait is over.
func Yielding(ctx context.Context) (context.Context, context.CancelFunc) {
	c := connOf(ctx)
	ctx, cancel := context.WithCancel(ctx)
	if c == nil {
		return ctx, cancel
	}
	c.open.mu.Lock()
	defer c.open.mu.Unlock()
	c.held = held{phase: waiting, since: time.Now(), yield: cancel}
	return ctx, func() { c.open.enter(c, serving); cancel() }
}
