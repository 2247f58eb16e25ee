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
	uploading               // the body of a request
	serving                 // a handler works
	waiting                 // a handler waits, and could answer at any time
	writing                 // the client has to read
	discarding              // the answer was sent; the rest of the body is read as a courtesy
	idle                    // between requests
)

// held is what the choice of a connection to end depends on.
type held struct {
	phase    phase
	since    time.Time     // when the phase began
	patience time.Duration // of an upload, when the phase began
	yield    func()        // has the handler answer soon; nil: the connection can only be closed
	leaving  bool          // it was told to
}

// times are how long connections may stay in a phase.
type times struct{ header, idle, write time.Duration }

// A connection is ended before places are scarce when it has used up enough, and if it receives headers, long enough for
// a busy server to have read those of a client that sends them at once.
const (
	enough           = 0.01
	enoughForHeaders = 0.1
)

// used is how much of its time a connection has used up: the one with the largest share is ended first. Zero and less
// means that it does something useful.
//
//	receiving for 1 s of 10 s                  0.1
//	uploading, patience down to 3 s of 5 s     0.4
//	writing for 4 s of 30 s                    0.1, because the first second is free
//	idle for 30 s of 120 s                     0.25
//	waiting for 60 s                           0.11, always enough, so that fresh ones yield too
//	discarding                                 more than 1
func (t times) used(h held, now time.Time) float64 {
	age := now.Sub(h.since)
	switch h.phase {
	case receiving:
		return share(age, t.header)
	case uploading:
		return share(firstPatience-h.patience+age, firstPatience)
	case waiting:
		return enough + share(age, 10*time.Minute)
	case writing:
		return share(age-time.Second, t.write)
	case discarding:
		return 1 + share(age, lingerTimeout)
	case idle:
		return share(age, t.idle)
	default:
		return 0
	}
}

func share(part, whole time.Duration) float64 { return part.Seconds() / whole.Seconds() }

// connections are those of one server. Their number is bounded. Close to the bound, a connection that is idle, whose
// client is slow, or whose handler only waits, is ended for each new one. At the bound, when all do something useful,
// the new one is refused.
type connections struct {
	limit int
	times times

	mu      sync.Mutex
	open    map[*conn]struct{} // guarded by mu
	leaving int                // guarded by mu: of these, those that were told to leave
}

// add takes a place for c, and ends other connections if it must. It reports false when there is no place.
func (s *connections) add(c *conn) bool {
	placed, ends := s.place(c, time.Now())
	for _, end := range ends {
		end()
	}
	return placed
}

// place is add, but for what is to be done without the lock.
func (s *connections) place(c *conn, now time.Time) (placed bool, ends []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// An eighth of the places is for those that were told to leave and have not yet.
	for len(s.open)-s.leaving >= s.limit-s.limit/8 {
		first := s.first(now, false)
		if first == nil {
			break
		}
		ends = append(ends, s.end(first))
	}
	if len(s.open) >= s.limit {
		if first := s.first(now, true); first != nil {
			ends = append(ends, s.end(first))
		}
	}
	if len(s.open) >= s.limit {
		return false, ends
	}
	c.held = held{phase: receiving, since: now}
	s.open[c] = struct{}{}
	return true, ends
}

// shed closes a connection, if there is one that does nothing useful.
func (s *connections) shed() {
	end := func() {}
	s.mu.Lock()
	if first := s.first(time.Now(), true); first != nil {
		end = s.end(first)
	}
	s.mu.Unlock()
	end()
}

// first is the connection to end first; nil when there is none. When places are scarce it is one that can be closed,
// even if it was idle, or receives headers, only for a moment. The caller holds mu.
func (s *connections) first(now time.Time, scarce bool) *conn {
	var first *conn
	var most float64
	for c := range s.open {
		used := s.times.used(c.held, now)
		fit := used >= enough
		switch {
		case scarce:
			fit = c.yield == nil && (used > 0 || c.phase == idle || c.phase == receiving)
		case c.phase == receiving:
			fit = used >= enoughForHeaders
		}
		if fit && !c.leaving && (first == nil || used > most) {
			first, most = c, used
		}
	}
	return first
}

// end takes its place from c, and returns what ends it: its handler answers, after which it is closed, or it is closed.
// The caller holds mu, and calls that after it.
func (s *connections) end(c *conn) func() {
	if c.yield != nil {
		c.leaving = true
		s.leaving++
		return c.yield
	}
	delete(s.open, c)
	return func() { _ = c.Close() } // its server has the error
}

// enter notes what c does from now on.
func (s *connections) enter(c *conn, h held) {
	h.since = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	h.leaving = c.leaving
	c.held = h
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
		s.enter(c, held{phase: serving})
	case http.StateIdle:
		s.enter(c, held{phase: idle})
		s.mu.Lock()
		leaving := c.leaving
		s.mu.Unlock()
		if leaving {
			_ = c.Close() // its server has the error
		}
	}
}

// remove forgets c.
func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.open[c]; open && c.leaving {
		s.leaving--
	}
	delete(s.open, c)
}

// Yielding returns a context for a handler that waits and could answer at any time. It ends with ctx, by its cancel
// function, or when the server needs the connection for another client; the handler should then answer with what it
// has. The caller calls the cancel function when the wait is over.
func Yielding(ctx context.Context) (context.Context, context.CancelFunc) {
	c := connOf(ctx)
	ctx, cancel := context.WithCancel(ctx)
	c.enter(held{phase: waiting, yield: cancel})
	return ctx, func() { c.enter(held{phase: serving}); cancel() }
}
