package httpx

import (
	"context"
	"math"
	"net/http"
	"sync"
	"time"
)

// Limits on the connections of a server.
const (
	maxConnections   = 8192 // about 16 KiB each
	minConnections   = 16
	minReservedFiles = 64
)

// connectionLimit returns how many connections a process with that many file descriptors serves (0 means unknown). A
// quarter of them, but at least 64, are reserved for the store, connections to replicas, and logs. 1024 descriptors
// serve 768 connections.
func connectionLimit(files uint64) int {
	if files == 0 {
		return maxConnections
	}
	kept := max(files/4, minReservedFiles)
	return int(min(max(files, kept+minConnections)-kept, maxConnections))
}

// phase is what a connection is doing.
type phase int

const (
	receiving  phase = iota // receiving headers, a body that nobody reads, or nothing on a new connection
	uploading               // receiving the body of a request
	serving                 // running a handler
	waiting                 // running a handler that waits and could respond at any time
	writing                 // waiting for the client to read
	discarding              // reading the rest of the body after the response was sent
	idle                    // between requests
)

// activity is the state of a connection, for the choice of a connection to evict.
type activity struct {
	phase   phase
	since   time.Time     // start of the phase
	grace   time.Duration // of an upload, at the start of the phase
	yield   func()        // makes the handler respond soon; nil if the connection can only be closed
	leaving bool          // yield was called
}

// times are the maximum durations of phases.
type times struct{ header, idle, write time.Duration }

// A connection is evicted before the limit is reached if it has used up this share of its time. For connections that
// receive headers the share is larger, so that a busy server has time to read the headers of a client that sends them
// immediately.
const (
	evictableShare          = 0.01
	evictableShareReceiving = 0.1
)

// used returns how much of its time a connection has used up. The connection with the largest share is evicted first.
// A connection with a share of zero or less is doing useful work.
//
//	receiving for 1 s of 10 s                  0.1
//	uploading, grace down to 3 s of 5 s        0.4
//	writing for 4 s of 30 s                    0.1, because the first second does not count
//	idle for 30 s of 120 s                     0.25
//	waiting for 60 s                           0.11, always evictable, including new ones
//	discarding                                 more than 1
func (t times) used(h activity, now time.Time) float64 {
	age := now.Sub(h.since)
	switch h.phase {
	case receiving:
		return share(age, t.header)
	case uploading:
		return share(initialGrace-h.grace+age, initialGrace)
	case waiting:
		return evictableShare + share(age, 10*time.Minute)
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

// connections are the connections of one server. Their number is limited. Near the limit, each new connection evicts
// one that is idle, whose client is slow, or whose handler only waits. At the limit, if all connections are doing
// useful work, the new one is rejected.
type connections struct {
	limit int
	times times

	mu      sync.Mutex
	open    map[*conn]struct{} // guarded by mu
	leaving int                // guarded by mu: number of connections that were told to leave
	extra   int                // guarded by mu: requests of HTTP/2 connections beyond the first of each
	empty   func()             // guarded by mu: called when none is open any more; nil before whenEmpty
}

// add adds c, evicting other connections if necessary. It reports false if the limit is reached.
func (s *connections) add(c *conn) bool {
	placed, ends := s.place(c, time.Now())
	for _, end := range ends {
		end()
	}
	return placed
}

// place is add without the work that must be done outside the lock.
func (s *connections) place(c *conn, now time.Time) (placed bool, ends []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// An eighth of the limit is reserved for connections that were told to leave and have not left yet.
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
	c.activity, c.unused = activity{phase: receiving, since: now}, true
	s.open[c] = struct{}{}
	return true, ends
}

// shed closes a connection, if there is one that does no useful work.
func (s *connections) shed() {
	end := func() {}
	s.mu.Lock()
	if first := s.first(time.Now(), true); first != nil {
		end = s.end(first)
	}
	s.mu.Unlock()
	end()
}

// first returns the connection to evict first, or nil if there is none. If scarce is true it must be one that can be
// closed, even if it has been idle or receiving headers only briefly. The caller holds mu.
func (s *connections) first(now time.Time, scarce bool) *conn {
	return s.firstOf(now, scarce, func(*conn) bool { return true })
}

// firstOf is first among the selected connections.
func (s *connections) firstOf(now time.Time, scarce bool, selected func(*conn) bool) *conn {
	var first *conn
	var most float64
	for c := range s.open {
		used := s.used(c, now)
		fit := used >= evictableShare
		switch {
		case scarce:
			fit = c.yields() == nil && (used > 0 || len(c.streams) == 0 && (c.phase == idle || c.phase == receiving))
		case c.phase == receiving && len(c.streams) == 0:
			fit = used >= evictableShareReceiving
		}
		if fit && !c.leaving && (first == nil || used > most) && selected(c) {
			first, most = c, used
		}
	}
	return first
}

// used returns how much of its time a connection has used up. With several requests it is as useful as the most useful
// one. The caller holds mu.
func (s *connections) used(c *conn, now time.Time) float64 {
	if len(c.streams) == 0 {
		return s.times.used(c.activity, now)
	}
	least := math.Inf(1)
	for st := range c.streams {
		least = min(least, s.times.used(st.activity, now))
	}
	return least
}

// yields returns the functions that make all handlers of c respond soon; nil if c can only be closed. The caller holds
// the lock of its connections.
func (c *conn) yields() []func() {
	if len(c.streams) == 0 && c.yield != nil {
		return []func(){c.yield}
	}
	var all []func()
	for st := range c.streams {
		if st.yield == nil {
			return nil
		}
		all = append(all, st.yield)
	}
	return all
}

// end removes c or marks it as leaving, and returns a function that ends it: either its handler responds and it is
// closed afterwards, or it is closed directly. The caller holds mu, and calls the function after releasing mu.
func (s *connections) end(c *conn) func() {
	if yields := c.yields(); yields != nil {
		c.leaving = true
		s.leaving++
		return func() {
			for _, yield := range yields {
				yield()
			}
		}
	}
	s.forget(c)
	return c.abort // its server gets the error
}

// enter sets c's activity, and returns the previous one.
func (s *connections) enter(c *conn, h activity) activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := c.activity
	h.since, h.leaving = time.Now(), before.leaving
	c.activity, c.unused = h, false
	return before
}

// restore restores an earlier activity.
func (s *connections) restore(c *conn, h activity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.leaving = c.leaving
	c.activity = h
}

// expect marks the start of a read by the server. It reports whether this happens during a handler and not in
// [Uploads]: then the server skips a body that the handler has not read.
func (s *connections) expect(c *conn) (skipping bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.phase != serving {
		return false
	}
	c.phase, c.since = receiving, time.Now()
	return true
}

// received marks the end of a read of n bytes: an idle connection has then started its next request.
func (s *connections) received(c *conn, n int, skipping bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.unused = c.unused && n == 0
	switch {
	case skipping:
		c.phase, c.since = serving, time.Now()
	case c.phase == idle && n > 0:
		c.phase, c.since = receiving, time.Now()
	}
}

// state applies a change of state reported by net/http.
func (s *connections) state(c *conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		c.arrived()
		s.enter(c, activity{phase: serving})
	case http.StateIdle:
		s.enter(c, activity{phase: idle})
		s.mu.Lock()
		leaving := c.leaving
		s.mu.Unlock()
		switch {
		case leaving && c.multiplexed.Load():
			time.AfterFunc(flushTime, c.abort) // the last response may not have been sent yet
		case leaving:
			_ = c.Close() // its server gets the error
		}
	case http.StateClosed:
		s.remove(c) // net/http closes the *tls.Conn of HTTP/2 itself
	}
}

