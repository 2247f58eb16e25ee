package dispatch

import (
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// labels returns the classes of the model that answers: GET /labels. While replicas change from one model to another,
// they are those of either.
func (d *Dispatcher) labels(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Has("model") {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "The dispatcher knows the labels of the default model only",
			Hint: "ask a replica, or leave out the parameter model"}
	}
	l, err := d.backend.Labels(r.Context())
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, l)
	return nil
}
