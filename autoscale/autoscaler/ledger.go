package autoscaler

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// ledger sums the counters of dispatchers across their restarts and while dispatchers come and go. It has no clock and
// does no I/O. It must not be used by two goroutines at the same time.
//
// Counters are matched by instance, which is one run of a dispatcher's process, not by URL: several dispatchers may
// respond at one URL, one after the other or alternately. The rules:
//
//   - A snapshot is as old as the oldest response that it includes. An instance that has been silent for a while is
//     left out, so that the others can be used.
//   - A dispatcher that is silent, or whose name cannot be looked up, is missing. While one is missing, and for a while
//     after, scaling down is not justified.
//   - An address that was removed from its name is polled as long as the same instance responds: dispatchers finish
//     their work first. Once it is silent it is dropped and is not missing.
//   - Only images since the last snapshot are counted. The totals of an instance that is new here after hours of work,
//     or returns after a silence, would look like a burst.
type ledger struct {
	interval time.Duration // between two polls
	state    collected
	sources  map[string]*source // by URL
	latest   []*status          // of the instances that respond now; if none does, of the last that did
}

// collected is the part of a ledger that survives a restart of the autoscaler.
type collected struct {
	Total     autoscale.Counters   `json:"total"`
	Instances map[string]*instance `json:"instances"`
	At        time.Time            `json:"read"`            // the time of the last snapshot
	Missed    time.Time            `json:"missed,omitzero"` // the last time that a dispatcher was missing

	// Seen and SeenAt are written by versions that kept counters by URL. See upgrade.
	Seen   map[string]autoscale.Counters `json:"seen,omitempty"`
	SeenAt map[string]time.Time          `json:"at,omitempty"`
}

// instance is one run of a dispatcher's process.
type instance struct {
	Counters autoscale.Counters `json:"counters"` // as of At
	At       time.Time          `json:"at"`
	URL      string             `json:"url"` // where it responded last
	status   *status            // its last response; nil after a restart of the autoscaler
}

// source is a URL at which dispatchers respond.
type source struct {
	listed bool     // it is configured, or its name has this address
	ids    []string // the instances behind it: one, or several that respond alternately
}

// Times, in intervals between polls.
const (
	silentAfter      = 5  // without a response an instance is silent
	silentTurnsAfter = 10 // the same for instances that respond alternately
	forgetAfter      = 60 // counters of a silent instance are dropped
)

// maxInstanceID bounds the length of an instance's name.
const maxInstanceID = 128

func newLedger(interval time.Duration) *ledger {
	return &ledger{interval: interval, state: collected{Instances: map[string]*instance{}}, sources: map[string]*source{}}
}

// restore continues from a saved state. It does nothing if that has no counters.
func (l *ledger) restore(state collected, savedAt time.Time) {
	if state.Instances == nil && state.Seen == nil {
		return
	}
	l.state = state.upgrade(savedAt)
}

// upgradeWithin is the maximum age of counters by URL when the state was saved; older ones are of a dispatcher that was
// gone.
const upgradeWithin = 10 * time.Second

// upgrade reads a state by URL as if each URL were an instance, which it is for a dispatcher that does not report one.
func (c collected) upgrade(savedAt time.Time) collected {
	if c.Instances != nil {
		maps.DeleteFunc(c.Instances, func(_ string, i *instance) bool { return i == nil })
		return c
	}
	up := collected{Total: c.Total, Instances: map[string]*instance{}, At: savedAt}
	for url, counters := range c.Seen {
		if at := c.SeenAt[url]; savedAt.Sub(at) <= upgradeWithin {
			up.Instances[url] = &instance{Counters: counters, At: at, URL: url}
			if at.Before(up.At) {
				up.At = at
			}
		}
	}
	return up
}

// list sets the expected URLs.
func (l *ledger) list(urls []string) {
	for _, s := range l.sources {
		s.listed = false
	}
	for _, u := range urls {
		if l.sources[u] == nil {
			l.sources[u] = &source{}
		}
		l.sources[u].listed = true
	}
}

// urls returns the URLs to poll, sorted.
func (l *ledger) urls() []string { return slices.Sorted(maps.Keys(l.sources)) }

// listed reports whether a response is expected from the URL.
func (l *ledger) listed(url string) bool { return l.sources[url] != nil && l.sources[url].listed }

// take adds what is new in a response.
func (l *ledger) take(url string, at time.Time, s *status) {
	src := l.sources[url]
	if src == nil {
		return
	}
	id, now := s.Instance, s.counters()
	told := id != "" && len(id) <= maxInstanceID
	if !told {
		id = url
	}
	if !src.listed && !slices.Contains(src.ids, id) {
		return // the address has been given to another process
	}
	before := l.state.Instances[id]
	if byURL := l.state.Instances[url]; before == nil && byURL != nil && !wentBack(byURL.Counters, now) {
		before = byURL // of a state by URL
		delete(l.state.Instances, url)
	}
	if told && before != nil && wentBack(before.Counters, now) {
		now = before.Counters // counters of a process never decrease: a later response, at another URL, was taken first
	}
	l.state.Total = plus(l.state.Total, now, l.base(before, now, at))
	src.answered(id, before != nil && before.URL == url)
	l.state.Instances[id] = &instance{Counters: now, At: at, URL: url, status: s}
}