// remove removes c.
func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.open[c]; open && c.leaving {
		s.leaving--
	}
	s.forget(c)
}

// forget removes c. The caller holds mu.
func (s *connections) forget(c *conn) {
	delete(s.open, c)
	if len(s.open) == 0 && s.empty != nil {
		s.empty()
	}
}

// whenEmpty calls f when no connection is open any more. f must be fast and may be called more than once.
func (s *connections) whenEmpty(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty = f; len(s.open) == 0 {
		f()
	}
}

// Yielding returns a context for a handler that waits and could respond at any time. The context ends when ctx ends,
// when the cancel function is called, or when the server needs the connection for another client; the handler should
// then respond with what it has. The caller calls the cancel function when the wait is over.
func Yielding(ctx context.Context) (context.Context, context.CancelFunc) {
	enter := enterFunc(ctx)
	ctx, cancel := context.WithCancel(ctx)
	enter(activity{phase: waiting, yield: cancel})
	return ctx, func() { enter(activity{phase: serving}); cancel() }
}

// abort closes all connections.
func (s *connections) abort() {
	s.abortIf(func(*conn) bool { return true })
}

// receiving reports whether a request is arriving, or may be: on a new connection, or by the start of its headers.
func (s *connections) receiving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.phase == receiving {
			return true
		}
	}
	return false
}

// abortUnused closes the connections on which nothing has arrived.
func (s *connections) abortUnused() {
	s.abortIf(func(c *conn) bool { return c.unused })
}

// abortIf closes the selected connections.
func (s *connections) abortIf(selected func(*conn) bool) {
	var aborted []*conn
	s.mu.Lock()
	for c := range s.open {
		if selected(c) {
			aborted = append(aborted, c)
		}
	}
	s.mu.Unlock()
	for _, c := range aborted {
		c.abort()
	}
}
