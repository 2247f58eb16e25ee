package replica

import (
	"errors"
	"net/http"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// errOneModel is the answer to requests about several models of a server that has one.
var errOneModel = &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "This server has one model, which has no name here",
	Hint: "leave out the parameter model, or start the replica with --models DIR"}

// checkModel returns an error for a request that names a model, if there is only one.
func (s *Server) checkModel(want resnet18cloud.Want) error {
	if want.Model != "" && s.cfg.Models == nil {
		return errOneModel
	}
	return nil
}

// models lists the models: GET /models.
func (s *Server) models(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, s.cfg.Models.Models())
	return nil
}

// reloadModels reads the folder of models again, and answers with the list when that is done: POST /models/reload. Files that
// cannot be used are an error with their reasons; the others are loaded all the same.
func (s *Server) reloadModels(w http.ResponseWriter, r *http.Request) error {
	if err := s.cfg.Models.Reload(r.Context()); err != nil {
		if r.Context().Err() != nil {
			return err
		}
		return &resnet18cloud.Error{Code: resnet18cloud.CodeConflict, Message: "Models were not loaded: " + err.Error(),
			Hint: "see GET /models; the other models are loaded", Err: errors.New("models were not loaded")}
	}
	return s.models(w, r)
}
