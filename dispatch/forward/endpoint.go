package forward

import (
	"context"
	"time"
)

// endpoint is one replica as the pool sees it.
type endpoint struct {
	url   string
	from  string        // the configured endpoint it came from
	nudge chan struct{} // has an element when health.next has changed, or the endpoint may have ended

	// guarded by pool.mu
	health  health
	load    load
	info    info
	flights []*flight // images in flight, load.inFlight of them
}

// add counts the flight in.
func (e *endpoint) add(f *flight) {
	f.endpoint, f.index, f.takesBody = e, len(e.flights), e.info.takesBody()
	e.flights = append(e.flights, f)
	e.load.inFlight = len(e.flights)
}

// remove counts the flight out.
func (e *endpoint) remove(f *flight) {
	last := len(e.flights) - 1
	e.flights[f.index] = e.flights[last]
	e.flights[f.index].index = f.index
	e.flights[last] = nil
	e.flights = e.flights[:last]
	e.load.inFlight = last
}

// wake has the endpoint's watch look at the present state.
func (e *endpoint) wake() {
	select {
	case e.nudge <- struct{}{}:
	default: // it has not yet looked at the last change; it will see both
	}
}

// watch probes the endpoint whenever its health says so. It returns when ctx ends, or the endpoint has left the pool
// and has no image any more: one that leaves keeps its images, and is watched as long, since it may hang.
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
		case <-e.nudge:
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

// nextProbe returns when to probe the endpoint, or that its watch has ended.
func (p *Pool) nextProbe(e *endpoint) (next time.Time, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving[e.url] == e && len(e.flights) == 0 {
		delete(p.leaving, e.url)
		return time.Time{}, true
	}
	return e.health.next, false
}

// probed notes the outcome of a probe.
func (p *Pool) probed(ctx context.Context, e *endpoint, found info, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		if slots := found.slots(p.cfg.Slots); slots != e.load.slots {
			e.load.slots = slots
			p.announce()
		}
		if found != e.info {
			e.info = found
			p.describe()
		}
	}
	p.observe(ctx, e, probeEvent(err), err)
}

// observe applies an event to the endpoint's health and does what follows from it. The caller holds mu.
func (p *Pool) observe(ctx context.Context, e *endpoint, kind eventKind, problem error) {
	before, pace := e.health, p.pace
	pace.busy = len(e.flights) > 0
	ev := event{kind: kind, at: time.Now()}
	if problem != nil {
		ev.problem = problem.Error()
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
	if before.healthy != e.health.healthy {
		p.announce() // also those who wait for this one's room must look for another
		p.describe()
	}
	if before.next != e.health.next {
		e.wake()
	}
}

// cancelFlights ends the attempts in flight, so that their images go elsewhere, and returns how many there were.
func (e *endpoint) cancelFlights() int {
	for _, f := range e.flights {
		f.cancel(&hungError{e.url, e.health.problem})
	}
	return len(e.flights)
}
