package dispatch

import (
	"context"
	"strings"
	"sync"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// backend classifies the images: a pool of replicas, or a classifier in this process.
type backend interface {
	resnet18cloud.Classifier
	Run(ctx context.Context) error
	// Slots returns how many images it accepts at a time, and a channel that is closed when that may have changed.
	Slots() (int, <-chan struct{})
	// Workers returns how many images it processes at a time; the rest of the slots wait.
	Workers() int
	// Endpoints returns the replicas; a classifier in this process has none.
	Endpoints() []forward.Endpoint
	// Answering returns the models that the replicas report; a classifier in this process reports its model in each
	// result.
	Answering() forward.Answering
	// Find returns what a request for a model gets, without a name if that is not known, or an *Error if no replica can be asked
	// for it: CodeNotFound if waiting does not help. An empty model is the default.
	Find(model string) (resnet18cloud.ModelStatus, error)
	// Labels returns the classes of a model, or an *Error if they are not known.
	Labels(ctx context.Context, model string) (resnet18cloud.Labels, error)
	// Models returns the models of the replicas, or an *Error if they are not known.
	Models() (resnet18cloud.Models, error)
	// Reload makes the replicas read their folders of models. The *Error has the reasons of files that cannot be used.
	Reload(ctx context.Context) error
	// Configured returns the endpoints as the user wrote them.
	Configured() []string
}

var _ backend = (*forward.Pool)(nil)

// several is what a classifier with several models can do besides classifying. A catalog.Catalog can.
type several interface {
	Models() resnet18cloud.Models
	Reload(ctx context.Context) error
	Hold(model string) (c resnet18cloud.Classifier, status resnet18cloud.ModelStatus, release func(), err error)
}

// inProcess adapts a classifier to the backend interface.
type inProcess struct {
	resnet18cloud.Classifier
	slots int
}

// errOneModel is the answer to questions about the models of a classifier that has one.
var errOneModel = &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "This server has one model, which has no name here",
	Hint: "leave out the parameter model"}

func (p inProcess) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (p inProcess) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	if _, ok := p.Classifier.(several); !ok && image.Want.Model != "" {
		return resnet18cloud.Result{}, errOneModel
	}
	return p.Classifier.Classify(ctx, image)
}

func (p inProcess) Slots() (int, <-chan struct{}) { return p.slots, nil }
func (p inProcess) Workers() int                  { return p.slots }
func (p inProcess) Endpoints() []forward.Endpoint { return nil }

func (p inProcess) Answering() forward.Answering {
	if c, ok := p.Classifier.(several); ok {
		return forward.Told(c.Models())
	}
	return forward.Answering{}
}

func (p inProcess) Find(model string) (m resnet18cloud.ModelStatus, err error) {
	s, ok := p.Classifier.(several)
	switch {
	case ok:
		var release func()
		if _, m, release, err = s.Hold(model); err == nil {
			release()
		}
		return m, err
	case model != "":
		return m, errOneModel
	}
	return m, nil
}

func (p inProcess) Labels(ctx context.Context, model string) (resnet18cloud.Labels, error) {
	c := p.Classifier
	if s, ok := c.(several); ok {
		held, _, release, err := s.Hold(model)
		if err != nil {
			return resnet18cloud.Labels{}, err
		}
		defer release()
		c = held
	} else if model != "" {
		return resnet18cloud.Labels{}, errOneModel
	}
	if l, ok := c.(resnet18cloud.Labeler); ok {
		return l.Labels(ctx)
	}
	return resnet18cloud.Labels{}, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "The classes are not known"}
}

func (p inProcess) Models() (resnet18cloud.Models, error) {
	if s, ok := p.Classifier.(several); ok {
		return s.Models(), nil
	}
	return resnet18cloud.Models{}, errOneModel
}

func (p inProcess) Reload(ctx context.Context) error {
	s, ok := p.Classifier.(several)
	if !ok {
		return errOneModel
	}
	if err := s.Reload(ctx); err != nil {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeConflict, Message: "Models were not loaded: " + err.Error(), Hint: "see GET /models; the other models are loaded"}
	}
	return nil
}

func (p inProcess) Configured() []string { return []string{"in-process"} }

// models tracks which models can produce a result now, for cache lookups.
type models struct {
	backend backend

	mu   sync.Mutex
	last forward.Answering // guarded by mu: used while no replica is available to report its models
}

// identity returns a model's name in cache keys: weights, arithmetic and hash.
func identity(m forward.Model) string { return m.Weights + "/" + m.Precision + "/" + m.Hash }

// now returns the identities of the models that the healthy replicas answer a request for a model with: one, except during a
// rolling update. An empty model is the default.
func (m *models) now(model string) (names []string) {
	a := m.backend.Answering()
	m.mu.Lock()
	if a.Healthy {
		m.last = a
	} else {
		a = m.last
	}
	m.mu.Unlock()
	for _, one := range a.For(model) {
		names = append(names, identity(one))
	}
	return names
}

// answered records the model that produced a result, for backends that do not report theirs, and returns its identity.
func (m *models) answered(r resnet18cloud.Result) string {
	model := forward.ModelOf(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.last.Healthy && len(m.last.Models) == 0 {
		m.last.Models = []forward.Model{model}
	}
	return identity(model)
}

// endpointURL joins the endpoints into the single field of the prototype's /status.
func endpointURL(b backend) string { return strings.Join(b.Configured(), ",") }
