package dispatch

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Replicas starts and stops replicas. It is safe for concurrent use.
type Replicas interface {
	// Replicas returns how many replicas are wanted, and how many are ready.
	Replicas() (wanted, ready int)
	// SetReplicas sets how many are wanted and returns; they start and stop later, and those that stop finish their images. An
	// *Error says why the number cannot be changed.
	SetReplicas(ctx context.Context, n int) error
}

// replicasBody is the response of GET and PUT /replicas.
type replicasBody struct {
	Wanted int `json:"wanted"`
	Ready  int `json:"ready"`
}

// errElsewhere is the answer of a dispatcher that does not start its replicas.
func errElsewhere() error {
	return errConflict("This dispatcher does not start replicas",
		"start or stop them where they run, such as with kubectl scale; only 'resnet18cloud up' changes their number itself")
}

// replicas handles GET /replicas.
func (d *Dispatcher) replicas(w http.ResponseWriter, _ *http.Request) error {
	if d.cfg.Replicas == nil {
		return errElsewhere()
	}
	wanted, ready := d.cfg.Replicas.Replicas()
	httpx.WriteJSON(w, http.StatusOK, replicasBody{wanted, ready})
	return nil
}

// setReplicas handles PUT /replicas.
func (d *Dispatcher) setReplicas(w http.ResponseWriter, r *http.Request) error {
	if d.cfg.Replicas == nil {
		return errElsewhere()
	}
	var body struct {
		Replicas *int `json:"replicas"`
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil || body.Replicas == nil {
		return errInvalid("The body has no number of replicas", `send {"replicas":2}`)
	}
	if err := d.cfg.Replicas.SetReplicas(r.Context(), *body.Replicas); err != nil {
		return err
	}
	return d.replicas(w, r)
}
