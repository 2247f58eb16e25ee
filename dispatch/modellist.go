package dispatch

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// listModels returns the models of the replicas: GET /models.
func (d *Dispatcher) listModels(w http.ResponseWriter, _ *http.Request) error {
	l, err := d.backend.Models()
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, l)
	return nil
}

// reloadModels makes all replicas read their folders of models, and answers with the list when that is done: POST
// /models/reload. Files that cannot be used are an error with their reasons; the others are loaded all the same.
func (d *Dispatcher) reloadModels(w http.ResponseWriter, r *http.Request) error {
	if err := d.backend.Reload(r.Context()); err != nil {
		return err
	}
	return d.listModels(w, r)
}
