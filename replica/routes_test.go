package replica

import (
	"context"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/openapi"
	"github.com/resnet18cloud/resnet18cloud/internal/openapi/openapitest"
)

type noClassifier struct{}

func (noClassifier) Classify(context.Context, resnet18cloud.Image) (resnet18cloud.Result, error) {
	return resnet18cloud.Result{}, nil
}

// TestRoutesNeedKeys checks for each endpoint which scopes permit it.
func TestRoutesNeedKeys(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Concurrency: 1, Access: accesstest.Guard(t)}, noClassifier{})
	if err != nil {
		t.Fatal(err)
	}
	public, _ := s.routes()
	accesstest.CheckRoutes(t, public, map[string][]string{
		"POST /predict": accesstest.Senders, "POST /embed": accesstest.Senders, "GET /labels": accesstest.Senders, "GET /info": accesstest.Senders, "GET /metrics": accesstest.Readers,
		"GET /v2/models/x": accesstest.Senders, "GET /v2/models/x/ready": accesstest.Senders, "POST /v2/models/x/infer": accesstest.Senders,
		"GET /v2": accesstest.Everyone, "GET /v2/health/live": accesstest.Everyone, "GET /v2/health/ready": accesstest.Everyone,
		"GET /health": accesstest.Everyone, "GET /health/live": accesstest.Everyone, "GET /health/ready": accesstest.Everyone,
	})
	s.cfg.Models = noModels{}
	public, _ = s.routes()
	description, err := openapitest.Read(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	mux, _ := s.muxes()
	description.CheckRoutes(t, mux.Patterns(), append(openapi.Paths(), "POST /inference.GRPCInferenceService/")...) // gRPC has a description of its own
	accesstest.CheckRoutes(t, public, map[string][]string{
		"GET /models": accesstest.Known, "POST /models/reload": accesstest.Admins,
		"POST /v2/models/x/versions/1/infer": accesstest.Senders,
	})
}

// noModels is an empty folder of models.
type noModels struct{}

func (noModels) Models() resnet18cloud.Models { return resnet18cloud.Models{} }
func (noModels) Reload(context.Context) error { return nil }
func (noModels) Hold(string) (resnet18cloud.Classifier, resnet18cloud.ModelStatus, func(), error) {
	return nil, resnet18cloud.ModelStatus{}, nil, &resnet18cloud.Error{Code: resnet18cloud.CodeNotFound, Message: "There is no model"}
}
