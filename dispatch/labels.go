package dispatch

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// labels returns the classes of a model: GET /labels. While replicas change from one version to another, they are those of
// either.
func (d *Dispatcher) labels(w http.ResponseWriter, r *http.Request) error {
	if err := httpx.CheckQuery(r, "model"); err != nil {
		return err
	}
	want, err := resnet18cloud.ParseWant("/predict", r.URL.Query())
	if err != nil {
		return err
	}
	l, err := d.backend.Labels(r.Context(), want.Model)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, l)
	return nil
}
