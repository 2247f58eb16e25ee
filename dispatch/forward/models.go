package forward

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/resnet18cloud/resnet18cloud"
)

// This file has the decisions about replicas' models: which one a request gets, where it is, and what the replicas have
// together. The lists are those of GET /models, as the latest probe found them; nil is that of a replica that tells none.

// maxModelTextBytes limits each text of a replica's list of models. Reasons are the longest.
const maxModelTextBytes = 4 << 10

// tidy returns the list without what could harm the log, terminals or memory: control characters and long texts.
func tidy(l resnet18cloud.Models) *resnet18cloud.Models {
	clean := func(texts ...*string) {
		for _, t := range texts {
			*t = strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return ' '
				}
				return r
			}, clip(*t, maxModelTextBytes))
		}
	}
	clean(&l.Default, &l.Problem)
	l.Replicas = 0
	for i := range l.Models {
		m := &l.Models[i]
		m.Replicas = 0
		clean(&m.Name, &m.Version, &m.File, (*string)(&m.State), &m.Reason, &m.Identity, &m.Hash, &m.Precision, &m.Preprocessing, &m.Activation)
		if m.Canary != nil {
			clean(&m.Canary.Against)
		}
	}
	return &l
}

// find returns what a replica answers a request for a model with: the version that serves, or the loaded one that the
// request names. An empty model is the default.
func find(l *resnet18cloud.Models, model string) (found resnet18cloud.ModelStatus, ok bool) {
	if l == nil {
		return found, false
	}
	name, version, versioned := strings.Cut(cmp.Or(model, l.Default), "@")
	for _, m := range l.Models {
		switch {
		case m.Name != name || !m.Loaded() || versioned && !m.Is(version):
		case m.State == resnet18cloud.ModelServing:
			return m, true
		case versioned && !ok:
			found, ok = m, true
		}
	}
	return found, ok
}

// expects reports whether a replica with the list may answer a request for a model with these weights. A new version that
// is being compared may answer for its name.
func expects(l *resnet18cloud.Models, model string, m Model) bool {
	if found, ok := find(l, model); ok && modelOf(found) == m {
		return true
	}
	name, _, _ := strings.Cut(cmp.Or(model, l.Default), "@")
	return slices.ContainsFunc(l.Models, func(s resnet18cloud.ModelStatus) bool {
		return s.Name == name && s.State == resnet18cloud.ModelCanary && modelOf(s) == m
	})
}

func modelOf(s resnet18cloud.ModelStatus) Model { return Model{s.Identity, s.Precision, s.Hash} }

// ModelOf returns the model of a result.
func ModelOf(r resnet18cloud.Result) Model {
	m := Model{Weights: r.Model, Precision: r.Precision}
	if r.ModelInfo != nil {
		m.Hash = r.ModelInfo.Version
	}
	return m
}

// teller is what is known of an endpoint's models.
type teller struct {
	healthy bool
	models  *resnet18cloud.Models
}

// lacking returns why no endpoint can be asked for a model; nil if one can. The error is CodeNotFound only if all that are
// known to have it are gone, so that waiting does not help.
func lacking(model string, endpoints []teller) error {
	var healthy []*resnet18cloud.Models
	away := false
	for _, e := range endpoints {
		_, has := find(e.models, model)
		switch {
		case e.healthy && (has || model == ""):
			return nil
		case e.healthy:
			healthy = append(healthy, e.models)
		case has:
			away = true
		}
	}
	switch {
	case len(healthy) == 0:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: "No replica is reachable",
			Hint: "start replicas, or check the dispatcher's endpoints in /status"}
	case away:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeUnavailable, Message: fmt.Sprintf("No replica with model %.70q is reachable", model),
			Hint: "start replicas that have it, or check the dispatcher's endpoints in /status"}
	}
	return notFound(model, healthy)
}

// notFound is the error for a model that none of the lists has. It names those that there are.
func notFound(model string, lists []*resnet18cloud.Models) *resnet18cloud.Error {
	name, version, _ := strings.Cut(model, "@")
	var names, versions []string
	for _, l := range lists {
		if l == nil {
			continue
		}
		for _, m := range l.Models {
			if m.State == resnet18cloud.ModelServing {
				names = append(names, m.Name)
			}
			if m.Name == name && m.Loaded() {
				versions = append(versions, m.Version)
			}
		}
	}
	e := &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: fmt.Sprintf("There is no model %.70q", name)}
	known := names
	slices.Sort(names)
	if len(versions) > 0 {
		e.Message = fmt.Sprintf("Model %s has no version %.70q", name, version)
		if version == "" {
			e.Message = fmt.Sprintf("Model %s has no version that serves", name)
		}
		known = versions
		slices.SortFunc(versions, resnet18cloud.CompareVersions)
	}
	if len(known) == 0 {
		e.Message, e.Hint = "The replicas do not tell their models", "leave out the parameter model"
		return e
	}
	e.Hint = clip("use one of: "+strings.Join(slices.Compact(known), ", "), maxMessageBytes)
	return e
}

// merge returns what the replicas have together. Versions that are the same everywhere have one entry; one that differs in
// content or state has an entry for each kind, with the number of its replicas. Comparisons are added up.
func merge(lists []*resnet18cloud.Models) resnet18cloud.Models {
	all := resnet18cloud.Models{Models: []resnet18cloud.ModelStatus{}, Replicas: len(lists)} // not null in JSON
	at := map[resnet18cloud.ModelStatus]int{}
	for _, l := range lists {
		all.Default, all.Problem = cmp.Or(all.Default, l.Default), cmp.Or(all.Problem, l.Problem)
		for _, m := range l.Models {
			kind := m
			kind.Reason, kind.Canary = "", nil // have counts that differ
			i, ok := at[kind]
			if !ok {
				i = len(all.Models)
				at[kind] = i
				first := m
				first.Canary = nil
				all.Models = append(all.Models, first)
			}
			all.Models[i].Replicas++
			all.Models[i].Canary = addCanaries(all.Models[i].Canary, m.Canary)
		}
	}
	slices.SortStableFunc(all.Models, func(a, b resnet18cloud.ModelStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), resnet18cloud.CompareVersions(a.Version, b.Version), cmp.Compare(a.File, b.File), cmp.Compare(a.State, b.State))
	})
	return all
}

// addCanaries returns the sum of two comparisons; nil is none.
func addCanaries(a, b *resnet18cloud.Canary) *resnet18cloud.Canary {
	if b == nil {
		return a
	}
	sum := *b
	if a != nil {
		sum.Against = a.Against
		sum.Compared += a.Compared
		sum.Equal += a.Equal
		sum.Slower += a.Slower
		sum.Failed += a.Failed
		sum.Skipped += a.Skipped
	}
	return &sum
}
