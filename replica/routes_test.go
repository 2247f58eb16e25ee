package replica

import (
	"context"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
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
}
