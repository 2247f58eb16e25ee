package forward

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
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
	models  *resnet18cloud.Models // what it tells of its models; nil if nothing. It is not modified
	refused string                // the last claimError; empty if it was never refused, or answered another probe since
	flights []*flight             // images in flight, load.inFlight of them
	probes  uint64                // answered so far, with success

	serial   uint64 // another one each time the endpoint is added
	setbacks int    // how often it became unhealthy

	// An answer that is not of a model that the endpoint has told of is a doubt: its models have changed. Until a probe
	// that began later has settled it, cached results are not used for the endpoint.
	doubts, settled uint64
	surprise        string // the answer that was doubted last
}

// has reports whether the endpoint has a model. An empty one is the default, which each has.
func (e *endpoint) has(model string) bool {
	if model == "" {
		return true
	}
	_, ok := find(e.models, model)
	return ok
}

// expects reports whether an answer to a request for a model may be of these weights, as far as is known.
func (e *endpoint) expects(model string, m Model) bool {
	if e.models != nil {
		return expects(e.models, model, m)
	}
	return m == (Model{e.info.Weights, e.info.Precision, e.info.Hash})
}

// doubted reports whether the endpoint's models have changed since the last probe began.
func (e *endpoint) doubted() bool { return e.doubts != e.settled }

// doubt makes the endpoint be probed now, because an answer was not expected. The same answer is doubted once, so a replica
// that tells one model and answers with another is not probed all the time. It reports whether the answer is doubted.
func (e *endpoint) doubt(surprise string) bool {
	if e.surprise == surprise {
		return false
	}
	e.surprise = surprise
	e.recheck()
	return true
}

// recheck makes the endpoint be probed now.
func (e *endpoint) recheck() {
	e.doubts++
	e.health.next = time.Now()
	e.wake()
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
		next, doubts, ended := p.nextProbe(e)
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
		p.probed(ctx, e, found, doubts, err)
	}
}

// nextProbe returns the time of the next probe and the doubts that it settles, or that watching has ended.
func (p *Pool) nextProbe(e *endpoint) (next time.Time, doubts uint64, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving[e.url] == e && len(e.flights) == 0 {
		delete(p.leaving, e.url)
		return time.Time{}, 0, true
	}
	return e.health.next, e.doubts, false
}

// probed applies the result of a probe, which settles so many doubts.
func (p *Pool) probed(ctx context.Context, e *endpoint, found told, doubts uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		e.probes++
		slots := found.slots(p.cfg.Slots)
		changed := e.doubted() || slots != e.load.slots || found.info != e.info || !reflect.DeepEqual(found.models, e.models)
		e.settled, e.load.slots, e.info, e.models = doubts, slots, found.info, found.models
		if changed {
			p.announce() // callers may wait for a slot, or for this endpoint's models
			p.describe()
		}
	}
	p.logRefusal(ctx, e, err)
	p.observe(ctx, e, probeEvent(err), err)
	if e.doubted() && e.health.healthy { // since this probe began
		e.health.next = time.Now()
	}
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
