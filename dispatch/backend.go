package dispatch

import (
	"context"
	"strings"
	"sync"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// backend is who does the work: a pool of replicas, or a classifier in this process.
type backend interface {
	resnet18cloud.Classifier
	Run(ctx context.Context) error
	// Slots is how many images it takes at a time, and a channel that is closed when that may have changed.
	Slots() (int, <-chan struct{})
	// Endpoints lists the replicas; a classifier in this process is none.
	Endpoints() []forward.Endpoint
	// Answering is what the replicas say of their models; a classifier in this process says it in its results.
	Answering() forward.Answering
	// Configured names them as the user did.
	Configured() []string
}

var _ backend = (*forward.Pool)(nil)

// inProcess makes a backend of a classifier.
type inProcess struct {
	resnet18cloud.Classifier
	slots int
}

func (p inProcess) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (p inProcess) Slots() (int, <-chan struct{}) { return p.slots, nil }
func (p inProcess) Endpoints() []forward.Endpoint { return nil }
func (p inProcess) Answering() forward.Answering  { return forward.Answering{} }
func (p inProcess) Configured() []string          { return []string{"in-process"} }

// models knows which models may answer now, for looking up cached answers.
type models struct {
	backend backend

	mu   sync.Mutex
	last []string // guarded by mu: the answer when no replica is there to ask
}

// identity is a model's name in cache keys: weights and arithmetic.
func identity(model, precision string) string { return model + "/" + precision }

// now lists the identities of the healthy replicas' models, one but for the time of a rolling update.
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

// answered notes who gave a result, for backends without endpoints to ask.
func (m *models) answered(r resnet18cloud.Result) string {
	name := identity(r.Model, r.Precision)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.last) == 0 {
		m.last = []string{name}
	}
	return name
}

// endpointURL is the list of endpoints as one field of the prototype's /status.
func endpointURL(b backend) string { return strings.Join(b.Configured(), ",") }
