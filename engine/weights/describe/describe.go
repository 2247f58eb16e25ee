// Package describe reads what side files, metadata and users say of a model apart from its weights: labels, preprocessing
// and activation. Bytes go in, parts of a [spec.Model] come out, each with its source for people. It does not know how
// weights are stored; package weights calls it with what it finds in a file and beside it.
package describe

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// Description is what one or several sources say. Parts that are zero are not said.
type Description struct {
	Labels     []string
	Preprocess *spec.Preprocess
	// Problem is why the preprocessing that a source describes cannot be followed; nil if it can, or if there is none.
	Problem    error
	Activation spec.Activation
	// Head is the whole head, as files written here have it.
	Head *spec.Head
	// Sources says where the parts are from.
	Sources Sources
	// Notes are for people: what was found and not used.
	Notes []string
}

// Sources names the source of each part, such as "config.json". It is empty for what is assumed.
type Sources struct {
	Labels, Preprocess, Activation string
}

// Add takes the parts of other that d does not have.
func (d *Description) Add(other Description) {
	if d.Labels == nil {
		d.Labels, d.Sources.Labels = other.Labels, other.Sources.Labels
	}
	if d.Preprocess == nil && d.Problem == nil {
		d.Preprocess, d.Problem, d.Sources.Preprocess = other.Preprocess, other.Problem, other.Sources.Preprocess
	}
	if d.Activation == "" {
		d.Activation, d.Sources.Activation = other.Activation, other.Sources.Activation
	}
	d.Head = cmp.Or(d.Head, other.Head)
	d.Notes = slices.Concat(d.Notes, other.Notes)
}

// setPreprocess sets the preprocessing, or the problem with it, if it is said at all.
func (d *Description) setPreprocess(p *spec.Preprocess, err error, source string) {
	if p == nil && err == nil {
		return
	}
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		p, err = nil, fmt.Errorf("%s: %w", source, err)
	}
	d.Preprocess, d.Problem, d.Sources.Preprocess = p, err, source
}

// setLabels sets the labels of a source, which may be absent. Labels that cannot be read are a note: the model is of use
// without them.
func (d *Description) setLabels(labels []string, err error, source string) {
	if err != nil {
		d.Notes = append(d.Notes, fmt.Sprintf("labels of %s are not used: %v", source, err))
		return
	}
	if labels != nil {
		d.Labels, d.Sources.Labels = labels, source
	}
}

// setActivation sets the activation if it is said.
func (d *Description) setActivation(a spec.Activation, source string) {
	if a != "" {
		d.Activation, d.Sources.Activation = a, source
	}
}

// Options are what a user says of a model. Each part that is not zero replaces what its files say.
type Options struct {
	Labels []string
	// Preprocess is a text for [spec.ParsePreprocess]. It changes what the files say, or torchvision's preprocessing if
	// they say nothing.
	Preprocess string
	Activation spec.Activation
}

// Apply puts what files and user say into m, which has the head that its weights show. It checks the result: labels of
// the user must be as many as there are classes; others are left out with a note if they are not, since a file often keeps those
// of the model that it was trained from.
func (d Description) Apply(m *spec.Model, o Options) (Sources, []string, error) {
	if err := d.applyHead(m, o); err != nil {
		return Sources{}, nil, err
	}
	if err := d.applyLabels(m, o); err != nil {
		return Sources{}, nil, err
	}
	if err := d.applyPreprocess(m, o); err != nil {
		return Sources{}, nil, err
	}
	return d.Sources, d.Notes, m.Validate()
}

// applyHead sets the head and its activation.
func (d *Description) applyHead(m *spec.Model, o Options) error {
	if h := d.Head; h != nil {
		if len(h.ReLU) != len(m.Head.ReLU) || h.Classes != m.Head.Classes {
			return fmt.Errorf("metadata %q describes %d layers and %d classes, the weights have %d and %d",
				MetaHead, len(h.ReLU), h.Classes, len(m.Head.ReLU), m.Head.Classes)
		}
		m.Head = *h
	}
	if o.Activation != "" {
		m.Head.Activation, d.Sources.Activation = o.Activation, fromUser
		return nil
	}
	switch {
	case d.Activation == "":
	case m.Head.Classes < 2 && d.Activation == spec.Softmax:
		d.Sources.Activation = "" // of a single output it would always be 1
	default:
		m.Head.Activation = d.Activation
	}
	return nil
}

// applyLabels sets the labels if they are as many as there are classes.
func (d *Description) applyLabels(m *spec.Model, o Options) error {
	if o.Labels != nil {
		if len(o.Labels) != m.Head.Classes {
			return fmt.Errorf("%d labels for %d classes", len(o.Labels), m.Head.Classes)
		}
		m.Labels, d.Sources.Labels = o.Labels, fromUser
		return nil
	}
	if d.Labels != nil && len(d.Labels) != m.Head.Classes {
		d.Notes = append(d.Notes, fmt.Sprintf("labels of %s are not used: %d labels for %d classes", d.Sources.Labels, len(d.Labels), m.Head.Classes))
		d.Labels, d.Sources.Labels = nil, ""
	}
	if d.Labels != nil {
		m.Labels = d.Labels
	}
	return nil
}

// applyPreprocess sets the preprocessing. A user's that names a library's goes before a problem of the files.
func (d *Description) applyPreprocess(m *spec.Model, o Options) error {
	if d.Preprocess != nil {
		m.Preprocess = *d.Preprocess
	}
	if o.Preprocess != "" {
		p, err := spec.ParsePreprocess(o.Preprocess, m.Preprocess)
		if err != nil {
			return err
		}
		if d.Problem == nil || o.complete() {
			m.Preprocess, d.Sources.Preprocess = p, fromUser
			return nil
		}
	}
	if d.Problem != nil {
		return fmt.Errorf("%w; to choose a preprocessing, begin --preprocess with torchvision, transformers or fastai", d.Problem)
	}
	return nil
}

// complete reports whether the user's preprocessing does not depend on that of the files.
func (o Options) complete() bool {
	a, errA := spec.ParsePreprocess(o.Preprocess, spec.Torchvision())
	b, errB := spec.ParsePreprocess(o.Preprocess, spec.Preprocess{})
	return errA == nil && errB == nil && a == b
}

// fromUser is the source of parts that the user says.
const fromUser = "options"
