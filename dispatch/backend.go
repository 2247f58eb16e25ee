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
	// Labels returns the classes of the model that answers, or an *Error if they are not known.
	resnet18cloud.Labeler
	// Configured returns the endpoints as the user wrote them.
	Configured() []string
}

var _ backend = (*forward.Pool)(nil)

// inProcess adapts a classifier to the backend interface.
type inProcess struct {
	resnet18cloud.Classifier
	slots int
}

func (p inProcess) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (p inProcess) Slots() (int, <-chan struct{}) { return p.slots, nil }
func (p inProcess) Workers() int                  { return p.slots }
func (p inProcess) Endpoints() []forward.Endpoint { return nil }
func (p inProcess) Answering() forward.Answering  { return forward.Answering{} }
func (p inProcess) Labels(ctx context.Context) (resnet18cloud.Labels, error) {
	if l, ok := p.Classifier.(resnet18cloud.Labeler); ok {
		return l.Labels(ctx)
	}
	return resnet18cloud.Labels{}, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "The classes are not known"}
}
func (p inProcess) Configured() []string { return []string{"in-process"} }

// models tracks which models can produce a result now, for cache lookups.
type models struct {
	backend backend

	mu   sync.Mutex
	last []string // guarded by mu: used while no replica is available to report its model
}

// identity returns a model's name in cache keys: weights and arithmetic.
func identity(model, precision string) string { return model + "/" + precision }

// now returns the identities of the healthy replicas' models: one, except during a rolling update.
func (m *models) now() []string {
	var names []string
	for _, model := range m.backend.Answering().Models {
		names = append(names, identity(model.Weights, model.Precision))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(names) > 0 {
		m.last = names
	}
	return m.last
}

// answered records the model that produced a result, for backends without endpoints, and returns its identity.
func (m *models) answered(r resnet18cloud.Result) string {
	name := identity(r.Model, r.Precision)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.last) == 0 {
		m.last = []string{name}
	}
	return name
}

// endpointURL joins the endpoints into the single field of the prototype's /status.
func endpointURL(b backend) string { return strings.Join(b.Configured(), ",") }
