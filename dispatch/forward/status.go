package forward

import (
	"cmp"
	"maps"
	"slices"
)

// Slots returns how many images the healthy endpoints accept at a time in total, and a channel that is closed when
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

// Workers returns how many images the healthy endpoints process at a time in total. An endpoint that does not report it
// counts with its slots.
func (p *Pool) Workers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.endpoints {
		if e.health.healthy {
			n += cmp.Or(e.info.Concurrency, e.load.slots)
		}
	}
	return n
}

// announce wakes the callers that wait for a slot. The caller holds mu.
func (p *Pool) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Endpoint is the state of one endpoint.
type Endpoint struct {
	URL       string `json:"url"`
	Healthy   bool   `json:"healthy"`
	Slots     int    `json:"slots"`             // images it accepts at a time
	Workers   int    `json:"workers,omitempty"` // images it processes at a time; 0 if it does not report it
	InFlight  int    `json:"in_flight"`         // images in flight from this pool
	Model     string `json:"model,omitempty"`
	Precision string `json:"precision,omitempty"`
	Warning   string `json:"warning,omitempty"`
	Problem   string `json:"problem,omitempty"` // why it is unhealthy

	// Quantization is nil unless the endpoint changes to int8 by itself.
	Quantization *Quantization `json:"quantization,omitempty"`

	// Serial and Setbacks show what happened between two calls: an endpoint that was removed and added again has another
	// serial, and one that was set aside and is back has one more setback.
	Serial   uint64 `json:"-"`
	Setbacks int    `json:"-"`
}

// Endpoints returns the endpoints, sorted by URL.
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
		var q *Quantization
		if e.info.Quantization != (Quantization{}) {
			q = new(e.info.Quantization)
		}
		list = append(list, Endpoint{URL: u, Healthy: e.health.healthy, Slots: e.load.slots, InFlight: e.load.inFlight,
			Workers: e.info.Concurrency, Model: e.info.Weights, Precision: e.info.Precision, Warning: e.info.Warning,
			Problem: e.health.problem, Serial: e.serial, Setbacks: e.setbacks, Quantization: q})
	}
	return list
}

// Answering is what the endpoints report about their models.
type Answering struct {
	Models  []Model // of the healthy endpoints, without duplicates: one, except during a rolling update
	Warning string  // why results are not reliable, from the first endpoint that reports it; empty if none does
}

// Model determines the results: weights and arithmetic.
type Model struct{ Weights, Precision string }

// Answering returns the models that are in use. It is called for each image; the caller must not modify the result.
func (p *Pool) Answering() Answering {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answering
}

// describe updates answering after endpoints were added, removed or changed. The caller holds mu.
func (p *Pool) describe() { p.answering = answering(p.list()) }

// answering summarizes the endpoints.
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
