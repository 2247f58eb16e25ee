package replica

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

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

var (
	modelsDesc = prometheus.NewDesc("resnet18_replica_models",
		"Versions of models, by what the replica does with them.", []string{"model", "state"}, nil)
	canaryDesc = prometheus.NewDesc("resnet18_replica_canary_pictures",
		"Pictures that a new version was compared with, in the comparison in progress or the last one, by outcome.", []string{"model", "version", "outcome"}, nil)
)

// modelsCollector exports the models.
type modelsCollector struct{ models Models }

// Describe implements prometheus.Collector.
func (modelsCollector) Describe(to chan<- *prometheus.Desc) {
	to <- modelsDesc
	to <- canaryDesc
}

// Collect implements prometheus.Collector.
func (c modelsCollector) Collect(to chan<- prometheus.Metric) {
	counts := map[string]map[resnet18cloud.ModelState]int{}
	last := map[[2]string]resnet18cloud.Canary{} // by model and version, of which there may be two files for a time
	for _, m := range c.models.Models().Models {
		if counts[m.Name] == nil {
			counts[m.Name] = map[resnet18cloud.ModelState]int{}
		}
		counts[m.Name][m.State]++
		if m.Canary != nil {
			last[[2]string{m.Name, m.Version}] = *m.Canary
		}
	}
	for name, states := range counts {
		for _, state := range resnet18cloud.ModelStates() {
			to <- prometheus.MustNewConstMetric(modelsDesc, prometheus.GaugeValue, float64(states[state]), name, string(state))
		}
	}
	for id, k := range last {
		for outcome, n := range map[string]int{"equal": k.Equal, "different": k.Compared - k.Equal, "failed": k.Failed, "skipped": k.Skipped} {
			to <- prometheus.MustNewConstMetric(canaryDesc, prometheus.GaugeValue, float64(n), id[0], id[1], outcome)
		}
	}
}
