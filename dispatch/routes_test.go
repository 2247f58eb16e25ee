package dispatch

import (
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/openapi"
	"github.com/resnet18cloud/resnet18cloud/internal/openapi/openapitest"
)

// TestRoutesNeedKeys checks for each endpoint which scopes permit it, and that no endpoint is left out.
func TestRoutesNeedKeys(t *testing.T) {
	t.Parallel()
	d, err := New(Config{Access: accesstest.Guard(t), Queue: memqueue.New(10, time.Minute), Store: memstore.New(time.Hour, 100),
		Classifier: replicaFunc(answering), Page: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	close(d.ready)
	routes := map[string][]string{
		"POST /predict_async": accesstest.Senders, "POST /predict": accesstest.Senders, "POST /predict_batch": accesstest.Senders,
		"POST /embed_async": accesstest.Senders, "POST /embed": accesstest.Senders, "POST /embed_batch": accesstest.Senders,
		"GET /labels": accesstest.Senders, "GET /models": accesstest.Known, "POST /models/reload": accesstest.Admins,
		"GET /result/x": accesstest.Known, "DELETE /result/x": accesstest.Senders, "GET /results": accesstest.Known,
		"GET /webhook-secret": accesstest.Senders, "GET /result/x/events": accesstest.Known, "GET /results/events": accesstest.Known,
		"GET /status": accesstest.Readers, "GET /metrics": accesstest.Readers, "GET /cache/stats": accesstest.Readers, "POST /cache/clear": accesstest.Admins,
		"GET /replicas": accesstest.Readers, "PUT /replicas": accesstest.Admins,
		"GET /health": accesstest.Everyone, "GET /health/live": accesstest.Everyone, "GET /health/ready": accesstest.Everyone,
		"GET /": accesstest.Everyone, "GET /page/": accesstest.Everyone, "GET /dashboard": accesstest.Everyone, "GET /dashboard/stream": accesstest.Readers,
	}
	public, _ := d.routes()
	accesstest.CheckRoutes(t, public, routes)
	description, err := openapitest.Read(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	mux, _ := d.muxes()
	// Pages are for people, and gRPC has a description of its own.
	description.CheckRoutes(t, mux.Patterns(), append(openapi.Paths(), "GET /{$}", "GET /page/", "GET /dashboard", "POST /inference.GRPCInferenceService/")...)
	source, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(regexp.MustCompile(`(?:Add|Handle)\("[A-Z]+ /`).FindAll(source, -1)); n != len(routes) {
		t.Errorf("routes.go has %d endpoints, and %d are checked here", n, len(routes))
	}
}
