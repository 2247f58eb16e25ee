package forward

import (
	"context"
	"errors"
	"time"
)

// endpoint is one replica in the pool.
type endpoint struct {
	url     string
	from    string        // the configured endpoint it was resolved from
	changed chan struct{} // receives a value if health.next has changed or the endpoint may have to be removed

	// guarded by pool.mu
	health  health
	load    load
	info    info
	refused string    // the last claimError; empty if it was never refused, or answered another probe since
	flights []*flight // images in flight, load.inFlight of them
	probes  uint64    // answered so far, with success

	serial   uint64 // another one each time the endpoint is added
	setbacks int    // how often it became unhealthy
}

// aliveProbes is how many probes an endpoint answers during an attempt that is too slow, if it is not the endpoint's fault.
const aliveProbes = 2

// aliveSince reports whether the endpoint has answered probes since so many of them, and none is missing.
func (e *endpoint) aliveSince(probes uint64) bool {
	return e.probes-probes >= aliveProbes && e.health.misses == 0
}

// add adds a flight.
func (e *endpoint) add(f *flight) {
	f.endpoint, f.index, f.takesBody, f.probes = e, len(e.flights), e.info.takesBody(), e.probes
	e.flights = append(e.flights, f)
	e.load.inFlight = len(e.flights)
}

// remove removes a flight.
func (e *endpoint) remove(f *flight) {
	last := len(e.flights) - 1
	e.flights[f.index] = e.flights[last]
	e.flights[f.index].index = f.index
	e.flights[last] = nil
	e.flights = e.flights[:last]
	e.load.inFlight = last
}

// wake makes the endpoint's watch check the current state.
func (e *endpoint) wake() {
	select {
	case e.changed <- struct{}{}:
	default: // it has not yet seen the previous change; it will see both
	}
}

// watch probes the endpoint whenever its health requires it. It returns when ctx ends, or when the endpoint has been
// removed from the pool and has no images in flight: a removed endpoint keeps its images, and is watched until then
// because it may hang.
func (p *Pool) watch(ctx context.Context, e *endpoint) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, ended := p.nextProbe(e)
		if ended {
			return
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return
		case <-e.changed:
			continue
		case <-timer.C:
		}
		found, err := p.probe(ctx, e.url)
		if ctx.Err() != nil {
			return
		}
		p.probed(ctx, e, found, err)
	}
}

// nextProbe returns the time of the next probe, or that watching has ended.
func (p *Pool) nextProbe(e *endpoint) (next time.Time, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving[e.url] == e && len(e.flights) == 0 {
		delete(p.leaving, e.url)
		return time.Time{}, true
	}
	return e.health.next, false
}

// probed applies the result of a probe.
func (p *Pool) probed(ctx context.Context, e *endpoint, found info, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		e.probes++
		if slots := found.slots(p.cfg.Slots); slots != e.load.slots {
			e.load.slots = slots
			p.announce()
		}
		if found != e.info {
			e.info = found
			p.describe()
		}
	}
	p.logRefusal(ctx, e, err)
	p.observe(ctx, e, probeEvent(err), err)
}

// logRefusal logs why the replica is not used if its /info is the reason, once. Other failed probes of a replica that
// was never healthy are not logged: it may be starting. The caller holds mu.
func (p *Pool) logRefusal(ctx context.Context, e *endpoint, err error) {
	claim, ok := errors.AsType[*claimError](err)
	if !ok {
		if err == nil {
			e.refused = ""
		}
		return
	}
	if reason := claim.Error(); reason != e.refused {
		e.refused = reason
		p.cfg.Log.WarnContext(ctx, "endpoint refused", "endpoint", e.url, "error", err)
	}
}

// observe applies an event to the endpoint's health and acts on the change. The caller holds mu.
func (p *Pool) observe(ctx context.Context, e *endpoint, kind eventKind, problem error) {
	before, pace := e.health, p.pace
	pace.busy = len(e.flights) > 0
	ev := event{kind: kind, at: time.Now()}
	if problem != nil {
		ev.problem = clip(problem.Error(), maxMessageBytes)
	}
	e.health = before.after(ev, pace)
	cancelled := 0
	if e.health.hung() && e.health.misses > before.misses {
		cancelled = e.cancelFlights()
	}
	switch {
	case before.healthy && !e.health.healthy, cancelled > 0:
		p.cfg.Log.WarnContext(ctx, "endpoint unhealthy", "endpoint", e.url, "error", e.health.problem, "cancelled", cancelled)
	case !before.healthy && e.health.healthy:
		p.cfg.Log.InfoContext(ctx, "endpoint healthy", "endpoint", e.url, "slots", e.load.slots, "warning", e.info.Warning)
	}
	if before.healthy && !e.health.healthy {
		e.setbacks++
	}
	if before.healthy != e.health.healthy {
		p.announce() // callers waiting for this endpoint's slots must look for another
		p.describe()
	}
	if before.next != e.health.next {
		e.wake()
	}
}

// cancelFlights cancels the attempts in flight, so that their images go retry, and returns their number.
func (e *endpoint) cancelFlights() int {
	for _, f := range e.flights {
		f.cancel(&hungError{e.url, e.health.problem})
	}
	return len(e.flights)
}
