package forward

import (
	"maps"
	"slices"
)

// Slots is how many images the healthy endpoints take at a time together, and a channel that is closed when
// that may have changed.
func (p *Pool) Slots() (int, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.endpoints {
		if e.health.healthy {
			n += e.load.slots
		}
	}
	return n, p.changed
}

// announce wakes those who wait for room. The caller holds mu.
func (p *Pool) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Endpoint is what a pool knows of one endpoint.
type Endpoint struct {
	URL       string `json:"url"`
	Healthy   bool   `json:"healthy"`
	Slots     int    `json:"slots"`             // images it takes at a time
	Workers   int    `json:"workers,omitempty"` // images it works on at the same time; 0 if it does not say
	InFlight  int    `json:"in_flight"`         // images it has now from this pool
	Model     string `json:"model,omitempty"`
	Precision string `json:"precision,omitempty"`
	Warning   string `json:"warning,omitempty"`
	Problem   string `json:"problem,omitempty"` // why it is not healthy
}

// Endpoints lists the endpoints by URL.
func (p *Pool) Endpoints() []Endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list()
}

// list is Endpoints for callers that hold mu.
func (p *Pool) list() []Endpoint {
	list := make([]Endpoint, 0, len(p.endpoints))
	for _, u := range slices.Sorted(maps.Keys(p.endpoints)) {
		e := p.endpoints[u]
		list = append(list, Endpoint{URL: u, Healthy: e.health.healthy, Slots: e.load.slots, InFlight: e.load.inFlight,
			Workers: e.info.Concurrency, Model: e.info.Weights, Precision: e.info.Precision, Warning: e.info.Warning,
			Problem: e.health.problem})
	}
	return list
}

// Answering is what the endpoints say of the models that answer there.
type Answering struct {
	Models  []Model // of the healthy ones, each once: one, except during a rolling update
	Warning string  // why answers are not to be trusted, of the first endpoint that says so; empty when none does
}

// Model is what makes answers equal: weights and arithmetic.
type Model struct{ Weights, Precision string }

// Answering tells which models answer now. It is called for each image; the caller does not change what it gets.
func (p *Pool) Answering() Answering {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answering
}

// describe renews answering, when endpoints have been added or removed, or have changed. The caller holds mu.
func (p *Pool) describe() { p.answering = answering(p.list()) }

// answering sums up the endpoints.
func answering(endpoints []Endpoint) Answering {
	var a Answering
	for _, e := range endpoints {
		if a.Warning == "" {
			a.Warning = e.Warning
		}
		m := Model{e.Model, e.Precision}
		if e.Healthy && !slices.Contains(a.Models, m) {
			a.Models = append(a.Models, m)
		}
	}
	return a
}
