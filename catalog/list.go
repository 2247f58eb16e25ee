package catalog

import (
	"cmp"
	"slices"

	"github.com/resnet18cloud/resnet18cloud"
)

// Models lists the models, what they are doing and why.
func (c *Catalog) Models() resnet18cloud.Models {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := resnet18cloud.Models{Default: c.fallback, Problem: c.problem}
	for _, p := range c.places {
		l.Models = append(l.Models, c.status(p))
	}
	for e := range c.held {
		p := c.places[e.file.base]
		if p != nil && p.entry == e && p.state == resnet18cloud.ModelLoaded {
			continue // listed by its file
		}
		s := e.status()
		s.State, s.Reason = resnet18cloud.ModelLoaded, "its file has changed; this content stays until another takes its place"
		if p == nil {
			s.Reason = "its file is gone; the default model stays until another takes its place"
		}
		if c.serving[e.file.name] == e {
			s.State = resnet18cloud.ModelServing
		}
		l.Models = append(l.Models, s)
	}
	for _, m := range l.Models {
		if m.State == resnet18cloud.ModelCanary {
			m.Canary.Share = c.cfg.Rules.Share
		}
	}
	slices.SortFunc(l.Models, func(a, b resnet18cloud.ModelStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), compareVersions(a.Version, b.Version), cmp.Compare(a.File, b.File), cmp.Compare(a.State, b.State))
	})
	return l
}

func (e *entry) status() resnet18cloud.ModelStatus {
	s := resnet18cloud.ModelStatus{Name: e.file.name, Version: e.version, File: e.file.base, Identity: e.Identity, Hash: e.Model.Version,
		Classes: e.Classes, Labels: e.Labels}
	if e.Info != nil {
		i := e.Info()
		s.Precision, s.Preprocessing, s.Activation = i.Precision, i.Preprocessing, i.Activation
	}
	return s
}

// status returns that of a file. The caller holds mu.
func (c *Catalog) status(p *place) resnet18cloud.ModelStatus {
	s := resnet18cloud.ModelStatus{Name: p.name, Version: p.version, File: p.base}
	if p.state != resnet18cloud.ModelLoaded {
		s.State, s.Reason, s.Canary = p.state, p.reason, p.canary
		return s
	}
	s = p.entry.status()
	s.State, s.Reason, s.Canary = resnet18cloud.ModelLoaded, p.reason, p.canary
	if t := c.trials[p.name]; t != nil && t.place == p {
		s.State, s.Canary = resnet18cloud.ModelCanary, t.status()
	}
	if c.serving[p.name] == p.entry {
		s.State = resnet18cloud.ModelServing
	}
	return s
}

// ServingDefault returns the model that requests get that name none; false before Load has succeeded. It may be closed: after
// Close it is the last one.
func (c *Catalog) ServingDefault() (m Model, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.serving[c.fallback]
	if e == nil {
		e = c.last
	}
	if e == nil {
		return Model{}, false
	}
	return e.Model, true
}