// wentBack reports whether counters are those of a restarted process.
func wentBack(before, now autoscale.Counters) bool {
	return now.Uptime < before.Uptime || now.Offered < before.Offered || now.Completed < before.Completed
}

// base is what to subtract from counters to get what has been counted since the last snapshot.
func (l *ledger) base(before *instance, now autoscale.Counters, at time.Time) autoscale.Counters {
	known := before != nil && !before.At.Before(l.state.At)
	switch {
	case known && !wentBack(before.Counters, now):
		return before.Counters
	case known: // a restart without a new instance
		return autoscale.Counters{}
	case !at.Add(-now.Uptime).Before(l.state.At): // started since then
		return autoscale.Counters{}
	}
	return now
}

// plus adds what was counted between base and now. Totals never decrease. settle updates the uptime.
func plus(total, now, base autoscale.Counters) autoscale.Counters {
	total.Offered += max(0, now.Offered-base.Offered)
	total.Refused += max(0, now.Refused-base.Refused)
	total.Completed += max(0, now.Completed-base.Completed)
	total.Failed += max(0, now.Failed-base.Failed)
	total.Service += max(0, now.Service-base.Service)
	total.Queueing += max(0, now.Queueing-base.Queueing)
	return total
}

// answered records which instance responded. A new one replaces the previous one: the dispatcher was restarted. If it
// responded here before, instances respond alternately.
func (s *source) answered(id string, before bool) {
	switch {
	case slices.Contains(s.ids, id):
	case len(s.ids) > 1 || before:
		s.ids = append(s.ids, id)
	default:
		s.ids = []string{id}
	}
}

// settle ends a poll: it leaves out what has been silent and sets the time of the snapshot. incomplete says that there
// may be dispatchers whose URL is not known.
func (l *ledger) settle(now time.Time, incomplete bool) {
	for u, s := range l.sources {
		limit := silentAfter * l.interval
		if len(s.ids) > 1 {
			limit = silentTurnsAfter * l.interval
		}
		s.ids = slices.DeleteFunc(s.ids, func(id string) bool {
			i := l.state.Instances[id]
			return i == nil || now.Sub(i.At) > limit
		})
		switch {
		case len(s.ids) > 0:
		case s.listed:
			incomplete = true
		default:
			delete(l.sources, u)
		}
	}
	if incomplete {
		l.state.Missed = now
	}
	live := l.live()
	l.advance(live)
	if len(live) > 0 {
		l.latest = nil
		for _, id := range slices.Sorted(maps.Keys(live)) {
			l.latest = append(l.latest, live[id].status)
		}
	}
	maps.DeleteFunc(l.state.Instances, func(id string, i *instance) bool {
		return live[id] == nil && i.At.Before(l.state.At) && now.Sub(i.At) > forgetAfter*l.interval
	})
}

// advance sets the time of the snapshot to that of the oldest response, and adds the elapsed time.
func (l *ledger) advance(live map[string]*instance) {
	var oldest time.Time
	var uptime time.Duration
	for _, i := range live {
		if oldest.IsZero() || i.At.Before(oldest) {
			oldest = i.At
		}
		uptime = max(uptime, i.Counters.Uptime)
	}
	if !oldest.After(l.state.At) {
		return // no instance responds, or one has not responded again yet
	}
	if !l.state.At.IsZero() {
		uptime = max(uptime, l.state.Total.Uptime+oldest.Sub(l.state.At))
	}
	l.state.Total.Uptime = max(l.state.Total.Uptime, uptime)
	l.state.At = oldest
}

// live returns the instances that respond now, each once even if it responds at several URLs.
func (l *ledger) live() map[string]*instance {
	live := map[string]*instance{}
	for _, s := range l.sources {
		for _, id := range s.ids {
			live[id] = l.state.Instances[id]
		}
	}
	return live
}

// snapshot joins the states of dispatchers and scaler.
func (l *ledger) snapshot(scale autoscale.Scale) autoscale.Snapshot {
	s := autoscale.Snapshot{Counters: l.state.Total, At: l.state.At, Missed: l.state.Missed, Desired: scale.Desired}
	type figures struct{ inFlight, workers int }
	endpoints := map[string]figures{}
	for _, said := range l.latest {
		// Dispatchers share the queue and each reports all of it: take the largest value.
		s.Queue = max(s.Queue, said.QueueSize)
		s.QueueCapacity = max(s.QueueCapacity, said.QueueMetrics.QueueCapacity)
		s.InFlight += said.Processing
		for _, e := range said.Endpoints {
			f := endpoints[address(e.URL)]
			endpoints[address(e.URL)] = figures{f.inFlight + e.InFlight, max(f.workers, e.Workers)}
		}
	}
	s.Replicas = make([]autoscale.Replica, len(scale.Replicas))
	for i, r := range scale.Replicas {
		if f, known := endpoints[address(r.URL)]; known {
			r.InFlight = f.inFlight
			if f.workers > 0 {
				r.Workers = f.workers
			}
		}
		s.Replicas[i] = r
	}
	return s
}

// address returns what identifies a replica in its URL: a scaler may not know whether dispatchers use https.
func address(url string) string {
	_, rest, found := strings.Cut(strings.TrimRight(url, "/"), "://")
	if !found {
		return url
	}
	return rest
}
