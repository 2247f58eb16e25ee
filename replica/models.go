package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// one describes the only model of a server that has one.
func (s *Server) one(ctx context.Context) resnet18cloud.ModelStatus {
	m := s.cfg.Model()
	one := resnet18cloud.ModelStatus{Name: cmp.Or(m.Info.Name, modelName), Version: m.Info.Version[:min(8, len(m.Info.Version))],
		State: resnet18cloud.ModelServing, Identity: m.Weights, Hash: m.Info.Version, Precision: m.Precision,
		Preprocessing: m.Info.Preprocessing, Activation: m.Info.Activation, Classes: m.Info.Classes}
	if l, ok := s.classifier.(resnet18cloud.Labeler); ok {
		if classes, err := l.Labels(ctx); err == nil {
			one.Labels = len(classes.Labels)
		}
	}
	return one
}

// checkModel returns an error for a request that names another model than the only one.
func (s *Server) checkModel(ctx context.Context, want resnet18cloud.Want) error {
	if want.Model == "" || s.cfg.Models != nil {
		return nil
	}
	name, version, versioned := strings.Cut(want.Model, "@")
	one := s.one(ctx)
	if name == one.Name && (!versioned || one.Is(version)) {
		return nil
	}
	return &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: fmt.Sprintf("There is no model %.70q", want.Model),
		Hint: fmt.Sprintf("use %s, the only one, or leave out the parameter model; several need --models DIR", one.Name)}
}

// list returns the models.
func (s *Server) list(ctx context.Context) resnet18cloud.Models {
	if s.cfg.Models != nil {
		return s.cfg.Models.Models()
	}
	one := s.one(ctx)
	return resnet18cloud.Models{Default: one.Name, Models: []resnet18cloud.ModelStatus{one}}
}

// models lists the models: GET /models.
func (s *Server) models(w http.ResponseWriter, r *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, s.list(r.Context()))
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
