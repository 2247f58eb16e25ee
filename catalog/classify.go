package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/resnet18cloud/resnet18cloud"
)

// use is a model that a request holds until Catalog.done.
type use struct {
	*entry
	// other is the version to compare with, also held; nil in most cases.
	other *entry
	trial *trial
}

var (
	_ resnet18cloud.Classifier = (*Catalog)(nil)
	_ resnet18cloud.Labeler    = (*Catalog)(nil)
)

// Classify implements [resnet18cloud.Classifier] with the model that image.Want names. The answer is that of one model. The
// error is CodeNotFound for a model that there is not.
func (c *Catalog) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	u, err := c.take(image.Want)
	if err != nil {
		return resnet18cloud.Result{}, err
	}
	defer c.done(u.entry)
	r, err := u.Classifier.Classify(ctx, image)
	if u.other == nil {
		return r, err
	}
	return c.answered(ctx, u, image, r, err)
}

// Labels implements [resnet18cloud.Labeler] with those of the default model.
func (c *Catalog) Labels(ctx context.Context) (resnet18cloud.Labels, error) {
	m, _, release, err := c.Hold("")
	if err != nil {
		return resnet18cloud.Labels{}, err
	}
	defer release()
	if l, ok := m.(resnet18cloud.Labeler); ok {
		return l.Labels(ctx)
	}
	return resnet18cloud.Labels{}, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "The classes are not known"}
}

// Hold returns a model, named as in resnet18cloud.Want, for several questions about it: it stays the same, and in memory,
// until release is called. It is not compared with others.
func (c *Catalog) Hold(model string) (m resnet18cloud.Classifier, status resnet18cloud.ModelStatus, release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.find(model)
	if err != nil {
		return nil, resnet18cloud.ModelStatus{}, nil, err
	}
	e.users++
	return e.Classifier, e.status(), sync.OnceFunc(func() { c.done(e) }), nil
}

// take finds the model for a request and holds it. Requests that name a version get that, and are not compared. Nor are tensors:
// they are prepared for the version that serves, and another may want a different size or scale.
func (c *Catalog) take(want resnet18cloud.Want) (use, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.find(want.Model)
	if err != nil {
		return use{}, err
	}
	u := use{entry: e}
	if t := c.trials[e.file.name]; t != nil && t.against == e && !want.Embedding && !want.Tensor && !strings.Contains(want.Model, "@") && t.sample(c.cfg.Rules.Share) {
		u.trial, u.other = t, t.place.entry
		if c.cfg.Rules.Live {
			u.entry, u.other = u.other, u.entry
		}
		u.other.users++
	}
	u.entry.users++
	return u, nil
}

// find returns the model for a request. The caller holds mu.
func (c *Catalog) find(model string) (*entry, error) {
	name, version := SplitName(model)
	if name == "" {
		name = c.fallback
	}
	if e := c.serving[name]; e != nil && (version == "" || e.named(version)) {
		return e, nil
	}
	if version != "" {
		for e := range c.held {
			if e.file.name == name && e.named(version) {
				return e, nil
			}
		}
	}
	return nil, c.notFound(name, version)
}

// minHash is the fewest digits of a hash that name a version.
const minHash = 8

// named reports whether a model has a version: by its file's name or its hash.
func (e *entry) named(version string) bool {
	return e.version == version || len(version) >= minHash && strings.HasPrefix(e.Model.Version, version)
}

// notFound is the error for a model that there is not. It lists those that there are, and says what became of a version.
// The caller holds mu.
func (c *Catalog) notFound(name, version string) error {
	e := &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: fmt.Sprintf("There is no model %.70q", name),
		Hint: "use one of: " + strings.Join(slices.Sorted(maps.Keys(c.serving)), ", ")}
	if c.serving[name] == nil {
		return e
	}
	var versions []string
	for held := range c.held {
		if held.file.name == name {
			versions = append(versions, held.version)
		}
	}
	slices.SortFunc(versions, compareVersions)
	e.Message = fmt.Sprintf("Model %s has no version %.70q", name, version)
	e.Hint = "use one of: " + strings.Join(versions, ", ")
	for _, p := range c.places {
		if p.name == name && p.version == version && p.entry == nil {
			e.Message = fmt.Sprintf("Version %s of model %s is %s", version, name, p.state)
		}
	}
	return e
}
