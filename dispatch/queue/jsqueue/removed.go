package jsqueue

import (
	"sync"
	"time"
)

// removedJobs remembers the jobs that this process has removed from the stream, because the server may have sent one of
// them just before. The zero value is not ready to use. It is safe for concurrent use.
type removedJobs struct {
	changed chan struct{} // receives a value after add

	mu       sync.Mutex
	since    time.Time           // guarded by mu: when recent was begun
	recent   map[string]struct{} // guarded by mu: by queue.DedupID
	previous map[string]struct{} // guarded by mu: those before since
}

// removedKept is the minimum time for which a removed job is remembered: longer than a message is on its way.
const removedKept = 10 * time.Second

func newRemovedJobs() *removedJobs { return &removedJobs{changed: make(chan struct{}, 1)} }

// add remembers a job. Call it after the job was removed.
func (r *removedJobs) add(name string, now time.Time) {
	r.mu.Lock()
	if r.recent == nil || now.Sub(r.since) > removedKept {
		r.previous, r.recent, r.since = r.recent, map[string]struct{}{}, now
	}
	r.recent[name] = struct{}{}
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// has reports whether the job was removed lately.
func (r *removedJobs) has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, recent := r.recent[name]
	_, previous := r.previous[name]
	return recent || previous
}
