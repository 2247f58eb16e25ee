package forward

import (
	"cmp"
	"maps"
	"slices"

	"github.com/resnet18cloud/resnet18cloud"
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

	// Quantization is nil unless the endpoint changes its precision by itself.
	Quantization *Quantization `json:"quantization,omitempty"`

	// Serial and Setbacks show what happened between two calls: an endpoint that was removed and added again has another
	// serial, and one that was set aside and is back has one more setback.
	Serial   uint64 `json:"-"`
	Setbacks int    `json:"-"`

	hash    string // of the model
	models  *resnet18cloud.Models
	doubted bool
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
			Problem: e.health.problem, Serial: e.serial, Setbacks: e.setbacks, Quantization: q,
			hash: e.info.Hash, models: e.models, doubted: e.doubted()})
	}
	return list
}

// Answering is what the endpoints report about their models.
type Answering struct {
	Healthy bool    // there are healthy endpoints
	Models  []Model // default models of the healthy endpoints, without duplicates: one, except during a rolling update
	Warning string  // why results are not reliable, from the first endpoint that reports it; empty if none does
	// Lists are the models of the healthy endpoints that list them. Those of an endpoint that is changing its models now are
	// neither here nor in Models.
	Lists []*resnet18cloud.Models
}

// Model determines the results: weights and arithmetic.
type Model struct {
	Weights, Precision string // as in Result.Model and Result.Precision
	Hash               string // as in ModelInfo.Version; empty if it is not known
}

// For returns the models that may answer a request for a model, or for the default if it is empty. They serve: a new version
// that is being compared is not among them.
func (a Answering) For(model string) (models []Model) {
	if model == "" {
		return a.Models
	}
	for _, l := range a.Lists {
		if found, ok := find(l, model); ok && !slices.Contains(models, modelOf(found)) {
			models = append(models, modelOf(found))
		}
	}
	return models
}

// uses reports whether an endpoint has loaded a model.
func (a Answering) uses(m Model) bool {
	return slices.Contains(a.Models, m) || slices.ContainsFunc(a.Lists, func(l *resnet18cloud.Models) bool {
		return slices.ContainsFunc(l.Models, func(s resnet18cloud.ModelStatus) bool { return s.Loaded() && modelOf(s) == m })
	})
}

// Told returns what one list of models tells, of a classifier that is not an endpoint.
func Told(l resnet18cloud.Models) Answering {
	a := Answering{Healthy: true, Lists: []*resnet18cloud.Models{&l}}
	if m, ok := find(&l, ""); ok {
		a.Models = []Model{modelOf(m)}
	}
	return a
}

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
		a.Healthy = a.Healthy || e.Healthy
		if !e.Healthy || e.doubted {
			continue
		}
		if m := (Model{e.Model, e.Precision, e.hash}); !slices.Contains(a.Models, m) {
			a.Models = append(a.Models, m)
		}
		if e.models != nil {
			a.Lists = append(a.Lists, e.models)
		}
	}
	return a
}

// Find returns what the first healthy endpoint that has a model answers requests for it with; without a name if the endpoint
// does not list its models. An empty model is the default. The error is CodeNotFound with the models that there are, or
// CodeUnavailable if waiting may help.
func (p *Pool) Find(model string) (resnet18cloud.ModelStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.list() {
		if !e.Healthy {
			continue
		}
		if m, ok := find(e.models, model); ok || model == "" {
			return m, nil
		}
	}
	return resnet18cloud.ModelStatus{}, p.lacking(model, nil)
}

// Models returns the models of the healthy endpoints. The error is CodeUnavailable if there are none, and CodeUnsuited if none
// lists its models.
func (p *Pool) Models() (resnet18cloud.Models, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lists []*resnet18cloud.Models
	for _, e := range p.list() {
		if e.Healthy && e.models != nil {
			lists = append(lists, e.models)
		}
	}
	switch {
	case len(lists) > 0:
		return merge(lists), nil
	case p.answering.Healthy:
		return resnet18cloud.Models{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsuited, Message: "The replicas do not tell their models"}
	}
	return resnet18cloud.Models{}, lacking("", nil)
}
